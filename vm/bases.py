"""The table of bases, patches/bases.toml: what the harness knows of each kernel."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vm.errors import UsageError

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
    try:
        rows: dict[str, Any] = tomllib.loads(table.read_text())
    except (OSError, ValueError) as reason:
        raise UsageError(f"cannot read {table}: {reason}", hint=_HINT) from None
    row = rows.get(name)
    if not isinstance(row, dict):
        known = ", ".join(rows) or "none"
        raise UsageError(
            f"base {name} is not in {table}",
            hint=f"choose one of these with --base: {known}; or add a row",
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


def _is(value: object, kind: str) -> bool:
    if kind == "list[str]":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return type(value).__name__ == kind  # isinstance would take true for an int
