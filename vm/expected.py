"""Which tests must fail without some of the patches, and how."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from vm.errors import HarnessError, reading
from vm.results import TestResult

# What libbpf says when it cannot load a program for a hook that is not there.
_NO_HOOK = re.compile(r"libbpf: .*\bbpf_map_trace_(update|delete)_elem\b")


@dataclass(frozen=True)
class Needs:
    """A row of needs.toml, which documents the fields."""

    tests: tuple[str, ...]
    patches: int


@functools.cache
def load_needs(file: Path) -> list[Needs]:
    """The rows of needs.toml. HarnessError if one is wrong."""
    with reading(file):
        rows = tomllib.loads(file.read_text())["needs"]
        return [Needs(tuple(row["tests"]), int(row["patches"])) for row in rows]


def patches_needed(needs: list[Needs], program: str, name: str) -> int:
    """How many patches a test needs. HarnessError if no row matches it."""
    for row in needs:
        if any(fnmatchcase(f"{program}.{name}", pattern) for pattern in row.tests):
            return row.patches
    raise HarnessError(
        f"no row of needs.toml matches {program}.{name}", hint="add one for it"
    )


def as_expected(result: TestResult, needed: int, applied: int) -> TestResult:
    """What a result means if only `applied` of the `needed` patches are there.

    The test must fail by a check of its own, and on the plain kernel because there is
    no hook; anything else is a failure of the test.
    """
    if applied >= needed or result.outcome == "skipped":
        return result
    if result.outcome == "passed":
        reason = f"passes with {applied} patches, though it is to test patch {needed}"
        return replace(result, outcome="failed", reason=reason)
    if not result.checked or not (applied or _NO_HOOK.search(result.output)):
        return result
    return replace(result, outcome="xfailed", reason=f"needs patch {needed}")
