"""Everything that can go wrong outside the tests, each with its exit status.

pytest's own statuses: 0 all passed, 1 tests failed, 2 interrupted, 3 internal
error, 4 usage error, 5 no tests ran.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# What the errors of a full disk, quota or file are called.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class HarnessError(Exception):
    """A run that cannot continue.

    `what` says what failed and on what; `command` is the exact command that was
    run, if any; `hint` says what to do next; `detail` is quoted output.
    """

    exit_status = 3
    title = "error"

    def __init__(
        self,
        what: str,
        *,
        hint: str,
        command: Sequence[str] = (),
        detail: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.command = list(command)
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled without their keyword arguments.
        words = (self.what, self.hint, self.command, self.detail)
        return _remake, (type(self), *words)

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.what}"]
        if self.detail:
            lines += [f"    {line}" for line in self.detail.rstrip().splitlines()]
        if self.command:
            lines.append(f"command: {shlex.join(self.command)}")
        lines.append(f"next:    {self.hint}")
        return "\n".join(lines)


def _remake(
    kind: type[HarnessError], what: str, hint: str, command: list[str], detail: str
) -> HarnessError:
    return kind(what, hint=hint, command=command, detail=detail)


class UsageError(HarnessError):
    """The user asked for something impossible, or something is not installed."""

    exit_status = 4
    title = "usage error"


class BuildError(HarnessError):
    """No kernel or no selftests to run: fetching, patching or building failed."""

    exit_status = 6
    title = "build failed"


class GuestError(HarnessError):
    """The guest was lost: it panicked, oopsed, hung or vanished."""

    exit_status = 7
    title = "guest lost"


@contextmanager
def reading(table: Path) -> Iterator[None]:
    """Read a table of the project's. HarnessError if it cannot be used."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise HarnessError(
            f"cannot use {table}: {reason!r}", hint="its comments document the fields"
        ) from None
