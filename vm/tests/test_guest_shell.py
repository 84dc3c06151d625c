"""Tests of vm/guest_shell.py: the real program, with this test as the user's end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from vm.frames import Frames, send

PROGRAM = Path(__file__).resolve().parents[1] / "guest_shell.py"
# Waits for a signal, does something and ends. No shell: while dash starts a program,
# a signal may be lost.
WAITS = """
import os, signal, sys
def heard(*_):
    {then}
    sys.exit(3)
signal.signal(signal.{name}, heard)
with open({terminal!r}, "w") as file:
    print(os.environ["TERM"], "ready", file=file)
while True:
    signal.pause()
"""


def waits(name: str, then: str = "pass", terminal: str = "/dev/stdout") -> list[str]:
    """A program that waits for the signal `name`; it says so on `terminal`."""
    program = WAITS.format(name=name, then=then, terminal=terminal)
    return [sys.executable, "-I", "-S", "-c", program]


class User:
    """The user's end of one connection."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(20)
        number = theirs.fileno()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-S", str(PROGRAM), str(number)], pass_fds=[number]
            )
        self.frames = Frames()
        self.output = ""
        self.status: int | None = None

    def send(self, kind: bytes, content: str = "") -> None:
        send(self.channel.fileno(), kind, content.encode())

    def ask(self, term: str, *command: str) -> None:
        """Ask for a command, as attach.py does."""
        words = " ".join("x" + os.fsencode(word).hex() for word in command)
        self.send(b"r", f"{term} 100 30 {words}")

    def hear(self, text: str) -> None:
        """Wait until that was printed."""
        while text not in self.output:
            assert self.status is None, self.output
            self._receive()

    def end(self) -> tuple[int, str]:
        """The exit status, and all output with lines as a file has them."""
        while self.status is None:
            self._receive()
        return self.status, self.output.replace("\r", "")

    def _receive(self) -> None:
        data = self.channel.recv(1 << 16)
        assert data, f"it ended without a status, after {self.output!r}"
        for kind, content in self.frames.feed(data):
            if kind == b"x":
                self.status = int(content)
            else:
                assert kind == b"d"
                self.output += content.decode()


@pytest.fixture
def user() -> Iterator[User]:
    user = User()
    yield user
    user.channel.close()
    user.process.wait(20)


def test_terminal(user: User) -> None:
    """The user's kind and size, and it is the command's own: Ctrl-C works."""
    then = "print(*os.get_terminal_size(0))"
    user.ask("xterm-9", *waits("SIGINT", then, "/dev/tty"))
    user.hear("ready")
    user.send(b"d", "\x03")
    assert user.end() == (3, "xterm-9 ready\n^C100 30\n")


def test_new_size_of_the_window(user: User) -> None:
    user.ask("xterm", *waits("SIGWINCH", "print(*os.get_terminal_size(0))"))
    user.hear("ready")
    user.send(b"w", "120 40")
    assert user.end() == (3, "xterm ready\n120 40\n")


def test_end_of_input_on_a_terminal_is_a_key(user: User) -> None:
    """A frame that says so does not close the terminal, on which output comes, too."""
    user.ask("xterm", "sh", "-c", "stty -echo; echo ready; read line; echo $line")
    user.hear("ready")
    user.send(b"e")
    user.send(b"d", "typed\r")
    assert user.end() == (0, "ready\ntyped\n")


def test_without_a_terminal(user: User) -> None:
    script = "echo $TERM; test -t 0 || echo pipe >&2; cat; exit 4"
    user.ask("-", "sh", "-c", script)
    user.send(b"w", "120 40")
    user.send(b"d", "typed\n")
    user.send(b"e")
    assert user.end() == (4, "dumb\npipe\ntyped\n")


def test_words_of_any_bytes(user: User) -> None:
    word = os.fsdecode(b"\xff'\n ")
    user.ask("-", "sh", "-c", 'printf %s "$1" | od -An -tx1', "sh", word)
    assert user.end() == (0, " ff 27 0a 20\n")


def test_shell_without_a_command(user: User) -> None:
    user.ask("-")
    user.send(b"d", "echo $0; exit 5\n")
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    assert user.end() == (5, f"{shell}\n")


def test_input_that_nobody_reads(user: User) -> None:
    user.ask("-", "sh", "-c", "exec <&-; echo closed; sleep 0.3; echo end")
    user.hear("closed")
    user.send(b"d", "typed\n")
    assert user.end() == (0, "closed\nend\n")


@pytest.mark.parametrize("term", ["xterm", "-"])
@pytest.mark.parametrize("trap", ["", "trap '' HUP; "])
def test_nothing_is_left_when_the_user_is_gone(
    user: User, term: str, trap: str
) -> None:
    """Not even what is deaf, or was started by the command."""
    user.ask(term, "sh", "-c", trap + "sleep 600 & echo $$ $! end; wait; sleep 600")
    user.hear("end")
    pids = [int(word) for word in user.output.split()[:2]]
    try:
        user.channel.close()
        user.process.wait(20)
        deadline = time.monotonic() + 20
        while any(is_running(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_command_may_tidy_up_when_the_user_is_gone(user: User, tmp_path: Path) -> None:
    tidy = str(tmp_path / "tidy")
    user.ask("-", *waits("SIGHUP", f"os.mkdir({tidy!r})"))
    user.hear("ready")
    user.channel.close()
    user.process.wait(20)
    assert Path(tidy).exists()


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"
