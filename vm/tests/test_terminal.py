"""Tests of vm/terminal.py."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from vm import terminal as module
from vm.terminal import Log, Terminal, progress_line
from vm.tests.said import Said

ERASED = "\x1b[1A\x1b[2K"  # one line up, and empty it


class Clock:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def terminal(*, real: bool = False, verbose: bool = False) -> Terminal:
    """A terminal, or a log if it is not `real`; see written()."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=real, color_system=None, width=80)
    return Terminal(console, verbose=verbose)


def written(terminal: Terminal) -> str:
    assert isinstance(terminal.console.file, io.StringIO)
    return terminal.console.file.getvalue()


# Messages


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(
    "line", ["a [bold]b[/bold]", "x.c:100:5: :bug: 12 'a'", "word " * 40 + "end"]
)
def test_line_is_written_as_it_is(line: str, real: bool) -> None:
    user = terminal(real=real)
    user.say(line)
    assert written(user) == f"{line}\n"


def test_commands_are_for_who_wants_them() -> None:
    quiet, verbose = terminal(), terminal(verbose=True)
    for user in (quiet, verbose):
        user.command("$ make 'CC=ccache gcc'")
    assert written(quiet) == ""
    assert written(verbose) == "$ make 'CC=ccache gcc'\n"


# Progress in words


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (0, 400, 10.0, "0 of 400 objects"),
        (100, 400, 120.0, "100 of 400 objects, about 6 min left"),
        (100, 400, 1.0, "100 of 400 objects, about less than 1 min left"),
        (399, 400, 600.0, "399 of 400 objects, about less than 1 min left"),
        (400, 400, 600.0, "400 of 400 objects"),
        (500, 400, 600.0, "500 of 400 objects"),
        (100, None, 60.0, "100 objects"),
        (0, 0, 60.0, "0 objects"),
    ],
)
def test_words(done: int, total: int | None, seconds: float, line: str) -> None:
    assert progress_line("objects", done, total, seconds) == line


# Progress in a log


def test_a_line_a_minute(clock: Clock) -> None:
    user = terminal()
    for second in range(0, 181):
        clock.now = 1000.0 + second
        user.progress("objects", second, 400)
    assert written(user).splitlines() == [
        "  60 of 400 objects, about 6 min left",
        "  120 of 400 objects, about 5 min left",
        "  180 of 400 objects, about 4 min left",
    ]


def test_short_stage_has_no_line(clock: Clock) -> None:
    user = terminal()
    for second in range(0, 60):
        clock.now = 1000.0 + second
        user.progress("objects", second, None)
    assert written(user) == ""


@pytest.mark.parametrize("finished", [False, True])
def test_each_stage_begins_anew(clock: Clock, finished: bool) -> None:
    user = terminal()
    user.progress("MB", 1, 2)
    clock.now += 50
    if finished:
        user.finish()
    user.progress("MB" if finished else "objects", 1, 2)
    clock.now += 50
    user.progress("MB" if finished else "objects", 1, 2)
    assert written(user) == ""
    clock.now += 10
    user.progress("MB" if finished else "objects", 1, 2)
    assert written(user).count("\n") == 1


# Progress on a terminal


def test_bar(clock: Clock) -> None:
    user = terminal(real=True)
    user.progress("objects", 1, 4)
    user.progress("objects", 4, 4)
    user.finish()
    text = written(user)
    assert "1/4 objects" in text and "4/4 objects" in text
    assert ERASED in text.rpartition("4/4")[2]
    user.say("done")
    assert written(user).removeprefix(text) == "done\n"


def test_bar_without_an_end() -> None:
    user = terminal(real=True)
    user.progress("objects", 7, None)
    assert "7/? objects" in written(user)
    user.finish()


def test_message_takes_the_bar_away() -> None:
    """Else it would be drawn again below the message."""
    user = terminal(real=True)
    user.progress("objects", 1, 4)
    user.say("message")
    text = written(user)
    assert text.endswith("message\n")
    user.finish()
    assert written(user) == text


def test_next_stage_has_its_own_bar() -> None:
    user = terminal(real=True)
    user.progress("MB", 170, 170)
    user.progress("objects", 3, 9)
    user.finish()
    first, _, second = written(user).partition("3/9 objects")
    assert "170/170 MB" in first and second and "MB" not in second


# The log of a stage


def test_log_has_messages_and_commands(tmp_path: Path, said: Said) -> None:
    said.verbose = True
    log = Log(tmp_path / "runs" / "1" / "build.log", said)
    log.say("configuring base.config")
    log.command(["make", "CC=ccache gcc", "bzImage"])
    lines = ["configuring base.config", "$ make 'CC=ccache gcc' bzImage"]
    assert log.path.read_text().splitlines() == lines
    assert said.lines == lines
    said.verbose = False
    Log(log.path, said).command(["true"])
    assert log.path.read_text().splitlines() == [*lines, "$ true"], "appended"
    assert said.lines == lines


def test_log_takes_any_file_name(log: Log) -> None:
    """Python has a surrogate for each byte of a name that is not UTF-8."""
    log.command(["cat", b"a\xff".decode(errors="surrogateescape")])
    assert log.path.read_text() == "$ cat 'a?'\n"
