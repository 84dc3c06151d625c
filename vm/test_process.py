"""Tests of vm/process.py, with commands that sh runs."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vm import process
from vm.errors import BuildError, HarnessError, UsageError
from vm.process import output_of, run_logged


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def ends(pid: int, seconds: float = 5.0) -> bool:
    """Whether the process ends in time."""
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


# The log


def test_log_has_commands_and_their_output(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    lines: list[str] = []
    run_logged(sh("echo out; echo err >&2; printf end"), log, on_line=lines.append)
    assert lines == ["out", "err", "end"]
    run_logged(["true", "a b"], log)
    assert log.read_text() == (
        '$ sh -c "echo out; echo err >&2; printf end"\nout\nerr\nend$ true "a b"\n'
    )


def test_output_that_is_no_text(tmp_path: Path) -> None:
    lines = output_of(sh(r"printf 'a\377b\n'"), tmp_path / "log")
    assert lines == ["a\N{REPLACEMENT CHARACTER}b"]


def test_surroundings_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "kept")
    lines: list[str] = []
    run_logged(
        sh('pwd; echo "$KEPT $ADDED"; cat; cut -d" " -f6 /proc/self/stat; echo $$'),
        tmp_path / "log",
        cwd=tmp_path,
        env={"ADDED": "added"},
        on_line=lines.append,
    )
    where, words, *ids = lines
    assert (where, words) == (str(tmp_path), "kept added")
    assert len(ids) == 2, "nothing is read from the terminal"
    assert ids[0] == ids[1], "the terminal's Ctrl-C is for the harness only"


# Commands that fail


def test_error_has_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(BuildError) as raised:
        run_logged(sh("seq 40; exit 3"), log)
    error = raised.value
    assert error.what == "sh (exit status 3)"
    assert error.command == sh("seq 40; exit 3")
    assert error.detail.split() == [str(number) for number in range(26, 41)]
    assert error.hint == f"the whole output is in {log}"
    assert log.read_text().splitlines()[1:] == [str(n) for n in range(1, 41)]


def test_error_as_the_caller_wants_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it failed \(exit status 1\)") as raised:
        run_logged(
            ["false"], tmp_path / "log", error=UsageError, what="it failed", hint="x"
        )
    assert raised.value.hint == "x"
    with pytest.raises(UsageError) as raised:
        output_of(["false"], tmp_path / "log", error=UsageError, hint="y")
    assert raised.value.hint == "y"


@pytest.mark.parametrize("error", [BuildError, UsageError])
def test_missing_command(tmp_path: Path, error: type[HarnessError]) -> None:
    with pytest.raises(error, match="cannot run no-such-tool: No such file") as raised:
        run_logged(["no-such-tool", "x"], tmp_path / "log", error=error)
    assert raised.value.command == ["no-such-tool", "x"]
    assert "--install-deps" in raised.value.hint
    assert (tmp_path / "log").read_text() == "$ no-such-tool x\n"


# Commands that are ended

DEAF = """\
sh -c 'trap "" TERM; echo $$; exec sleep 30' &
echo $$
wait
"""


def test_interrupt_ends_the_whole_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = functools.partial(process.end_group, grace=0.3)
    monkeypatch.setattr(process, "end_group", soon)
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            assert all(alive(pid) for pid in pids)
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_logged(sh(DEAF), tmp_path / "log", on_line=interrupt)
    assert time.monotonic() - begin < 5
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    logged = (tmp_path / "log").read_text().splitlines()
    assert logged[-2:] == [str(pid) for pid in pids]


def test_interrupted_command_may_tidy_up(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    tidy = "trap 'sleep 0.2; touch tidy; exit' TERM; echo go; sleep 30 & wait"
    with pytest.raises(KeyboardInterrupt):
        run_logged(sh(tidy), tmp_path / "log", cwd=tmp_path, on_line=interrupt)
    assert (tmp_path / "tidy").exists()


def test_killed_harness_takes_the_command_with_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vm.process import run_logged\n"
        "run_logged(['sh', '-c', 'echo $$; exec sleep 30'], Path(sys.argv[1]),\n"
        "           on_line=lambda line: print(line, flush=True))\n"
    )
    harness = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")],
        cwd=Path(process.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    with harness:
        assert harness.stdout is not None
        command = int(harness.stdout.readline())
        assert alive(command)
        os.kill(harness.pid, signal.SIGKILL)
    assert ends(command)
