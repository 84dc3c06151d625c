"""stdout and stderr that cannot be written: a full disk, a closed pipe.

Then the run ends as Ctrl-C would end it, with one line on the other stream and
LOST as its exit status; never with a traceback, or as if tests had failed.
Standard library only: run_tests.py needs it before anything is installed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO

LOST = 3  # the exit status: an error of the harness itself


class OutputLost(KeyboardInterrupt):
    """The run cannot tell the user anything any more."""


class _Guarded:
    """A stream whose first failing write ends the run, and all later ones are lost."""

    failed = False

    def __init__(self, stream: TextIO, name: str, other: TextIO) -> None:
        self._stream, self._name, self._other = stream, name, other

    def write(self, text: str) -> int:
        return int(self._try(self._stream.write, text) or 0)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, what: Any, *words: str) -> Any:
        try:
            return what(*words)
        except OSError as reason:
            silence(self._stream)
            if _Guarded.failed:
                return None
            _Guarded.failed = True
            with contextlib.suppress(OSError):
                print(_message(self._name, reason.strerror), file=self._other)
                self._other.flush()
            raise OutputLost from None


def guard_output() -> None:
    """Guard stdout and stderr. OutputLost if one of them is closed already."""
    if sys.stdin is None:
        os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    for name, stream, other in (
        ("stdout", sys.stdout, sys.stderr),
        ("stderr", sys.stderr, sys.stdout),
    ):
        if stream is None:
            _Guarded.failed = True
            with contextlib.suppress(OSError):
                print(_message(name, "it is closed"), file=other, flush=True)
            raise OutputLost
    out, err = sys.stdout, sys.stderr
    sys.stdout = _Guarded(out, "stdout", err)
    sys.stderr = _Guarded(err, "stderr", out)


def output_lost() -> bool:
    """Whether a write failed; flushes first. Later failures stay silent."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OutputLost):
            if stream is not None:
                stream.flush()
    if _Guarded.failed:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                silence(stream)
    return _Guarded.failed


def silence(stream: TextIO) -> None:
    """Send what is still written to a stream to nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _message(name: str, why: str | None) -> str:
    return (
        f"error: cannot write to {name}: {why}\nnext:    run again with {name} writable"
    )
