"""Tests of vm/bases.py."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vm.bases import Base, load_base
from vm.errors import UsageError
from vm.kconfig import fragments_of, options_of
from vm.series import series

PATCHES = Path(__file__).resolve().parents[2] / "patches"
TABLE = PATCHES / "bases.toml"
ROWS = tomllib.loads(TABLE.read_text())
FOLDERS = sorted(path.name for path in PATCHES.iterdir() if path.is_dir())

ROW = """\
["7.3"]
release = "7.3.4"
sha256 = ""
suite = "trixie-backports"
package = "linux-source-7.3"
package_version = "7.3.4-1"
package_sha256 = "abc"
fragments = ["base.config", "vm.config"]
objects = 1164
notes = "A note."
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "bases.toml").write_text(ROW)
    return tmp_path / "bases.toml"


def refused(table: Path, name: str = "7.3") -> UsageError:
    """The error, which is one."""
    with pytest.raises(UsageError) as raised:
        load_base(table, name)
    assert str(raised.value).count("usage error: ") == 1
    return raised.value


def test_row(table: Path) -> None:
    assert load_base(table, "7.3") == Base(
        name="7.3",
        release="7.3.4",
        sha256="",
        suite="trixie-backports",
        package="linux-source-7.3",
        package_version="7.3.4-1",
        package_sha256="abc",
        fragments=["base.config", "vm.config"],
        objects=1164,
        notes="A note.",
    )


def test_base_that_is_missing(table: Path) -> None:
    table.write_text(ROW + ROW.replace("7.3", "7.4"))
    error = refused(table, "9.9")
    assert error.what == f"base 9.9 is not in {table}"
    assert "with --base: 7.3, 7.4; or all; or add a row" in error.hint
    table.write_text("")
    assert "with --base: none; or all; or add a row" in refused(table).hint


@pytest.mark.parametrize("text", ["'7.3' = 1", ROW.replace('"7.3"', "7.3")])
def test_base_that_is_not_a_row(table: Path, text: str) -> None:
    """In TOML, [7.3] is the table 3 in the table 7."""
    table.write_text(text)
    assert refused(table).what == f"base 7.3 is not in {table}"


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ('suite = "trixie-backports"\n', "", "suite: missing"),
        ('suite = "trixie', 'suit = "trixie', "suite: missing\nsuit: unknown"),
        ('notes = "A note."', 'notes = "A"\nname = "x"', "name: unknown"),
        ("objects = 1164", 'objects = "1164"', "objects: not a int"),
        ("objects = 1164", "objects = true", "objects: not a int"),
        ('sha256 = ""', "sha256 = 0", "sha256: not a str"),
        ('["base.config", "vm.config"]', '"x"', "fragments: not a list[str]"),
        ('["base.config", "vm.config"]', "[1]", "fragments: not a list[str]"),
    ],
)
def test_wrong_fields(table: Path, old: str, new: str, detail: str) -> None:
    assert old in ROW
    table.write_text(ROW.replace(old, new))
    error = refused(table)
    assert error.what == f"base 7.3 in {table} has wrong fields"
    assert error.detail == detail
    assert error.hint == "see the head of patches/bases.toml for the fields of a base"


@pytest.mark.parametrize("content", [b"[7.3", b"x = \xff", None])
def test_table_that_is_unreadable(table: Path, content: bytes | None) -> None:
    table.unlink()
    if content is not None:
        table.write_bytes(content)
    assert refused(table).what.startswith(f"cannot read {table}: ")


# The real table


def test_each_folder_of_patches_has_a_row() -> None:
    assert FOLDERS and sorted(ROWS) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_each_row_is_complete(name: str) -> None:
    base = load_base(TABLE, name)
    assert base.release == name or base.release.startswith(f"{name}.")
    assert len(base.sha256) in (0, 64)
    assert base.package_version and len(base.package_sha256) == 64
    assert base.objects > 0
    assert series(PATCHES / name)
    options = [options_of(file) for file in fragments_of(base.fragments, [])]
    assert len(options) == len(base.fragments) and all(options)


def test_fields_are_documented_at_the_head() -> None:
    lines = TABLE.read_text().splitlines()
    head = "\n".join(line for line in lines if line.startswith("# "))
    for field in Base.__dataclass_fields__:
        assert field == "name" or f"\n# {field} " in head
