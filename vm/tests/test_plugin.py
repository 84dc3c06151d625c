"""Whole runs: their exit status, what they say and what they leave."""

from __future__ import annotations

import os
import re
import signal
import time
import xml.etree.ElementTree as ET

import pytest

from vm.process import session_members
from vm.tests.project import Project

LOST = "guest lost: panic during `"

# The outcome of the tests


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
    assert f"f.hash.splats: {reason}\n\nWARNING: at map.c\n" in ended.output
    assert "not ok 2 f.hash.splats" in project.ktap
    assert project.ran == [
        *("one f.hash.passes", "one f.hash.splats", "power off"),
        *("one f.hash.splats", "power off"),
        *("one f.array.passes", "two f.percpu.passes", "power off"),
    ]
    consoles = sorted(path.name for path in project.logs.glob("console*"))
    assert consoles == ["console-2.log", "console-3.log", "console.log"]


def test_late_splat_fails_the_run(project: Project) -> None:
    ended = project.run(how="warns at power-off")
    assert ended.status == 7
    assert "3 passed" in ended.output
    assert ended.output.count("the kernel complained after the last test") == 1
    assert "    lockdep: WARNING: suspicious RCU usage\n" in ended.output


def test_splat_during_boot_is_no_tests_fault(project: Project) -> None:
    ended = project.run(how="warns at boot")
    assert (ended.status, project.ran) == (7, ["power off"])
    assert ended.output.count("complained during boot\n    lockdep: WARNING: ") == 1


# Runs that cannot continue


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


def test_lost_guest(project: Project) -> None:
    """The run goes on in a fresh one, but its verdict stays."""
    project.tests("f.hash.passes f.hash.panics f.array.passes")
    ended = project.run()
    assert ended.status == 7
    assert ended.output.count(LOST) == 1
    assert "not syncing: no way out (again when run alone: failed)\n" in ended.output
    assert "1 failed, 3 passed" in ended.output
    assert project.ran == [
        *("one f.hash.passes", "one f.hash.panics", "one f.hash.panics"),
        *("one f.array.passes", "two f.percpu.passes", "power off"),
    ]
    (bad,) = [line for line in project.ktap if line.startswith("not ok 2 ")]
    assert bad == "not ok 2 f.hash.panics"
    suite = ET.parse(project.logs / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")


def test_guest_lost_once(project: Project) -> None:
    project.tests("f.hash.once")
    ended = project.run()
    assert ended.status == 7
    assert "1 failed, 1 passed" in ended.output
    assert "not syncing: once (not again when run alone: passed)\n" in ended.output
    ran = ["one f.hash.once", "one f.hash.once", "two f.percpu.passes", "power off"]
    assert project.ran == ran, "the guest of the second try is good for the rest"


def test_too_many_lost_guests(project: Project) -> None:
    file = project.path / "vm" / "run.py"
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


def test_results_are_written_as_tests_end(project: Project) -> None:
    """A harness that is killed leaves those that there are."""
    project.tests("f.hash.passes f.hash.waits")
    project.set("")
    process = project.start()
    deadline = time.monotonic() + 90
    while "one f.hash.waits" not in project.ran:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=90)
    assert "ok 1 f.hash.passes" in project.ktap


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("panics at boot", "guest lost: panic during boot: Kernel panic - not"),
        ("vanishes at boot", "guest lost: vanished: QEMU ended during boot\n"),
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
    assert "guest lost: cannot copy 2 files into the guest\n    cp: " in ended.output


# Interrupts


def test_interrupt(project: Project) -> None:
    project.tests("f.hash.passes f.hash.interrupts f.array.passes")
    ended = project.run()
    assert ended.status == 2
    assert "KeyboardInterrupt" in ended.output
    assert project.ran == ["one f.hash.passes", "one f.hash.interrupts"]
    assert "ok 1 f.hash.passes" in project.ktap


@pytest.mark.parametrize("option", ["--shell", "--bench", "--collect-only", "-x"])
def test_interrupt_of_the_build(project: Project, option: str) -> None:
    fragment = project.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    ended = project.run(option, how="interrupted")
    assert (ended.status, project.vng) == (2, [])


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_a_killed_harness(
    project: Project, sig: signal.Signals
) -> None:
    project.tests("f.hash.waits")
    project.set("")
    process = project.start()
    deadline = time.monotonic() + 90
    while "one f.hash.waits" not in project.ran:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (child,) = [pid for pid in children(process.pid) if session_members(pid)]
    process.send_signal(sig)
    process.communicate(timeout=90)
    while session_members(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    """The child processes of a process."""
    path = f"/proc/{parent}/task/{parent}/children"
    with open(path) as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]


# What a run leaves


def test_run_that_boots_nothing_leaves_nothing(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): pass\n")
    for arguments in (["test_other.py"], ["--collect-only", "-q"], ["--help"]):
        ended = project.run(*arguments)
        assert (ended.status, project.vng, project.runs) == (0, [], 0), arguments
        assert "xml file" not in ended.output


# --lf


def test_last_failed(project: Project) -> None:
    project.tests("f.hash.fails f.hash.passes")
    assert project.run().status == 1
    project.run("--lf")
    assert project.ran == ["one f.hash.fails", "power off"]
    project.run("--ff")
    assert project.ran[0] == "one f.hash.fails" and len(project.ran) == 4
    assert not list(project.path.glob(".pytest_cache"))


# Output that cannot be written


def test_full_disk_behind_stdout(project: Project) -> None:
    project.set("")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = project.start(stdout=full)
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 3
    message = "error: cannot write to stdout: No space left on device\nnext:    "
    assert errors.count(message) == 1 and "Traceback" not in errors


def test_pipe_that_nobody_reads(project: Project) -> None:
    project.set("")
    read, write = os.pipe()
    process = project.start(stdout=write)
    os.close(write)
    os.close(read)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 3
    assert "cannot write to stdout: Broken pipe\n" in errors
    assert "Traceback" not in errors and "Exception ignored" not in errors
