"""vm/agent.py on its port: requests, answers, marks, shells."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vm import agent
from vm.frames import Frames, send

ROOT = Path(__file__).resolve().parents[2]


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
    assert (words[:2], words[3:5]) == (["done", "1"], ["0", "0"])
    assert words[6:] == [taint, "19", "19"]
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
    done, ends = zip(*[line.split()[1:3] for line in answers.splitlines()], strict=True)
    assert done == ("7", "8")
    what = ["ready", "begin 7", f"end {ends[0]}", "begin 8", f"end {ends[1]}"]
    assert marks == [f"<5>bpf-map-tracing: {word}" for word in what]
    assert ends[0] != ends[1] and len(ends[0]) == len(ends[1]) == 16


# Says what children it has with a server of shells on the port; writes down the
# processes on the way to it, of which the server is the last.
SHELLS = """
import ctypes, os, sys
from vm import agent
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as init.c
def fork(really_fork=os.fork):
    pid = really_fork()
    if not pid:
        with open(sys.argv[2], "a") as file:
            print(os.getpid(), file=file)
    return pid
os.fork = fork
agent.open_port = lambda name: {"the port": os.dup(int(sys.argv[1]))}[name]
agent.serve_shells("the port")
agent.run(["true"], 20.0, agent.Output(1000))
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
