"""Charts as SVG files: the same data gives the same bytes, and no display is needed.

matplotlib takes a second to import, so import this module where a chart is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

# Told apart in print and by the colour-blind as well.
_MARKERS = ("o", "s", "^", "D", "v", "x", "P", "*")


def style() -> AbstractContextManager[None]:
    """What to draw and to save in: ids that are not random, text that stays text."""
    return mpl.rc_context(
        {
            "svg.hashsalt": "bpf-map-tracing",
            "svg.fonttype": "none",
            "font.family": "DejaVu Sans",
            "font.size": 9,
        }
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, without the date; in style() alone."""
    figure.savefig(path, format="svg", metadata={"Date": None})


def dots(
    path: Path,
    title: str,
    xlabel: str,
    panels: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> None:
    """A dot for each number, in panels side by side.

    `panels` maps a panel's title to its series, and a series' name to its numbers
    by row. All panels have the same rows and the same scale; a row without a
    number in a series has no dot of it.
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    rows = list(
        dict.fromkeys(
            row
            for panel in panels.values()
            for series in panel.values()
            for row in series
        )
    )
    with style():
        figure = Figure(figsize=(11, 1.6 + 0.32 * len(rows)), layout="constrained")
        figure.suptitle(title)
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)
        for axis, (heading, panel) in zip(axes[0], panels.items(), strict=True):
            axis.set_title(heading, fontsize=9)
            axis.set_xlabel(xlabel)
            axis.set_yticks(range(len(rows)), rows)
            axis.grid(color="0.9")
            axis.set_axisbelow(True)
            for name, series in panel.items():
                number = names.index(name)
                axis.plot(
                    list(series.values()),
                    [rows.index(row) for row in series],
                    _MARKERS[number % len(_MARKERS)],
                    color=f"C{number}",
                    markersize=5,
                    label=name,
                )
        axes[0][0].invert_yaxis()
        axes[0][0].set_xlim(left=min(0, axes[0][0].get_xlim()[0]))
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(names))
        save(figure, path)
