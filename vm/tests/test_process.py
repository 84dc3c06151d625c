"""Tests of vm/process.py, with commands that sh runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vm import process
from vm.errors import BuildError, HarnessError, UsageError
from vm.process import end_session, output_of, run_logged, session_members, tied
from vm.terminal import Log
from vm.tests.project import executable
from vm.tests.said import Said


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


@contextmanager
def typed(text: str) -> Iterator[None]:
    """Text that waits on stdin."""
    before = os.dup(0)
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


# The log


def test_log_has_commands_and_their_output(log: Log, said: Said) -> None:
    lines: list[str] = []
    run_logged(sh("echo out; echo err >&2; printf end"), log, on_line=lines.append)
    assert lines == ["out", "err", "end"]
    run_logged(["true", "a b"], log)
    assert log.path.read_text() == (
        "$ sh -c 'echo out; echo err >&2; printf end'\nout\nerr\nend$ true 'a b'\n"
    )
    assert said.lines == []


def test_verbose_terminal_shows_commands_before_they_run(log: Log, said: Said) -> None:
    said.verbose = True
    shown: list[list[str]] = []
    run_logged(
        sh("echo out"), log, on_line=lambda line: shown.append([*said.lines, line])
    )
    assert shown == [["$ sh -c 'echo out'", "out"]]
    assert said.lines == ["$ sh -c 'echo out'"], "the output is only in the log"


def test_output_that_is_not_text(log: Log) -> None:
    lines = output_of(sh(r"printf 'a\377b\n'"), log)
    assert lines == ["a\N{REPLACEMENT CHARACTER}b"]


def test_output_of_has_both_streams(log: Log) -> None:
    script = 'echo "$ADDED"; echo err >&2'
    assert output_of(sh(script), log, env={"ADDED": "x"}) == ["x", "err"]


def test_surroundings_of_a_command(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "kept")
    lines: list[str] = []
    with typed("not for the command\n"):
        run_logged(
            sh('pwd; echo "$KEPT $ADDED"; cat; cut -d" " -f6 /proc/self/stat; echo $$'),
            log,
            cwd=tmp_path,
            env={"ADDED": "added"},
            on_line=lines.append,
        )
    where, words, *ids = lines
    assert (where, words) == (str(tmp_path), "kept added")
    assert len(ids) == 2, "nothing is read from the terminal"
    assert ids[0] == ids[1], "the terminal's Ctrl-C is for the harness only"


# Commands that fail


def test_error_has_the_last_lines(log: Log) -> None:
    with pytest.raises(BuildError) as raised:
        run_logged(sh("seq 40; exit 3"), log)
    error = raised.value
    assert error.what == "sh (exit status 3)"
    assert error.command == sh("seq 40; exit 3")
    assert error.detail.split() == [str(number) for number in range(26, 41)]
    assert error.hint == f"the whole output is in {log.path}"
    assert log.path.read_text().splitlines()[1:] == [str(n) for n in range(1, 41)]


def test_error_as_the_caller_wants_it(log: Log) -> None:
    with pytest.raises(UsageError, match=r"it failed \(exit status 1\)") as raised:
        run_logged(["false"], log, error=UsageError, what="it failed", hint="x")
    assert raised.value.hint == "x"
    with pytest.raises(UsageError, match=r"so did this \(exit") as raised:
        output_of(["false"], log, error=UsageError, what="so did this", hint="y")
    assert raised.value.hint == "y"


def test_log_that_cannot_be_written(said: Said) -> None:
    """Whoever can go on without the command can go on without its log."""
    full = Log(Path("/dev/full"), said)
    with pytest.raises(HarnessError, match="cannot write /dev/full: No space") as error:
        output_of(["echo"], full)
    assert (error.value.command, error.value.exit_status) == (["echo"], 3)


def test_statuses_that_are_no_failure(log: Log) -> None:
    run_logged(sh("exit 4"), log, statuses=[4])
    assert output_of(sh("echo listed; exit 4"), log, statuses=[0, 4]) == ["listed"]
    with pytest.raises(BuildError, match=r"sh \(exit status 0\)"):
        run_logged(sh("exit 0"), log, statuses=[4])
    with pytest.raises(BuildError, match=r"sh \(exit status 0\)"):
        output_of(sh("exit 0"), log, statuses=[4])


@pytest.mark.parametrize("error", [BuildError, UsageError])
def test_missing_command(log: Log, error: type[HarnessError]) -> None:
    with pytest.raises(error, match="cannot run no-such-tool: No such file") as raised:
        run_logged(["no-such-tool", "x"], log, error=error)
    assert raised.value.command == ["no-such-tool", "x"]
    assert "--install-deps" in raised.value.hint
    assert log.path.read_text() == "$ no-such-tool x\n"


# Commands that are ended

DEAF = """\
sh -c 'trap "" TERM; echo $$; exec sleep 30' &
echo $$
wait
"""

TIDY = """\
import signal, time
def tidy(*_):
    time.sleep(0.2)
    open("tidy", "w").close()
    raise SystemExit
signal.signal(signal.SIGTERM, tidy)
print("go", flush=True)
time.sleep(30)
"""


def test_interrupt_ends_the_whole_session(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_TERM_GRACE", 0.2)
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            assert all(alive(pid) for pid in pids)
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_logged(sh(DEAF), log, on_line=interrupt)
    assert time.monotonic() - begin < 5
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    logged = log.path.read_text().splitlines()
    assert logged[-2:] == [str(pid) for pid in pids]


def test_interrupted_command_may_tidy_up(tmp_path: Path, log: Log) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        command = [sys.executable, "-I", "-S", "-c", TIDY]
        run_logged(command, log, cwd=tmp_path, on_line=interrupt)
    assert (tmp_path / "tidy").exists()
    assert time.monotonic() - begin < 1.5, "it is not waited for any longer"


def test_session_has_every_group_but_no_dead() -> None:
    """A shell with job control gives each job a process group of its own."""
    script = "set -m; sh -c 'echo $$; exec sleep 30' & wait"
    with subprocess.Popen(
        ["bash", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as leader:
        assert leader.stdout is not None
        job = int(leader.stdout.readline())
        assert sorted(session_members(leader.pid)) == sorted([leader.pid, job])
        assert os.getpgid(job) != os.getpgid(leader.pid)
        end_session(leader.pid)
        assert not alive(job)
        assert Path(f"/proc/{leader.pid}").exists(), "nobody has waited for it yet"
        assert session_members(leader.pid) == []


def test_killed_harness_takes_the_command_with_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from vm.process import run_logged; from vm.terminal import Log, Terminal\n"
        "run_logged(['sh', '-c', 'echo $$; exec sleep 30'],\n"
        "           Log(Path(sys.argv[1]), Terminal(Console())),\n"
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


def test_command_that_is_found_from_its_folder(tmp_path: Path, log: Log) -> None:
    """It ends with the harness, as all others do."""
    executable(tmp_path / "scripts" / "tool", "#!/bin/sh\necho here\n")
    command = ["scripts/tool", "-x"]
    assert tied(command, tmp_path) == [*process._TIE, *command]
    run_logged(command, log, cwd=tmp_path)
    assert log.path.read_text() == "$ scripts/tool -x\nhere\n"
