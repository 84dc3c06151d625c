"""How long each stage of a run took."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Stage:
    """Seconds of wall time, and of CPU time in the stage's child processes."""

    wall: float = 0.0
    cpu: float = 0.0

    def add(self, more: Stage) -> None:
        """Add the times of the same stage for another kernel."""
        self.wall += more.wall
        self.cpu += more.cpu


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Add the time that the block takes to `stage`."""
    wall, cpu = time.monotonic(), _children()
    try:
        yield
    finally:
        stage.wall += time.monotonic() - wall
        stage.cpu += _children() - cpu


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
