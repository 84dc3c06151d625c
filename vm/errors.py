"""What can go wrong outside the tests, and the exit status that says so.

pytest's own: 0 all passed, 1 tests failed, 2 interrupted, 3 internal error,
4 usage error, 5 no test ran.
"""

from __future__ import annotations

import shlex


class HarnessError(Exception):
    """A run that cannot go on.

    `what` failed, on what; `command` is the exact command that was run, where
    there was one; `hint` says what to do next; `detail` is quoted output.
    """

    exit_status = 3
    title = "error"

    def __init__(
        self,
        what: str,
        *,
        hint: str,
        command: list[str] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.command = command
        self.detail = detail

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.what}"]
        if self.detail:
            lines += [f"    {line}" for line in self.detail.rstrip().splitlines()]
        if self.command:
            lines.append(f"command: {shell_join(self.command)}")
        lines.append(f"next:    {self.hint}")
        return "\n".join(lines)


class UsageError(HarnessError):
    """The user asked for what cannot be done, or something is not installed."""

    exit_status = 4
    title = "usage error"


class BuildError(HarnessError):
    """No kernel or no selftests to run: fetching, patching or building failed."""

    exit_status = 6
    title = "build failed"


class GuestError(HarnessError):
    """The guest was lost: a panic, an oops, a hang, or it vanished."""

    exit_status = 7
    title = "guest lost"


def shell_join(command: list[str]) -> str:
    """The command as one would type it."""
    return shlex.join(command)
