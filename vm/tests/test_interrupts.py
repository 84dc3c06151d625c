"""Whole runs that are interrupted or killed."""

from __future__ import annotations

import signal
import time
import xml.etree.ElementTree as ET

import pytest

from vm.process import session_members
from vm.tests.project import Project


def test_interrupt(project: Project) -> None:
    project.tests("f.hash.passes f.hash.interrupts f.array.passes")
    ended = project.run()
    assert ended.status == 2
    assert "KeyboardInterrupt" in ended.output
    assert project.ran == ["one f.hash.passes", "one f.hash.interrupts"]
    assert "ok 1 f.hash.passes" in project.ktap


@pytest.mark.parametrize("option", ["--shell", "--bench", "--collect-only"])
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
    project.wait_for("one f.hash.waits")
    (child,) = [pid for pid in children(process.pid) if session_members(pid)]
    process.send_signal(sig)
    process.communicate(timeout=90)
    deadline = time.monotonic() + 90
    while session_members(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_patch_is_terminated(project: Project) -> None:
    """The signal is passed on to the run that it waits for."""
    project.tests("f.hash.waits")
    project.set("")
    process = project.start("--each-patch")
    project.wait_for("one f.hash.waits")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 2 and "no tests ran" in output


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_harness_that_is_terminated_cleans_up(
    project: Project, sig: signal.Signals
) -> None:
    project.tests("f.hash.passes f.hash.waits")
    project.set("")
    process = project.start()
    project.wait_for("one f.hash.waits")
    assert sockets(project)
    process.send_signal(sig)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 2 and "KeyboardInterrupt" in output
    assert "ok 1 f.hash.passes" in project.ktap and not sockets(project)


def sockets(project: Project) -> list[str]:
    """Those in the folder of the last run."""
    return [file.name for file in project.logs.iterdir() if file.is_socket()]


def children(parent: int) -> list[int]:
    """The child processes of a process."""
    path = f"/proc/{parent}/task/{parent}/children"
    with open(path) as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]


def test_results_of_a_run_that_is_killed(project: Project) -> None:
    project.tests("f.hash.passes f.hash.waits")
    project.set("")
    process = project.start()
    project.wait_for("one f.hash.waits")
    process.kill()
    process.communicate(timeout=60)
    killed = project.logs
    assert (killed / "console.tmp").is_dir()
    assert sockets(project)
    assert "ok 1 f.hash.passes" in project.ktap
    assert {"1..2", "not ok 1 one"} <= {*project.ktap}, "two tests are missing"
    suite = ET.parse(project.logs / "junit.xml").getroot()[0]
    assert [case.get("name") for case in suite] == ["f.hash.passes"]
    assert project.run("-k", "percpu").status == 0
    left = [
        file.name for file in killed.iterdir() if file.suffix not in (".log", ".md")
    ]
    assert sorted(left) == ["junit.xml", "results.ktap"]
