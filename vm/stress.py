"""What the stress tests issued, and what became of it.

They print lines such as

    # update: issued N fired N missed N difference N
    # mirror: updated N deleted N evicted N skipped N differences N

The first is of a hook: `fired` is what the observers saw, and `missed` what they could
not see. The second is of a map that follows another one by the hooks alone: how the
other has changed, which changes may have gone unnoticed, and how the two differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.table import Table

from vm.results import TestResult

COLUMNS = (
    ("issued", "fired", "missed", "difference"),
    ("updated", "deleted", "evicted", "skipped", "differences"),
)


def stress_tables(results: Sequence[TestResult]) -> Iterator[Table]:
    """The totals by variant; a test that told none has a row in the first, too."""
    for names in COLUMNS:
        table = Table("variant", "", box=None, pad_edge=False)
        for name in names:
            table.add_column(name, justify="right")
        for result in results:
            for total in _totals(result.output, names):
                table.add_row(result.variant, *total)
            if names is COLUMNS[0] and not any(_all_totals(result.output)):
                table.add_row(result.variant, *["-"] * (1 + len(names)))
        if table.row_count:
            yield table


def _all_totals(output: str) -> Iterator[list[tuple[str, ...]]]:
    return (_totals(output, names) for names in COLUMNS)


def _totals(output: str, names: Sequence[str]) -> list[tuple[str, ...]]:
    """What stands before the colon, and the numbers."""
    numbers = " ".join(rf"{name} (-?\d+)" for name in names)
    return re.findall(rf"^# (\w+): {numbers}$", output, re.MULTILINE)
