"""Live faults: break guests in known ways, and see that each is named rightly.

faults.toml is the list. A test of selftests/faults runs as any other test does, so
what is proved is what judges the tests of a run. A guest is used again unless the
fault spoilt it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vm.ctest import run_once
from vm.errors import GuestError, UsageError, reading
from vm.results import TestResult
from vm.run import Run
from vm.splats import scan, table

TABLE = Path(__file__).with_name("faults.toml")
_SOURCE = re.compile(r"\(\S+\.[chS]:\d+")  # in a decoded trace
_DEBUG = attrgetter("debug")
QEMU_DELAY = 2.0  # seconds from the start of a test to QEMU's signal


@dataclass(frozen=True)
class Fault:
    """A row of faults.toml, which documents the fields."""

    run: str
    outcome: str
    append: str = ""
    qemu: str = ""
    debug: bool = False
    limit: float = 60.0

    def __str__(self) -> str:
        kernel = "debug" if self.debug else ""
        return " ".join(filter(None, (self.run, self.append, self.qemu, kernel)))


@dataclass(frozen=True)
class Found:
    """What came of a fault: what it was called, when, and what was saved.

    `console` is the log of the guest, `trace` the number of lines that the report
    quotes from it, `decoded` of those with a source file, and `cpus` that of the CPUs
    whose backtraces were taken.
    """

    fault: Fault
    named: str
    seconds: float
    trace: int
    decoded: int
    cpus: int
    console: Path

    @property
    def right(self) -> bool:
        """Whether it was named as expected, in time."""
        rest = self.named.removeprefix(self.fault.outcome)
        begins = rest != self.named and rest[:1] in ("", " ", ":")
        return begins and self.seconds <= self.fault.limit


def load(path: Path = TABLE) -> tuple[list[Fault], dict[str, str]]:
    """The faults, and the patterns that none of them covers, with the reasons.

    HarnessError if a row is wrong.
    """
    with reading(path):
        rows = tomllib.loads(path.read_text())
        found = [Fault(**row) for row in rows["fault"]]
        for row in found:
            if len(row.run.split()) != 2:
                raise ValueError(f"run = {row.run!r} is not a program and a test")
            if row.qemu:
                signal.Signals[row.qemu]
        return found, dict(rows["unproven"])


def faults(run: Run, chosen: Sequence[str]) -> int:
    """Fire all faults, or those that have one of the `chosen` words; the exit status.

    Raises HarnessError, and writes faults.json into the run's folder.
    """
    rows, unproven = load()
    unknown = set(chosen).difference(*(row.run.split() for row in rows))
    rows = [row for row in rows if not chosen or set(chosen) & set(row.run.split())]
    if unknown:
        raise UsageError(
            f"no fault is named {' or '.join(sorted(unknown))}",
            hint=f"see {TABLE}: give the name of a program or of a test",
        )
    console = Console(emoji=False, width=120)
    found: list[Found] = []
    with run.closing():
        rows.sort(key=_DEBUG)
        for debug, group in groupby(rows, key=_DEBUG):
            if run.has_guest:
                run.drop_guest()
            run.options = replace(run.options, debug_kernel=debug)
            run.prepare(run.options.upto, ["faults"])
            for row in group:
                found.append(_fire(run, row))
                word = "" if found[-1].right else f", expected {row.outcome}"
                run.terminal.say(
                    f"{row}: {found[-1].named} after {found[-1].seconds:.0f} s{word}"
                )
                _save(found, run.logs.folder() / "faults.json")
    needed = proofs(found)
    # Only all faults together cover all patterns.
    reasons = {} if chosen else unproven
    console.print(faults_table(found), "", proofs_table(needed, reasons))
    for line in run.summary():
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    wrong = sum(not row.right for row in found)
    vain = (
        0 if chosen else sum(not (needed[name] or reasons.get(name)) for name in needed)
    )
    console.print(
        f"{len(found)} faults, {wrong} misreported or reported too late; "
        f"{vain} patterns without a fault that needs them",
        soft_wrap=True,
    )
    return 1 if wrong or vain else 0


def _fire(run: Run, fault: Fault) -> Found:
    """Inject the fault into a guest."""
    given = run.options
    pid = run.logs.folder() / "qemu.pid"
    program, name = fault.run.split()
    if fault.append:
        run.drop_guest()
    run.options = replace(
        given,
        append=(*given.append, *fault.append.split()),
        qemu_opts=(*given.qemu_opts, "-pidfile", str(pid)),
    )
    timer = threading.Timer(QEMU_DELAY, _kill, [pid, fault.qemu])
    begin = time.monotonic()
    try:
        guest = run.guest()
        console, limit = guest.console.log, guest.limits.seconds(fault.limit)
        run.copy(program)
        begin = time.monotonic()
        if fault.qemu:
            timer.start()
        full = name if program == "ktap" else f"global.{name}"
        result = run_once(run, program, full)
    except GuestError as error:
        if not fault.append:
            raise
        limit = fault.limit
        console = run.logs.log(run.console).path
        result = TestResult(program, name, "failed", error.what)
    finally:
        timer.cancel()
        run.options = given
        pid.unlink(missing_ok=True)  # QEMU leaves it if it was killed
    seconds = time.monotonic() - begin
    if isinstance(run.error, GuestError):
        run.error = None  # the fault's doing
    if fault.append:
        run.drop_guest()
    named = result.outcome if result.outcome == "passed" else result.reason
    return Found(
        *(replace(fault, limit=limit), named or result.outcome, seconds),
        trace=len(result.diagnostics),
        decoded=sum(bool(_SOURCE.search(line)) for line in result.diagnostics),
        cpus=sum(line.startswith("Thread ") for line in result.state),
        console=console,
    )


def _kill(file: Path, name: str) -> None:
    """Send a signal to the process whose PID is in the file."""
    os.kill(int(file.read_text()), signal.Signals[name])


def _save(found: Sequence[Found], path: Path) -> None:
    rows = [{**asdict(row), "console": row.console.name} for row in found]
    path.write_text(json.dumps(rows, indent=1) + "\n")


def proofs(found: Sequence[Found]) -> dict[str, list[Found]]:
    """The faults that would be named otherwise without a row of splats.toml."""
    needed: dict[str, list[Found]] = {kind.outcome: [] for kind in table()[0]}
    for row in found:
        if not row.right or not row.named.startswith(tuple(needed)):
            continue
        text = row.console.read_text(encoding="utf-8")
        worst = _worst(text)
        for outcome in {splat.kind.outcome for splat in scan(text).splats}:
            if _worst(text, outcome) != worst:
                needed[outcome].append(row)
    return needed


def _worst(console: str, without: str = "") -> str:
    worst = scan(console, without).worst
    return worst.kind.outcome if worst else ""


def faults_table(found: Sequence[Found]) -> Table:
    """What became of each fault."""
    result = Table(box=None, pad_edge=False)
    for name in ("fault", "named"):
        result.add_column(name, overflow="fold")
    for name in ("seconds", "trace", "decoded", "CPUs"):
        result.add_column(name, justify="right")
    for row in found:
        wrong = f"{row.named} (not: {row.fault.outcome})"
        named = row.fault.outcome if row.right else wrong
        saved = (f"{n or '-'}" for n in (row.trace, row.decoded, row.cpus))
        cells = (f"{row.seconds:.1f}", *saved)
        result.add_row(
            Text(str(row.fault)), Text(named, "" if row.right else "red"), *cells
        )
    return result


def proofs_table(
    needed: Mapping[str, Sequence[Found]], reasons: Mapping[str, str]
) -> Table:
    """What would go wrong without each row of splats.toml, or why nothing would."""
    result = Table("without", "these are misreported", box=None, pad_edge=False)
    for outcome, rows in needed.items():
        names = ", ".join(row.fault.run.split()[1] for row in rows)
        if names or reasons:
            result.add_row(outcome, names or f"none: {reasons.get(outcome, 'red')}")
    return result
