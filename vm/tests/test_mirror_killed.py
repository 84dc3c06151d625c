"""Runs that are killed while they copy a tree, and what the next run makes of it."""

from __future__ import annotations

import shutil
import time

import pytest

from vm.tests.copying import Copying, files_of, killed_at
from vm.tests.diffs import LINES, edited


@pytest.mark.parametrize("at", ["run.sh", "a.c", "0.c", "kernel/b.c", "z.c"])
def test_killed_in_the_middle(
    tree: Copying, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Nothing is left of it, even if what it has copied is gone."""
    first = tree.prepare()
    (tree.user / "kernel" / "b.c").write_text("int c;\n")
    (tree.user / "run.sh").unlink()
    for name in ("0.c", "z.c"):
        (tree.user / name).write_text("int n;\n")
    with monkeypatch.context() as patch:
        killed_at(at, patch)
        with pytest.raises(KeyboardInterrupt):
            tree.prepare()
    for name in ("0.c", "z.c"):
        (tree.user / name).unlink()
    second = tree.prepare()
    assert second.version != first.version
    names = {str(file.relative_to(tree.copy)) for file in files_of(tree.copy)}
    assert names == {
        *("Makefile", ".gitignore", "link", "kernel/Kconfig", "kernel/b.c"),
        *("a.c", "new.c"),
    }
    assert (tree.copy / "kernel" / "b.c").read_text() == "int c;\n"


def test_killed_and_moved_back(tree: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that look as they did before a killed run need not be so in the copy."""
    folder, aside = tree.user / "kernel", tree.tmp_path / "aside"
    old = time.time_ns() + 10**9
    monkeypatch.setattr("vm.mirror.time.time_ns", lambda: old)
    tree.prepare()
    folder.rename(aside)
    folder.mkdir()
    (folder / "b.c").write_text("int c;\n")
    with monkeypatch.context() as patch:
        killed_at("z.c", patch)
        (tree.user / "z.c").touch()
        with pytest.raises(KeyboardInterrupt):
            tree.prepare()
    assert (tree.copy / "kernel" / "b.c").read_text() == "int c;\n"
    assert not (tree.copy / "kernel" / "Kconfig").exists()
    shutil.rmtree(folder)
    aside.rename(folder)
    tree.prepare()
    assert (tree.copy / "kernel" / "b.c").read_text() == "int b;\n"
    assert (tree.copy / "kernel" / "Kconfig").read_text() == "config A\n"


def test_killed_when_a_file_had_become_a_folder(
    tree: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either may be in the copy, and neither is in the tree."""
    file = tree.user / "kernel" / "b.c"
    file.unlink()
    file.mkdir()
    (file / "x").touch()
    (tree.user / "z.c").touch()
    with monkeypatch.context() as patch:
        killed_at("z.c", patch)
        with pytest.raises(KeyboardInterrupt):
            tree.prepare()
    assert (tree.copy / "kernel" / "b.c").is_dir()
    shutil.rmtree(file)
    tree.prepare()
    assert not (tree.copy / "kernel" / "b.c").exists()


def test_killed_when_a_folder_had_become_a_link(
    tree: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is removed behind the link: there, it is the user's."""
    folder, out = tree.user / "kernel", tree.tmp_path / "out"
    folder.rename(out)
    folder.symlink_to(out)
    (tree.user / "z.c").touch()
    with monkeypatch.context() as patch:
        killed_at("z.c", patch)
        with pytest.raises(KeyboardInterrupt):
            tree.prepare()
    assert (tree.copy / "kernel").is_symlink()
    tree.prepare()
    assert sorted(file.name for file in out.iterdir()) == ["Kconfig", "b.c"]


def test_killed_after_another_series(
    tree: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it patched is not taken for what the user has."""
    old = time.time_ns() + 10**9
    monkeypatch.setattr("vm.mirror.time.time_ns", lambda: old)
    tree.prepare(patched=True)
    with monkeypatch.context() as patch:
        killed_at("z.c", patch)
        (tree.user / "z.c").touch()
        with pytest.raises(KeyboardInterrupt):
            tree.prepare()
    assert (tree.copy / "a.c").read_text().splitlines() == edited(10, "first")
    tree.prepare(patched=True)
    assert (tree.copy / "a.c").read_text().splitlines() == LINES
    assert not (tree.copy / "new.c").exists()


def test_killed_in_the_first_copy(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        killed_at("kernel/b.c", patch)
        with pytest.raises(KeyboardInterrupt):
            copying.prepare()
    copying.prepare()
    names = {str(file.relative_to(copying.copy)) for file in files_of(copying.copy)}
    mine = {str(file.relative_to(copying.user)) for file in files_of(copying.user)}
    assert names == mine | {"new.c"}
