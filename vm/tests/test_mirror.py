"""Tests of vm/mirror.py: what is in the copy of a tree of the user's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vm.errors import UsageError
from vm.mirror import Mirror
from vm.tests.copying import Copying, files_of, snapshot
from vm.tests.diffs import OLD, edited


def test_tree_is_copied_and_never_modified(tree: Copying) -> None:
    (tree.user / "mine.c").write_text("int mine;\n")
    for file in tree.user.rglob("*"):
        os.utime(file, ns=(OLD, OLD), follow_symlinks=False)
    before = snapshot(tree.user)
    tree.prepare()
    assert snapshot(tree.user) == before
    names = {str(file.relative_to(tree.copy)) for file in files_of(tree.copy)}
    assert names == {
        *("Makefile", ".gitignore", "run.sh", "link", "kernel/Kconfig", "kernel/b.c"),
        *("a.c", "new.c", "mine.c"),
    }
    assert (tree.copy / "a.c").read_text().splitlines() == edited(10, "first")
    assert (tree.copy / "run.sh").stat().st_mode & 0o111
    assert not (tree.copy / "a.c").stat().st_mode & 0o111
    assert os.readlink(tree.copy / "link") == "Makefile"  # noqa: PTH115


def test_same_tree_changes_nothing(tree: Copying) -> None:
    first = tree.prepare()
    for file in files_of(tree.user):
        os.utime(file, follow_symlinks=False)  # as a checkout back and forth does
    assert tree.prepare() == first
    assert tree.changed() == []


def test_edit_changes_one_file(tree: Copying) -> None:
    first = tree.prepare()
    (tree.user / "kernel" / "b.c").write_text("int c;\n")
    second = tree.prepare()
    assert tree.changed() == ["kernel/b.c"]
    assert (second.path / "kernel" / "b.c").read_text() == "int c;\n"
    assert second.version != first.version
    assert second.config == first.config, "no need to configure"
    assert tree.prepare() == second


def test_edit_of_a_patched_file(tree: Copying) -> None:
    lines = edited(30, "mine")
    (tree.user / "a.c").write_text("\n".join(lines) + "\n")
    tree.prepare()
    assert tree.changed() == ["a.c"]
    assert (tree.copy / "a.c").read_text().splitlines() == edited(10, "first", lines)


def test_edit_of_the_configuration(tree: Copying) -> None:
    first = tree.prepare()
    (tree.user / "kernel" / "Kconfig").write_text("config B\n")
    second = tree.prepare()
    assert tree.changed() == ["kernel/Kconfig"]
    assert first.config != second.config != second.version != first.version


def test_files_and_folders_that_come_and_go(tree: Copying) -> None:
    (tree.user / "kernel" / "b.c").unlink()
    (tree.user / "kernel" / "Kconfig").unlink()
    (tree.user / "kernel").rmdir()
    (tree.user / "kernel").write_text("a file now\n")
    (tree.user / "link").unlink()
    (tree.user / "link").mkdir()
    (tree.user / "link" / "x.c").write_text("int x;\n")
    tree.prepare()
    assert tree.changed() == ["kernel", "link/x.c"]
    assert (tree.copy / "kernel").is_file()
    (tree.user / "link" / "x.c").unlink()
    (tree.user / "link").rmdir()
    (tree.user / "link").symlink_to("a.c")
    tree.prepare()
    assert (tree.copy / "link").is_symlink()
    assert not (tree.copy / "link" / "x.c").exists()
    (tree.user / "link").unlink()
    tree.prepare()
    assert not os.path.lexists(tree.copy / "link")


def test_mode_is_a_change(tree: Copying) -> None:
    (tree.user / "run.sh").chmod(0o644)
    tree.prepare()
    assert tree.changed() == ["run.sh"]
    assert not (tree.copy / "run.sh").stat().st_mode & 0o111


def test_edit_within_the_tick_of_a_clock(
    tree: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file just written may be written again and look the same: do not trust it."""
    record, file = tree.copy.with_name("files.json"), tree.user / "kernel" / "b.c"
    file.write_text("int c;\n")
    written = file.stat().st_ctime_ns
    for later, trusted in ((10**6, False), (10**9, True)):
        monkeypatch.setattr("vm.mirror.time.time_ns", lambda t=later: written + t)
        tree.prepare()
        assert bool(json.loads(record.read_text())["kernel/b.c"]) == trusted


@pytest.mark.parametrize("how", ["edited", "removed", "a folder"])
def test_file_that_changes_while_it_is_copied(
    tree: Copying, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    file, real = tree.user / "kernel" / "b.c", Mirror.put
    file.write_text("int c;\n")

    def put(self: Mirror, name: str, original: Path) -> None:
        if original == file and how == "edited":
            real(self, name, original)
            file.write_text("int d;\n")
            return
        if original == file:
            file.unlink()
        if original == file and how == "a folder":
            file.mkdir()
        real(self, name, original)

    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "put", put)
        with pytest.raises(UsageError, match=f"{file} changed while it was copied"):
            tree.prepare()
    tree.prepare()
    copy = tree.copy / "kernel" / "b.c"
    assert (copy.read_text() if copy.is_file() else "") == {"edited": "int d;\n"}.get(
        how, ""
    )


def test_version_is_new_before_a_file_is(
    tree: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image of the old version must not pass for one of the half-updated copy."""
    first = tree.prepare()
    (tree.user / "kernel" / "b.c").write_text("int c;\n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.chmod", killed)
        with pytest.raises(KeyboardInterrupt):
            tree.prepare()
    assert Mirror(first.path.parent).version() != first.version


def test_file_that_cannot_be_read(
    tree: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tree.user / "kernel" / "b.c"
    file.write_text("int c;\n")

    def refuse(original: Path, _: Path) -> bool:
        if original == file:
            raise PermissionError(13, "Permission denied", str(original))
        return True

    monkeypatch.setattr("vm.mirror._same", refuse)
    with pytest.raises(UsageError) as raised:
        tree.prepare()
    assert raised.value.what == f"cannot read {file}: Permission denied"
