"""What a shell in the guest and the user's terminal tell each other.

A frame is a byte that says what it is, the length as 4 bytes, and the content:

    b"d"  data           both ways: what is typed, what is printed
    b"e"  end of input   to the guest
    b"w"  window size    to the guest: "COLUMNS LINES"
    b"x"  exit status    from the guest: a decimal number; the last frame
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

_HEAD = struct.Struct("!cI")


def send(descriptor: int, kind: bytes, content: bytes = b"") -> None:
    """Write one frame. OSError if the other end is gone."""
    message = _HEAD.pack(kind, len(content)) + content
    while message:
        message = message[os.write(descriptor, message) :]


class Frames:
    """The frames that arrive in pieces."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The frames that `data` completes, as (kind, content)."""
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._buffer)
            if len(self._buffer) < _HEAD.size + length:
                return
            content = self._buffer[_HEAD.size : _HEAD.size + length]
            self._buffer = self._buffer[_HEAD.size + length :]
            yield kind, content
