"""The table of bases, patches/bases.toml: what the harness knows of each kernel."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vm.errors import UsageError

TABLE = Path(__file__).resolve().parent.parent / "patches" / "bases.toml"
DEFAULT = "7.3"
ALL = "all"  # instead of a name: every base

_HINT = "see the head of patches/bases.toml for the fields of a base"


@dataclass(frozen=True)
class Base:
    """A row of the table; the fields are documented at its head."""

    name: str
    release: str
    sha256: str
    suite: str
    package: str
    package_version: str
    package_sha256: str
    fragments: list[str]
    objects: int
    notes: str


def load_base(table: Path, name: str) -> Base:
    """The row of the base `name`. UsageError if it is missing or incomplete."""
    rows = _rows(table)
    row = rows.get(name)
    if not isinstance(row, dict):
        known = ", ".join(rows) or "none"
        raise UsageError(
            f"base {name} is not in {table}",
            hint=f"choose one of these with --base: {known}; or {ALL}; or add a row",
        )
    types = {field.name: field.type for field in fields(Base) if field.name != "name"}
    wrong = [f"{key}: missing" for key in types if key not in row]
    wrong += [f"{key}: unknown" for key in row if key not in types]
    for key, value in row.items():
        if key in types and not _is(value, str(types[key])):
            wrong.append(f"{key}: not a {types[key]}")
    if wrong:
        raise UsageError(
            f"base {name} in {table} has wrong fields",
            detail="\n".join(wrong),
            hint=_HINT,
        )
    return Base(name, **row)


def base_names(table: Path) -> list[str]:
    """All bases, in the order of the table."""
    return list(_rows(table))


def nearest_base(table: Path, version: str) -> str:
    """The name of the base that a kernel of this version is, or else is nearest to."""
    release = _release(version)
    return min(_rows(table), key=lambda name: abs(_release(name) - release))


def is_of(version: str, base: str) -> bool:
    """Whether a kernel of this version is one of the base."""
    return _release(version) == _release(base)


def _release(version: str) -> int:
    """The number of a release: 7.0 follows 6.19, as 6.0 followed 5.19."""
    major, minor = re.findall(r"\d+", f"{version}.0")[:2]
    return int(major) * 20 + int(minor)


def _rows(table: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(table.read_text())
    except (OSError, ValueError) as reason:
        raise UsageError(f"cannot read {table}: {reason}", hint=_HINT) from None


def _is(value: object, kind: str) -> bool:
    if kind == "list[str]":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return type(value).__name__ == kind  # isinstance would take true for an int
