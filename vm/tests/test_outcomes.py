"""Whole runs: how their tests went, and what is said of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from vm.tests.project import Project


def test_all_pass(project: Project) -> None:
    ended = project.run()
    assert ended.status == 0, ended.output
    assert "3 passed" in ended.output
    assert re.search(r"^all +3 +0 +0 +\d+\.\d$", ended.output, re.MULTILINE)
    assert re.search(
        r"^kernel:  \S+, accelerator: tcg \(TCG: there is no .*\), "
        r"QEMU emulator version 7\.2\.22, one thread for all CPUs$",
        ended.output,
        re.MULTILINE,
    )
    assert "source:  linux-7.3.4 (of the tests), all patches\n" in ended.output
    assert project.ran == [
        "one f.hash.passes",
        "one f.array.passes",
        "two f.percpu.passes",
        "power off",
    ]
    assert project.ktap[-1] == "ok 2 two"
    assert (project.logs / "junit.xml").exists()
    assert (
        f"logs:    {project.logs}: build.log, console.log, junit.xml, " in ended.output
    )


def test_failure(project: Project) -> None:
    project.tests("f.hash.fails f.hash.passes f.hash.skips", "f.hash.crashes")
    ended = project.run("--tb=short", "-rN", "--show-capture=no")
    assert ended.status == 1
    assert "2 failed, 1 passed, 1 skipped" in ended.output
    said = "s.c:12:fails:Expected 0 (0) == self->fd (3)"
    assert f"f.hash.fails: Test failed\n{said}\n" in ended.output
    assert "unexpectedly by signal 11" in ended.output
    assert project.ktap[5:7] == ["# Test failed", f"# {said}"]
    assert "ok 3 f.hash.skips # SKIP no map of type 1 # here" in project.ktap
    assert project.ran[-1] == "power off"


def test_all_skipped(project: Project) -> None:
    project.tests("f.hash.skips", "f.array.skips")
    ended = project.run()
    assert (ended.status, "2 skipped" in ended.output) == (5, True)


def test_no_test_selected(project: Project) -> None:
    ended = project.run("-k", "nothing")
    assert (ended.status, project.vng, project.runs) == (5, [], 0)
    assert "xml file" not in ended.output


def test_splats_fail_the_test_they_came_with(project: Project) -> None:
    """It is run once more, alone in a fresh guest; so are those that follow."""
    project.tests("f.hash.passes f.hash.splats f.array.passes")
    ended = project.run("--show-capture=no")
    assert ended.status == 1
    assert "1 failed, 3 passed" in ended.output
    reason = "BUG: BUG: sleeping function (again when run alone: failed)"
    assert f"f.hash.splats: {reason}\n\nWARNING: at map.c\n map.c:1\n" in ended.output
    assert "not ok 2 f.hash.splats" in project.ktap
    assert project.ran == [
        *("one f.hash.passes", "one f.hash.splats", "one f.hash.splats"),
        *("one f.array.passes", "two f.percpu.passes", "power off"),
    ]
    consoles = sorted(path.name for path in project.logs.glob("console*"))
    assert consoles == ["console-2.log", "console-3.log", "console.log"]


def test_splat_that_the_console_does_not_show(project: Project) -> None:
    """The kernel's taint tells; that of before does not count."""
    project.tests("f.hash.passes f.hash.taints")
    ended = project.run()
    assert (ended.status, "1 failed, 2 passed" in ended.output) == (1, True)
    reason = "taint: tainted by W: warning; the console shows no report"
    assert f"f.hash.taints: {reason} (again when run alone: failed)" in ended.output


def test_trace_that_cannot_be_decoded(project: Project) -> None:
    for script in project.cache.rglob("decode_stacktrace.sh"):
        script.write_text("exit 3\n")
    project.tests("f.hash.splats")
    ended = project.run()
    assert " map+0x1/0x2\n" in ended.output
    assert "(not decoded: bash (exit status 3))\n" in ended.output


@pytest.mark.parametrize("how", ["warns at power-off", "warns in its last bytes"])
def test_late_splat_fails_the_run(project: Project, how: str) -> None:
    ended = project.run(how=how)
    assert ended.status == 7
    assert "3 passed" in ended.output
    assert ended.output.count("the kernel complained outside a test") == 1
    assert "    lockdep: WARNING: suspicious RCU usage\n" in ended.output


def test_splat_during_boot_is_no_tests_fault(project: Project) -> None:
    ended = project.run(how="warns at boot")
    assert (ended.status, project.ran) == (7, [])
    assert ended.output.count("complained during boot\n    lockdep: WARNING: ") == 1


def test_tests_of_another_folder_are_not_run(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): assert False\n")
    ended = project.run()
    assert (ended.status, "3 passed" in ended.output) == (0, True)


def test_some_are_skipped(project: Project) -> None:
    project.tests("f.hash.skips")
    assert project.run().status == 0


def test_reports(project: Project) -> None:
    """Where a test stands, which program it is of, and what it said."""
    project.tests("f.hash.passes\nf.hash.fails\n")
    words = ["-o", "junit_family=xunit1", "--junitxml", "junit.xml"]
    ended = project.run(*words)
    assert "Captured output call" in ended.output
    assert "# Starting 1 tests from 1 test cases.\n" in ended.output
    cases = ET.parse(project.path / "junit.xml").getroot()[0]
    found = [
        (
            case.get("file"),
            case.get("line"),
            case.findall(".//property")[0].get("value"),
        )
        for case in cases
    ]
    assert found == [
        ("selftests/one.c", "0", "one"),
        ("selftests/one.c", "1", "one"),
        ("selftests/two.c", "0", "two"),
    ]


def test_time_of_a_test_is_the_guests(project: Project) -> None:
    """That of the first one does not include booting."""
    project.run("-k", "percpu", how="boots slowly")
    (case,) = ET.parse(project.logs / "junit.xml").getroot()[0]
    assert 0 < float(case.get("time", "")) < 1.8, "booting takes 1.8 s"


FIGURE = """
class Figure:
    def __init__(self, **_): pass
    def __getattr__(self, _): return lambda *_, **__: self
    def __getitem__(self, _): return self
    def savefig(self, path, **_): path.touch()
"""


def test_plots_of_upgrades(project: Project) -> None:
    """What is drawn is another test's subject: matplotlib takes a second to import."""
    (project.path / "matplotlib").mkdir()
    package = project.path / "matplotlib" / "__init__.py"
    package.write_text("from contextlib import nullcontext as rc_context\n")
    package.with_name("figure.py").write_text(FIGURE)
    text = "".join(f"# sample {ms} {ms * 5} 1 2 1\n" for ms in (0, 20, 40))
    text += "".join(f"# size {keys} 1 2 3 4 5 6\n" for keys in (10, 100))
    file = project.path / "data" / "ktap_passes.txt"
    file.write_text(file.read_text() + text)
    assert project.run("-k", "percpu").status == 0
    for kind in ("svg", "png"):
        assert (project.logs / f"two.f.percpu.passes.{kind}").exists()
    assert (project.logs / "upgrade_sizes.svg").exists()


def test_last_failed(project: Project) -> None:
    project.tests("f.hash.fails f.hash.passes")
    assert project.run().status == 1
    project.run("--lf")
    assert project.ran == ["one f.hash.fails", "power off"]
    project.run("--ff")
    assert project.ran[0] == "one f.hash.fails" and len(project.ran) == 4
    assert not list(project.path.glob(".pytest_cache"))
