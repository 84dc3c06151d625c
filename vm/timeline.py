"""The course of a live upgrade, read from what its test printed, and drawn.

The test prints, at times of its choice,

    # sample MS OPERATIONS DIRTY COPIED PHASE     counts so far; DIRTY as it is
    # switch MS                                   the new version takes over
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

_SAMPLE = re.compile(r"^# sample (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)
_SWITCH = re.compile(r"^# switch (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """Where an upgrade stood: time in ms; numbers of operations and of keys."""

    ms: int
    operations: int
    dirty: int
    copied: int
    phase: int


@dataclass(frozen=True)
class Timeline:
    """The samples of an upgrade in the order of their times, and its switches (ms)."""

    samples: tuple[Sample, ...]
    switches: tuple[int, ...]

    def rates(self) -> list[tuple[float, float]]:
        """Operations per second between two samples: (ms in the middle, rate)."""
        return [
            ((a.ms + b.ms) / 2, 1000 * (b.operations - a.operations) / (b.ms - a.ms))
            for a, b in itertools.pairwise(self.samples)
            if b.ms > a.ms
        ]


def read(output: str) -> Timeline | None:
    """The timeline in a test's output; None where it has fewer than two samples."""
    samples = [Sample(*map(int, match)) for match in _SAMPLE.findall(output)]
    if len(samples) < 2:
        return None
    samples.sort(key=lambda sample: sample.ms)
    return Timeline(tuple(samples), tuple(map(int, _SWITCH.findall(output))))


def draw(timeline: Timeline, folder: Path, name: str) -> None:
    """Write the plot to the folder, as `name`.svg and `name`.png.

    Rates and counts differ by orders of magnitude, so each has a panel.
    """
    # Here, because it takes a second and most runs draw nothing.
    from matplotlib.figure import Figure

    from vm import chart

    ms = [sample.ms for sample in timeline.samples]
    rates = timeline.rates()
    panels = {
        "operations per second": ([at for at, _ in rates], [rate for _, rate in rates]),
        "keys dirty": (ms, [sample.dirty for sample in timeline.samples]),
        "keys copied": (ms, [sample.copied for sample in timeline.samples]),
    }
    with chart.style():
        figure = Figure(figsize=(8, 5.5), layout="constrained")
        figure.suptitle(name)
        axes = figure.subplots(len(panels), 1, sharex=True)
        for number, (label, (x, y)) in enumerate(panels.items()):
            axis = axes[number]
            axis.plot(x, y, color=f"C{number}", marker=".", markersize=3, linewidth=1)
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
            axis.grid(color="0.9")
            for at in timeline.switches:
                axis.axvline(at, color="0.3", linestyle="--", linewidth=1)
        if timeline.switches:
            axes[0].annotate(
                "switch",
                (timeline.switches[0], 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -4),
                textcoords="offset points",
                verticalalignment="top",
            )
        axes[-1].set_xlabel("milliseconds")
        chart.save(figure, folder / f"{name}.svg")
        figure.savefig(folder / f"{name}.png", dpi=120)
