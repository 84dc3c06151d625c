"""Tests of vm/tree.py, on kernel trees of a few small files."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from vm import tree as trees
from vm.errors import BuildError, UsageError
from vm.process import run_logged
from vm.source import Source
from vm.terminal import Log
from vm.tests.conftest import Said, commit
from vm.tree import Tree, prepare_tree, series
from vm.user_tree import user_source

LINES = [f"line {number}" for number in range(1, 31)]
OLD = 1_000_000_000 * 10**9
"""An mtime, in ns, that no file gets by being written now."""


def diff(name: str, before: list[str], after: list[str]) -> str:
    """A git-style patch that turns `before` into `after`, by their one changed line."""
    (at,) = (n for n, (b, a) in enumerate(zip(before, after, strict=True)) if b != a)
    low, high = max(at - 3, 0), min(at + 4, len(before))
    body = [f" {line}" for line in before[low:at]]
    body += [f"-{before[at]}", f"+{after[at]}"]
    body += [f" {line}" for line in before[at + 1 : high]]
    count = f"{low + 1},{high - low}"
    head = [f"--- a/{name}", f"+++ b/{name}", f"@@ -{count} +{count} @@"]
    return "\n".join([f"diff --git a/{name} b/{name}", *head, *body]) + "\n"


def edited(number: int, text: str, lines: list[str] = LINES) -> list[str]:
    return [*lines[: number - 1], text, *lines[number:]]


NEW_FILE = """\
diff --git a/new.c b/new.c
new file mode 100644
--- /dev/null
+++ b/new.c
@@ -0,0 +1 @@
+int n;
"""


def configure_git(folder: Path, patch: pytest.MonkeyPatch, config: str) -> None:
    """Make `config` the user's configuration of git."""
    (folder / "attributes").write_text("* text eol=crlf\n")
    (folder / "gitconfig").write_text(config.format(folder=folder))
    patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))


class Patching:
    """A source archive, a series and a cache in a temporary folder."""

    def __init__(self, tmp_path: Path, log: Log) -> None:
        self.tmp_path = tmp_path
        self.log = log
        self.cache = tmp_path / "cache"
        self.patches = tmp_path / "patches"
        self.patches.mkdir()
        content = tmp_path / "linux-7.3.4"
        content.mkdir()
        for name in ("a.c", "b.c", "c.c"):
            (content / name).write_text("\n".join(LINES) + "\n")
            os.utime(content / name, ns=(OLD, OLD))
        archive = tmp_path / "linux.tar.xz"
        with tarfile.open(archive, "w:xz") as tar:
            tar.add(content, "linux-7.3.4")
        self.source = Source("release", archive, "release-1", "linux")
        self.patch(1, diff("a.c", LINES, edited(10, "first")))
        self.patch(2, diff("b.c", LINES, edited(10, "second")) + NEW_FILE)

    def patch(self, number: int, text: str) -> Path:
        path = self.patches / f"{number:04d}-title.patch"
        path.write_text(f"From: someone\nSubject: title\n\n---\n\n{text}")
        return path

    def prepare(self, upto: int | None = None) -> Tree:
        return prepare_tree(
            self.source,
            series(self.patches, upto),
            self.cache,
            self.log,
        )

    @property
    def home(self) -> Path:
        return self.cache / "trees" / "release-1"

    def age(self) -> None:
        """Give every file of the tree an old mtime."""
        for file in (self.home / "linux").iterdir():
            os.utime(file, ns=(OLD, OLD))

    def changed(self) -> list[str]:
        """The files that make would take for newer than when they were aged."""
        files = sorted((self.home / "linux").iterdir())
        return [file.name for file in files if file.stat().st_mtime_ns != OLD]


@pytest.fixture
def patching(tmp_path: Path, log: Log) -> Patching:
    return Patching(tmp_path, log)


# The series


def test_series_in_order_and_cut(patching: Patching) -> None:
    (patching.patches / "cover-letter.txt").touch()
    names = [patch.name for patch in series(patching.patches)]
    assert names == ["0001-title.patch", "0002-title.patch"]
    assert series(patching.patches, 1) == series(patching.patches)[:1]
    assert series(patching.patches, 0) == []


@pytest.mark.parametrize("name", ["0004-gap", "0002-twice", "0000-cover", "unnumbered"])
def test_series_that_is_not_contiguous(patching: Patching, name: str) -> None:
    (patching.patches / f"{name}.patch").touch()
    with pytest.raises(UsageError, match="is where patch 000"):
        series(patching.patches)


@pytest.mark.parametrize("upto", [3, -1])
def test_series_that_is_too_short(patching: Patching, upto: int) -> None:
    with pytest.raises(UsageError, match=f"no patch {upto} in"):
        series(patching.patches, upto)


def test_series_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no patches"):
        series(tmp_path / "9.9")


# Patching and patching again


def test_fresh_tree_has_the_series_and_new_mtimes(patching: Patching) -> None:
    tree = patching.prepare()
    assert tree.changed
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"
    assert (tree.path / "b.c").read_text().splitlines()[9] == "second"
    assert (tree.path / "new.c").read_text() == "int n;\n"
    assert trees.touched(tree.path) == {"a.c", "b.c", "new.c"}
    assert (tree.path / "c.c").stat().st_mtime_ns != OLD


def test_fresh_tree_without_patches_is_a_change(patching: Patching) -> None:
    assert patching.prepare(0).changed
    assert not patching.prepare(0).changed


def test_same_series_changes_nothing(patching: Patching) -> None:
    first = patching.prepare()
    patching.age()
    second = patching.prepare()
    assert not second.changed
    assert second.applied == first.applied
    assert patching.changed() == []


def test_other_patch_touches_only_its_files(patching: Patching) -> None:
    before = patching.prepare().applied
    patching.age()
    patching.patch(1, diff("a.c", LINES, edited(10, "other")))
    tree = patching.prepare()
    assert tree.changed
    assert tree.applied != before
    assert (tree.path / "a.c").read_text().splitlines()[9] == "other"
    assert patching.changed() == ["a.c"], "0002's files are as they were"


def test_fewer_patches_reverse_the_rest(patching: Patching) -> None:
    patching.prepare()
    patching.age()
    tree = patching.prepare(1)
    assert patching.changed() == ["b.c"]
    assert not (tree.path / "new.c").exists()
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"
    plain = patching.prepare(0)
    assert (plain.path / "a.c").read_text().splitlines() == LINES
    assert trees.touched(plain.path) == set()


def test_patches_of_one_file_are_reversed_from_the_last(patching: Patching) -> None:
    lines = edited(10, "first")
    patching.patch(3, diff("a.c", lines, edited(10, "third", lines)))
    patching.prepare()
    plain = patching.prepare(0)
    assert (plain.path / "a.c").read_text().splitlines() == LINES


def test_patch_that_does_not_apply(patching: Patching, said: Said) -> None:
    patching.prepare()
    patching.age()
    wrong = edited(9, "not there")
    good = (patching.patches / "0002-title.patch").read_text()
    bad = patching.patch(2, diff("b.c", wrong, edited(10, "x", wrong)))
    with pytest.raises(BuildError) as raised:
        patching.prepare()
    assert f"{bad} does not apply at b.c:7" in raised.value.what
    assert raised.value.command[:2] == ["git", "apply"]
    bad.write_text(good)
    said.lines.clear()
    assert (patching.prepare().path / "b.c").read_text().splitlines()[9] == "second"
    assert said.lines == ["applying 0002-title.patch"], "not unpacked anew"
    assert "a.c" not in patching.changed()


@pytest.mark.parametrize("when", ["unpacking", "patching"])
def test_killed_in_the_middle(
    patching: Patching, said: Said, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    if when == "patching":
        patching.prepare(1)

    def killed(command: list[str], *args: object, **more: object) -> None:
        run_logged(command, *args, **more)  # type: ignore[arg-type]
        if (command[0] == "tar") == (when == "unpacking") and "--check" not in command:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trees, "run_logged", killed)
        with pytest.raises(KeyboardInterrupt):
            patching.prepare()
    assert (patching.home / "state").read_text() == "changing"
    (patching.home / "linux" / "c.c").write_text("half")
    (patching.home / "build-x").mkdir()
    tree = patching.prepare()
    assert "killed run" in said.lines[-4]
    assert (tree.path / "c.c").read_text().splitlines() == LINES
    assert (tree.path / "b.c").read_text().splitlines()[9] == "second"
    assert not (patching.home / "build-x").exists()


def test_repository_around_the_cache(patching: Patching) -> None:
    subprocess.run(["git", "init", "-q", patching.tmp_path], check=True)
    tree = patching.prepare()
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"
    wrong = edited(9, "not there")
    bad = patching.patch(3, diff("b.c", wrong, edited(10, "x", wrong)))
    with pytest.raises(BuildError, match=rf"{bad} does not apply at b\.c:7"):
        patching.prepare()


@pytest.mark.parametrize(
    "config",
    [
        "[core]\nautocrlf = true\n",
        "[core]\neol = crlf\n",
        "[core]\nattributesFile = {folder}/attributes\n",
        "[apply]\nwhitespace = error-all\n",
    ],
)
def test_users_git_configuration_changes_no_patched_file(
    patching: Patching, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    blank = NEW_FILE.replace("new.c", "blank.c").replace("int n;", "int n;  ")
    patching.patch(3, blank)
    configure_git(patching.tmp_path, monkeypatch, config)
    path = patching.prepare().path
    assert b"\r" not in b"".join(file.read_bytes() for file in path.iterdir())
    assert (path / "blank.c").read_text() == "int n;  \n"
    assert "warning" not in patching.log.path.read_text()
    path = patching.prepare(0).path
    for name in ("a.c", "b.c", "c.c"):
        assert (path / name).read_bytes() == "\n".join([*LINES, ""]).encode()


def test_apply_that_changes_nothing_is_noticed(
    patching: Patching, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", patching.tmp_path], check=True)
    monkeypatch.setattr(trees, "_NO_REPOSITORY", {})
    with pytest.raises(BuildError, match=r"yet a\.c did not change"):
        patching.prepare()


# The user's trees


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below a folder, .git included: its mtime and content."""
    return {
        str(file.relative_to(folder)): (
            file.lstat().st_mtime_ns,
            hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "",
        )
        for file in folder.rglob("*")
    }


def user_tree(patching: Patching, name: str = "user") -> Path:
    folder = patching.tmp_path / name
    folder.mkdir()
    (folder / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("Makefile")
    for file in ("a.c", "b.c"):
        (folder / file).write_text("\n".join(LINES) + "\n")
    return folder


def prepare_user(
    patching: Patching, folder: Path, *, allow_dirty: bool = False
) -> Tree:
    cache, log = patching.cache, patching.log
    source = user_source("7.3", folder, allow_dirty, cache, log)
    return prepare_tree(source, series(patching.patches), cache, log)


@pytest.mark.parametrize("kind", ["plain", "clean", "dirty"])
def test_users_tree_is_copied_and_never_modified(patching: Patching, kind: str) -> None:
    folder = user_tree(patching)
    if kind != "plain":
        commit(folder)
    if kind == "dirty":
        (folder / "a.c").write_text("\n".join(edited(30, "mine")) + "\n")
        (folder / "mine.c").write_text("int mine;\n")
    for file in folder.rglob("*"):
        os.utime(file, ns=(OLD, OLD), follow_symlinks=False)
    before = snapshot(folder)
    tree = prepare_user(patching, folder, allow_dirty=kind == "dirty")
    assert snapshot(folder) == before
    copy = (tree.path / "a.c").read_text().splitlines()
    assert (copy[9], copy[29]) == ("first", "mine" if kind == "dirty" else "line 30")
    assert (tree.path / "mine.c").exists() == (kind == "dirty")
    assert (tree.path / "run.sh").stat().st_mode & 0o111
    assert (tree.path / "link").is_symlink()
    assert (tree.path / "run.sh").stat().st_mtime_ns != OLD
    assert not (tree.path / ".git").exists()
    assert not prepare_user(patching, folder, allow_dirty=kind == "dirty").changed


def test_two_user_trees_are_kept(patching: Patching, said: Said) -> None:
    patching.prepare()
    folder = user_tree(patching)
    first = prepare_user(patching, folder)
    (folder / "b.c").write_text((folder / "b.c").read_text() + "more\n")
    second = prepare_user(patching, folder)
    (folder / "b.c").write_text((folder / "b.c").read_text() + "and more\n")
    third = prepare_user(patching, folder)
    assert not first.path.exists()
    assert second.path.exists()
    assert third.path.exists()
    assert (patching.home / "linux").exists(), "not a user's"
    assert any(re.match(r"removing .*tree-dir-", line) for line in said.lines)


def test_user_tree_in_use_is_kept(patching: Patching) -> None:
    first, second, third = (user_tree(patching, name) for name in "abc")
    kept = prepare_user(patching, first)
    dropped = prepare_user(patching, second)
    for number, tree in enumerate((kept, dropped)):
        os.utime(tree.path.with_name("state"), ns=(OLD + number, OLD + number))
    assert not prepare_user(patching, first).changed
    prepare_user(patching, third)
    assert kept.path.exists() and not dropped.path.exists()


def test_removal_that_was_cut_short(
    patching: Patching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left does not pass for a tree."""
    folders = [user_tree(patching, name) for name in "abc"]
    first = prepare_user(patching, folders[0])
    prepare_user(patching, folders[1])

    def killed(folder: Path, **more: object) -> None:
        (folder / "linux" / "a.c").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vm.tree.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_user(patching, folders[2])
    assert prepare_user(patching, folders[0]).path == first.path
    assert (first.path / "a.c").read_text().splitlines()[9] == "first"


@pytest.mark.parametrize("dirty", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        "[core]\nautocrlf = true\n",
        "[core]\neol = crlf\n",
        "[core]\nattributesFile = {folder}/attributes\n",
    ],
)
def test_users_git_configuration_changes_no_exported_file(
    patching: Patching, monkeypatch: pytest.MonkeyPatch, config: str, dirty: bool
) -> None:
    folder = user_tree(patching)
    (folder / ".gitattributes").write_text("* text=auto\n")
    commit(folder)
    configure_git(patching.tmp_path, monkeypatch, config)
    if dirty:
        (folder / "a.c").write_text("\n".join(edited(30, "mine")) + "\n")
    path = prepare_user(patching, folder, allow_dirty=dirty).path
    files = [file for file in folder.iterdir() if file.is_file()]
    assert len(files) == 6
    for file in files:
        copy = (path / file.name).read_bytes()
        assert b"\r" not in copy
        if file.name not in ("a.c", "b.c"):
            assert copy == file.read_bytes()
    lines = (path / "a.c").read_text().splitlines()
    assert lines[9] == "first" and lines[29] == ("mine" if dirty else "line 30")


def test_file_that_is_ignored_yet_committed(patching: Patching) -> None:
    """It is exported, and no other file that is ignored is."""
    folder = user_tree(patching)
    (folder / "forced.o").write_text("forced")
    commit(folder)
    (folder / ".git" / "info" / "exclude").write_text("*.o\n")
    (folder / "other.o").write_text("other")
    for change in ("", "int mine;\n"):
        if change:
            (folder / "mine.c").write_text(change)
        path = prepare_user(patching, folder, allow_dirty=True).path
        assert (path / "mine.c").exists() == bool(change)
        assert (path / "forced.o").read_text() == "forced"
        assert not (path / "other.o").exists()


def test_nothing_is_left_of_the_export(patching: Patching) -> None:
    """Neither the archive nor the objects of what was not committed."""
    folder = user_tree(patching)
    commit(folder)
    (folder / "mine.c").write_text("int mine;\n")
    tree = prepare_user(patching, folder, allow_dirty=True)
    assert (tree.path / "mine.c").exists()
    names = sorted(path.name for path in tree.path.parent.iterdir())
    assert names == ["applied", "linux", "state"]
    assert list((patching.cache / "sources").iterdir()) == []


def test_source_that_cannot_be_unpacked(patching: Patching) -> None:
    patching.source.path.write_bytes(b"not an archive")
    with pytest.raises(BuildError, match=r"tar \(exit status 2\)") as raised:
        patching.prepare()
    assert f"is there enough space in {patching.cache}?" in raised.value.hint
