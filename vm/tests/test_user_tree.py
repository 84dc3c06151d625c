"""Tests of vm/user_tree.py; test_tree.py has those of what is made of such a tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vm.errors import UsageError
from vm.source import Source
from vm.terminal import Log
from vm.tests.conftest import commit
from vm.user_tree import user_source


class Finder:
    """Finds sources of base 7.3."""

    def __init__(self, cache: Path, log: Log) -> None:
        self.cache, self.log = cache, log

    def __call__(self, tree: Path, *, allow_dirty: bool = False) -> Source:
        return user_source("7.3", tree, allow_dirty, self.cache, self.log)


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


def test_first_release_of_a_base_has_no_third_number(
    tmp_path: Path, find: Finder
) -> None:
    tree = kernel(tmp_path / "k", "7 3 0")
    assert find(tree).describe == f"Linux 7.3 in {tree}"


@pytest.mark.parametrize(
    ("version", "name"),
    [("7 31 2", "7.31.2"), ("7 2 0", "7.2"), ("8 3 0", "8.3"), ("77 3 1", "77.3.1")],
)
def test_tree_of_another_version(
    tmp_path: Path, find: Finder, version: str, name: str
) -> None:
    with pytest.raises(UsageError) as raised:
        find(kernel(tmp_path / "k", version))
    what = f"{tmp_path / 'k'} is Linux {name}; the patches are for 7.3"
    assert raised.value.what == what


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


def test_plain_tree_has_a_new_key_for_new_content(tree: Path, find: Finder) -> None:
    first = find(tree)
    assert (first.kind, first.path, first.git_tree) == ("tree", tree, "")
    assert first.describe == f"Linux 7.3.2 in {tree}"
    assert first.key.startswith("tree-dir-")
    assert find(tree) == first
    (tree / "kernel" / "a.c").write_text("int b;\n")
    second = find(tree)
    assert second.key != first.key
    (tree / "kernel" / "new.c").touch()
    third = find(tree)
    assert third.key not in (first.key, second.key)
    (tree / "kernel" / "new.c").chmod(0o755)
    assert find(tree).key not in (first.key, second.key, third.key)


@pytest.mark.parametrize("sign", [".config", "include/config"])
def test_tree_built_in_place(tree: Path, find: Finder, sign: str) -> None:
    (tree / sign).mkdir(parents=True)
    with pytest.raises(UsageError, match="make mrproper"):
        find(tree)


def test_tree_that_cannot_be_read(
    tree: Path, find: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(UsageError, match=f"cannot read {tree}: Permission denied"):
        find(tree)


# A git checkout


def test_checkout_is_known_by_its_tree(checkout: Path, find: Finder) -> None:
    (checkout / "kernel" / "a.o").write_text("ignored")
    (checkout / ".config").write_text("ignored by git archive\n")
    (checkout / ".git" / "info" / "exclude").write_text(".config\n")
    head = ["git", "-C", str(checkout), "rev-parse", "HEAD^{tree}"]
    name = subprocess.check_output(head, text=True).strip()
    found = find(checkout)
    assert (found.key, found.git_tree) == (f"tree-git-{name}", name)
    assert found.describe == f"Linux 7.3.2 in {checkout} (git tree {name[:12]})"


def test_dirty_checkout_is_refused_unless_allowed(checkout: Path, find: Finder) -> None:
    clean = find(checkout)
    assert find(checkout, allow_dirty=True) == clean
    (checkout / "kernel" / "a.c").write_text("int b;\n")
    with pytest.raises(UsageError) as raised:
        find(checkout)
    assert "--allow-dirty" in raised.value.hint
    assert "kernel/a.c" in raised.value.detail
    dirty = find(checkout, allow_dirty=True)
    assert dirty.key != clean.key
    assert "with uncommitted changes" in dirty.describe
    (checkout / "kernel" / "new.c").write_text("int n;\n")
    assert find(checkout, allow_dirty=True).key != dirty.key


def test_edit_that_only_the_content_shows(checkout: Path, find: Finder) -> None:
    """Right after a commit: git looks at the content of what is as new as its index."""
    file, index = checkout / "kernel" / "a.c", checkout / ".git" / "index"
    git = ["git", "-C", str(checkout)]
    subprocess.run([*git, "config", "core.trustctime", "false"], check=True)
    os.utime(file, (10**9, 10**9))
    subprocess.run([*git, "update-index", "--refresh"], check=True)
    clean = find(checkout)
    file.write_text("int b;\n")
    for path in (file, index):
        os.utime(path, (10**9, 10**9))
    assert find(checkout, allow_dirty=True).key != clean.key


def test_file_that_git_does_not_know_is_a_change(
    checkout: Path, find: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the user does not want to see such files."""
    clean = find(checkout)
    (tmp_path / "config").write_text("[status]\nshowUntrackedFiles = no\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    (checkout / "new.c").write_text("int n;\n")
    with pytest.raises(UsageError, match="has uncommitted changes") as raised:
        find(checkout)
    assert raised.value.detail == "?? new.c"
    assert find(checkout, allow_dirty=True).key != clean.key


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
    assert find(other).key == find(checkout).key
    (other / "kernel" / "a.c").write_text("int b;\n")
    assert find(other, allow_dirty=True).key != find(checkout).key


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
    assert find(checkout, allow_dirty=True).key == clean.key


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
