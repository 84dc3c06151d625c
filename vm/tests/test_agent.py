"""Tests of vm/agent.py: how it runs one command.

It ends what a command leaves behind, which is each child of the process. So it
runs here without that, or in a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vm import agent
from vm.agent import Output

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.setattr(agent, "end_leftovers", lambda: None)
    monkeypatch.setattr(agent, "TERM_GRACE", 0.2)
    return Output(1000)


def text(output: Output) -> str:
    return output.text().decode()


def test_status_and_output(output: Output) -> None:
    script = "echo out; echo error >&2; exit 3"
    assert agent.run(["sh", "-c", script], 5, output) == (3, False)
    assert text(output) == "out\nerror\n"


def test_much_output() -> None:
    """The beginning and the end, whatever the pieces."""
    for pieces in (["0123456789"], list("0123456789"), ["012", "3456", "789"]):
        output = Output(6)
        for piece in pieces:
            output.add(piece.encode())
        assert (output.text(), output.total) == (b"012789", 10)
    output = Output(6)
    output.add(b"01234")
    assert (output.text(), output.total) == (b"01234", 5)


def test_flood_is_bounded(output: Output) -> None:
    agent.run(["head", "-c", "30000000", "/dev/zero"], 60, output)
    assert output.total == 30000000
    assert len(output.text()) == 1000 and len(output.tail) < 100000


def test_output_that_is_written_when_the_command_has_ended(output: Output) -> None:
    """What is in the pipe then is not lost."""
    script = "head -c 60000 /dev/zero; echo end"
    for _ in range(20):
        kept = Output(10)
        agent.run(["sh", "-c", script], 5, kept)
        assert (kept.total, kept.text()[-4:]) == (60004, b"end\n")


def test_signal(output: Output) -> None:
    assert agent.run(["sh", "-c", "kill -SEGV $$"], 5, output) == (139, False)


def test_no_such_command(output: Output) -> None:
    assert agent.run(["/no/such/command"], 5, output) == (127, False)
    assert text(output) == "/no/such/command: No such file or directory\n"


def test_reads_nothing_and_leads_a_session(output: Output) -> None:
    script = "cat; ps -o pid=,sid= -p $$ | awk '$1 == $2 { print \"leads\" }'"
    assert agent.run(["sh", "-c", script], 5, output) == (0, False)
    assert text(output) == "leads\n"


def test_does_not_read_what_is_for_the_agent(output: Output) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"typed")
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        agent.run(["cat"], 5, output)
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert text(output) == ""


def test_nothing_stays_open(output: Output) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    agent.run(["true"], 5, output)
    agent.run(["/no/such/command"], 5, output)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exec sleep 60", 143),
        ("trap '' TERM; while :; do sleep 60; done", 137),
        ("sleep 60 & trap '' TERM; wait $!", 143),
    ],
)
def test_time_limit(output: Output, script: str, status: int) -> None:
    """SIGTERM for the whole group, and SIGKILL for what is deaf to it."""
    begin = time.monotonic()
    assert agent.run(["sh", "-c", script], 0.2, output) == (status, True)
    assert time.monotonic() - begin < 3


def test_time_limit_of_a_flood(output: Output) -> None:
    """A command that always has something to say is no exception."""
    assert agent.run(["yes"], 0.5, output) == (143, True)


def test_command_that_cannot_be_killed(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    monkeypatch.setattr(agent, "KILL_GRACE", 0.2)
    with pytest.raises(agent.Stuck, match=r"^\d+$") as error:
        agent.run(["sleep", "60"], 0.2, output)
    os.kill(int(str(error.value)), signal.SIGKILL)


def test_leftover_that_cannot_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        monkeypatch.setattr(agent, "children", lambda: [child.pid])
        monkeypatch.setattr(agent, "KILL_GRACE", 0.2)
        really_kill = os.kill
        monkeypatch.setattr(os, "kill", lambda *_: None)
        with pytest.raises(agent.Stuck, match=f"^{child.pid}$"):
            agent.end_leftovers()
        really_kill(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("seconds", [float("inf"), 1e8])
def test_no_time_limit(output: Output, seconds: float) -> None:
    script = "sleep 0.1; echo end"
    assert agent.run(["sh", "-c", script], seconds, output) == (0, False)
    assert text(output) == "end\n"


def test_children() -> None:
    """Their children are not among them."""
    before = agent.children()
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo; wait"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            assert sorted(agent.children()) == sorted([*before, child.pid])
        finally:
            os.killpg(child.pid, signal.SIGKILL)
    assert agent.children() == before


# What a command leaves behind

# Runs a command as the agent does, then says what children it has.
AGENT = """
import ctypes, os, sys
from vm import agent
from vm.agent import Output
agent.TERM_GRACE = 0.2
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as init.c
output = agent.Output(1000)
print(*agent.run(sys.argv[2:], float(sys.argv[1]), output), agent.children())
"""
# A daemon, in a session of its own, with a child; both write their ids to $PIDS.
DAEMON = """\
setsid -f sh -c '{trap}; sleep 60 & echo $$ $! >"$PIDS"; wait' <&- >&- 2>&-
while ! test -s "$PIDS"; do sleep 0.01; done
"""


def run_agent(folder: Path, seconds: float, *command: str) -> str:
    """What the agent returns, and says of its children after that."""
    words = [sys.executable, "-c", AGENT, str(seconds)]
    return subprocess.run(
        [*words, *command],
        cwd=ROOT,
        env={**os.environ, "PIDS": str(folder / "pids")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def left(folder: Path) -> list[str]:
    """Those of the daemon and its child that are still there, dead or alive."""
    pids = (folder / "pids").read_text().split()
    assert len(pids) == 2
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("trap", ["true", 'trap "" TERM'])
def test_daemon_is_ended_with_its_command(tmp_path: Path, trap: str) -> None:
    script = DAEMON.format(trap=trap) + "exit 3"
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as unrelated:
        try:
            assert run_agent(tmp_path, 10, "sh", "-c", script) == "3 False []\n"
            assert left(tmp_path) == []
            assert unrelated.poll() is None
        finally:
            unrelated.kill()


def test_daemon_is_ended_after_the_time_limit(tmp_path: Path) -> None:
    script = DAEMON.format(trap="true") + "exec sleep 60"
    assert run_agent(tmp_path, 1.5, "sh", "-c", script) == "143 True []\n"
    assert left(tmp_path) == []


def test_command_that_leaves_nothing(tmp_path: Path) -> None:
    assert run_agent(tmp_path, float("inf"), "true") == "0 False []\n"
