"""Which tests must fail without some of the patches, and which cannot pass at all."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vm.errors import HarnessError, reading
from vm.results import TestResult

# What libbpf says when it cannot load a program for a hook that is not there, and
# bpf-upgrade repeats; what the library for upgrades says before that.
_NO_HOOK = re.compile(
    r"(?:libbpf: |bpf-upgrade: cannot load |without the hook ).*"
    r"\bbpf_map_trace_(update_elem|delete_elem|updated|deleted|evicted)\b"
)


@dataclass(frozen=True)
class Row:
    """A row of needs.toml or skips.toml, which document the fields."""

    tests: tuple[str, ...]
    patches: tuple[str, ...] = ()
    reason: str = ""
    config: tuple[str, ...] = ()

    def has(self, program: str, name: str) -> bool:
        """Whether the row is of this test."""
        test = f"{program}.{name}"
        return any(fnmatchcase(test, pattern) for pattern in self.tests)


@functools.cache
def load_needs(file: Path) -> list[Row]:
    """The rows of needs.toml. HarnessError if one is wrong."""
    with reading(file):
        rows = tomllib.loads(file.read_text())["needs"]
        return [Row(_words(row, "tests"), _words(row, "patches")) for row in rows]


@functools.cache
def load_skips(file: Path) -> list[Row]:
    """The rows of a skips.toml, if there is one. HarnessError if one is wrong."""
    with reading(file):
        rows = tomllib.loads(file.read_text())["skip"] if file.exists() else []
        return [_skip(row) for row in rows]


def _skip(row: dict[str, Any]) -> Row:
    """A row of skips.toml. ValueError if it may skip too many tests."""
    if unknown := row.keys() - {"tests", "reason", "config"}:
        raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
    config = _words(row, "config") if "config" in row else ()
    if "config" in row and not config:
        raise ValueError("config is empty")
    if wrong := [name for name in config if not name.startswith("CONFIG_")]:
        raise ValueError(f"{wrong[0]} does not begin with CONFIG_")
    return Row(_words(row, "tests"), reason=str(row["reason"]), config=config)


def _words(row: dict[str, Any], field: str) -> tuple[str, ...]:
    """The strings of a field; a string alone would be taken for its characters."""
    if isinstance(row[field], str):
        raise TypeError(f"{field} is not a list")
    return tuple(row[field])


def why_skipped(
    skips: list[Row], options: dict[str, str], program: str, name: str
) -> str:
    """Why a kernel with these options cannot pass a test; "" if it can."""
    return next(
        (
            row.reason
            for row in skips
            if row.has(program, name)
            and all(options.get(option) == "y" for option in row.config)
        ),
        "",
    )


def patches_needed(
    needs: list[Row], patches: Sequence[Path], program: str, name: str
) -> int:
    """How many of the base's `patches` a test needs.

    HarnessError if no row matches it, or the row's patches are not there.
    """
    test = f"{program}.{name}"
    row = next((row for row in needs if row.has(program, name)), None)
    if row is None:
        raise HarnessError(
            f"no row of needs.toml matches {test}", hint="add one for it"
        )
    if not row.patches:
        return 0
    for number, patch in reversed(list(enumerate(patches, 1))):
        if any(word in patch.name for word in row.patches):
            return number
    raise HarnessError(
        f"{test} needs a patch named {' or '.join(row.patches)}, which is not in "
        f"{patches[0].parent}",
        hint="correct the name in needs.toml, or list the test in the skips.toml there",
    )


def as_expected(result: TestResult, needed: int, applied: int) -> TestResult:
    """What a result means if only `applied` of the `needed` patches are there.

    The test must fail by a check of its own, and on the plain kernel because there is
    no hook; anything else is a failure of the test.
    """
    if applied >= needed or result.outcome == "skipped":
        return result
    if result.outcome == "passed":
        reason = f"passes with {applied} patches, although it tests patch {needed}"
        return replace(result, outcome="failed", reason=reason)
    if not result.checked or not (applied or _NO_HOOK.search(result.output)):
        return result
    return replace(result, outcome="xfailed", reason=f"needs patch {needed}")
