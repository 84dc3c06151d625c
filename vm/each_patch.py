"""The tests after each patch of the series: a run for every number of patches."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
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
        program = [sys.executable, "-I", str(ROOT / "vm" / "__main__.py")]
        status = _run([*program, *words, f"--upto={number}", f"--junitxml={junit}"])
        statuses.append(status)
        counts = count(junit) if junit.exists() else Counter[str]()
        cells = [str(counts[outcome]) for outcome in COUNTED]
        table.add_row(str(number), *cells, str(status), last)
    Console(width=120).print(table)
    run.close()
    return max(statuses)


def _only_tools(patch: Path) -> bool:
    """Whether the kernel is the same with it as without."""
    return all(name.startswith("tools/") for name in files_of(patch))


def _run(command: list[str]) -> int:
    """Run a command to its end, Ctrl-C or not; 128+n after signal n."""
    with subprocess.Popen(tied(command)) as child:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            child.wait()  # it has got the signal, too, and ends its guests
            raise
    return status if status >= 0 else 128 - status


def count(junit: Path) -> Counter[str]:
    """How many tests of a JUnit file had each outcome. HarnessError if it is cut."""
    counts: Counter[str] = Counter()
    try:
        cases = ET.parse(junit).getroot().iter("testcase")
    except ET.ParseError as reason:
        raise HarnessError(f"{junit}: {reason}", hint="see the run above") from None
    for case in cases:
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        elif skipped is None:
            counts["passed"] += 1
        else:
            expected = skipped.get("type") == "pytest.xfail"
            counts["xfailed" if expected else "skipped"] += 1
    return counts
