"""Tests of vm/agent.py: how it runs one command.

It ends what a command leaves behind, which is each child of the process. So it
runs here without that, or in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vm import agent
from vm.agent import Output
from vm.frames import Frames, send

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


def test_no_time_limit(output: Output) -> None:
    script = "sleep 0.1; echo end"
    assert agent.run(["sh", "-c", script], float("inf"), output) == (0, False)
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
import os, sys
from vm import agent
from vm.agent import Output
agent.TERM_GRACE = 0.2
agent.adopt_orphans()
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
    assert run_agent(tmp_path, 0.3, "sh", "-c", script) == "143 True []\n"
    assert left(tmp_path) == []


def test_command_that_leaves_nothing(tmp_path: Path) -> None:
    assert run_agent(tmp_path, float("inf"), "true") == "0 False []\n"


# The port


def test_lines_are_whole() -> None:
    read, write = os.pipe()
    os.write(write, b"one\ntwo\nthr")
    lines = agent.lines(read)
    assert [next(lines), next(lines)] == [b"one", b"two"]
    os.write(write, b"ee\nno end")
    os.close(write)
    assert list(lines) == [b"three"]
    os.close(read)


def test_port_is_found_by_its_whole_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One name begins like the other; neither is that of the device."""
    for entry, name in (("vport1p1", "agent.shell"), ("vport1p2", "agent")):
        (tmp_path / entry).mkdir()
        (tmp_path / entry / "name").write_text(f"{name}\n")
    opened: list[str] = []
    monkeypatch.setattr(agent, "PORTS", str(tmp_path))
    monkeypatch.setattr("vm.agent.os.listdir", lambda _: ["vport1p1", "vport1p2"])
    monkeypatch.setattr("vm.agent.os.open", lambda path, _: opened.append(path))
    agent.open_port("agent")
    agent.open_port("agent.shell")
    assert opened == ["/dev/vport1p2", "/dev/vport1p1"]


def serve(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *requests: bytes
) -> tuple[str, list[str]]:
    """What the agent answers over a port that takes 7 bytes at once; its marks."""
    really_write = os.write
    reading, port = os.pipe()
    (folder / "kmsg").touch()
    monkeypatch.setattr(agent, "KMSG", str(folder / "kmsg"))
    monkeypatch.setattr(agent, "FOLDER", str(folder / "new" / "folder"))
    monkeypatch.setattr(agent, "open_port", lambda _: port)
    monkeypatch.setattr(agent, "lines", lambda _: iter(requests))
    monkeypatch.setattr(agent, "adopt_orphans", lambda: None)
    monkeypatch.setattr(agent, "end_leftovers", lambda: None)
    with monkeypatch.context() as patch:

        def write(descriptor: int, data: bytes) -> int:
            cut = descriptor == port and not data.startswith(b"ready")
            return really_write(descriptor, data[:7] if cut else data)

        patch.setattr("vm.agent.os.write", write)
        agent.main("the port", 1000)
    answers = os.read(reading, 1 << 16).decode()
    os.close(reading)
    os.close(port)
    _, _, answers = answers.partition("\n")
    return answers, (folder / "kmsg").read_text().splitlines()


def test_answer_that_the_port_takes_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = " ".join(f"x{word.encode().hex()}" for word in ("echo", "a " * 9))
    answer, _ = serve(tmp_path, monkeypatch, f"1 inf {request}".encode())
    head, _, output = answer.partition("\n")
    words = head.split()
    taint = Path(agent.TAINTED).read_text().strip()
    assert (words[:4], words[5:]) == (["done", "1", "0", "0"], [taint, "19", "19"])
    assert output == "a " * 9 + "\n"


def test_words_of_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [b"sh", b"-c", b'printf %s "$1" | od -An -tx1', b"sh", b"\xff "]
    request = " ".join(f"x{word.hex()}" for word in words)
    answer, _ = serve(tmp_path, monkeypatch, f"1 inf {request}".encode())
    assert answer.partition("\n")[2] == " ff 20\n"


def test_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a level that the console shows; each command is between two of them."""
    true = b"inf x74727565"
    requests = [b"7 " + true, b"8 " + true, b"poweroff", b"9 " + true]
    answers, marks = serve(tmp_path, monkeypatch, *requests)
    assert [line.split()[1] for line in answers.splitlines()] == ["7", "8"]
    what = ["ready", "begin 7", "end 7", "begin 8", "end 8"]
    assert marks == [f"<5>bpf-map-tracing: {word}" for word in what]


# Says what children it has with a server of shells on the port; writes down the
# processes on the way to it, of which the server is the last.
SHELLS = """
import os, sys
from vm import agent
def fork(really_fork=os.fork):
    pid = really_fork()
    if not pid:
        with open(sys.argv[2], "a") as file:
            print(os.getpid(), file=file)
    return pid
os.fork = fork
agent.open_port = lambda name: {"the port": os.dup(int(sys.argv[1]))}[name]
agent.serve_shells("the port")
print(agent.children())
"""


def test_server_of_shells(tmp_path: Path) -> None:
    """It runs guest_shell.py again and again, and is none of the agent's to end."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with ours, theirs, (tmp_path / "output").open("w") as output:
        number = theirs.fileno()
        program = [sys.executable, "-c", SHELLS, str(number), str(tmp_path / "pids")]
        try:
            subprocess.run(
                program,
                cwd=ROOT,
                pass_fds=[number],
                stdout=output,
                check=True,
                timeout=20,
            )
            server = int((tmp_path / "pids").read_text().split()[-1])
            for _ in range(2):
                assert shell(ours, "ps -o ppid= -p $PPID; exit 3") == (server, 3)
        finally:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                pid = int((tmp_path / "pids").read_text().split()[-1])
                os.kill(pid, signal.SIGKILL)
    assert (tmp_path / "output").read_text() == "[]\n"


def shell(channel: socket.socket, script: str) -> tuple[int, int]:
    """The number that a script prints at the other end of a port; its status."""
    words = " ".join(f"x{word.encode().hex()}" for word in ("sh", "-c", script))
    send(channel.fileno(), b"r", f"- 80 25 {words}".encode())
    frames, output = Frames(), b""
    while True:
        for kind, content in frames.feed(channel.recv(1 << 16)):
            if kind == b"x":
                return int(output), int(content)
            output += content
