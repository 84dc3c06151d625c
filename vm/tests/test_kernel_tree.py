"""Whole runs on trees of the user's: what each kind of tree leads to, and prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vm.tests.conftest import commit
from vm.tests.project import ROOT, Ended, Project

PERCPU = ("-k", "percpu")
ONE, TWO = "line 1\nfirst\n", "line 1\nfirst\nsecond\n"


class Trees:
    """A project, and a tree of the user's: a small one, of Linux 7.3.4."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.path / "linux-7.3.4"

    def run(self, *words: str) -> Ended:
        tests = () if "--bench" in words else PERCPU
        return self.project.run(*tests, "--kernel-tree", str(self.path), *words)

    def error(self, *words: str, status: int) -> str:
        """The error of a run that boots nothing: there is one."""
        ended = self.run(*words)
        assert (ended.status, self.project.vng) == (status, []), ended.output
        assert ended.output.count("next:    ") == 1, ended.output
        return ended.output

    def version(self, version: str) -> None:
        names = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
        lines = [f"{n} = {v}\n" for n, v in zip(names, version.split("."), strict=True)]
        (self.path / "Makefile").write_text("".join(lines))

    @property
    def made(self) -> list[str]:
        """The goals that make was asked for, but for the tests'."""
        lines = [line for line in self.project.asked if " O=" in line]
        return [line.split()[-1] for line in lines if line.startswith("make ")]

    @property
    def patched(self) -> Path:
        (path,) = self.project.cache.glob("trees/tree-*/linux/map.c")
        return path


@pytest.fixture
def trees(project: Project) -> Trees:
    return Trees(project)


def test_inner_loop(trees: Trees) -> None:
    """One copy; an edit is built without configuring, a commit of it builds nothing."""
    (trees.path / "other.c").write_text("int a;\n")
    commit(trees.path)
    ended = trees.run()
    assert ended.status == 0, ended.output
    assert trees.made == ["tinyconfig", "olddefconfig", "bzImage"]
    assert trees.patched.read_text() == TWO
    (trees.path / "other.c").write_text("int b;\n")
    assert "has uncommitted changes" in trees.error(status=4)
    ended = trees.run("--allow-dirty")
    assert ended.status == 0, ended.output
    assert ", with uncommitted changes), all patches\n" in ended.output
    assert trees.made == ["bzImage"]
    assert trees.patched.with_name("other.c").read_text() == "int b;\n"
    commit(trees.path)
    assert trees.run().status == 0
    assert trees.made == []
    assert "; nothing to build\n" in trees.run().output


def test_series_is_there(trees: Trees) -> None:
    (trees.path / "map.c").write_text(TWO)
    ended = trees.run()
    assert ended.status == 0, ended.output
    assert f"{trees.path} already has patches 0001, 0002\n" in ended.output
    assert (
        f"Linux 7.3.4 in {trees.path}, all patches (it had 0001, 0002)\n"
        in ended.output
    )


def test_half_of_the_series_is_there(trees: Trees) -> None:
    (trees.path / "map.c").write_text(ONE)
    ended = trees.run()
    assert ended.status == 0, ended.output
    line = f"{trees.path} already has patch 0001; applying patch 0002\n"
    assert line in ended.output
    assert trees.patched.read_text() == TWO
    assert trees.run("--upto", "1").status == 0
    assert trees.patched.read_text() == ONE


@pytest.mark.parametrize("option", ["--unpatched", "--upto=1", "--bench"])
def test_more_is_there_than_asked_for(trees: Trees, option: str) -> None:
    (trees.path / "map.c").write_text(TWO)
    count = 1 if option == "--upto=1" else 0
    more = " 0002" if count else "es 0001, 0002"
    what = f"{trees.path} already has patch{more}, not only the first {count} patches"
    assert f"usage error: {what}\n" in trees.error(option, status=4)


def test_own_version_of_the_series(trees: Trees) -> None:
    (trees.path / "map.c").write_text("line 1\nFirst\nsecond\n")
    error = trees.error(status=6)
    patch = trees.project.path / "patches" / "7.3" / "0001-add-a-line.patch"
    where = f"{patch} does not apply to {trees.path}: hunk 1 of 1 of map.c"
    assert where in error
    assert "--patched" in error
    ended = trees.run("--patched")
    assert ended.status == 0, ended.output
    assert trees.patched.read_text() == "line 1\nFirst\nsecond\n"
    assert f"Linux 7.3.4 in {trees.path}, its own patches\n" in ended.output


def test_conflict(trees: Trees) -> None:
    (trees.path / "map.c").write_text("line one\n")
    error = trees.error(status=6)
    patch = trees.project.path / "patches" / "7.3" / "0001-add-a-line.patch"
    what = f"{patch} does not apply to {trees.path}: hunk 1 of 1 of map.c"
    assert f"build failed: {what}\n" in error
    assert "    @@ -1,1 +1,2 @@\n    map.c:1: - the patch expects" in error
    assert "    - line 1\n    + line one\n" in error


def test_no_kernel_tree(trees: Trees) -> None:
    (trees.path / "Makefile").write_text("all:\n")
    assert f"{trees.path} is not a kernel tree" in trees.error(status=4)


def test_tree_with_a_configuration(trees: Trees) -> None:
    (trees.path / ".gitignore").write_text(".config\n")
    (trees.path / ".config").write_text("CONFIG_NR_CPUS=2\n")
    ended = trees.run("--cpus", "8")
    assert ended.status == 0, ended.output
    assert f"{trees.path}/.config is not used: " in ended.output
    assert not trees.patched.with_name(".config").exists()


# Trees of another version


def other_base(trees: Trees, name: str, old: str) -> None:
    """Add a base whose series changes the line `old`."""
    patches = trees.project.path / "patches"
    row = (patches / "bases.toml").read_text().partition('["7.3"]')[2]
    with (patches / "bases.toml").open("a") as table:
        table.write(f'\n["{name}"]{row}')
    (patches / name).mkdir()
    for patch in (patches / "7.3").iterdir():
        text = patch.read_text().replace("line 1", old)
        (patches / name / patch.name).write_text(text)


@pytest.mark.parametrize("version", ["7.2.0", "7.4.1"])
def test_series_of_the_nearest_base_fits(trees: Trees, version: str) -> None:
    trees.version(version)
    ended = trees.run()
    assert ended.status == 0, ended.output
    name = version.removesuffix(".0")
    line = f"Linux {name} in {trees.path}: trying the series for 7.3\n"
    assert line in ended.output
    assert trees.patched.read_text() == TWO


def test_series_of_the_nearest_base_does_not_fit(trees: Trees) -> None:
    trees.version("7.4.1")
    (trees.path / "map.c").write_text("line one\n")
    error = trees.error(status=6)
    assert f"Linux 7.4.1 in {trees.path}: trying the series for 7.3\n" in error
    assert f"0001-add-a-line.patch does not apply to {trees.path}: hunk 1 of" in error


def test_series_of_its_own_base(trees: Trees) -> None:
    other_base(trees, "6.12", "line one")
    trees.version("6.12.9")
    (trees.path / "map.c").write_text("line one\n")
    ended = trees.run()
    assert ended.status == 0, ended.output
    assert "trying the series" not in ended.output
    assert trees.patched.read_text() == "line one\nfirst\nsecond\n"
    error = trees.error("--base", "7.3", status=6)
    assert f"Linux 6.12.9 in {trees.path}: trying the series for 7.3\n" in error


def test_bisect(trees: Trees) -> None:
    """The recipe of patches/README.md, on commits of which one does not build."""
    project = trees.project
    readme = (ROOT / "patches" / "README.md").read_text()
    (recipe,) = [line.strip() for line in readme.splitlines() if "bisect run" in line]
    python = f"{project.path}/bin/python"
    main = f"{python} -I {project.path}/vm/__main__.py --cache={project.cache}"
    for old, new in (
        # In a guest that is real, the kernel makes the difference.
        ("/path/to/run_tests.py", f"cp two.c {project.path}/selftests/ && {main}"),
        ("/path/to/selftests/hooks/update.c", f"{project.path}/selftests/two.c"),
    ):
        assert old in recipe
        recipe = recipe.replace(old, new)
    for name in ("good", "b", "c", "does-not-build", "e", "bad", "worse"):
        outcome = "fails" if name in ("bad", "worse") else "passes"
        (trees.path / "two.c").write_text(f"f.percpu.{outcome}")
        (trees.path / "does-not-build").unlink(missing_ok=True)
        (trees.path / name).touch()
        commit(trees.path)
    start = f"cd {trees.path} && git bisect start HEAD HEAD~6"
    process = project.start(program=["sh", "-c", f"{start} && {recipe}"])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert " is the first bad commit\n" in output
    found = ["git", "-C", str(trees.path), "show", "--format=", "--name-only"]
    files = subprocess.check_output([*found, "bisect/bad"], text=True).splitlines()
    assert files == ["bad", "two.c"]
    assert "build failed: the kernel does not build: " in output
