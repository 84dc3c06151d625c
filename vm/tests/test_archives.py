"""Tests of vm/archives.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vm.archives import Record, keep, recall
from vm.cache import sha256_file
from vm.tests.said import Said


def archive(folder: Path, name: str, version: str = "7.3.4") -> tuple[Path, Record]:
    """An archive that is kept, and its record."""
    file = folder / name
    file.write_text(f"content of {name}")
    digest = sha256_file(file)
    record = Record("release", "7.3", version, digest, f"linux-{version}")
    keep(file, record)
    return file, record


def test_key_is_safe_and_names_the_content() -> None:
    record = Record("debian", "7.3", "7.3.4-1~bpo13+1", "0123456789abcdef", "x")
    assert record.key == "debian-7.3.4-1_bpo13_1-0123456789ab"


def test_what_is_kept_is_recalled(tmp_path: Path, said: Said) -> None:
    kept = archive(tmp_path, "linux-a.tar.xz")
    assert recall(tmp_path, lambda _: True, said.say) == kept
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["linux-a.tar.xz", "linux-a.tar.xz.json"]
    assert said.lines == []


def test_only_a_wanted_record_is_recalled(tmp_path: Path, said: Said) -> None:
    old = archive(tmp_path, "linux-a.tar.xz", "7.3.3")
    new = archive(tmp_path, "linux-b.tar.xz", "7.3.4")
    for kept in (old, new):
        version = kept[1].version
        found = recall(tmp_path, lambda r, v=version: r.version == v, said.say)  # type: ignore[misc]
        assert found == kept
    assert recall(tmp_path, lambda _: False, said.say) is None
    assert said.lines == [] and len(list(tmp_path.iterdir())) == 4


def test_nothing_is_recalled_without_a_record(tmp_path: Path, said: Said) -> None:
    (tmp_path / "linux-a.tar.xz").write_text("a download that was cut short")
    assert recall(tmp_path, lambda _: True, said.say) is None
    assert recall(tmp_path / "missing", lambda _: True, said.say) is None


def test_other_content_is_removed(tmp_path: Path, said: Said) -> None:
    good = archive(tmp_path, "linux-a.tar.xz")
    archive(tmp_path, "linux-b.tar.xz")[0].write_text("damaged")
    assert recall(tmp_path, lambda _: True, said.say) == good
    (line,) = said.lines
    assert line.startswith(
        f"{tmp_path / 'linux-b.tar.xz'} has changed since it was fetched"
    )
    assert not list(tmp_path.glob("linux-b.*"))


def test_record_without_its_archive_is_removed(tmp_path: Path, said: Said) -> None:
    archive(tmp_path, "linux-a.tar.xz")[0].unlink()
    assert recall(tmp_path, lambda _: True, said.say) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", [json.dumps({"kind": "release"}), "{", "[]", '{"other": 1}', ""]
)
def test_unreadable_record_is_removed(tmp_path: Path, said: Said, text: str) -> None:
    file = tmp_path / "linux-a.tar.xz.json"
    file.write_text(text)
    assert recall(tmp_path, lambda _: True, said.say) is None
    assert said.lines == [f"{file} is not readable: removed"]
    assert not list(tmp_path.iterdir())


def test_other_files_are_kept(tmp_path: Path, said: Said) -> None:
    """Those of a folder that the user has given with --cache."""
    for name in ("data.json", "linux.json"):
        (tmp_path / name).write_text("{}")
    assert recall(tmp_path, lambda _: True, said.say) is None
    assert len(list(tmp_path.iterdir())) == 2 and said.lines == []
