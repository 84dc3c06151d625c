"""What the kernel reports about itself on the console: oopses, panics, splats."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

# A time stamp and the printing context, each only with its config option.
_PREFIX = r"(?:\[ *\d+\.\d+\] ?)?(?:\[ *[TC]\d+\] ?)?"

# The kinds, worst first. The first line of the worst kind is the headline: with
# oops=panic an oops ends in a panic, but the oops is what happened.
_KINDS: tuple[tuple[str, str], ...] = (
    ("KVM internal error", r"KVM internal error.*|error: kvm run failed.*"),
    (
        "oops",
        (
            r"BUG: kernel NULL pointer dereference.*"
            r"|BUG: unable to handle .*"
            r"|kernel BUG at .*"
            r"|Oops: .*"
            r"|(?:general protection fault|divide error|stack segment|double fault"
            r"|invalid opcode|int3)\b.*"
        ),
    ),
    ("panic", r"Kernel panic - not syncing.*"),
    (
        "hang",
        (
            r"(?:watchdog: )?BUG: soft lockup.*"
            r"|(?:watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP.*"
            r"|BUG: workqueue lockup.*"
            r"|(?:rcu: )?INFO: rcu\S* (?:self-)?detected (?:expedited )?stalls?.*"
            r"|INFO: task .* blocked .*for more than .*"
        ),
    ),
    ("BUG", r"BUG: .*|\[ BUG: .*|UBSAN: .*|KASAN: .*|KFENCE: .*"),
    ("WARNING", r"WARNING: .*|INFO: trying to register non-static key.*"),
)
_FATAL = frozenset({"KVM internal error", "oops", "panic"})
_HEADLINE = re.compile(
    _PREFIX + "(?:" + "|".join(f"({pattern})" for _, pattern in _KINDS) + ")$"
)
_TRACE_ENDS = re.compile(_PREFIX + r"(?:---\[ end .*|Kernel Offset: .*|reboot: .*)")
_TRACE_LINES = 80
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[A-Za-z])")
_BANNER = "Linux version "


@dataclass(frozen=True)
class Verdict:
    """What happened: the kind, its first line, and the lines that follow it."""

    kind: str
    headline: str
    trace: tuple[str, ...]

    @property
    def fatal(self) -> bool:
        """Whether the guest cannot continue after it."""
        return self.kind in _FATAL


def lines_of(text: str) -> list[str]:
    """The console's lines, without carriage returns and terminal escapes."""
    return _ESCAPES.sub("", text).replace("\r", "").splitlines()


# Called over and over while nothing new is printed, hence the cache.
@functools.lru_cache(maxsize=1)
def _events(text: str) -> tuple[tuple[int, int, str], ...]:
    """(severity, line number, headline) of each line that reports an event.

    Before the kernel's banner only QEMU and vng print, and vng warns, too.
    """
    lines = lines_of(text)
    booted = next((n for n, line in enumerate(lines) if _BANNER in line), len(lines))
    found = []
    for number, line in enumerate(lines):
        match = _HEADLINE.match(line)
        if match and match.lastindex:
            severity = match.lastindex - 1
            if number > booted or severity == 0:
                found.append((severity, number, match[match.lastindex]))
    return tuple(found)


def classify(text: str) -> Verdict | None:
    """The worst event that the console reports, if any."""
    events = _events(text)
    if not events:
        return None
    severity, number, headline = min(events)
    lines = lines_of(text)
    trace = []
    for line in lines[number : number + _TRACE_LINES]:
        trace.append(line)
        if _TRACE_ENDS.match(line):
            break
    return Verdict(_KINDS[severity][0], headline, tuple(trace))


def splats(text: str) -> list[str]:
    """The headlines of the events that a guest survives, but that fail a test."""
    return [
        headline
        for severity, _, headline in _events(text)
        if _KINDS[severity][0] not in _FATAL
    ]
