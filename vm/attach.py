"""A shell or a command in a guest, on the user's terminal."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path

from vm.cache import cache_folder
from vm.errors import GuestError, UsageError
from vm.frames import Frames, send
from vm.logs import runs_in_use
from vm.run import Run

_STDIN, _STDOUT = 0, 1


def shell(run: Run) -> int:
    """Boot a guest and run the options' command in it, or a shell; its exit status.

    Raises HarnessError.
    """
    with run.closing():
        guest = run.boot()
        status = connect(_shells(run.logs.folder())[0], run.options.command)
        if status is None:
            raise guest.lost("during --shell")
    return status


def attach(cache: Path | None, command: Sequence[str]) -> int:
    """The same in the guest of the newest run that has one. Raises HarnessError."""
    runs = runs_in_use(cache_folder(cache))
    for shell in (shell for folder in runs for shell in _shells(folder)):
        try:
            status = connect(shell, command)
        except OSError:
            continue  # its guest has ended
        if status is None:
            raise GuestError(
                "the guest ended during --attach",
                hint=f"its console is in {shell.with_suffix('.log')}",
            )
        return status
    raise UsageError(
        "no run that uses this cache has a guest now",
        hint="start ./run_tests.py in another terminal, or use --shell",
    )


def _shells(folder: Path) -> list[Path]:
    """The sockets of the guests of a run, the newest guest's first."""
    return sorted(folder.glob("*.shell"), key=lambda s: -s.stat().st_ctime_ns)


def connect(shell: Path, command: Sequence[str]) -> int | None:
    """Run `command`, or a shell, in the guest that has the socket `shell`.

    The exit status; None if the guest ended first. OSError if nothing listens.
    """
    # The path of a socket must not exceed 107 bytes.
    directory = os.open(shell.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(f"/proc/self/fd/{directory}/{shell.name}")
            return _serve(channel, command)
    finally:
        os.close(directory)


def _serve(channel: socket.socket, command: Sequence[str]) -> int | None:
    terminal = os.isatty(_STDIN) and os.isatty(_STDOUT)
    term = os.environ.get("TERM", "dumb") if terminal else "-"
    words = " ".join("x" + os.fsencode(word).hex() for word in command)
    port = channel.fileno()
    send(port, b"r", f"{term} {_size()} {words}".encode())
    frames = Frames()
    with (
        _raw() if terminal else contextlib.nullcontext(),
        selectors.DefaultSelector() as wait,
    ):
        if terminal:
            resized = lambda *_: send(port, b"w", _size().encode())  # noqa: E731
            signal.signal(signal.SIGWINCH, resized)
        wait.register(port, selectors.EVENT_READ)
        with contextlib.suppress(PermissionError):  # a file: epoll cannot wait for it
            wait.register(_STDIN, selectors.EVENT_READ)
        while True:
            for key, _ in wait.select():
                if key.fd == _STDIN:
                    if not _pass_input(port):
                        wait.unregister(_STDIN)
                    continue
                data = os.read(port, 1 << 16)
                if not data:
                    return None
                for kind, content in frames.feed(data):
                    if kind == b"x":
                        return int(content)
                    _write(content)


def _pass_input(port: int) -> bool:
    """Send what was typed; False at its end."""
    data = os.read(_STDIN, 1 << 14)
    send(port, b"d" if data else b"e", data)
    return bool(data)


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _size() -> str:
    size = shutil.get_terminal_size()
    return f"{size.columns} {size.lines}"


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Let the guest's terminal do what this one does with each key."""
    before = termios.tcgetattr(_STDIN)
    try:
        tty.setraw(_STDIN)
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)
