"""Which trees of the user's can be copied, and how many copies are kept."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from vm.errors import UsageError
from vm.tests.conftest import commit
from vm.tests.copying import IGNORED, Copying, files_of
from vm.tests.diffs import LINES, OLD, diff, edited
from vm.tests.said import Said

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
    assert "built\n" not in [file.read_text() for file in files_of(tree.path)]
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
    assert [file.name for file in files_of(plain.path / "inner")] == ["link", "x.c"]
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
    assert said.lines[-1] == f"removing {gone}: 3 other trees have been used since"


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
