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
from vm.source import Source, get_source
from vm.tree import Tree, prepare_tree, series

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


class Bench:
    """A source archive, a series and a cache in a temporary folder."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.cache = tmp_path / "cache"
        self.patches = tmp_path / "patches"
        self.patches.mkdir()
        self.said: list[str] = []
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
            self.tmp_path / "log",
            self.said.append,
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
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# The series


def test_series_in_order_and_cut(bench: Bench) -> None:
    (bench.patches / "cover-letter.txt").touch()
    names = [patch.name for patch in series(bench.patches)]
    assert names == ["0001-title.patch", "0002-title.patch"]
    assert series(bench.patches, 1) == series(bench.patches)[:1]
    assert series(bench.patches, 0) == []


@pytest.mark.parametrize("name", ["0004-gap", "0002-twice", "0000-cover", "unnumbered"])
def test_series_that_is_not_contiguous(bench: Bench, name: str) -> None:
    (bench.patches / f"{name}.patch").touch()
    with pytest.raises(UsageError, match="stands where patch 000"):
        series(bench.patches)


@pytest.mark.parametrize("upto", [3, -1])
def test_series_that_is_too_short(bench: Bench, upto: int) -> None:
    with pytest.raises(UsageError, match=f"no patch {upto} in"):
        series(bench.patches, upto)


def test_series_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no patches"):
        series(tmp_path / "9.9")


# Patching and patching again


def test_fresh_tree_has_the_series_and_new_mtimes(bench: Bench) -> None:
    tree = bench.prepare()
    assert tree.changed
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"
    assert (tree.path / "b.c").read_text().splitlines()[9] == "second"
    assert (tree.path / "new.c").read_text() == "int n;\n"
    assert trees.touched(tree.path) == {"a.c", "b.c", "new.c"}
    assert (tree.path / "c.c").stat().st_mtime_ns != OLD


def test_same_series_changes_nothing(bench: Bench) -> None:
    first = bench.prepare()
    bench.age()
    second = bench.prepare()
    assert not second.changed
    assert second.applied == first.applied
    assert bench.changed() == []


def test_other_patch_touches_only_its_files(bench: Bench) -> None:
    before = bench.prepare().applied
    bench.age()
    bench.patch(1, diff("a.c", LINES, edited(10, "other")))
    tree = bench.prepare()
    assert tree.changed
    assert tree.applied != before
    assert (tree.path / "a.c").read_text().splitlines()[9] == "other"
    assert bench.changed() == ["a.c"], "0002's files are as they were"


def test_fewer_patches_reverse_the_rest(bench: Bench) -> None:
    bench.prepare()
    bench.age()
    tree = bench.prepare(1)
    assert bench.changed() == ["b.c"]
    assert not (tree.path / "new.c").exists()
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"
    plain = bench.prepare(0)
    assert (plain.path / "a.c").read_text().splitlines() == LINES
    assert trees.touched(plain.path) == set()


def test_patches_of_one_file_are_reversed_from_the_last(bench: Bench) -> None:
    lines = edited(10, "first")
    bench.patch(3, diff("a.c", lines, edited(10, "third", lines)))
    bench.prepare()
    plain = bench.prepare(0)
    assert (plain.path / "a.c").read_text().splitlines() == LINES


def test_patch_that_does_not_apply(bench: Bench) -> None:
    bench.prepare()
    bench.age()
    wrong = edited(9, "not there")
    good = (bench.patches / "0002-title.patch").read_text()
    bad = bench.patch(2, diff("b.c", wrong, edited(10, "x", wrong)))
    with pytest.raises(BuildError) as raised:
        bench.prepare()
    assert f"{bad} does not apply at b.c:7" in raised.value.what
    assert raised.value.command is not None
    assert raised.value.command[:2] == ["git", "apply"]
    bad.write_text(good)
    bench.said.clear()
    assert (bench.prepare().path / "b.c").read_text().splitlines()[9] == "second"
    assert bench.said == ["applying 0002-title.patch"], "not unpacked anew"
    assert "a.c" not in bench.changed()


@pytest.mark.parametrize("when", ["unpacking", "patching"])
def test_killed_in_the_middle(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    if when == "patching":
        bench.prepare(1)

    def killed(command: list[str], *args: object, **more: object) -> None:
        run_logged(command, *args, **more)  # type: ignore[arg-type]
        if (command[0] == "tar") == (when == "unpacking") and "--check" not in command:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trees, "run_logged", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.prepare()
    assert (bench.home / "state").read_text() == "changing"
    (bench.home / "linux" / "c.c").write_text("half")
    (bench.home / "build-x").mkdir()
    tree = bench.prepare()
    assert "killed run" in bench.said[-4]
    assert (tree.path / "c.c").read_text().splitlines() == LINES
    assert (tree.path / "b.c").read_text().splitlines()[9] == "second"
    assert not (bench.home / "build-x").exists()


def test_repository_around_the_cache(bench: Bench) -> None:
    subprocess.run(["git", "init", "-q", bench.tmp_path], check=True)
    tree = bench.prepare()
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"


def test_apply_that_changes_nothing_is_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", bench.tmp_path], check=True)
    monkeypatch.setattr(trees, "_NO_REPOSITORY", {})
    with pytest.raises(BuildError, match=r"yet a\.c did not change"):
        bench.prepare()


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


def user_tree(bench: Bench, name: str = "user") -> Path:
    folder = bench.tmp_path / name
    folder.mkdir()
    (folder / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("Makefile")
    for file in ("a.c", "b.c"):
        (folder / file).write_text("\n".join(LINES) + "\n")
    return folder


def commit(folder: Path) -> None:
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *words], check=True)


def prepare_user(bench: Bench, folder: Path, *, allow_dirty: bool = False) -> Tree:
    log = bench.tmp_path / "log"
    source = get_source(
        "7.3",
        bench.cache,
        log,
        bench.said.append,
        kernel_tree=folder,
        allow_dirty=allow_dirty,
    )
    return prepare_tree(
        source, series(bench.patches), bench.cache, log, bench.said.append
    )


@pytest.mark.parametrize("kind", ["plain", "clean", "dirty"])
def test_users_tree_is_copied_and_never_modified(bench: Bench, kind: str) -> None:
    folder = user_tree(bench)
    if kind != "plain":
        commit(folder)
    if kind == "dirty":
        (folder / "a.c").write_text("\n".join(edited(30, "mine")) + "\n")
        (folder / "mine.c").write_text("int mine;\n")
    for file in folder.rglob("*"):
        os.utime(file, ns=(OLD, OLD), follow_symlinks=False)
    before = snapshot(folder)
    tree = prepare_user(bench, folder, allow_dirty=kind == "dirty")
    assert snapshot(folder) == before
    copy = (tree.path / "a.c").read_text().splitlines()
    assert (copy[9], copy[29]) == ("first", "mine" if kind == "dirty" else "line 30")
    assert (tree.path / "mine.c").exists() == (kind == "dirty")
    assert (tree.path / "run.sh").stat().st_mode & 0o111
    assert (tree.path / "link").is_symlink()
    assert (tree.path / "run.sh").stat().st_mtime_ns != OLD
    assert not (tree.path / ".git").exists()
    assert not prepare_user(bench, folder, allow_dirty=kind == "dirty").changed


def test_two_user_trees_are_kept(bench: Bench) -> None:
    bench.prepare()
    folder = user_tree(bench)
    first = prepare_user(bench, folder)
    (folder / "b.c").write_text((folder / "b.c").read_text() + "more\n")
    second = prepare_user(bench, folder)
    (folder / "b.c").write_text((folder / "b.c").read_text() + "and more\n")
    third = prepare_user(bench, folder)
    assert not first.path.exists()
    assert second.path.exists()
    assert third.path.exists()
    assert (bench.home / "linux").exists(), "not a user's"
    assert any(re.match(r"removing .*tree-dir-", line) for line in bench.said)
