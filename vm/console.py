"""The guest's console: what it says about the kernel, and the log of it.

Test results never come from here; only what went wrong with the kernel does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pexpect  # type: ignore[import-untyped]

from vm.process import die_with_parent

# A time stamp and the printing context, each only with its config option.
_PREFIX = r"(?:\[ *\d+\.\d+\] ?)?(?:\[ *[TC]\d+\] ?)?"

# The kinds, worst first. The first line of the worst kind is the headline: an
# oops ends in a panic here (oops=panic), and the oops is what happened.
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
_TERM_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
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
        """Whether the guest cannot go on after it."""
        return self.kind in _FATAL


def lines_of(text: str) -> list[str]:
    """The console's lines, without carriage returns and terminal escapes."""
    return _ESCAPES.sub("", text).replace("\r", "").splitlines()


# Asked again and again while nothing new is printed, hence the cache.
@functools.lru_cache(maxsize=1)
def _events(text: str) -> tuple[tuple[int, int, str], ...]:
    """(severity, line number, headline) of each line that reports an event.

    Before the kernel's banner only QEMU and vng speak, and vng warns too.
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
    """The worst that the console reports; None where it reports nothing."""
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
    """The headlines of what a guest survives and a test run must not."""
    return [
        headline
        for severity, _, headline in _events(text)
        if _KINDS[severity][0] not in _FATAL
    ]


def session_members(leader: int) -> list[int]:
    """The living processes of the session that `leader` started."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (folder / "stat").read_text(errors="replace")
            state, _, _, session = stat.rpartition(")")[2].split()[:4]
            if int(session) == leader and state not in "ZX":
                members.append(int(folder.name))
    return members


def end_session(leader: int) -> None:
    """End every process of a session: SIGTERM, after 2 s SIGKILL."""
    asked: set[int] = set()
    kill_at = time.monotonic() + _TERM_GRACE
    while members := session_members(leader):
        late = time.monotonic() > kill_at
        for pid in members:
            if late or pid not in asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.02)


class Console:
    """A command on a terminal of its own, which is the guest's console.

    A thread reads the terminal, so that it never fills and holds up the guest;
    what comes is kept in the file `log` and in memory.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._child: pexpect.spawn | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._text = ""

    def start(self, command: list[str], env: dict[str, str]) -> None:
        """Start the command as the leader of a session of its own."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._child = pexpect.spawn(
            command[0],
            command[1:],
            env=env,
            encoding="utf-8",
            codec_errors="replace",
            timeout=None,
            preexec_fn=die_with_parent,
        )
        self._thread.start()

    def _read(self) -> None:
        """Read until the last process has closed the terminal."""
        assert self._child is not None
        with (
            self.log.open("w", encoding="utf-8", newline="") as file,
            contextlib.suppress(pexpect.EOF, OSError, ValueError),
        ):
            while True:
                part = self._child.read_nonblocking(4096, timeout=None)
                self._text += part
                file.write(part.replace("\r", ""))
                file.flush()

    def started(self, pid: int) -> bool:
        """Whether the process is one of the command's session."""
        return self._child is not None and pid in session_members(self._child.pid)

    def closed(self, seconds: float = 0.0) -> bool:
        """Wait until nobody has the terminal open any more; whether that is so."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def end(self) -> None:
        """End every process on this terminal. May be called again."""
        if self._child is not None:
            end_session(self._child.pid)
            self.closed(_TERM_GRACE)
            self._child.close(force=True)
            self._child = None

    @property
    def text(self) -> str:
        """All that was printed so far."""
        return self._text

    def tail(self, count: int = 20) -> str:
        """The last `count` lines."""
        return "\n".join(lines_of(self._text)[-count:])

    def verdict(self) -> Verdict | None:
        """classify() of the text so far."""
        return classify(self._text)
