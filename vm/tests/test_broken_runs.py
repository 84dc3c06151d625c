"""Whole runs that cannot go on, or only in another guest."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from vm.tests.project import Project

LOST = "guest lost: panic during `"


# Before a guest boots


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("no build", "build failed: the kernel does not build: map.c:3: error: no\n"),
        ("no selftests", "build failed: the selftests do not build (exit status 2)\n"),
        ("lost option", "CONFIG_NR_CPUS: base.config wants 8, got n\n"),
    ],
)
def test_build_that_fails(project: Project, how: str, text: str) -> None:
    # As after an edit: otherwise the template's kernel would do.
    fragment = project.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    ended = project.run(how=how)
    assert (ended.status, project.vng) == (6, [])
    assert ended.output.count(text) == 1
    assert f"logs:    {project.logs}\n" in ended.output or "logs: " in ended.output
    assert (project.logs / "build.log").exists()


def test_program_that_lists_no_tests(project: Project) -> None:
    project.tests("")
    ended = project.run()
    assert ended.status == 6
    assert ended.output.count("one lists no tests\ncommand: ") == 1


def test_program_that_crashes_instead_of_listing_its_tests(project: Project) -> None:
    program = project.path / "fakes" / "program.sh"
    program.write_text(program.read_text().replace("exit 4", "exit 1"))
    ended = project.run()
    assert ended.status == 6
    assert "/one does not list its tests" in ended.output


def test_missing_header(project: Project) -> None:
    header = next(file for file in project.path.glob("include/**/*") if file.is_file())
    header.unlink()
    ended = project.run()
    assert (ended.status, project.vng) == (4, [])
    assert "usage error: not installed: " in ended.output
    assert str(header.relative_to(project.path / "include")) in ended.output


def test_patches_are_those_of_the_base(project: Project) -> None:
    file = project.path / "patches" / "bases.toml"
    row = file.read_text().partition('["7.3"]')[2]
    file.write_text(f'{file.read_text()}\n["9.9"]{row}')
    ended = project.run("--base", "9.9")
    assert ended.status == 4, ended.output
    assert f"{project.path}/patches/9.9" in ended.output


def test_lost_guest(project: Project) -> None:
    """The run goes on in a fresh one, but its verdict stays."""
    project.tests("f.hash.passes f.hash.panics f.array.passes")
    ended = project.run()
    assert ended.status == 7
    assert ended.output.count(LOST) == 1
    again = "not syncing: no way out (again when run alone: failed)"
    assert (
        f"{again}\nKernel panic - not syncing: no way out\n map.c:1\n" in ended.output
    )
    assert "1 failed, 3 passed" in ended.output
    assert project.ran == [
        *("one f.hash.passes", "one f.hash.panics", "one f.hash.panics"),
        *("one f.array.passes", "two f.percpu.passes", "power off"),
    ]
    (bad,) = [line for line in project.ktap if line.startswith("not ok 2 ")]
    assert bad == "not ok 2 f.hash.panics"
    suite = ET.parse(project.logs / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")


def test_splat_during_the_boot_of_another_guest(project: Project) -> None:
    """No test runs in it: that one was the first may keep others from being seen."""
    project.tests("f.hash.panics f.array.passes")
    ended = project.run(how="warns at the second boot")
    assert (ended.status, "1 failed, 2 passed" in ended.output) == (7, True)
    assert "(not run again: the kernel complained during boot)\n" in ended.output
    ran = [f"{word}.passes" for word in ("one f.array", "two f.percpu")]
    assert project.ran == ["one f.hash.panics", *ran, "power off"]
    assert len(project.vng) == 3
    names = ("console-2.log", "console-3.log")
    shown = ["suspicious RCU" in (project.logs / name).read_text() for name in names]
    assert shown == [True, False]


# Before the second test, the kernel complains.
BETWEEN = """
import time

def pytest_runtest_setup(item):
    run = run_of(item.config)
    if run.results and run.has_guest:
        Path("after").touch()
        while not run._guest.splats:
            time.sleep(0.02)
"""


def test_splat_between_two_tests(project: Project) -> None:
    """It is no test's fault, but the next one does not run in that guest."""
    conftest = project.path / "selftests" / "conftest.py"
    conftest.write_text(conftest.read_text() + BETWEEN)
    project.tests("f.hash.passes f.array.panics")
    ended = project.run("-x", how="warns after a test")
    assert ended.status == 7, ended.output
    assert ended.output.count("complained outside a test\n    lockdep: WARNING: ") == 1
    assert project.ran == ["one f.hash.passes", *["one f.array.panics"] * 2]
    assert len(project.vng) == 3


AFTERWARDS = """
def pytest_runtest_teardown(item):
    if "array" in item.name:
        raise OSError("no more")
"""


def test_something_fails_after_a_test(project: Project) -> None:
    """The test has one result, which is not that it passed."""
    conftest = project.path / "selftests" / "conftest.py"
    conftest.write_text(conftest.read_text() + AFTERWARDS)
    assert project.run().status == 1
    assert project.ktap.count("not ok 2 f.array.passes") == 1
    assert "ok 2 f.array.passes" not in project.ktap


def test_guest_lost_once(project: Project) -> None:
    project.tests("f.hash.once")
    ended = project.run()
    assert ended.status == 7
    assert "1 failed, 1 passed" in ended.output
    assert "not syncing: once (not again when run alone: passed)\n" in ended.output
    ran = ["one f.hash.once", "one f.hash.once", "two f.percpu.passes", "power off"]
    assert project.ran == ran, "the guest of the second try is good for the rest"


def test_state_of_a_guest_that_hangs(project: Project) -> None:
    """What it was doing is told with the test that was running, in the KTAP, too."""
    file = project.path / "vm" / "hung.py"
    text = file.read_text()
    assert "_QUIET = 0.5" in text
    file.write_text(text.replace("_QUIET = 0.5", "_QUIET = 0.1"))
    ended = project.run("-k", "percpu", how="unkillable")
    assert ended.status == 7
    assert "unkillable: process 77 " in ended.output
    assert "\nThread 1 (CPU#0 [running])\n#0 0x1 in " in ended.output
    assert "# Thread 1 (CPU#0 [running])" in project.ktap


def test_too_many_lost_guests(project: Project) -> None:
    file = project.path / "vm" / "ctest.py"
    text = file.read_text()
    assert "SPOILT_GUESTS = 10" in text
    file.write_text(text.replace("SPOILT_GUESTS = 10", "SPOILT_GUESTS = 2"))
    project.tests("f.a.panics f.b.panics f.c.panics")
    ended = project.run()
    assert ended.status == 7
    assert ended.output.count("guest lost: 3 guests were lost or reported ") == 1
    assert project.ran == ["one f.a.panics", "one f.a.panics", "one f.b.panics"]
    assert [line for line in project.ktap if line.startswith("not ok")] == [
        *("not ok 1 f.a.panics", "not ok 2 f.b.panics", "not ok 1 one"),
    ]


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("panics at boot", "guest lost: panic during boot: Kernel panic - not"),
        ("vanishes at boot", "guest lost: vanished: QEMU ended during boot\n"),
        ("splats for ever", "\n    KASAN: BUG: KASAN: use-after-free in f0+0x1/0x2\n"),
        ("another kernel", "guest lost: the guest runs 6.6.6, not 7.3.4-fake\n"),
        ("lacks a CPU", "guest lost: 1 of the guest's 2 CPUs are online\n"),
        ("dies at power-off", "guest lost: vanished: QEMU ended at power-off\n"),
        ("panics at power-off", "guest lost: oops at power-off: BUG: kernel NULL"),
    ],
)
def test_guest_lost_before_or_after_the_tests(
    project: Project, how: str, text: str
) -> None:
    ended = project.run(how=how)
    assert ended.status == 7
    assert ended.output.count(text) == 1


def test_programs_that_cannot_be_copied(project: Project) -> None:
    ended = project.run(how="no copy")
    assert ended.status == 7
    lost = "guest lost: copying one into the guest failed\n    /no/such/file: No such "
    assert lost in ended.output


def test_guest_without_room(project: Project) -> None:
    """What an earlier test filled does not keep later ones from running."""
    project.tests("f.hash.fills", "f.array.passes")
    ended = project.run()
    assert (ended.status, "2 passed" in ended.output) == (0, True), ended.output
    assert "copying two into the guest failed: " in ended.output
    assert len(project.vng) == 2 and project.ran[-1] == "power off"


def test_splat_in_a_guest_without_room(project: Project) -> None:
    """It goes with the guest, but is not forgotten."""
    project.tests("f.hash.fills", "f.array.passes")
    ended = project.run(how="warns of a full disk")
    assert (ended.status, "2 passed" in ended.output) == (7, True), ended.output
    assert ended.output.count("complained outside a test\n    lockdep: WARNING: ") == 1
    assert len(project.vng) == 2 and project.ran[-1] == "power off"


def test_late_splat_fails_a_shell(project: Project) -> None:
    ended = project.run("--shell", "--command=true", how="warns at power-off")
    assert ended.status == 7
    assert ended.output.count("the kernel complained outside a test") == 1
