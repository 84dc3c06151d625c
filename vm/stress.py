"""What the stress tests issued, and what became of it.

They print a line for each hook,

    # HOOK: issued N fired N missed N difference N

where `fired` is what the observers saw, and `missed` what they could not see.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.table import Table

from vm.results import TestResult

COLUMNS = ("issued", "fired", "missed", "difference")
_TOTAL = re.compile(
    r"^# (\w+): " + " ".join(rf"{name} (-?\d+)" for name in COLUMNS) + "$",
    re.MULTILINE,
)


def stress_table(results: Sequence[TestResult]) -> Table:
    """The totals of each variant and hook; a test that told none has a row, too."""
    table = Table(box=None, pad_edge=False)
    for name in ("variant", "hook"):
        table.add_column(name)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for result in results:
        totals = _TOTAL.findall(result.output) or [["-"] * (1 + len(COLUMNS))]
        for total in totals:
            table.add_row(result.variant, *total)
    return table
