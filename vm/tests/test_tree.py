"""Tests of vm/tree.py, on kernel trees of a few small files."""

from __future__ import annotations

import itertools
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from vm.errors import BuildError
from vm.mirror import Mirror
from vm.series import series
from vm.source import Source
from vm.terminal import Log
from vm.tests.diffs import LINES, NEW_FILE, OLD, diff, edited
from vm.tests.said import Said
from vm.tree import Tree, prepare_tree


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
        patches = series(self.patches)
        return prepare_tree(self.source, patches, self.cache, self.log, upto=upto)

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


# Patching and patching again


def test_fresh_tree_has_the_series_and_new_mtimes(patching: Patching) -> None:
    tree = patching.prepare()
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"
    assert (tree.path / "b.c").read_text().splitlines()[9] == "second"
    assert (tree.path / "new.c").read_text() == "int n;\n"
    assert tree.names == {"a.c", "b.c", "new.c"}
    assert tree.there == ()
    assert (tree.path / "c.c").stat().st_mtime_ns != OLD


@pytest.mark.parametrize("upto", [None, 0, 1])
def test_same_series_changes_nothing(patching: Patching, upto: int | None) -> None:
    first = patching.prepare(upto)
    patching.age()
    assert patching.prepare(upto) == first
    assert patching.changed() == []


def test_other_patch_touches_only_its_files(patching: Patching) -> None:
    before = patching.prepare()
    patching.age()
    patching.patch(1, diff("a.c", LINES, edited(10, "other")))
    tree = patching.prepare()
    assert tree.version != before.version
    assert tree.config == before.config, "no need to configure"
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


def test_patches_of_one_file_are_reversed_from_the_last(patching: Patching) -> None:
    lines = edited(10, "first")
    patching.patch(3, diff("a.c", lines, edited(10, "third", lines)))
    patching.prepare()
    plain = patching.prepare(0)
    assert (plain.path / "a.c").read_text().splitlines() == LINES


def test_file_that_the_series_no_longer_concerns(patching: Patching) -> None:
    first = patching.prepare()
    patching.age()
    (patching.patches / "0002-title.patch").unlink()
    second = patching.prepare()
    assert second.names == {"a.c"} and second.version != first.version
    assert patching.changed() == ["b.c"]
    assert (second.path / "b.c").read_text().splitlines() == LINES
    assert not (second.path / "new.c").exists()


def test_patch_that_does_not_apply(patching: Patching) -> None:
    """Then the tree is as it was."""
    first = patching.prepare()
    patching.age()
    wrong = edited(9, "not there")
    good = (patching.patches / "0002-title.patch").read_text()
    bad = patching.patch(2, diff("b.c", wrong, edited(10, "x", wrong)))
    with pytest.raises(BuildError) as raised:
        patching.prepare()
    what = f"{bad} does not apply to {first.path}: hunk 1 of 1 of b.c"
    assert raised.value.what == what
    assert raised.value.command[:2] == ["git", "-C"]
    assert patching.changed() == []
    bad.write_text(good)
    assert patching.prepare() == first
    assert patching.changed() == []


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Let the run be killed at the so-manyth call of a method of the mirror's."""
    calls = itertools.count(1)
    real = getattr(Mirror, method)

    def call(*words: object) -> object:
        if next(calls) == number:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(Mirror, method, call)


def test_killed_while_unpacking(
    patching: Patching, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        killed_at(1, patch, "note")
        with pytest.raises(KeyboardInterrupt):
            patching.prepare()
    (patching.home / "linux" / "c.c").write_text("half")
    tree = patching.prepare()
    assert "half-made by a killed run" in said.lines[-2]
    assert (tree.path / "c.c").read_text().splitlines() == LINES
    assert (tree.path / "b.c").read_text().splitlines()[9] == "second"


def test_tree_of_an_older_version(patching: Patching, said: Said) -> None:
    """Before version.json, there was a file for whether the tree was whole."""
    patching.prepare()
    (patching.home / "version.json").replace(patching.home / "state")
    (patching.home / "linux" / "c.c").write_text("old")
    tree = patching.prepare()
    assert said.lines[-2] == (
        f"{patching.home} was made by an older version: starting over"
    )
    assert (tree.path / "c.c").read_text().splitlines() == LINES


@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_while_patching(
    patching: Patching, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    first = patching.prepare(0)
    with monkeypatch.context() as patch:
        killed_at(number, patch, "put")
        with pytest.raises(KeyboardInterrupt):
            patching.prepare()
    (first.path.parent / "build-x").mkdir()
    second = patching.prepare()
    assert second.version != first.version
    assert (second.path / "a.c").read_text().splitlines()[9] == "first"
    assert (second.path / "b.c").read_text().splitlines()[9] == "second"
    assert (first.path.parent / "build-x").exists(), "what was built is kept"
    assert (patching.prepare(0).path / "b.c").read_text().splitlines() == LINES


def test_repository_around_the_cache(patching: Patching) -> None:
    subprocess.run(["git", "init", "-q", patching.tmp_path], check=True)
    tree = patching.prepare()
    assert (tree.path / "a.c").read_text().splitlines()[9] == "first"
    wrong = edited(9, "not there")
    bad = patching.patch(3, diff("b.c", wrong, edited(10, "x", wrong)))
    with pytest.raises(BuildError, match=rf"{bad} does not apply to .*: hunk 1"):
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
    monkeypatch.setattr("vm.series._NO_REPOSITORY", {})
    with pytest.raises(BuildError, match=r"yet b\.c did not change"):
        patching.prepare()


def test_source_that_cannot_be_unpacked(patching: Patching) -> None:
    patching.source.path.write_bytes(b"not an archive")
    with pytest.raises(BuildError, match=r"tar \(exit status 2\)") as raised:
        patching.prepare()
    assert f"is there enough space in {patching.cache}?" in raised.value.hint
