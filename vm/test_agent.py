"""The agent's way with one command. Never its end_leftovers(): this is no guest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import agent


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(agent, "end_leftovers", lambda first: None)
    monkeypatch.setattr(agent, "TERM_GRACE", 0.2)
    descriptor = os.open(tmp_path / "output", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def text(output: int) -> str:
    return os.pread(output, 1000, 0).decode()


def test_status_and_output(output: int) -> None:
    script = "echo out; echo error >&2; exit 3"
    assert agent.run(["sh", "-c", script], 5, output) == (3, False)
    assert text(output) == "out\nerror\n"


def test_output_of_the_command_before_is_gone(output: int) -> None:
    agent.run(["echo", "a long line of output"], 5, output)
    agent.run(["echo", "short"], 5, output)
    assert text(output) == "short\n"


def test_signal(output: int) -> None:
    assert agent.run(["sh", "-c", "kill -SEGV $$"], 5, output) == (139, False)


def test_no_such_command(output: int) -> None:
    assert agent.run(["/no/such/command"], 5, output) == (127, False)
    assert "No such file" in text(output)


def test_reads_nothing_and_leads_a_session(output: int) -> None:
    script = "cat; ps -o pid=,sid= -p $$ | awk '$1 == $2 { print \"leads\" }'"
    assert agent.run(["sh", "-c", script], 5, output) == (0, False)
    assert text(output) == "leads\n"


@pytest.mark.parametrize(
    ("script", "status"),
    [("exec sleep 60", 143), ("trap '' TERM; while :; do sleep 60; done", 137)],
)
def test_time_limit(output: int, script: str, status: int) -> None:
    begin = time.monotonic()
    assert agent.run(["sh", "-c", script], 0.3, output) == (status, True)
    assert time.monotonic() - begin < 3


def test_lines_are_whole() -> None:
    read, write = os.pipe()
    os.write(write, b"one\ntwo\nthr")
    lines = agent.lines(read)
    assert [next(lines), next(lines)] == [b"one", b"two"]
    os.write(write, b"ee\nno end")
    os.close(write)
    assert list(lines) == [b"three"]
    os.close(read)
