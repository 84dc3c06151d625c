"""A terminal for tests."""

from __future__ import annotations

import io

from rich.console import Console

from vm.terminal import Terminal


class Said(Terminal):
    """A terminal that keeps what the user is told, and how far stages came."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.lines: list[str] = []
        self.steps: list[tuple[int, int | None]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, what: str, done: int, total: int | None) -> None:
        self.steps.append((done, total))
