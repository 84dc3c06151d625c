"""What the kernel reports about itself on the console: oopses, panics, splats."""

from __future__ import annotations

import datetime
import functools
import re
import tomllib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vm.errors import HarnessError

TABLE = Path(__file__).with_name("splats.toml")
MARK = "bpf-map-tracing: "  # how the agent's lines in the kernel's log begin

# What the kernel prints before a message: the time, and the printing context.
_STAMP = r"\[ *\d+\.\d+\] ?(?:\[ *[TC]\d+\] ?)?"
_START = rf"(?:.*?{_STAMP}|(?:\[ *[TC]\d+\] ?)?)"
_TRACE_ENDS = re.compile(rf"{_START}(?:---\[ end .*|Kernel Offset: .*|reboot: .*)")
_TRACE_LINES = 80
_TAIL_LINES = 1000
_LISTED = 10
_BEFORE, _QUOTED = 5, 40  # lines that are quoted: before a report, and of it
_LINE = 2048  # characters; the kernel prints no longer ones
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[A-Za-z])|\r")
# The first line may be lost in a flood, or not be stamped yet.
_KERNEL = re.compile(rf".*Linux version |{_STAMP}")
# The kernel's taint flags for what has gone wrong, with their bits and letters; the
# others tell of modules, firmware and the like. Documentation/admin-guide/
# tainted-kernels.rst lists all.
_TAINTS = {4: "M: machine check", 5: "B: bad page", 7: "D: died", 9: "W: warning"}
_TAINTS |= {14: "L: soft lockup"}


@dataclass(frozen=True)
class Kind:
    """A row of splats.toml, which documents the fields; `rank` 0 is the worst."""

    rank: int
    outcome: str
    end: str
    pattern: str
    source: str
    examples: Sequence[str]


@dataclass(frozen=True)
class Allowed:
    """A report that fails no test until a date; see splats.toml."""

    pattern: str
    reason: str
    expires: datetime.date


@dataclass(frozen=True)
class Splat:
    """A report: its kind, its first line, that with those that follow it.

    The lines `before` it may say why.
    """

    kind: Kind
    headline: str
    trace: list[str] = field(default_factory=list)
    before: Sequence[str] = ()

    @property
    def fatal(self) -> bool:
        """Whether the guest cannot continue after it."""
        return self.kind.end == "fatal"

    @property
    def hang(self) -> bool:
        """Whether the guest may never continue after it."""
        return self.kind.end == "hang"

    @property
    def quote(self) -> str:
        """How the console shows it."""
        return "\n".join([*self.before, *self.trace[:_QUOTED]])

    def __str__(self) -> str:
        return f"{self.kind.outcome}: {self.headline}"


@functools.cache
def table(path: Path = TABLE) -> tuple[tuple[Kind, ...], tuple[Allowed, ...]]:
    """The rows of splats.toml. HarnessError if one is wrong or expired."""
    hint = f"fix {path}; its comments document the fields"
    try:
        rows = tomllib.loads(path.read_text())
        kinds = tuple(Kind(n, **row) for n, row in enumerate(rows["splat"]))
        allowed = tuple(Allowed(**row) for row in rows.get("allowed", ()))
        for pattern in [row.pattern for row in kinds] + [a.pattern for a in allowed]:
            re.compile(pattern)
        expired = [a for a in allowed if a.expires < datetime.date.today()]
    except (OSError, ValueError, KeyError, TypeError, re.error) as reason:
        raise HarnessError(f"cannot use {path}: {reason}", hint=hint) from None
    if expired:
        raise HarnessError(
            f"{len(expired)} allowed splat(s) in {path} have expired",
            detail="\n".join(f"{a.expires}: {a.pattern}: {a.reason}" for a in expired),
            hint="remove the entry, or give it a new date and say why",
        )
    return kinds, allowed


@functools.cache
def _headline(
    without: str,
) -> tuple[re.Pattern[str], tuple[Kind, ...], re.Pattern[str]]:
    """One pattern with a group k0, k1, … for each kind; what is allowed."""
    kinds, allowed = table()
    kinds = tuple(kind for kind in kinds if kind.outcome != without)
    rows = "|".join(f"(?P<k{kind.rank}>{kind.pattern})" for kind in kinds)
    permitted = "|".join(f"(?:{a.pattern})" for a in allowed) or r"(?!)"
    return re.compile(f"{_START}(?:{rows})$"), kinds, re.compile(permitted)


class Scan:
    """What a console has shown so far; it is fed in pieces, as they come.

    `splats` are all reports but those that are allowed, `reports` is the number of all;
    `marks` are the agent's lines, `tail` the last lines; `booted` is whether the kernel
    has said anything. The kind called `without` is left out, to see what that would
    miss.
    """

    def __init__(self, without: str = "") -> None:
        self.splats: list[Splat] = []
        self.reports = 0
        self.marks: list[str] = []
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._partial = ""
        self.booted = False
        self._open: list[Splat] = []  # whose trace has not ended yet
        self._pattern, self._kinds, self._allowed = _headline(without)

    def feed(self, text: str) -> None:
        """The console shows `text`."""
        *lines, self._partial = (self._partial + text).split("\n")
        # A program may never end its line: keep what the kernel may still go on with.
        if len(self._partial) > 2 * _LINE:
            lines.append(self._partial[:-_LINE])
            self._partial = self._partial[-_LINE:]
        for line in lines:
            self._line(_ESCAPES.sub("", line))

    def end(self) -> None:
        """Nothing follows: a last line without an end is as good as any."""
        if self._partial:
            self.feed("\n")

    def tainted(self, before: int, now: int) -> None:
        """The kernel's taint has changed: a report that the console did not show."""
        new = [name for bit, name in _TAINTS.items() if now & ~before & 1 << bit]
        if new:
            kind = Kind(len(self._kinds), "taint", "", "", "", ())
            words = f"tainted by {', '.join(new)}; the console shows no report"
            self.splats.append(Splat(kind, words))

    def last_lines(self, count: int) -> list[str]:
        """The last lines, an unfinished one included."""
        partial = _ESCAPES.sub("", self._partial)
        return [*self.tail, *([partial] if partial else [])][-count:]

    def _line(self, line: str) -> None:
        self.tail.append(line)
        self.booted = self.booted or _KERNEL.match(line) is not None
        if MARK in line:
            self.marks.append(line.partition(MARK)[2])
        if splat := self._report(line):
            self.splats.append(splat)
            self._open.append(splat)
        for splat in self._open:
            splat.trace.append(line)
        ended = _TRACE_ENDS.match(line)
        self._open = [
            splat
            for splat in self._open
            if not ended and len(splat.trace) < _TRACE_LINES
        ]

    def _report(self, line: str) -> Splat | None:
        match = self._pattern.match(line)
        if match is None:
            return None
        group = next(g for g, text in match.groupdict().items() if text is not None)
        kind = next(kind for kind in self._kinds if group == f"k{kind.rank}")
        headline = match[group]
        # Before the kernel only QEMU and vng print, and vng warns, too.
        if not self.booted and kind.rank:
            return None
        self.reports += 1
        if self._allowed.fullmatch(headline):
            return None
        return Splat(kind, headline, before=[*self.tail][-_BEFORE - 1 : -1])

    @property
    def worst(self) -> Splat | None:
        """The first report of the worst kind, if any."""
        return min(self.splats, key=lambda splat: splat.kind.rank, default=None)


def listed(splats: Sequence[Splat]) -> str:
    """The first of them, a line for each, and how many more there are."""
    lines = [str(splat) for splat in splats[:_LISTED]]
    if more := len(splats) - len(lines):
        lines.append(f"and {more} more")
    return "\n".join(lines)


def scan(text: str, without: str = "") -> Scan:
    """What a whole console shows."""
    result = Scan(without)
    for start in range(0, len(text), _LINE):
        result.feed(text[start : start + _LINE])
    result.end()
    return result
