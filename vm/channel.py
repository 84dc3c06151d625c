"""The channel to the agent in a guest: requests to it, its answers; see agent.py.

QEMU connects the agent's virtio-serial port to an abstract Unix socket of ours: it
leaves no file, no path is too long for it, and when the harness is gone the agent sees
the end of its input and powers off.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vm.ports import PORT

_LONGEST_LINE = 1000  # bytes; answers are shorter


@dataclass(frozen=True)
class Result:
    """What a command in the guest did.

    `status` is its exit status, 128+n after signal n; `output` is stdout and
    stderr as they came; `seconds` were measured in the guest.
    """

    status: int
    output: str
    seconds: float
    timed_out: bool


class Channel:
    """Our end of it. Nothing here waits: receive() is for when there is something."""

    def __init__(self) -> None:
        # Only whoever knows the name can connect, and accept() checks who did.
        self.name = f"{PORT}.{os.getpid()}.{secrets.token_hex(8)}"
        self.socket: socket.socket | None = None
        self._received = b""

    def listen(self) -> socket.socket:
        """What the agent's connection arrives at."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"\0{self.name}")
        listener.listen(1)
        return listener

    def accept(self, listener: socket.socket, ours: Callable[[int], bool]) -> None:
        """Take the connection if it comes from a process that is `ours`."""
        connection, _ = listener.accept()
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if ours(struct.unpack("3i", peer)[0]):
            self.socket = connection
        else:
            connection.close()

    def send(self, line: str) -> None:
        """Send a line; if nobody takes it, the missing answer tells more."""
        assert self.socket is not None
        with contextlib.suppress(OSError):
            self.socket.sendall(f"{line}\n".encode())

    def receive(self) -> bool:
        """Take what there is; False at its end."""
        assert self.socket is not None
        data = b""
        with contextlib.suppress(ConnectionError):
            data = self.socket.recv(1 << 16)
        self._received += data
        return bool(data)

    def line(self) -> str | None:
        """The next line, once all of it was received, or more than any line has."""
        line, end, rest = self._received.partition(b"\n")
        if not end and len(line) < _LONGEST_LINE:
            return None
        self._received = rest
        return line.decode(errors="replace")

    def take(self, count: int) -> bytes | None:
        """The next bytes, once all of them were received."""
        if len(self._received) < count:
            return None
        data, self._received = self._received[:count], self._received[count:]
        return data

    def close(self) -> None:
        """Close it. May be called again."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def request(number: int, seconds: float, argv: Sequence[str]) -> str:
    """The line that has the agent run a command."""
    words = " ".join("x" + os.fsencode(word).hex() for word in argv)
    return f"{number} {seconds:.3f} {words}"


def output_of(sent: bytes, total: int) -> str:
    """A command's output, of which the agent sends the beginning and the end."""
    if total <= len(sent):
        return sent.decode(errors="replace")
    half = len(sent) // 2
    gap = f"\n[{total - len(sent)} bytes of output are left out]\n"
    return gap.join(
        part.decode(errors="replace") for part in (sent[:half], sent[half:])
    )
