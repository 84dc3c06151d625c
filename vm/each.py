"""--each-patch and --base all: the harness run several times, and a table of all."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from vm.bases import TABLE, base_names
from vm.errors import HarnessError
from vm.prepare import ROOT
from vm.process import tied
from vm.run import Run
from vm.series import files_of, series

_COUNTED = ("passed", "failed", "xfailed", "skipped")


def each_patch(run: Run, arguments: list[str]) -> int:
    """Run the tests with no patch, with the first, … with all; the worst status.

    `arguments` are the user's. Raises HarnessError.
    """
    words = [word for word in arguments if word != "--each-patch"]
    runs = Runs(run, "patches")
    runs.again("0", [*words, "--upto=0"], "none: the plain kernel")
    patches = series(ROOT / "patches" / run.options.base)
    for number, patch in enumerate(patches, 1):
        if all(name.startswith("tools/") for name in files_of(patch)):
            runs.leave_out(str(number), f"{patch.name}: no change of the kernel")
        else:
            runs.again(str(number), [*words, f"--upto={number}"], patch.name)
    runs.end()
    return max(runs.statuses)


def each_base(run: Run, arguments: list[str]) -> int:
    """Run the tests on every base; the worst status.

    `arguments` are the user's. Raises HarnessError.
    """
    runs = Runs(run, "base")
    skips = []
    for base in base_names(TABLE):
        # The last --base counts.
        counted = runs.again(base, [*arguments, f"--base={base}"])
        skips += [
            f"skipped on {base}: {number}: {reason}"
            for reason, number in counted.skips.most_common()
        ]
    runs.end()
    print(*skips, sep="\n", end="\n" * bool(skips))
    # A base that can pass none of the chosen tests has skipped them all.
    none = pytest.ExitCode.NO_TESTS_COLLECTED
    return max([s for s in runs.statuses if s != none] or runs.statuses)


@dataclass
class Counted:
    """How many tests had each outcome, why they were skipped, how long they took."""

    outcomes: Counter[str] = field(default_factory=Counter)
    skips: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Runs:
    """The runs that take the place of `run`, and the table of them.

    `what` sets them apart. What each of them prints is shown as it comes.
    """

    def __init__(self, run: Run, what: str) -> None:
        self._run, self._what = run, what
        self._folder = run.logs.folder()
        run.logs.keep()
        self._table = Table(box=None, pad_edge=False)
        self._table.add_column(what)
        for name in ("tests", *_COUNTED, "seconds", "exit status"):
            self._table.add_column(name, justify="right")
        self._table.add_column("")
        self.statuses: list[int] = []

    def again(self, name: str, arguments: Sequence[str], note: str = "") -> Counted:
        """Run the harness with these arguments; what it counted."""
        self._run.terminal.say(f"{self._what}: {name}{f', {note}' * bool(note)}")
        junit = self._folder / f"junit-{name}.xml"
        program = [sys.executable, "-I", str(ROOT / "vm" / "__main__.py")]
        status = _status_of([*program, *arguments, f"--junitxml={junit}"])
        counted = count(junit) if junit.exists() else Counted()
        self.statuses.append(status)
        outcomes = counted.outcomes
        numbers = [outcomes.total(), *(outcomes[name] for name in _COUNTED)]
        cells = [*map(str, numbers), f"{counted.seconds:.1f}", str(status)]
        self._table.add_row(name, *cells, note)
        return counted

    def leave_out(self, name: str, note: str) -> None:
        """There is no run of that name."""
        self._table.add_row(name, *"-------", note)

    def end(self) -> None:
        """Print the table, and close the run."""
        Console(width=120).print(self._table)
        self._run.close()


def _status_of(command: list[str]) -> int:
    """Run a command to its end, Ctrl-C or not; 128+n after signal n."""
    # In a group of its own, it gets no Ctrl-C but what is passed on.
    with subprocess.Popen(tied(command), process_group=0) as child:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            child.terminate()
            child.wait()  # it ends its guests
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
