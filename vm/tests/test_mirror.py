"""Tests of vm/mirror.py: the copy of a tree of the user's, through prepare_tree()."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from vm.errors import UsageError
from vm.mirror import Mirror
from vm.series import series
from vm.terminal import Log
from vm.tests.conftest import Said, commit
from vm.tests.test_tree import LINES, NEW_FILE, OLD, diff, edited
from vm.tree import Tree, prepare_tree
from vm.user_tree import user_source

IGNORED = "*.o\n.config\n/include/generated/\n"


class Copying:
    """A small kernel tree of the user's, a series for it and a cache."""

    def __init__(self, tmp_path: Path, log: Log) -> None:
        self.tmp_path, self.log = tmp_path, log
        self.cache, self.patches = tmp_path / "cache", tmp_path / "7.3"
        self.patches.mkdir()
        patch = diff("a.c", LINES, edited(10, "first")) + NEW_FILE
        (self.patches / "0001-title.patch").write_text(patch)
        self.user = self.make("user")

    def make(self, name: str) -> Path:
        folder = self.tmp_path / name
        (folder / "kernel").mkdir(parents=True)
        (folder / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\n")
        (folder / ".gitignore").write_text(IGNORED)
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "link").symlink_to("Makefile")
        (folder / "kernel" / "Kconfig").write_text("config A\n")
        (folder / "kernel" / "b.c").write_text("int b;\n")
        (folder / "a.c").write_text("\n".join(LINES) + "\n")
        return folder

    def prepare(self, user: Path | None = None, *, patched: bool = False) -> Tree:
        source = user_source(user or self.user, True, self.cache, self.log)
        patches = [] if patched else series(self.patches)
        return prepare_tree(source, patches, self.cache, self.log)

    @property
    def copy(self) -> Path:
        (path,) = self.cache.glob("trees/tree-user-*/linux")
        return path

    def age(self) -> None:
        """Give every file of the copy an old mtime."""
        for file in _files(self.copy):
            os.utime(file, ns=(OLD, OLD), follow_symlinks=False)

    def changed(self) -> list[str]:
        """The files that make would take for newer than when they were aged."""
        return [
            str(file.relative_to(self.copy))
            for file in _files(self.copy)
            if file.lstat().st_mtime_ns != OLD
        ]


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_symlink() or f.is_file())


def killed_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the run be killed when it is about to copy or remove this file."""
    real = Mirror.put

    def put(self: Mirror, file: str, original: Path) -> None:
        if file == name:
            raise KeyboardInterrupt
        real(self, file, original)

    monkeypatch.setattr(Mirror, "put", put)


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below a folder, .git included: its mtime and content."""
    return {
        str(file.relative_to(folder)): (
            file.lstat().st_mtime_ns,
            hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "",
        )
        for file in folder.rglob("*")
    }


@pytest.fixture
def copying(tmp_path: Path, log: Log) -> Copying:
    return Copying(tmp_path, log)


@pytest.fixture(params=["plain", "git"])
def tree(request: pytest.FixtureRequest, copying: Copying) -> Copying:
    """Aged and prepared once."""
    if request.param == "git":
        commit(copying.user)
    copying.prepare()
    copying.age()
    return copying


# What is in it


def test_tree_is_copied_and_never_modified(tree: Copying) -> None:
    (tree.user / "mine.c").write_text("int mine;\n")
    for file in tree.user.rglob("*"):
        os.utime(file, ns=(OLD, OLD), follow_symlinks=False)
    before = snapshot(tree.user)
    tree.prepare()
    assert snapshot(tree.user) == before
    names = {str(file.relative_to(tree.copy)) for file in _files(tree.copy)}
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
    for file in _files(tree.user):
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
    names = {str(file.relative_to(tree.copy)) for file in _files(tree.copy)}
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
    names = {str(file.relative_to(copying.copy)) for file in _files(copying.copy)}
    mine = {str(file.relative_to(copying.user)) for file in _files(copying.user)}
    assert names == mine | {"new.c"}


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


# Which trees it can be of


def test_tree_built_in_place(tree: Copying, said: Said) -> None:
    """What make left there is not copied, and .config is not used."""
    (tree.user / ".config").write_text("CONFIG_A=y\n")
    (tree.user / "a.o").write_text("object\n")
    (tree.user / "include" / "generated").mkdir(parents=True)
    (tree.user / "include" / "generated" / "a.h").write_text("int a;\n")
    tree.prepare()
    assert tree.changed() == []
    assert not (tree.copy / "include").exists()
    note = f"{tree.user}/.config is not used: the configuration is made from kconfig/, "
    assert note + "and --kconfig FILE adds to it" in said.lines


def test_plain_tree_with_debians_gitignore(copying: Copying) -> None:
    """It ignores everything at the top, and so does not tell sources apart there."""
    (copying.user / ".gitignore").write_text(IGNORED + "/*\n!/debian/\n")
    built = (".config", "vmlinux", "vmlinux.o", ".vmlinux.cmd", "System.map", "a.o")
    for name in (*built, "Module.symvers", "modules.order", ".tmp_x", "kernel/b.o"):
        (copying.user / name).write_text("built\n")
    tree = copying.prepare()
    assert "built\n" not in [file.read_text() for file in _files(tree.path)]
    assert (tree.path / "kernel" / "b.c").exists() and (tree.path / "run.sh").exists()


def test_work_tree_and_shallow_clone(copying: Copying) -> None:
    """Each has a copy of its own."""
    commit(copying.user)
    first = copying.prepare()
    work, clone = copying.tmp_path / "work", copying.tmp_path / "clone"
    git = ["git", "-C", str(copying.user)]
    subprocess.run([*git, "worktree", "add", "-q", str(work)], check=True)
    words = ["git", "clone", "-q", "--depth=1", f"file://{copying.user}", str(clone)]
    subprocess.run(words, check=True)
    for user in (work, clone):
        (user / "kernel" / "b.c").write_text("int c;\n")
        tree = copying.prepare(user)
        assert tree.path != first.path
        assert (tree.path / "kernel" / "b.c").read_text() == "int c;\n"
        assert not (tree.path / ".git").exists()


def test_commit_changes_nothing(copying: Copying) -> None:
    commit(copying.user)
    (copying.user / "kernel" / "b.c").write_text("int c;\n")
    first = copying.prepare()
    copying.age()
    commit(copying.user)
    second = copying.prepare()
    assert (second.version, copying.changed()) == (first.version, [])


def test_repository_in_the_tree(copying: Copying) -> None:
    """Such as a submodule."""
    inner = copying.user / "inner"
    inner.mkdir()
    (inner / "x.c").write_text("int x;\n")
    (inner / "folder").mkdir()
    (inner / "link").symlink_to("folder")
    commit(inner)
    plain = copying.prepare()
    assert [file.name for file in _files(plain.path / "inner")] == ["link", "x.c"]
    commit(copying.user)
    copying.age()
    assert copying.prepare().version == plain.version
    assert copying.changed() == []


@pytest.mark.parametrize("relative", [False, True])
def test_links_out_of_the_tree(tree: Copying, relative: bool) -> None:
    """What is behind them may change: only make can tell."""
    out = tree.tmp_path / "driver"
    out.mkdir()
    (out / "x.c").write_text("int x;\n")
    target = Path("..", "..", "driver") if relative else out
    (tree.user / "kernel" / "driver").symlink_to(target)
    (tree.user / "x.c").symlink_to(out / "x.c")
    first = tree.prepare()
    tree.age()
    (out / "x.c").write_text("int y;\n")
    (out / "Kconfig").write_text("config X\n")
    second = tree.prepare()
    assert first.config != second.config != second.version != first.version
    assert tree.changed() == []
    for file in ("x.c", "kernel/driver/x.c"):
        assert (tree.copy / file).read_text() == "int y;\n"


def test_patched_file_behind_a_link(tree: Copying) -> None:
    """To patch it would mean to patch the user's."""
    out = tree.tmp_path / "bpf"
    out.mkdir()
    (out / "a.c").write_text("\n".join(LINES) + "\n")
    (tree.user / "bpf").symlink_to(out)
    patch = diff("bpf/a.c", LINES, edited(10, "first"))
    (tree.patches / "0001-title.patch").write_text(patch)
    with pytest.raises(UsageError) as raised:
        tree.prepare()
    what = f"{tree.user}/bpf is a symbolic link, and the series changes bpf/a.c"
    assert raised.value.what == what
    assert (out / "a.c").read_text().splitlines() == LINES
    tree.prepare(patched=True)


def test_name_that_is_not_text(copying: Copying) -> None:
    name = os.fsdecode(b"\xff.c")
    (copying.user / name).write_text("int x;\n")
    assert (copying.prepare().path / name).read_text() == "int x;\n"
    assert copying.prepare() == copying.prepare()


def test_file_that_is_ignored_yet_committed(copying: Copying) -> None:
    """It belongs to the tree, and no other file that is ignored does."""
    (copying.user / "forced.bin").write_text("forced")
    commit(copying.user)
    (copying.user / ".git" / "info" / "exclude").write_text("*.bin\n")
    (copying.user / "other.bin").write_text("other")
    tree = copying.prepare()
    assert (tree.path / "forced.bin").read_text() == "forced"
    assert not (tree.path / "other.bin").exists()


# How many are kept


def test_three_copies_are_kept(copying: Copying, said: Said) -> None:
    users = [copying.make(name) for name in ("one", "two", "three", "four")]
    trees = [copying.prepare(user) for user in users[:3]]
    for number, tree in enumerate(trees):
        state = tree.path.with_name("version.json")
        os.utime(state, ns=(OLD + number, OLD + number))
    assert copying.prepare(users[0]) == trees[0], "used again"
    copying.prepare(users[3])
    assert [tree.path.exists() for tree in trees] == [True, False, True]
    gone = trees[1].path.parent
    assert said.lines[-1] == f"removing {gone}: 3 other trees were used since"


def test_current_copy_is_kept(copying: Copying) -> None:
    """Even if the clock was set back after the others were used."""
    users = [copying.make(name) for name in ("one", "two", "three", "four")]
    for user in users[:3]:
        state = copying.prepare(user).path.with_name("version.json")
        os.utime(state, (time.time() + 3600,) * 2)
    assert copying.prepare(users[3]).path.exists()
    assert len(list(copying.cache.glob("trees/tree-*"))) == 3


def test_removal_that_was_cut_short(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left does not pass for a copy."""
    users = [copying.make(name) for name in ("one", "two", "three", "four")]
    first, *_ = [copying.prepare(user) for user in users[:3]]

    def killed(folder: Path, **_: object) -> None:
        if folder == first.path.parent:
            (folder / "linux" / "a.c").unlink()
            raise KeyboardInterrupt

    os.utime(first.path.with_name("version.json"), ns=(OLD, OLD))
    with monkeypatch.context() as patch:
        patch.setattr("vm.tree.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            copying.prepare(users[3])
    assert copying.prepare(users[0]).path == first.path
    assert (first.path / "a.c").read_text().splitlines()[9] == "first"
