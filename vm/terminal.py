"""What the user sees while a run goes on, and the logs of its stages."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

_LINE_EVERY = 60.0  # seconds between lines of progress in a log


class Terminal:
    """Messages, commands and progress, on a terminal or line by line in a log.

    `verbose` shows each external command before it runs. `fresh_line` ends a line
    that somebody else, such as pytest, has begun.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self.console = console
        self.verbose = verbose
        self.fresh_line: Callable[[], None] = lambda: None
        self._bar: Progress | None = None
        self._began = self._said = 0.0
        self._what = ""

    def say(self, line: str) -> None:
        """One line for the user."""
        self.finish()
        self.fresh_line()
        # emoji: rich would take the ":100:" of "a.c:100: error" for one.
        self.console.print(
            line, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def command(self, line: str) -> None:
        """An external command that is about to run."""
        if self.verbose:
            self.say(line)

    def progress(self, what: str, done: int, total: int | None) -> None:
        """How far a stage has come: `done` of `total` `what`, such as "objects".

        On a terminal a bar with the time left; else a line a minute with both.
        """
        now = time.monotonic()
        if what != self._what:
            self.finish()
            self._what, self._began, self._said = what, now, now
        if self.console.is_terminal:
            self._show(what, done, total)
        elif now >= self._said + _LINE_EVERY:
            self._said = now
            self.console.print(
                f"  {progress_line(what, done, total, now - self._began)}",
                highlight=False,
                soft_wrap=True,
            )

    def finish(self) -> None:
        """The stage is over: take the progress bar away."""
        self._what = ""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, what: str, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("  "),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            # update() takes a total of None for no change.
            self._bar.add_task(what, completed=done, total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)


def progress_line(what: str, done: int, total: int | None, seconds: float) -> str:
    """Progress in words, after `seconds` of the stage."""
    if not total:
        return f"{done} {what}"
    left = seconds * (total - done) / done if 0 < done <= total else 0.0
    minutes = f", about {round(left / 60) or 'less than 1'} min left" if left else ""
    return f"{done} of {total} {what}{minutes}"


@dataclass(frozen=True)
class Log:
    """The log file of a stage, and the terminal on which the user follows it."""

    path: Path
    terminal: Terminal

    def say(self, line: str) -> None:
        """One line for the user."""
        self._write(line)
        self.terminal.say(line)

    def command(self, argv: Sequence[str]) -> None:
        """An external command that is about to run."""
        line = f"$ {shlex.join(argv)}"
        self._write(line)
        self.terminal.command(line)

    def _write(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(line + "\n")
