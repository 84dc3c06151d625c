"""--stress: which tests run, for how long, and the table of what they tell."""

from __future__ import annotations

import re

import pytest

from vm.tests.project import Project

ONE, TWO = "f.hash.accounts", "f.array.passes"


@pytest.fixture
def stress(project: Project) -> Project:
    """A project whose two.c is a stress test."""
    folder = project.path / "selftests" / "stress"
    folder.mkdir()
    project.tests("f.hash.fails", f"{ONE} {TWO}")
    (folder / "two.c").symlink_to("../two.c")
    return project


def commands(project: Project) -> list[str]:
    """How the agent was asked to run tests, with the limits."""
    lines = [line for line in project.asked if " -r " in line]
    return [line.replace(f"{project.path}/", "") for line in lines]


def test_share_of_the_time(stress: Project) -> None:
    """The tests that run share it, and each has its share beyond the usual limit."""
    ended = stress.run("--stress", "50")
    assert ended.status == 0, ended.output
    assert commands(stress) == [
        f"run 325 env STRESS_SECONDS=25.000 guest/two -r {ONE}",
        f"run 325 env STRESS_SECONDS=25.000 guest/two -r {TWO}",
    ]
    lines = [line.split() for line in ended.output.splitlines()]
    first = lines.index(["variant", "issued", "fired", "missed", "difference"])
    assert lines[first + 1 : first + 5] == [
        ["hash", "update", "251", "7", "1", "-2"],
        ["array", "-", "-", "-", "-", "-"],
        ["variant", "updated", "deleted", "evicted", "skipped", "differences"],
        ["hash", "mirror", "3", "2", "1", "4", "0"],
    ]


def test_guests_share_the_time(stress: Project) -> None:
    """All of it takes as long as the user said."""
    stress.plugins = True
    stress.run("--stress", "50", "-n", "2")
    assert [line.split()[3] for line in commands(stress)] == [
        "STRESS_SECONDS=50.000"
    ] * 2


def test_choice_of_tests_and_kernel(stress: Project) -> None:
    words = ["--debug-kernel", "selftests/stress", "-k", "array"]
    ended = stress.run("--stress", "50", *words)
    assert re.search(r"^kernel:  \S+, debug, accel", ended.output, re.MULTILINE)
    assert commands(stress) == [f"run 350 env STRESS_SECONDS=50.000 guest/two -r {TWO}"]


def test_stress_tests_in_a_normal_run(stress: Project) -> None:
    """They choose their own, short time, and there is no table."""
    ended = stress.run("selftests/stress")
    assert commands(stress)[0] == f"run 300 guest/two -r {ONE}"
    assert "variant  hook " not in ended.output
