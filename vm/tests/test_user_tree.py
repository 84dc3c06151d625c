"""Tests of vm/user_tree.py; test_tree.py has those of what is made of such a tree."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vm.errors import UsageError
from vm.source import Source
from vm.terminal import Log
from vm.tests.conftest import commit
from vm.user_tree import user_source


class Finder:
    """Finds the source in a folder."""

    def __init__(self, cache: Path, log: Log) -> None:
        self.cache, self.log = cache, log

    def __call__(self, tree: Path, *, allow_dirty: bool = False) -> Source:
        return user_source(tree, allow_dirty, self.cache, self.log)


@pytest.fixture
def find(tmp_path: Path, log: Log) -> Finder:
    return Finder(tmp_path / "cache", log)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return kernel(tmp_path / "k")


@pytest.fixture
def checkout(tree: Path) -> Path:
    (tree / ".gitignore").write_text("*.o\n")
    commit(tree)
    return tree


def kernel(folder: Path, version: str = "7 3 2") -> Path:
    """A kernel tree, as far as its version goes."""
    (folder / "kernel").mkdir(parents=True)
    names = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    lines = (f"{n} = {v}\n" for n, v in zip(names, version.split(), strict=True))
    (folder / "Makefile").write_text("# SPDX\n" + "".join(lines) + "EXTRAVERSION =\n")
    (folder / "kernel" / "a.c").write_text("int a;\n")
    return folder


def objects(folder: Path) -> list[Path]:
    """What the folder's repository consists of."""
    return sorted((folder / ".git").rglob("*"))


# Its version


@pytest.mark.parametrize(
    ("version", "extra", "name"),
    [
        ("7 3 0", "", "7.3"),
        ("7 3 2", "", "7.3.2"),
        ("7 4 0", " -rc2", "7.4-rc2"),
        ("6 12 90", "", "6.12.90"),
    ],
)
def test_version(
    tmp_path: Path, find: Finder, version: str, extra: str, name: str
) -> None:
    tree = kernel(tmp_path / "k", version)
    makefile = tree / "Makefile"
    text = makefile.read_text().replace("EXTRAVERSION =", f"EXTRAVERSION ={extra}")
    makefile.write_text(text)
    assert find(tree).describe == f"Linux {name} in {tree}"


@pytest.mark.parametrize("makefile", [None, "all:\n\techo VERSION\n", "VERSION = 7\n"])
def test_folder_that_is_not_a_kernel(
    tmp_path: Path, find: Finder, makefile: str | None
) -> None:
    if makefile is not None:
        (tmp_path / "Makefile").write_text(makefile)
    with pytest.raises(UsageError, match="is not a kernel tree") as raised:
        find(tmp_path)
    assert "--kernel-tree" in raised.value.hint


# Its path


def test_path_as_a_shell_would_take_it(
    tmp_path: Path, tree: Path, find: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    expected = find(tree)
    assert find(Path("k")) == find(Path("~/k")) == find(Path("x/../k")) == expected
    with pytest.raises(UsageError, match="~no-such-user is not a kernel tree"):
        find(Path("~no-such-user"))


def test_symbolic_link_is_named_as_given(
    tmp_path: Path, tree: Path, find: Finder
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tree)
    assert find(link).path == link


# A plain tree


def test_plain_tree(tree: Path, find: Finder) -> None:
    first = find(tree)
    assert (first.kind, first.path) == ("tree", tree)
    assert first.describe == f"Linux 7.3.2 in {tree}"
    assert first.key.startswith("tree-k-")
    assert first.files == ("Makefile", "kernel/a.c")
    (tree / "kernel" / "new.c").touch()
    second = find(tree)
    assert second.key == first.key, "one copy for each tree"
    assert second.files == ("Makefile", "kernel/a.c", "kernel/new.c")


def test_each_tree_has_a_key_of_its_own(
    tmp_path: Path, tree: Path, find: Finder
) -> None:
    (tmp_path / "link").symlink_to(tree)
    other = kernel(tmp_path / "other" / "k")
    assert find(other).key != find(tree).key
    assert find(other).key.rpartition("-")[0] == find(tree).key.rpartition("-")[0]
    assert find(tmp_path / "link").key == find(tree).key, "not each of its names"


@pytest.mark.parametrize("sign", [".config", "include/config", "include/generated"])
def test_tree_built_in_place_without_a_gitignore(
    tree: Path, find: Finder, sign: str
) -> None:
    (tree / sign).mkdir(parents=True)
    with pytest.raises(UsageError, match="make mrproper") as raised:
        find(tree)
    assert f"was built in place (it has {sign}" in raised.value.what
    (tree / ".gitignore").write_text("*.o\n")
    assert "kernel/a.c" in find(tree).files


# A git checkout


def test_checkout(checkout: Path, find: Finder) -> None:
    (checkout / "kernel" / "a.o").write_text("ignored")
    (checkout / ".config").write_text("ignored\n")
    (checkout / ".git" / "info" / "exclude").write_text(".config\n")
    head = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    name = subprocess.check_output(head, text=True).strip()
    found = find(checkout)
    assert found.files == (".gitignore", "Makefile", "kernel/a.c")
    assert found.describe == f"Linux 7.3.2 in {checkout} (commit {name})"


def test_dirty_checkout_is_refused_unless_allowed(checkout: Path, find: Finder) -> None:
    clean = find(checkout)
    assert find(checkout, allow_dirty=True) == clean
    (checkout / "kernel" / "a.c").write_text("int b;\n")
    with pytest.raises(UsageError) as raised:
        find(checkout)
    assert "--allow-dirty" in raised.value.hint
    assert "kernel/a.c" in raised.value.detail
    dirty = find(checkout, allow_dirty=True)
    assert dirty.key == clean.key
    assert dirty.describe == f"{clean.describe[:-1]}, with uncommitted changes)"


def test_file_that_git_does_not_know_is_a_change(
    checkout: Path, find: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the user does not want to see such files."""
    (tmp_path / "config").write_text("[status]\nshowUntrackedFiles = no\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    (checkout / "new.c").write_text("int n;\n")
    with pytest.raises(UsageError, match="has uncommitted changes") as raised:
        find(checkout)
    assert raised.value.detail == "?? new.c"
    assert "new.c" in find(checkout, allow_dirty=True).files


@pytest.mark.parametrize("flag", ["assume-unchanged", "skip-worktree"])
def test_file_that_git_does_not_look_at(
    checkout: Path, find: Finder, flag: str
) -> None:
    """It is taken as it is, and this is said; one that is not there is no file."""
    clean = find(checkout)
    git = ["git", "-C", str(checkout), "update-index", f"--{flag}"]
    subprocess.run([*git, "kernel/a.c", ".gitignore"], check=True)
    (checkout / "kernel" / "a.c").write_text("int b;\n")
    found = find(checkout)
    assert found.files == clean.files
    note = ", including files that git does not check for changes: "
    assert found.describe == f"{clean.describe[:-1]}{note}.gitignore and 1 more)"
    (checkout / "kernel" / "a.c").unlink()
    assert find(checkout).describe == f"{clean.describe[:-1]}{note}.gitignore)"


def test_renamed_file(checkout: Path, find: Finder) -> None:
    git = ["git", "-C", str(checkout), "mv", "kernel/a.c", "kernel/new name.c"]
    subprocess.run(git, check=True)
    names = (".gitignore", "Makefile", "kernel/new name.c")
    assert find(checkout, allow_dirty=True).files == names


def test_first_ten_changes_are_shown(checkout: Path, find: Finder) -> None:
    for number in range(12):
        (checkout / f"new{number:02}.c").touch()
    with pytest.raises(UsageError) as raised:
        find(checkout)
    assert raised.value.detail.splitlines() == [f"?? new{n:02}.c" for n in range(10)]
    assert "status" in raised.value.command


def test_work_tree_beside_the_repository(
    checkout: Path, find: Finder, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    words = ["git", "-C", str(checkout), "worktree", "add", "-q", str(other)]
    subprocess.run(words, check=True)
    assert (other / ".git").is_file()
    assert find(other).key != find(checkout).key
    assert find(other).files == find(checkout).files


@pytest.mark.parametrize("config", ["", "[core]\nsplitIndex = true\n"])
def test_repository_is_not_written_to(
    checkout: Path,
    find: Finder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
) -> None:
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    (checkout / "kernel" / "a.c").write_text("int b;\n")
    (checkout / "new.c").write_text("int n;\n")
    before = objects(checkout)
    index = (checkout / ".git" / "index").read_bytes()
    find(checkout, allow_dirty=True)
    assert objects(checkout) == before
    assert (checkout / ".git" / "index").read_bytes() == index


def test_checkout_without_an_index(checkout: Path, find: Finder) -> None:
    """As after `git clone --no-checkout`."""
    clean = find(checkout)
    (checkout / ".git" / "index").unlink()
    with pytest.raises(UsageError, match="has uncommitted changes"):
        find(checkout)
    assert find(checkout, allow_dirty=True).files == clean.files


def test_checkout_without_a_commit(tree: Path, find: Finder) -> None:
    subprocess.run(["git", "-C", str(tree), "init", "-q"], check=True)
    with pytest.raises(UsageError) as raised:
        find(tree, allow_dirty=True)
    assert raised.value.hint.startswith("git must be able to read this checkout")


def test_checkout_that_git_cannot_read(checkout: Path, find: Finder) -> None:
    (checkout / ".git" / "HEAD").unlink()
    with pytest.raises(UsageError) as raised:
        find(checkout)
    assert raised.value.hint.startswith("git must be able to read this checkout")


def test_checkout_in_another_repository(
    checkout: Path, find: Finder, tmp_path: Path
) -> None:
    """git would take that one instead, in which nothing has changed."""
    shutil.rmtree(checkout / ".git")
    (tmp_path / ".gitignore").write_text("/*\n!/.gitignore\n")
    commit(tmp_path)
    assert find(checkout).files, "a plain tree"
    (checkout / ".git").mkdir()
    with pytest.raises(UsageError, match="is inside another one") as raised:
        find(checkout)
    assert "rev-parse" in raised.value.command


@pytest.mark.parametrize("plain", [True, False])
def test_folder_that_cannot_be_read(
    checkout: Path,
    find: Finder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plain: bool,
) -> None:
    """git leaves out what is in there, and succeeds."""
    if plain:
        shutil.rmtree(checkout / ".git")
    warning = "warning: could not open directory 'lib/': Permission denied"
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    script = f'case "$*" in *status*|*--others*) echo "{warning}" >&2; esac'
    git.write_text(f'#!/bin/sh\n{script}\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    with pytest.raises(UsageError) as raised:
        find(checkout)
    assert raised.value.detail.strip() == warning


@pytest.mark.parametrize("name", [".", "cache"])
def test_cache_in_the_tree(tree: Path, log: Log, name: str) -> None:
    """Each run would copy the copies of those before it."""
    with pytest.raises(UsageError) as raised:
        user_source(tree, True, tree / name, log)
    assert raised.value.what == (
        f"the cache folder {tree / name} is in the kernel tree {tree}"
    )
