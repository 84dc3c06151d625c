"""How long a guest may take, and how much it may print, until it is given up."""

from __future__ import annotations

import time

BOOT_DEADLINE = 120.0  # seconds without a line on the console
BOOT_FACTOR = 5  # times as long, even if there are lines
# A boot that shows more is given up: it might never finish.
BOOT_SPLATS = 20
BOOT_CONSOLE = 4 << 20  # characters; most boots have less than a hundredth of it
USUAL_BOOT = 15.0  # seconds; where it takes longer, all limits are longer

OUTPUT_LIMIT = 1 << 20  # bytes of a command's output that the agent sends
ANSWER_MARGIN = 30.0  # seconds beyond a command's timeout until it is a hang
HANG_GRACE = 30.0  # seconds after the kernel reported a hang
SILENCE = 40.0  # seconds without a sign of life; the agent gives one every 5
SIGNS_OF_LIFE = 100_000  # before an answer: those of days
CONSOLE_DEADLINE = 20.0  # seconds that the console may be behind
COPY_TIMEOUT = 600.0  # seconds

POWER_OFF_DEADLINE = 20.0  # seconds
TRACE_GRACE = 3.0  # seconds for the rest of a trace after its headline


class Limits:
    """The limits of one guest: `slowness` times as long as usual.

    With a debugger there are none.
    """

    def __init__(self, *, debugger: bool) -> None:
        self.none = debugger
        self.slowness = 1.0

    def booted(self, seconds: float) -> None:
        """Take the time that the guest took to boot for the measure of the others."""
        self.slowness = max(1.0, seconds / USUAL_BOOT)

    def seconds(self, usual: float) -> float:
        """How long something may take that usually has `usual` seconds."""
        return float("inf") if self.none else usual * self.slowness

    def deadline(self, usual: float) -> float:
        """When that ends, if it begins now."""
        return time.monotonic() + self.seconds(usual)
