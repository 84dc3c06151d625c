"""--base all: the tests on every base, one after another."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.table import Table

from vm.bases import TABLE, base_names
from vm.each_patch import COUNTED, run_again
from vm.run import Run


def each_base(run: Run, arguments: list[str]) -> int:
    """Run the tests on every base and print a table of all; the worst status.

    `arguments` are the user's. What each run prints is shown as it comes. Raises
    HarnessError.
    """
    folder = run.logs.folder()
    run.logs.keep()
    table = Table(box=None, pad_edge=False)
    table.add_column("base")
    for name in ("tests", *COUNTED, "seconds", "exit status"):
        table.add_column(name, justify="right")
    statuses, skips = [], []
    for base in base_names(TABLE):
        run.terminal.say(f"base: {base}")
        junit = folder / f"junit-{base}.xml"
        # The last --base counts.
        status, counted = run_again([*arguments, f"--base={base}"], junit)
        statuses.append(status)
        cells = [str(counted.outcomes[outcome]) for outcome in COUNTED]
        seconds = f"{counted.seconds:.1f}"
        table.add_row(
            *(base, str(counted.outcomes.total()), *cells, seconds, str(status))
        )
        skips += [
            f"skipped on {base}: {number}: {reason}"
            for reason, number in counted.skips.most_common()
        ]
    console = Console(width=120)
    console.print(table)
    for line in skips:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    run.close()
    # A base that can pass none of the chosen tests has skipped them all.
    none = pytest.ExitCode.NO_TESTS_COLLECTED
    return max([status for status in statuses if status != none] or statuses)
