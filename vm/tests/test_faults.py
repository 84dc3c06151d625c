"""Whole runs of the faults, on a fake guest; the real table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vm.faults import load
from vm.splats import table
from vm.tests.project import Project

SOURCES = Path(__file__).resolve().parents[2] / "selftests" / "faults"
OUTCOMES = [kind.outcome for kind in table()[0]]


def write_table(project: Project, *rows: str, proven: str = "") -> None:
    """Faults as "TEST, OUTCOME, MORE…"; what is not `proven` has a reason not to be."""
    text = ""
    for row in rows:
        test, outcome, *more = row.split(", ")
        lines = [f'run = "lkdtm {test}"', f'outcome = "{outcome}"', *more]
        text += "\n".join(["[[fault]]", *lines, ""])
    names = [name for name in OUTCOMES if name not in proven.split(", ")]
    text += "\n".join(["[unproven]", *(f'"{name}" = "because"' for name in names)])
    (project.path / "vm" / "faults.toml").write_text(text)


def test_all_are_named(project: Project) -> None:
    """A guest is used until it is spoilt; a kernel that does not boot is a fault."""
    write_table(
        project,
        *("passes, passed", "fails, Test failed", "splats, BUG"),
        *("panics, panic", 'sleeps, vanished, qemu = "SIGKILL"'),
        *('passes, passed, append = "a=b c=d"', "passes, passed"),
        proven="BUG, panic",
    )
    ended = project.run("--faults")
    assert ended.status == 0, ended.output
    assert "configuring base.config, vm.config, faults.config\n" in ended.output
    assert len(project.vng) == 5
    assert ["--append a=b --append c=d" in line for line in project.vng] == (
        [False, False, False, True, False]
    )
    assert (
        "7 faults, 0 misreported or reported too late; 0 patterns without"
        in ended.output
    )
    assert re.search(r"^lkdtm sleeps SIGKILL +vanished ", ended.output, re.MULTILINE)
    assert re.search(r"^panic +panics *$", ended.output, re.MULTILINE)
    assert re.search(r"^BUG +splats *$", ended.output, re.MULTILINE)
    assert re.search(r"^oops +none: because *$", ended.output, re.MULTILINE)
    rows = json.loads((project.logs / "faults.json").read_text())
    assert [row["fault"]["outcome"] for row in rows][:3] == (
        ["passed", "Test failed", "BUG"]
    )
    assert rows[2]["trace"] >= 3 and rows[2]["console"] == "console.log"
    assert rows[3]["named"].startswith("panic during `") and rows[3]["seconds"] < 60


def test_full_disk(project: Project) -> None:
    """A fault may lose its guest, but not what the harness writes."""
    write_table(project, "passes, passed", "splats, BUG", proven="BUG")
    project.limit_files()
    project.set("")
    process = project.start("--faults")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert f"error: cannot write {project.logs}/console.log: " in output


def test_debug_kernel(project: Project) -> None:
    """It is built after the other faults, if one needs it, and has its own guests."""
    write_table(
        project,
        *("splats, BUG, debug = true", "passes, passed"),
        *("fails, Test failed, debug = true", "fails, Test failed"),
        proven="BUG",
    )
    ended = project.run("--faults")
    assert ended.status == 0, ended.output
    configured = [line for line in ended.output.split("\n") if "configuring" in line]
    assert configured == [
        "configuring base.config, vm.config, faults.config",
        "configuring base.config, vm.config, debug.config, faults.config",
    ]
    rows = json.loads((project.logs / "faults.json").read_text())
    assert [row["fault"]["debug"] for row in rows] == [False, False, True, True]
    assert ["-debug" in line for line in project.vng] == [False, True, True]
    assert re.search(r"^lkdtm splats debug +BUG ", ended.output, re.MULTILINE)
    assert re.search(r"^stages: .*; 2 objects$", ended.output, re.MULTILINE)


def test_kernel_that_does_not_boot(project: Project) -> None:
    write_table(project, 'passes, panic during boot, append = "x=y"', proven="panic")
    ended = project.run("--faults", how="panics at boot")
    assert ended.status == 0, ended.output
    write_table(project, "passes, panic during boot", proven="panic")
    assert project.run("--faults", how="panics at boot").status == 7


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("passes, panic", r"lkdtm passes: passed after \d s, expected panic\n"),
        ("fails, passed", r"Test failed after \d s, expected passed\n"),
        ("fails, Test fail", r"Test failed after \d s, expected Test fail\n"),
        ("passes, passed, limit = 0.0", r"passed after \d s, expected passed\n"),
    ],
)
def test_wrong_name_or_too_late(project: Project, row: str, said: str) -> None:
    write_table(project, row)
    ended = project.run("--faults")
    assert ended.status == 1
    assert re.search(said, ended.output), ended.output
    assert "1 faults, 1 misreported" in ended.output


def test_slow_guest_has_more_time(project: Project) -> None:
    """As it has with all else: what is late elsewhere is in time here."""
    limits = project.path / "vm" / "limits.py"
    text = limits.read_text().replace("USUAL_BOOT = 15.0", "USUAL_BOOT = 0.00001")
    write_table(project, "passes, passed, limit = 0.001")
    assert "1 faults, 1 misreported" in project.run("--faults").output
    limits.write_text(text)
    assert "1 faults, 0 misreported" in project.run("--faults").output


def test_name_that_there_is_not(project: Project) -> None:
    write_table(project, "passes, passed")
    ended = project.run("--faults", "--command=passes pases")
    assert ended.status == 4 and "no fault is named pases\n" in ended.output


@pytest.mark.parametrize(
    "row", ['run = "one"', 'ran = "lkdtm x"', 'run = "lkdtm x"\nqemu = "KILL"', "]"]
)
def test_wrong_table(project: Project, row: str) -> None:
    table = f'[[fault]]\noutcome = "passed"\n{row}\n[unproven]\n'
    (project.path / "vm" / "faults.toml").write_text(table)
    ended = project.run("--faults")
    assert (ended.status, project.vng) == (3, [])
    assert re.search(r"^error: cannot use \S+faults.toml: ", ended.output, re.M)


def test_pattern_that_nothing_proves(project: Project) -> None:
    write_table(project, "passes, passed", proven="oops")
    ended = project.run("--faults")
    assert ended.status == 1
    assert "0 misreported or reported too late; 1 patterns without" in ended.output
    assert re.search(r"^oops +none: red *$", ended.output, re.MULTILINE)


def test_run_without_a_pattern_is_red(project: Project) -> None:
    write_table(project, "splats, BUG", proven="BUG")
    splats = project.path / "vm" / "splats.toml"
    text = splats.read_text()
    assert "'BUG: .*'" in text
    splats.write_text(text.replace("'BUG: .*'", "'no BUG: .*'"))
    ended = project.run("--faults")
    assert ended.status == 1
    assert "WARNING: WARNING: at map.c after " in ended.output


def test_some_of_the_faults(project: Project) -> None:
    write_table(project, "passes, passed", "panics, panic", "splats, no")
    ended = project.run("--cpus", "1", "--faults", "--command", "passes panics")
    assert all(" --cpus 1 " in line for line in project.vng)
    assert ended.status == 0, ended.output
    assert "2 faults, 0 misreported" in ended.output
    assert "none: because" not in ended.output
    ended = project.run("--faults", "--command", "PANIC")
    assert ended.status == 4
    assert "no fault is named PANIC\n" in ended.output


def test_knobs_of_the_guest(project: Project) -> None:
    """The user's, with those of the fault, and in the guests of other faults."""
    write_table(project, 'passes, passed, append = "a=b"', "passes, passed")
    ended = project.run("--faults", "--append", "u=v", "--qemu-opts=-s")
    assert ended.status == 0, ended.output
    assert ["--append u=v --append a=b " in line for line in project.vng] == (
        [True, False]
    )
    assert all("--append u=v " in line for line in project.vng)
    assert all(re.search(r" -s -pidfile \S+$", line) for line in project.vng)


# The real table


def test_tests_of_the_table_exist() -> None:
    for fault in load()[0]:
        program, name = fault.run.split()
        pattern = rf"^{name}\)" if program == "ktap" else rf"^T\w+\({name}\)"
        source = SOURCES / f"{program}.{'sh' if program == 'ktap' else 'c'}"
        assert re.search(pattern, source.read_text(), re.MULTILINE), fault


def test_each_pattern_is_proven_or_said_why_not() -> None:
    rows, unproven = load()
    proven = {name for name in OUTCOMES for row in rows if row.outcome == name}
    assert proven | set(unproven) == set(OUTCOMES)
    assert not proven & set(unproven)
