"""Whole runs of the benchmark, with a program that prints made-up figures."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vm import bench
from vm.channel import Result
from vm.figures import BenchError, Figure, Results, Row, load
from vm.guest import Guest
from vm.machine import Machine
from vm.terminal import Log
from vm.tests.project import BASE, Ended, Project
from vm.tests.template import Template

HIT = Row("hit", "hash", "update", "program")


def figures(project: Project) -> Results:
    """What the last run wrote."""
    return load(project.logs / "bench.json", BASE)


def asked_for(project: Project) -> list[str]:
    """What was built and measured, in order."""
    found = []
    for line in project.asked:
        words = shlex.split(line)
        if words[0] == "make" and words[-1] == "bench":
            found.append("build")
        elif words[0] == "vng":
            found.append("boot")
        elif words[0] == "run" and words[2].endswith("/bench"):
            found.append(f"{words[-2]} {words[-1]}")
    return found


@pytest.fixture(scope="module")
def measured(
    template: Template, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Ended]:
    """A project after a run of the benchmark."""
    project = template.fresh()
    words = ["--memory", "3G", "--append", "x=y", "--qemu-opts=-s"]
    ended = project.run("--bench", *words)
    return project.move(tmp_path_factory.mktemp("bench") / "project"), ended


def without_chart(project: Project) -> None:
    """Have its runs draw nothing, which takes longer than all else."""
    text = "def dots(path, *_): path.touch()\n"
    (project.path / "vm" / "chart.py").write_text(text)


# A run


def test_plain_is_measured_before_patched_is_built(
    measured: tuple[Project, Ended],
) -> None:
    project, ended = measured
    assert ended.status == 0, ended.output
    plain = ["boot", *(f"instructions {setup}" for setup in bench.PLAIN)]
    patched = ["boot", *(f"instructions {setup}" for setup in bench.PATCHED)]
    assert asked_for(project) == ["build", *plain * 3, "build", *patched * 3]
    assert "measuring the plain kernel: boot 1 of 3\n" in ended.output
    results = figures(project)
    assert (results.patches, len(results.figures)) == (2, 10 * 6 + 2)
    assert results.figures[HIT] == Figure("figure", 210.0, 0.0)
    assert json.loads((project.logs / "bench.json").read_text())["kvm_ratios"] == []
    for number in (1, 2, 3):
        assert (project.logs / f"console-plain-{number}.log").exists()
        assert (project.logs / f"console-patched-{number}.log").exists()


def test_patches_of_the_two_kernels(measured: tuple[Project, Ended]) -> None:
    """Whether the tree has the patches: none for the first, then both."""
    log = (measured[0].logs / "patch.log").read_text()
    lines = [line for line in log.splitlines() if line.startswith("$ git ")]
    number = [line.partition("/000")[2][0] for line in lines if "--reverse" not in line]
    assert number == ["1", "2"]


def test_machine(measured: tuple[Project, Ended]) -> None:
    """One CPU that counts; the user's knobs."""
    project, _ = measured
    for command in project.vng:
        words = shlex.split(command)
        assert words[words.index("--cpus") + 1] == "1"
        assert words[words.index("--memory") + 1] == "3G"
        assert words[-1].startswith("--qemu-opts=-icount shift=0,sleep=off ")
        assert "x=y" in words and "--disable-kvm" in words
        assert words[-1].endswith(" -s")
    limits = {line.split()[1] for line in project.asked if "bench instr" in line}
    assert limits == {"300"}


def test_summary(measured: tuple[Project, Ended]) -> None:
    project, ended = measured
    assert "test session starts" not in ended.output
    assert ", all patches\n" in ended.output
    assert re.search(r"^kernel:  \S+, accelerator: tcg ", ended.output, re.MULTILINE)
    assert f"/{project.logs.name}: audit.log, bench.json, bench.svg" in ended.output


def test_boots_that_differ(project: Project) -> None:
    """One boot of three with 2 instructions more of 160: more than 0.5 %."""
    ended = project.run("--bench", how="hit 2 5")
    assert ended.status == 1
    first = "    hit array update program: 210.0, 212.0, 210.0\n"
    assert first in ended.output and "syscall" not in ended.output
    assert not (project.logs / "bench.json").exists()


def test_benchmark_that_fails(project: Project) -> None:
    ended = project.run("--bench", how="error hit")
    assert ended.status == 1
    assert ended.output.count("benchmark failed: hit: no hook\n") == 1
    assert (
        project.asked[-1]
        == "run 300 "
        + shlex.join([str(project.path / "guest" / "bench"), "instructions", "hit"])
        or project.asked[-1] == "end of the agent"
    )


def test_guest_that_is_lost(project: Project) -> None:
    ended = project.run("--bench", how="panics at power-off")
    assert ended.status == 7
    assert ended.output.count("guest lost: oops at power-off") == 1
    ended = project.run("--bench", how="warns at power-off")
    assert ended.status == 7
    assert "the kernel complained during the benchmark\n" in ended.output


def test_kvm(project: Project) -> None:
    """One more boot of each kernel, whose nanoseconds become ratios."""
    without_chart(project)
    (project.path / "kvm").touch()
    ended = project.run("--bench", "--upto", "1")
    assert ended.status == 0, ended.output
    assert figures(project).patches == 1
    (tree,) = project.cache.glob("trees/*/linux")
    assert (tree / "map.c").read_text() == "line 1\nfirst\n"
    asked = asked_for(project)
    assert asked.count("boot") == 1 + 3 + 1 + 3 + 1, "the first is the probe"
    assert asked.count("nanoseconds hit") == 1
    results = json.loads((project.logs / "bench.json").read_text())
    ratios = {
        (row["setup"], row["type"], row["path"]): row["ratio"]
        for row in results["kvm_ratios"]
        if row["operation"] == "update"
    }
    assert ratios["hit", "hash", "program"] == 1.909
    assert ratios["kprobe_map_fn", "hash", "program"] == 2.0
    assert not {setup for setup, *_ in ratios} & {"unpatched", "unattached", "iterate"}
    assert "time under KVM" in ended.output and "(inexact)" in ended.output
    rows = [line.split() for line in ended.output.splitlines()]
    assert rows.count(["update", "program", *["1.91"] * 4, *["2.00"] * 4]) == 2
    kvm = [line for line in project.vng if "accel=kvm" in line]
    assert len(kvm) == 3 and not any("-icount" in line for line in kvm)


def test_against(measured: tuple[Project, Ended], project: Project) -> None:
    """5 instructions in one setup: named for each operation, whatever it costs."""
    file = measured[0].logs / "bench.json"
    without_chart(project)
    ended = project.run("--bench", "--against", str(file), how="hit 5")
    assert ended.status == 1
    lines = ended.output.splitlines()
    assert "worse:   hit hash update syscall: 1210.0 -> 1215.0, +5.0" in lines
    assert len([line for line in lines if line.startswith("worse:")]) == 6
    assert any(
        re.fullmatch(
            r"against \S+ with 2 patches: 6 worse, 0 gone, 0 better, 0 added; "
            r"up to 2 instructions are no difference",
            line,
        )
        for line in lines
    )
    assert (project.logs / "bench.json").exists()


def test_init_is_the_one_built_for_the_kernel(measured: tuple[Project, Ended]) -> None:
    project, _ = measured
    (folder,) = project.cache.glob("trees/*/build-*/selftests")
    init = folder.relative_to(project.path) / "init"
    for command in project.vng:
        assert f"/project/{init}\t--\t" in command


def test_slow_boot(log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has more time than that of the tests' guest."""
    made: list[dict[str, Any]] = []

    def guest(*_: object, **words: Any) -> None:
        made.append(words)
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "Guest", guest)
    with pytest.raises(KeyboardInterrupt):
        bench.measure_boot(Machine(), tmp_path, tmp_path / "bench", [], log)
    assert [words["boot_deadline"] for words in made] == [240.0]


GOOD = "figure hit hash update program 210.000\ndone\n"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (Result(143, GOOD, 300.0, True), "hit: timed out after 300 s"),
        (Result(1, GOOD, 1.0, False), "hit: exit status 1"),
        (
            Result(0, GOOD.replace(" hit ", " filtered "), 1.0, False),
            "hit: it printed figures of filtered",
        ),
    ],
)
def test_figures_that_are_not_used(
    monkeypatch: pytest.MonkeyPatch, log: Log, result: Result, text: str
) -> None:
    guest = Guest(Machine(), log.path, log)
    monkeypatch.setattr(guest, "run", lambda *_, **__: result)
    with pytest.raises(BenchError, match=text):
        bench._measure(guest, "bench", "instructions", "hit")


# What is shown


def shown(results: Results, logs: Path, old: Results | None = None) -> list[str]:
    """What an 80-column terminal shows."""
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vm.bench.draw", lambda _, path: path.touch())
        assert bench.show(results, old, logs, Console(file=file, width=80)) == 0
    assert (logs / "bench.svg").exists()
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_tables(measured: tuple[Project, Ended], tmp_path: Path) -> None:
    results = figures(measured[0])
    lines = shown(results, tmp_path, results)
    assert lines[-1].endswith(
        "2 patches: 0 worse, 0 gone, 0 better, 0 added; "
        "up to 2 instructions are no difference"
    )
    assert lines[0] == "instructions per operation, and what the hooks add:"
    columns = ["patched", "attached", "filtered", "hit", "fmod_ret", "after"]
    assert lines[2].split() == columns
    rows = [line.split() for line in lines]
    attached = ["210", "+110"] * 4
    assert rows.count(["update", "program", "100", "110", "+10", *attached]) == 2
    attached = ["1170", "+110"] * 4
    assert ["delete", "syscall", "1060", "1070", "+10", *attached] in rows
    assert rows.count(["update", "program", "100", *["200", "+100"] * 4]) == 2
    multi = ["1160", "+100"] * 2
    assert ["delete", "syscall", "1060", "n/a", *multi, "skipped"] in rows
    assert ["hash", "200.0"] in rows
    assert not any("KVM" in line for line in lines)


def test_real_figures_fit_in_80_columns(tmp_path: Path) -> None:
    """The widest there are, with signs: no cell is folded or cut."""
    found = {}
    for setup in (*bench.PLAIN[:-1], *bench.PATCHED):
        row = Row(setup, "lru_percpu_hash", "update", "syscall")
        more = 0 if setup == "unpatched" else 345
        found[row] = Figure("figure", 2161.7 + more, 0.0)
        if setup == "kprobe_map_fn":
            found[row] = Figure("skipped")
    lines = shown(Results(BASE, 3, "7.3.4", found), tmp_path)
    cells = ["2507 +345"] * len(bench.PATCHED)
    assert " ".join([" update syscall    2162", *cells]) in lines
    cells = ["2507 +345"] * (len(bench.MAP_FN) - 1)
    assert " ".join([" update syscall    2162", *cells, "skipped"]) in lines
    assert max(map(len, lines)) <= 80


def test_chart(measured: tuple[Project, Ended]) -> None:
    text = (measured[0].logs / "bench.svg").read_text()
    for word in ("by a program", "by a syscall", "hash delete", *bench.PATCHED):
        assert f">{word}</text>" in text


def test_chart_shows_what_is_added(
    measured: tuple[Project, Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("vm.chart.dots", lambda *words: drawn.extend(words))
    bench.draw(figures(measured[0]).figures, tmp_path / "bench.svg")
    panels = drawn[3]
    assert list(panels) == ["by a program", "by a syscall"]
    added = {"array update": 110, "hash update": 110, "hash delete": 110}
    assert panels["by a syscall"]["hit"] == added
    assert panels["by a syscall"]["kprobe_map_fn"] == {}
    assert "unpatched" not in panels["by a program"]
