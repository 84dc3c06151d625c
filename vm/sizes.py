"""What live upgrades of maps of several sizes cost, and how that grows.

A test prints for each of them

    # size KEYS WATCH_US WINDOW_US HOLD_US USER_KB OWNERS_KB MAPS_KB

the microseconds until the switch, from there to the end, and for which writers are
held; the memory in user space, for the owners of keys, and of both maps.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

NAME = "upgrade_sizes"
_SIZE = re.compile(r"^# size" + r" (\d+)" * 7 + "$", re.MULTILINE)


class Size(NamedTuple):
    """Times in µs, memory in KiB."""

    keys: int
    watch: int
    window: int
    hold: int
    user: int
    owners: int
    maps: int


def read(output: str) -> list[Size]:
    """The sizes in the output of tests, the smallest first."""
    return sorted(Size(*map(int, found)) for found in _SIZE.findall(output))


def draw(sizes: list[Size], folder: Path) -> None:
    """Write the plot to the folder, as NAME.svg. Both scales are logarithmic."""
    # Here, because it takes a second and most runs draw nothing.
    from matplotlib.figure import Figure

    from vm.chart import save, style

    keys = [size.keys for size in sizes]
    panels = {
        "milliseconds": {
            "until the switch": [size.watch / 1000 for size in sizes],
            "from there to the end": [size.window / 1000 for size in sizes],
            "writers are held": [size.hold / 1000 for size in sizes],
        },
        "MiB": {
            "both maps": [size.maps / 1024 for size in sizes],
            "owners of keys": [size.owners / 1024 for size in sizes],
            "user space": [size.user / 1024 for size in sizes],
        },
    }
    with style():
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots(1, len(panels))
        for number, (unit, series) in enumerate(panels.items()):
            axis = axes[number]
            for name, numbers in series.items():
                axis.plot(keys, numbers, marker="o", markersize=4, label=name)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("keys")
            axis.set_ylabel(unit)
            axis.grid(color="0.9")
            axis.legend()
        figure.suptitle("upgrades of hash maps")
        save(figure, folder / f"{NAME}.svg")
