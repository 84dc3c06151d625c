"""A guest for tests of the bench: prints figures, and keeps what it was asked for.

Costs are 100 for an update and 60 for a deletion, 1000 more by the system call,
10 more on the patched kernel, and there 100 more where a program is attached. Under
KVM, it is half of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from vm.accel import Accel
from vm.bench import PATCHED
from vm.guest import Result

TYPES = ("array", "hash")


def output_of(setup: str, extra: float = 0.0) -> str:
    """What bench.c prints for a setup."""
    lines = []
    for kind in TYPES:
        if setup == "iterate":
            lines.append(f"figure iterate {kind} compare program 200.250")
            continue
        for operation in ("update", "delete")[: TYPES.index(kind) + 1]:
            for path in ("program", "syscall"):
                row = f"{setup} {kind} {operation} {path}"
                cost = (100 if operation == "update" else 60) + extra
                cost += 1000 * (path == "syscall") + 10 * (setup in PATCHED)
                cost += 100 * (setup not in ("unpatched", "unattached"))
                if setup == "kprobe_map_fn" and path == "syscall":
                    lines.append(f"skipped {row}")
                elif setup == "fentry_map_fn" and operation == "delete":
                    lines.append(f"unavailable {row}")
                else:
                    lines.append(f"figure {row} {cost:.3f}")
    return "\n".join([*lines, "done\n"])


class FakeGuest:
    """Takes the place of vm.guest.Guest."""

    release = "7.3.4-fake"
    asked: ClassVar[list[str]] = []
    # By setup: instructions more than usual, in the n-th boot of all.
    extra: ClassVar[dict[tuple[str, int], float]] = {}
    # What a command prints instead, its status, and if it timed out.
    instead: ClassVar[dict[str, tuple[str, int, bool]]] = {}
    complaints: ClassVar[list[str]] = []
    boots: ClassVar[int] = 0

    def __init__(self, bzimage: Path, accel: Accel, out: Path, **options: Any) -> None:
        self.splats = self.complaints
        self.accel = accel
        assert options["cpus"] == 1 and options["boot_deadline"] > 100
        assert options["icount"] == (accel.name == "tcg")
        self.share = options["shares"][0]
        self.say(f"boot {bzimage.name} {accel.name} {options['log_name']}")
        type(self).boots += 1

    def say(self, what: str) -> None:
        """Keep it."""
        self.asked.append(what)

    def __enter__(self) -> FakeGuest:
        return self

    def __exit__(self, *_: object) -> None:
        self.say("exit")

    def run(self, argv: Sequence[str], *, timeout: float) -> Result:
        """The figures of a setup."""
        assert timeout > 1
        if argv[0] == "cp":
            assert argv[1:] == [f"{self.share}/bench", "/run/bench"]
            output, status, timed_out = self.instead.get("cp", ("", 0, False))
            return Result(status, output, 0.1, timed_out)
        program, unit, setup = argv
        assert program == "/run/bench"
        assert unit == ("instructions" if self.accel.name == "tcg" else "nanoseconds")
        self.say(f"run {setup}")
        extra = self.extra.get((setup, self.boots), self.extra.get((setup, 0), 0.0))
        good = output_of(setup, extra), 0, False
        output, status, timed_out = self.instead.get(setup, good)
        return Result(status, output, 0.1, timed_out)
