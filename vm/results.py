"""The results of a run's tests: judged, counted, written to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from vm.cache import write_whole
from vm.channel import Result
from vm.ktap import parse
from vm.splats import Splat

# "xfailed" failed as expected, see expected.py.
OUTCOMES = ("passed", "failed", "xfailed", "skipped")


_DIRECTIVES = {"skipped": "SKIP", "xfailed": "XFAIL"}  # of KTAP


@dataclass(frozen=True)
class TestResult:
    """One C test: its program, its name as fixture.variant.test, and how it went.

    `diagnostics` are the failed checks and what the kernel reported meanwhile;
    `checked` says that it failed by a check of its own, and nothing else happened;
    `state` is what a guest that hung was doing, see hung.py.
    """

    __test__ = False  # not for pytest to collect

    program: str
    name: str
    outcome: str
    reason: str
    diagnostics: tuple[str, ...] = ()
    seconds: float = 0.0
    output: str = ""
    checked: bool = False
    state: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        """The fixture's variant; "-" for a test without."""
        parts = self.name.split(".")
        return parts[1] if len(parts) == 3 else "-"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.reason}", *self.diagnostics, *self.state]
        return "\n".join(lines)


def judge(
    program: str, name: str, result: Result, splats: Sequence[Splat]
) -> TestResult:
    """How a test went, from its output, its end, and what the kernel reported."""
    ktap = parse(result.output, result.status, name)
    outcome = {"ok": "passed", "skip": "skipped"}.get(ktap.outcome, "failed")
    checked = ktap.checked and not result.timed_out and not splats
    reason, notes = ktap.reason, ktap.diagnostics
    if result.timed_out:
        outcome, reason = "failed", f"timed out after {result.seconds:.0f} s"
    if splats:
        worst = min(splats, key=lambda splat: splat.kind.rank)
        outcome, reason = "failed", str(worst)
        for splat in splats:
            # The trace of another one may have it.
            if splat.trace and splat.trace[0] not in notes:
                notes += ("", *splat.trace)
    return TestResult(
        *(program, name, outcome, reason, notes, result.seconds, result.output),
        checked=checked,
    )


def variants_table(results: Sequence[TestResult]) -> Table:
    """Passed, failed and skipped tests of each variant, and the time they took."""
    counts: dict[str, Counter[str]] = {}
    seconds: Counter[str] = Counter()
    for result in results:
        counts.setdefault(result.variant, Counter())[result.outcome] += 1
        seconds[result.variant] += int(result.seconds * 1000)
    total: Counter[str] = sum(counts.values(), Counter())
    shown = [name for name in OUTCOMES if name != "xfailed" or total[name]]
    table = Table(box=None, pad_edge=False)
    table.add_column("variant")
    for name in (*shown, "seconds"):
        table.add_column(name, justify="right")
    for variant, count in sorted(counts.items()):
        cells = [str(count[outcome]) for outcome in shown]
        table.add_row(variant, *cells, f"{seconds[variant] / 1000:.1f}")
    table.add_section()
    cells = [str(total[outcome]) for outcome in shown]
    table.add_row("all", *cells, f"{seconds.total() / 1000:.1f}")
    return table


def write_ktap(
    path: Path, results: Sequence[TestResult], planned: Mapping[str, int]
) -> None:
    """All results as KTAP: a subtest for each program.

    `planned` is how many tests of each program are to run: a file of which some are
    missing says so, even if the run is killed.
    """
    programs: dict[str, list[TestResult]] = {}
    for result in results:
        programs.setdefault(result.program, []).append(result)
    lines = ["KTAP version 1", f"1..{len({*planned, *programs})}"]
    for number, (program, tests) in enumerate(programs.items(), 1):
        plan = max(planned.get(program, 0), len(tests))
        lines += [f"  # Subtest: {program}", "  KTAP version 1", f"  1..{plan}"]
        for index, test in enumerate(tests, 1):
            why = [test.reason] if test.outcome == "failed" else []
            notes = [*why, *test.diagnostics, *test.state]
            lines += [f"  # {note}" for note in notes]
            verdict = "not ok" if why else "ok"
            directive = ""
            if test.outcome in _DIRECTIVES:
                directive = f" # {_DIRECTIVES[test.outcome]} {test.reason}"
            lines.append(f"  {verdict} {index} {test.name}{directive}")
        failed = any(test.outcome == "failed" for test in tests)
        if missing := plan - len(tests):
            lines.append(f"# {missing} of {plan} tests have no result")
            failed = True
        lines.append(f"{'not ok' if failed else 'ok'} {number} {program}")
    write_whole(path, "\n".join(lines) + "\n")
