"""--each-patch and --base all: what runs, and the table at the end."""

from __future__ import annotations

import re
import shutil

import pytest

from vm.archives import Record, keep
from vm.tests.project import BASE, Project

SKIPS = '[[skip]]\ntests = ["one.f.rhash.*"]\nreason = "7.2 has no such map"\n'


@pytest.fixture
def two_bases(project: Project) -> Project:
    """The project with the base 7.2, too, which cannot pass one of the tests."""
    table = project.path / "patches" / "bases.toml"
    row = table.read_text()
    table.write_text(row + row.replace('"7.3', '"7.2').replace("-7.3", "-7.2"))
    new = project.path / "patches" / "7.2"
    shutil.copytree(project.path / "patches" / "7.3", new)
    (new / "skips.toml").write_text(SKIPS)
    archives = project.cache / "sources"
    archive = archives / "linux-7.2.4.tar.xz"
    shutil.copy(archives / "linux-7.3.4.tar.xz", archive)
    digest = re.search(
        r'"sha256": "(\w+)"', (archives / "linux-7.3.4.tar.xz.json").read_text()
    )
    assert digest
    keep(archive, Record("release", "7.2", "7.2.4", digest[1], "linux-7.2.4"))
    return project


def test_table(two_bases: Project) -> None:
    two_bases.tests("f.hash.passes f.rhash.passes")
    ended = two_bases.run("--kernel", "all", "selftests/one.c")
    assert ended.status == 0, ended.output
    *_, head, one, other, skipped = ended.output.splitlines()
    assert head.split() == [
        *("base", "tests", "passed", "failed", "xfailed", "skipped", "seconds"),
        *("exit", "status"),
    ]
    assert one.split()[:6] == ["7.3", "2", "2", "0", "0", "0"]
    assert other.split()[:6] == ["7.2", "2", "1", "0", "0", "1"]
    assert [line.split()[-1] for line in (one, other)] == ["0", "0"]
    assert skipped == "skipped on 7.2: 1: 7.2 has no such map"
    assert "source:  linux-7.2.4, all patches" in ended.output


def test_worst_status(two_bases: Project) -> None:
    """A base that cannot be tested does not keep the others from it."""
    two_bases.tests("f.hash.fails")
    shutil.rmtree(two_bases.path / "patches" / "7.2")
    ended = two_bases.run("--base=all", "selftests/one.c")
    assert ended.status == 4, ended.output
    one, other = ended.output.splitlines()[-2:]
    assert one.split() == ["7.3", "1", "0", "1", "0", "0", one.split()[6], "1"]
    assert other.split() == ["7.2", "0", "0", "0", "0", "0", "0.0", "4"]


# Each patch


def test_each_patch(project: Project) -> None:
    """After a patch that only adds tests of the kernel's own, there is none to run."""
    project.tests("f.hash.needs f.array.passes", "f.hash.passes")
    (project.path / "patches" / BASE / "0003-test.patch").write_text(
        "Subject: test\n\n--- /dev/null\n+++ b/tools/test.c\n@@ -0,0 +1 @@\n+test\n"
    )
    ended = project.run("--each-patch", "selftests/one.c")
    assert ended.status == 0
    table = [line.split() for line in ended.output.splitlines()[-4:]]
    assert [row[:6] + row[7:8] for row in table] == [
        ["0", "2", "1", "0", "1", "0", "0"],
        ["1", "2", "1", "0", "1", "0", "0"],
        ["2", "2", "2", "0", "0", "0", "0"],
        ["3", *"------"],
    ]
    assert table[2][8:] == ["0002-add-a-line.patch"]


def test_each_patch_gives_the_worst_status(project: Project) -> None:
    project.tests("f.hash.needs f.array.passes")
    (project.path / "selftests" / "needs.toml").write_text(
        '[[needs]]\ntests = ["*"]\npatches = ["0001"]\n'
    )
    ended = project.run("--each-patch", "selftests/one.c")
    assert ended.status == 1
    table = [line.split() for line in ended.output.splitlines()[-3:]]
    assert [row[:6] + row[7:8] for row in table] == [
        ["0", "2", "0", "1", "1", "0", "1"],
        ["1", "2", "1", "1", "0", "0", "1"],
        ["2", "2", "2", "0", "0", "0", "0"],
    ]
