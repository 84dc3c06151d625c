"""Several guests at a time, in whole runs: nothing mixes, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from vm import workers
from vm.machine import TCG, Accel
from vm.options import Options
from vm.process import session_members
from vm.tests.project import Project


@pytest.fixture
def spread(project: Project) -> Project:
    """A project with ten tests, whose runs load pytest-xdist."""
    project.tests(" ".join(f"f.v{n}.passes" for n in range(8)), "g.a.passes g.b.passes")
    project.plugins = True
    return project


def names(project: Project) -> list[str]:
    """The tests in the KTAP file, with their verdicts."""
    lines = (line.split(" ") for line in project.ktap)
    return sorted(
        f"{'not ' * (words[0] == 'not')}{words[-1]}"
        for words in lines
        if "." in words[-1] and words[0] in ("ok", "not")
    )


ALL = sorted([f"f.v{n}.passes" for n in range(8)] + ["g.a.passes", "g.b.passes"])


def test_guest_for_each_worker(
    spread: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ended = spread.run("-n", "2")
    assert ended.status == 0, ended.output
    assert "10 passed" in ended.output
    plans = [line for line in spread.ktap if line.startswith("1..")]
    assert sorted(plans) == ["1..2", "1..2", "1..8"]
    assert len(spread.vng) == 2 and spread.asked.count("power off") == 2
    assert names(spread) == ALL
    assert len([line for line in spread.asked if line.startswith("make ")]) == 1
    files = {path.name for path in spread.logs.iterdir()}
    assert {"console-gw0.log", "console-gw1.log", "junit.xml"} <= files
    assert not any("shell" in name or "monitor" in name for name in files)
    for name in ("console-gw0.log", "console-gw1.log"):
        log = (spread.logs / name).read_text()
        ended_there = log.count("bpf-map-tracing: end ")
        assert ended_there > 1 and log.count("bpf-map-tracing: begin ") == ended_there
    assert re.search(r"^all +10 +0 +0 ", ended.output, re.MULTILINE)
    assert "; 2 guests\n" in ended.output and ", boot " in ended.output
    assert list(tmp_path.iterdir()) == []


def test_lost_guest_does_not_touch_the_others(spread: Project) -> None:
    spread.tests("f.v0.passes f.v1.panics f.v2.passes f.v3.splats", "g.a.passes")
    ended = spread.run("-n", "2")
    assert (ended.status, "2 failed, 3 passed" in ended.output) == (7, True)
    assert "no way out (again when run alone: failed)" in ended.output
    assert ended.output.count("guest lost: panic during `") == 1
    assert names(spread) == [
        *("f.v0.passes", "f.v2.passes", "g.a.passes"),
        *("not f.v1.panics", "not f.v3.splats"),
    ]


def test_guest_that_does_not_boot(spread: Project) -> None:
    ended = spread.run("-n", "2", how="panics at boot")
    assert ended.status == 7
    assert ended.output.count("guest lost: panic during boot: ") == 1
    assert not re.search(r"\d passed", ended.output)
    assert spread.asked.count("power off") == 0
    assert any(
        line.startswith("# not run: panic during boot: ") for line in spread.ktap
    )


def test_kernel_that_does_not_build(spread: Project) -> None:
    fragment = spread.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    ended = spread.run("-n", "2", how="no build")
    assert (ended.status, spread.vng) == (6, [])
    assert ended.output.count("build failed: the kernel does not build") == 1
    assert f"logs:    {spread.logs}" in ended.output


def test_worker_that_is_killed(spread: Project) -> None:
    """Its test has failed, in the files, too; what it knew of its guest is missing."""
    spread.tests("f.v0.kills f.v1.passes f.v2.passes", "g.a.passes")
    ended = spread.run("-n", "2")
    assert ended.status == 3, ended.output
    assert "1 failed, 3 passed" in ended.output
    assert re.search(
        r"^error: worker gw\d exited without reporting", ended.output, re.M
    )
    assert "not f.v0.kills" in names(spread)


def test_workers_that_are_killed_are_not_replaced_for_ever(spread: Project) -> None:
    spread.tests(" ".join(f"f.v{n}.kills" for n in range(5)))
    ended = spread.run("-n", "2")
    assert ended.status == 3, ended.output
    assert "maximum crashed workers reached: 2" in ended.output


def test_worker_that_is_killed_at_the_end(spread: Project) -> None:
    """No test is lost, but what the kernel said last may be."""
    ended = spread.run("-n", "2", how="kills at power-off")
    assert (ended.status, "10 passed" in ended.output) == (3, True), ended.output


def test_program_that_lists_no_tests(spread: Project) -> None:
    spread.tests("f.v0.passes", "")
    ended = spread.run("-n", "2")
    assert ended.status == 6
    assert "two lists no tests" in ended.output


def test_first_failure_ends_the_run(spread: Project) -> None:
    spread.tests(" ".join(f"f.v{n}.fails" for n in range(8)), "g.a.fails")
    ended = spread.run("-n", "2", "-x")
    assert ended.status == 1, ended.output


def test_debugger_has_one_guest(spread: Project) -> None:
    ended = spread.run("-n", "2", "--gdb")
    assert (ended.status, len(spread.vng)) == (0, 1) and "workers" not in ended.output


@pytest.mark.parametrize("whole_group", [False, True])
def test_interrupted(spread: Project, whole_group: bool) -> None:
    """Whoever gets the signal: nothing is left, and what was done is kept."""
    spread.tests("f.v0.passes f.v1.waits f.v2.waits f.v3.waits", "g.a.passes")
    spread.set("")
    process = spread.start("-n", "2")
    deadline = time.monotonic() + 120
    while sum("waits" in test for test in spread.ran) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Each guest's processes are in a session.
    consoles = set(spread.sessions)
    assert len(consoles) == 2
    process.send_signal(signal.SIGINT)
    if whole_group:
        for pid in children(process.pid):
            os.kill(pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    deadline = time.monotonic() + 60
    guests = spread.path / "guest"
    while any(session_members(pid) for pid in consoles) or running(guests):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in output


def running(path: Path) -> list[str]:
    """The processes with that path, or one below it, in their command line."""
    marker = str(path).encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in file.read_bytes():
                found.append(file.parent.name)
        except OSError:
            continue
    return found


def children(parent: int) -> list[int]:
    """The processes that a process has started."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in text.split()]


def test_parts_for_two_machines(spread: Project) -> None:
    """Each test is in one of them."""
    found = []
    for words in (["--group", "1"], ["--group", "2", "-n", "2"]):
        ended = spread.run("--splits", "2", *words)
        assert (ended.status, "5 passed" in ended.output) == (0, True), ended.output
        found += names(spread)
    assert sorted(found) == ALL


def test_one_guest_needs_no_worker(spread: Project) -> None:
    for words in (["-n", "1"], ["selftests/one.c"], ["--collect-only", "-n", "2"]):
        ended = spread.run(*words)
        assert ended.status == 0 and "workers" not in ended.output


@dataclass
class Sizes:
    """The options that matter for the number of guests."""

    cpus: int
    memory: str
    mttcg: bool = False


@pytest.mark.parametrize(
    ("accel", "cpus", "memory", "guests"),
    [
        ("tcg", 2, "1G", 4),  # 6 GiB free, and half of one more for each
        ("tcg", 2, "512M", 6),
        ("kvm", 2, "512M", 3),
        ("kvm", 8, "512M", 1),
        ("tcg", 2, "64G", 1),
    ],
)
def test_guests_that_fit(
    accel: str, cpus: int, memory: str, guests: int,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "meminfo").write_text("MemFree: 1 kB\nMemAvailable:    6291456 kB\n")
    monkeypatch.setattr(workers, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    sizes = cast(Options, Sizes(cpus, memory))
    assert workers.guests_that_fit(sizes, Accel(accel, "")) == guests
    threads = cast(Options, Sizes(2, "512M", mttcg=True))
    assert workers.guests_that_fit(threads, TCG) == 3


# In a worker, the harness itself fails after all other workers have ended.
BREAKS = """
import time

def pytest_runtest_logreport(report):
    if report.nodeid.endswith("breaks"):
        asked = Path(__file__).parents[1] / "asked"
        while "power off" not in asked.read_text():
            time.sleep(0.1)
        time.sleep(1)
        raise OSError("out of everything")
"""


def test_test_that_does_not_exist(spread: Project) -> None:
    ended = spread.run("-n", "2", "selftests/one.c", "selftests/two.c::g.wrong")
    assert (ended.status, spread.vng) == (4, []), ended.output
    assert "error: not found: " in ended.output and "two.c::g.wrong" in ended.output


def test_test_that_vanishes(spread: Project) -> None:
    """pytest-xdist shows why, and would end as if there were no such test."""
    conftest = spread.path / "selftests" / "conftest.py"
    conftest.write_text(conftest.read_text() + BREAKS)
    spread.tests("f.v0.passes", "f.v1.breaks")
    spread.set("")
    process = spread.start("-n", "2")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 3, output
    lost = (
        "error: tests without a result: 1; gw1 did not report the state of the guest\n"
    )
    assert f"{lost}    selftests/two.c::f.v1.breaks\n" in output
