"""Runs without some of the patches: what must fail fails, and for that reason."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

from vm.channel import Result
from vm.errors import HarnessError
from vm.expected import (
    as_expected,
    load_needs,
    load_skips,
    patches_needed,
    why_skipped,
)
from vm.results import TestResult, judge
from vm.series import series
from vm.tests.project import ROOT, Project

NO_HOOK = (
    "libbpf: prog 'on_update': failed to find kernel BTF type ID of "
    "'bpf_map_trace_update_elem': -ESRCH\n"
)
HOOKS = ("update_elem", "delete_elem", "updated", "deleted", "evicted")


def result(outcome: str, output: str = "", *, checked: bool = True) -> TestResult:
    return TestResult("p", "f.v.t", outcome, "why", output=output, checked=checked)


@pytest.mark.parametrize(
    ("before", "needed", "applied", "outcome", "reason"),
    [
        *(
            (result("failed", NO_HOOK.replace("update_elem", hook)), 3, 0, "xfailed",
             "needs patch 3")
            for hook in HOOKS
        ),
        (result("failed", NO_HOOK.replace("libbpf", "bpf-upgrade: cannot load new.o")),
         3, 0, "xfailed", "needs patch 3"),
        (result("failed", "without the hook bpf_map_trace_update_elem, it cannot be\n"),
         3, 0, "xfailed", "needs patch 3"),
        (result("failed"), 3, 2, "xfailed", "needs patch 3"),
        (result("failed"), 3, 0, "failed", "why"),  # for some other reason
        (result("failed", NO_HOOK, checked=False), 3, 0, "failed", "why"),
        (result("failed"), 3, 3, "failed", "why"),
        (result("passed"), 3, 2, "failed", "passes with 2 patches, although it "
                                           "tests patch 3"),
        (result("passed"), 2, 2, "passed", "why"),
        (result("skipped"), 3, 0, "skipped", "why"),
    ],
)  # fmt: skip
def test_as_expected(
    before: TestResult, needed: int, applied: int, outcome: str, reason: str
) -> None:
    after = as_expected(before, needed, applied)
    assert (after.outcome, after.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("end", "checked"),
    [
        ("Test failed", True),
        ("Test terminated by assertion", True),
        ("Test terminated by timeout", False),
        ("Test terminated unexpectedly by signal 11", False),
    ],
)
@pytest.mark.parametrize("check", ["t.c:7:t:Expected 0 (0) == put() (-3)", "t.c:7:t:x"])
def test_failed_by_a_check_of_its_own(end: str, checked: bool, check: str) -> None:
    lines = ["TAP version 13", "1..1", "#  RUN           f.t ...", f"# {check}"]
    output = "\n".join(
        [*lines, f"# t: {end}", "#          FAIL  f.t", "not ok 1 f.t", ""]
    )
    judged = judge("p", "f.t", Result(1, output, 1.0, timed_out=False), [])
    assert (judged.outcome, judged.reason) == ("failed", end)
    assert judged.checked == (checked and "Expected" in check)
    late = judge("p", "f.t", Result(1, output, 1.0, timed_out=True), [])
    assert not late.checked


SERIES = [Path("7.3/0001-arrays.patch"), Path("7.3/0002-hashes.patch")]


def test_first_row_counts(tmp_path: Path) -> None:
    file = tmp_path / "needs.toml"
    row = '[[needs]]\ntests = ["{}"]\npatches = {}\n'
    file.write_text(
        row.format("one.*.array.*", '["arrays"]')
        + row.format("one.*.typed.*", "[]")
        + row.format("one.*.list.*", '["lists"]')
        + row.format("one.*", '["arrays", "hashes", "lists"]')
    )
    needs = load_needs(file)
    assert patches_needed(needs, SERIES, "one", "f.array.t") == 1
    assert patches_needed(needs, SERIES, "one", "f.typed.t") == 0
    assert patches_needed(needs, SERIES, "one", "f.hash.t") == 2
    with pytest.raises(HarnessError, match=r"no row of needs.toml matches two.f.t"):
        patches_needed(needs, SERIES, "two", "f.t")
    with pytest.raises(HarnessError, match="named lists, which is not in 7"):
        patches_needed(needs, SERIES, "one", "f.list.t")


@pytest.mark.parametrize(
    "text",
    [
        *("", "needs = 3", "[[needs]]\ntests = ['x']", "]"),
        "[[needs]]\ntests = ['x']\npatches = 'y'",
        "[[needs]]\ntests = 'x.*'\npatches = ['y']",
    ],
)
def test_wrong_table(tmp_path: Path, text: str) -> None:
    file = tmp_path / "needs.toml"
    file.write_text(text)
    with pytest.raises(HarnessError, match=r"cannot use .*needs.toml"):
        load_needs(file)


def test_skips(tmp_path: Path) -> None:
    file = tmp_path / "skips.toml"
    assert load_skips(file) == []
    file = tmp_path / "more.toml"
    file.write_text('[[skip]]\ntests = ["one.*.t"]\nreason = "too old"\n')
    assert why_skipped(load_skips(file), {}, "one", "f.v.t") == "too old"
    assert why_skipped(load_skips(file), {}, "one", "f.v.u") == ""


def test_skips_with_options(tmp_path: Path) -> None:
    file = tmp_path / "skips.toml"
    file.write_text(
        '[[skip]]\ntests = ["*"]\nreason = "R"\nconfig = ["CONFIG_X", "CONFIG_Y"]\n'
    )
    for options, why in (
        ({"CONFIG_X": "y", "CONFIG_Y": "y"}, "R"),
        ({"CONFIG_X": "y", "CONFIG_Y": "n"}, ""),
        ({"CONFIG_Y": "y"}, ""),
    ):
        assert why_skipped(load_skips(file), options, "one", "f.v.t") == why


@pytest.mark.parametrize(
    "text",
    [
        *("", "[[skip]]\ntests = ['x']", "]"),
        "[[skip]]\ntests = 'x.*'\nreason = 'y'",
        "[[skip]]\ntests = ['x.*']\nreason = 'y'\nconfig = 'CONFIG_X'",
        "[[skip]]\ntests = ['x.*']\nreason = 'y'\nconfig = []",
        "[[skip]]\ntests = ['x.*']\nreason = 'y'\nconfig = ['X']",
        "[[skip]]\ntests = ['x.*']\nreason = 'y'\nconfigs = ['CONFIG_X']",
    ],
)
def test_wrong_skips(tmp_path: Path, text: str) -> None:
    file = tmp_path / "skips.toml"
    file.write_text(text)
    with pytest.raises(HarnessError, match=r"cannot use .*skips.toml"):
        load_skips(file)


BASES = tomllib.loads((ROOT / "patches" / "bases.toml").read_text())


@pytest.mark.parametrize("base", BASES)
def test_tables_of_the_project(base: str) -> None:
    """Each test that a base does not skip has a patch in its series."""
    folder = ROOT / "patches" / base
    patches = series(folder)
    skips = load_skips(folder / "skips.toml")
    skipped = {pattern for row in skips for pattern in row.tests}
    for row in load_needs(ROOT / "selftests" / "needs.toml"):
        there = [p for p in patches for word in row.patches if word in p.name]
        assert there or not row.patches or skipped >= set(row.tests)


@pytest.mark.parametrize(
    "folder", [*(f"patches/{base}" for base in BASES), "selftests"]
)
def test_skips_of_the_project(folder: str) -> None:
    """They are of tests that exist, and those of all bases are of some kernels only."""
    programs = [path.stem for path in (ROOT / "selftests").glob("*/*.c")]
    for row in load_skips(ROOT / folder / "skips.toml"):
        assert bool(row.config) == (folder == "selftests")
        for pattern in row.tests:
            assert fnmatch.filter(programs, pattern.partition(".")[0]), pattern


# Whole runs


def test_unpatched(project: Project) -> None:
    project.tests("f.hash.needs f.array.needs f.array.passes")
    ended = project.run("--unpatched")
    assert (ended.status, "2 passed, 2 xfailed" in ended.output) == (0, True)
    assert re.search(r"^all +2 +0 +2 +0 ", ended.output, re.MULTILINE)
    assert "ok 1 f.hash.needs # XFAIL needs patch 2" in project.ktap
    for directory in (project.cache / "trees").iterdir():
        assert (directory / "linux" / "map.c").read_text() == "line 1\n"


def test_expected_failures_are_failures_with_runxfail(project: Project) -> None:
    """As pytest has it; they did not pass in any case."""
    project.tests("f.hash.needs", "f.hash.passes")
    ended = project.run("--unpatched", "--runxfail")
    assert (ended.status, "1 failed, 1 passed" in ended.output) == (1, True)


def test_test_that_proves_nothing(project: Project) -> None:
    (project.path / "selftests" / "needs.toml").write_text(
        '[[needs]]\ntests = ["*"]\npatches = ["0002"]\n'
    )
    project.tests("f.hash.needs f.array.passes", "f.hash.fails f.hash.splats")
    ended = project.run("--upto", "1")
    assert (ended.status, "2 failed, 2 xfailed" in ended.output) == (1, True)
    reason = "passes with 1 patches, although it tests patch 2"
    assert f"f.array.passes: {reason}" in ended.output


@pytest.mark.parametrize(
    ("folder", "config"),
    [("patches/7.3", ""), ("selftests", 'config = ["CONFIG_TTY"]\n')],
)
def test_what_a_kernel_cannot_pass(project: Project, folder: str, config: str) -> None:
    """Such tests are not run, and the summary says why."""
    project.tests("f.hash.passes f.rhash.fails f.rhash.passes")
    (project.path / folder / "skips.toml").write_text(
        '[[skip]]\ntests = ["*"]\nreason = "R"\nconfig = ["CONFIG_KASAN"]\n'
        '[[skip]]\ntests = ["one.f.rhash.*"]\nreason = "has no such map"\n' + config
    )
    ended = project.run("selftests/one.c")
    assert (ended.status, "1 passed, 2 skipped" in ended.output) == (0, True)
    assert "skipped: 2: has no such map" in ended.output
    assert project.ran == ["one f.hash.passes", "power off"]
    assert "ok 2 f.rhash.fails # SKIP has no such map" in project.ktap
