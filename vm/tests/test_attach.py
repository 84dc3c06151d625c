"""Tests of vm/attach.py on a terminal; the guest's end is this test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from vm import attach
from vm.errors import GuestError, UsageError
from vm.frames import Frames, send

ROOT = Path(__file__).resolve().parents[2]
# Isolated: a variable for Python may switch buffering off.
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
from vm.attach import connect
status = connect(Path(sys.argv[1]), sys.argv[2:])
print("status", status)
"""


class Guest:
    """The guest's end, in a folder whose path is too long for a socket's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ("x" * 60) / ("y" * 60)
        self.folder.mkdir(parents=True)
        self.listener = socket.socket(socket.AF_UNIX)
        descriptor = os.open(self.folder, os.O_RDONLY)
        self.listener.bind(f"/proc/self/fd/{descriptor}/console.shell")
        os.close(descriptor)
        self.listener.listen(1)
        self.listener.settimeout(20)
        self.frames = Frames()
        self.heard: list[tuple[bytes, bytes]] = []
        self.channel = socket.socket()

    def command(self, *words: str) -> list[str]:
        """A program that attaches to this guest and prints what connect() returns."""
        program = [sys.executable, "-I", "-c", PROGRAM, str(ROOT)]
        return [*program, str(self.folder / "console.shell"), *words]

    def accept(self) -> bytes:
        """The request of the user's end."""
        self.channel.close()
        self.channel, _ = self.listener.accept()
        self.channel.settimeout(20)
        kind, content = self.hear()
        assert kind == b"r"
        return content

    def hear(self) -> tuple[bytes, bytes]:
        """The next frame."""
        while not self.heard:
            data = self.channel.recv(1 << 16)
            assert data, "it hung up"
            self.heard += self.frames.feed(data)
        return self.heard.pop(0)

    def send(self, kind: bytes, content: bytes) -> None:
        send(self.channel.fileno(), kind, content)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    guest = Guest(tmp_path)
    yield guest
    guest.channel.close()
    guest.listener.close()


def modes(terminal: int) -> list[int]:
    """How the terminal treats what is typed and printed."""
    return termios.tcgetattr(terminal)[:4]


def test_terminal(guest: Guest) -> None:
    command = guest.command("top", "two words")
    child = pexpect.spawn(
        command[0],
        command[1:],
        env={**os.environ, "TERM": "xterm-9"} | {"COLUMNS": "", "LINES": ""},
        dimensions=(30, 100),
        encoding="utf-8",
        timeout=20,
    )
    try:
        before = modes(child.child_fd)
        hexes = [f"x{word.encode().hex()}" for word in ("top", "two words")]
        assert guest.accept().decode().split() == ["xterm-9", "100", "30", *hexes]
        # As soon as it is printed, as it is: a line feed moves down, no more.
        guest.send(b"d", b"one\ntwo")
        child.expect_exact("one\ntwo")
        assert modes(child.child_fd) != before
        # Each key, as soon as it is pressed: Ctrl-C is for the guest.
        child.send("q\x03\r")
        typed = b""
        while len(typed) < 3:
            kind, content = guest.hear()
            assert kind == b"d"
            typed += content
        assert typed == b"q\x03\r"
        child.setwinsize(40, 120)
        assert guest.hear() == (b"w", b"120 40")
        guest.send(b"x", b"137")
        child.expect_exact("status 137\r\n")
        assert modes(child.child_fd) == before
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


def test_terminal_is_as_before_if_the_guest_ends(guest: Guest) -> None:
    command = guest.command()
    child = pexpect.spawn(command[0], command[1:], timeout=20)
    try:
        before = modes(child.child_fd)
        guest.accept()
        guest.send(b"d", b"$ ")
        child.expect_exact("$ ")
        guest.channel.close()
        child.expect_exact("status None\r\n")
        assert modes(child.child_fd) == before
    finally:
        child.close(force=True)


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_without_a_terminal(guest: Guest, tmp_path: Path, kind: str) -> None:
    (tmp_path / "input").write_text("")
    with (tmp_path / "input").open() as file:
        user = subprocess.Popen(
            guest.command("true"),
            stdin=file if kind == "file" else subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    try:
        assert guest.accept().split()[0] == b"-"
        if kind == "pipe":
            assert user.stdin is not None
            user.stdin.close()
            user.stdin = None
            assert guest.hear() == (b"e", b"")
        guest.send(b"d", b"out\n")
        guest.send(b"x", b"3")
        assert user.communicate(timeout=20)[0] == "out\nstatus 3\n"
    finally:
        user.kill()
        user.wait()


# Which guest


Connect = Callable[[Path, Sequence[str]], int | None]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders of runs, the newest first; the newest one has no guest yet."""
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
        if folder != folders[0]:
            (folder / "console.shell").touch()
    monkeypatch.setattr(attach, "runs_in_use", lambda _: folders)
    return folders


def connecting(answers: dict[Path, int | None]) -> Connect:
    """Stands in for connect(): a folder without an answer has a dead socket."""

    def connect(shell: Path, command: Sequence[str]) -> int | None:
        assert shell.exists() and command == ["ls"]
        if shell.parent not in answers:
            raise ConnectionRefusedError
        return answers[shell.parent]

    return connect


def test_newest_guest_that_is_alive(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "connect", connecting({runs[2]: 5, runs[3]: 6}))
    assert attach.attach(tmp_path, ["ls"]) == 5
    monkeypatch.setattr(attach, "connect", connecting({}))
    with pytest.raises(UsageError, match="no run that uses this cache has a guest"):
        attach.attach(tmp_path, ["ls"])


def test_guest_that_ends(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "connect", connecting({runs[1]: None, runs[2]: 5}))
    with pytest.raises(GuestError, match="ended during --attach") as raised:
        attach.attach(tmp_path, ["ls"])
    assert str(runs[1] / "console.log") in raised.value.hint
