"""What the user sees of a run: progress, the summary's table, the KTAP file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from vm.guest import Result
from vm.ktap import parse

OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class TestReport:
    """One C test: its file's stem, fixture.variant.test, and how it went."""

    __test__ = False  # nothing for pytest to collect

    program: str
    name: str
    outcome: str
    reason: str
    diagnostics: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def variant(self) -> str:
        """The fixture's variant; "-" for a test without."""
        parts = self.name.split(".")
        return parts[1] if len(parts) == 3 else "-"


def judge(program: str, name: str, result: Result, splats: list[str]) -> TestReport:
    """How a test went, by its output, its end, and what the kernel said meanwhile."""
    ktap = parse(result.output, result.status)
    outcome = {"ok": "passed", "skip": "skipped"}.get(ktap.outcome, "failed")
    reason, notes = ktap.reason, ktap.diagnostics
    if result.timed_out:
        outcome, reason = "failed", f"no end after {result.seconds:.0f} s"
    if splats:
        outcome, reason = "failed", "the kernel complained"
        notes += tuple(splats)
    return TestReport(program, name, outcome, reason, notes, result.seconds)


class Reporter:
    """Says what is going on, on the terminal or line by line in a log."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._last = 0

    def say(self, line: str) -> None:
        """One line for the user."""
        self.finish()
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: int, total: int | None) -> None:
        """How far a long step is; a line for each 100 where nobody watches."""
        if not self.console.is_terminal:
            step = done // 100
            if total and total > 100_000:  # bytes, not objects
                step = 10 * done // total
            if step > self._last:
                self._last = step
                of = f" of {total}" if total else ""
                self.console.print(f"  {done}{of}", highlight=False)
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("  "),
                BarColumn(),
                MofNCompleteColumn(),
                console=self.console,
                transient=True,
            )
            self._bar.add_task("")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def finish(self) -> None:
        """Take the progress bar away."""
        self._last = 0
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def variants_table(reports: Iterable[TestReport]) -> Table:
    """Passed, failed and skipped tests of each variant, and the time they took."""
    counts: dict[str, Counter[str]] = {}
    seconds: Counter[str] = Counter()
    for report in reports:
        counts.setdefault(report.variant, Counter())[report.outcome] += 1
        seconds[report.variant] += int(report.seconds * 1000)
    table = Table(box=None, pad_edge=False)
    table.add_column("variant")
    for name in (*OUTCOMES, "seconds"):
        table.add_column(name, justify="right")
    for variant, count in counts.items():
        cells = [str(count[outcome]) for outcome in OUTCOMES]
        table.add_row(variant, *cells, f"{seconds[variant] / 1000:.1f}")
    total: Counter[str] = sum(counts.values(), Counter())
    table.add_section()
    cells = [str(total[outcome]) for outcome in OUTCOMES]
    table.add_row("all", *cells, f"{seconds.total() / 1000:.1f}")
    return table


def write_ktap(path: Path, reports: list[TestReport]) -> None:
    """All results as KTAP: a subtest for each program."""
    programs: dict[str, list[TestReport]] = {}
    for report in reports:
        programs.setdefault(report.program, []).append(report)
    lines = ["KTAP version 1", f"1..{len(programs)}"]
    for number, (program, tests) in enumerate(programs.items(), 1):
        lines += [f"  # Subtest: {program}", "  KTAP version 1", f"  1..{len(tests)}"]
        for index, test in enumerate(tests, 1):
            why = [test.reason] if test.outcome == "failed" else []
            lines += [f"  # {note}" for note in [*why, *test.diagnostics]]
            verdict = "not ok" if why else "ok"
            directive = f" # SKIP {test.reason}" if test.outcome == "skipped" else ""
            lines.append(f"  {verdict} {index} {test.name}{directive}")
        failed = any(test.outcome == "failed" for test in tests)
        lines.append(f"{'not ok' if failed else 'ok'} {number} {program}")
    path.write_text("\n".join(lines) + "\n")
