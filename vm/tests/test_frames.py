"""Tests of vm/frames.py."""

from __future__ import annotations

import os

import pytest

from vm.frames import Frames, send

SENT = [(b"d", b"ls\n"), (b"e", b""), (b"w", b"80 25"), (b"d", b"\0\xff"), (b"x", b"0")]


def wire() -> bytes:
    """The bytes that SENT becomes."""
    reading, writing = os.pipe()
    try:
        for kind, content in SENT:
            send(writing, kind, content)
        return os.read(reading, 1 << 16)
    finally:
        os.close(reading)
        os.close(writing)


def test_format() -> None:
    assert wire()[:13] == b"d\0\0\0\3ls\ne\0\0\0\0"


@pytest.mark.parametrize("size", [1, 2, 5, 7, 1000])
def test_pieces(size: int) -> None:
    """Whatever the pieces, the same frames, each as soon as it is whole."""
    data = wire()
    frames = Frames()
    found = []
    for at in range(0, len(data), size):
        found += list(frames.feed(data[at : at + size]))
    assert found == SENT


def test_frame_comes_as_soon_as_it_is_whole() -> None:
    data, frames = wire(), Frames()
    assert list(frames.feed(data[:7])) == []
    assert list(frames.feed(data[7:8])) == SENT[:1]
    assert list(frames.feed(data[8:12])) == []
    assert list(frames.feed(data[12:13])) == SENT[1:2], "without content"


def test_channel_that_takes_little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        taken.append(data[:3])
        return len(taken[-1])

    monkeypatch.setattr("vm.frames.os.write", write)
    send(1, b"d", b"content")
    assert list(Frames().feed(b"".join(taken))) == [(b"d", b"content")]


def test_other_end_is_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        send(writing, b"d", b"x")
    os.close(writing)
