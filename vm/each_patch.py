"""The tests after each patch of the series: a run for every number of patches."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vm.errors import HarnessError
from vm.prepare import ROOT
from vm.process import tied
from vm.run import Run
from vm.series import files_of, series

COUNTED = ("passed", "failed", "xfailed", "skipped")


def each_patch(run: Run, arguments: list[str]) -> int:
    """Run the tests with no patch, with the first, … with all; the worst status.

    `arguments` are the user's; --each-patch among them is replaced. What each run
    prints is shown as it comes. Raises HarnessError.
    """
    patches = series(ROOT / "patches" / run.options.base, None)
    words = [word for word in arguments if word != "--each-patch"]
    folder = run.logs.folder()
    run.logs.keep()
    table = Table(box=None, pad_edge=False)
    for name in ("patches", *COUNTED, "exit status"):
        table.add_column(name, justify="right")
    table.add_column("the last patch")
    statuses = []
    for number in range(len(patches) + 1):
        last = patches[number - 1].name if number else "none: the plain kernel"
        if number and _only_tools(patches[number - 1]):
            table.add_row(str(number), *"-----", f"{last}: no change of the kernel")
            continue
        run.terminal.say(f"patches: {number}, the last one is {last}")
        junit = folder / f"junit-{number}.xml"
        status, counted = run_again([*words, f"--upto={number}"], junit)
        statuses.append(status)
        cells = [str(counted.outcomes[outcome]) for outcome in COUNTED]
        table.add_row(str(number), *cells, str(status), last)
    Console(width=120).print(table)
    run.close()
    return max(statuses)


def _only_tools(patch: Path) -> bool:
    """Whether the kernel is the same with it as without."""
    return all(name.startswith("tools/") for name in files_of(patch))


@dataclass
class Counted:
    """How many tests had each outcome, why they were skipped, how long they took."""

    outcomes: Counter[str] = field(default_factory=Counter)
    skips: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def run_again(arguments: list[str], junit: Path) -> tuple[int, Counted]:
    """Run the harness with these arguments: its exit status, and what it counted."""
    program = [sys.executable, "-I", str(ROOT / "vm" / "__main__.py")]
    status = _run([*program, *arguments, f"--junitxml={junit}"])
    return status, count(junit) if junit.exists() else Counted()


def _run(command: list[str]) -> int:
    """Run a command to its end, Ctrl-C or not; 128+n after signal n."""
    with subprocess.Popen(tied(command)) as child:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            child.wait()  # it has got the signal, too, and ends its guests
            raise
    return status if status >= 0 else 128 - status


def count(junit: Path) -> Counted:
    """Count the tests of a JUnit file. HarnessError if it is cut."""
    counted = Counted()
    try:
        cases = ET.parse(junit).getroot().iter("testcase")
    except ET.ParseError as reason:
        raise HarnessError(f"{junit}: {reason}", hint="see the run above") from None
    for case in cases:
        counted.seconds += float(case.get("time", 0))
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        elif skipped is None:
            outcome = "passed"
        elif skipped.get("type") == "pytest.xfail":
            outcome = "xfailed"
        else:
            outcome = "skipped"
            counted.skips[skipped.get("message", "")] += 1
        counted.outcomes[outcome] += 1
    return counted
