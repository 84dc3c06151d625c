"""The benchmark's figures: read them, judge them, compare them with earlier ones.

They are kept as a JSON file:

    schema        "bpf-map-tracing-bench 1"
    base          the patches' folder, such as "7.3"
    patches       how many of them the patched kernel has
    release       of both kernels, such as "7.3.4"
    build         their build folder's name, and what made them
    figures       a list of objects:
        setup, type, operation, path    what was measured, see selftests/bench/bench.c
        status    "figure", "skipped" (attached, but the kernel did not run it)
                  or "unavailable" (nothing to attach to)
        cost      instructions for each operation; null without a figure
        spread    largest less smallest cost of the repeats; null likewise
    kvm_ratios    a list of objects, empty where KVM does not run: setup, type,
                  operation, path, and ratio: nanoseconds to those of the kernel's
                  first setup in the same boot. Only as exact as clocks are.
"""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from vm.errors import HarnessError, UsageError

SCHEMA = "bpf-map-tracing-bench 1"
MAX_SPREAD = 0.005  # of a cost, between the repeats
# Repeats, boots and days apart, have not differed at all so far. This leaves room
# for a timer that ticks differently; 5 more instructions must be found.
TOLERANCE = 2.0  # instructions

_LINE = re.compile(r"(figure|skipped|unavailable)((?: \w+){4})(?: (-?\d+\.\d+))?")
_STATUSES = ("figure", "skipped", "unavailable")


class BenchError(HarnessError):
    """The benchmark ran, but did not measure what it was meant to."""

    exit_status = 1
    title = "benchmark failed"


@dataclass(frozen=True)
class Row:
    """What is measured."""

    setup: str
    type: str
    operation: str
    path: str

    def __str__(self) -> str:
        return " ".join(astuple(self))

    def under(self, setup: str) -> Row:
        """The same operation in another setup."""
        return Row(setup, self.type, self.operation, self.path)


@dataclass(frozen=True)
class Figure:
    """The outcome; the fields are those of the JSON file."""

    status: str
    cost: float | None = None
    spread: float | None = None

    def __str__(self) -> str:
        return self.status if self.cost is None else f"{self.cost:.1f}"


Figures = dict[Row, Figure]


@dataclass(frozen=True)
class Results:
    """What one run of the benchmark measured; the fields are those of the JSON file."""

    base: str
    patches: int
    release: str
    figures: Figures
    kvm_ratios: dict[Row, float] = field(default_factory=dict)
    build: str = ""


def parse(output: str) -> Figures:
    """The figures that selftests/bench.c printed. BenchError for anything else."""
    hint = "see selftests/bench/bench.c for what it prints"
    figures: Figures = {}
    *lines, end = output.splitlines() or [""]
    for line in [*lines, end]:
        if line.startswith("error: "):
            # libbpf may have told more.
            more = [x for x in lines if x != line and not _LINE.fullmatch(x)]
            raise BenchError(
                line.removeprefix("error: "),
                detail="\n".join(more),
                hint="see selftests/bench/bench.c for what it checks",
            )
    for line in lines:
        match = _LINE.fullmatch(line)
        if not match or (match[1] == "figure") != (match[3] is not None):
            raise BenchError(
                f"the benchmark printed {line!r}", detail=output, hint=hint
            )
        row = Row(*match[2].split())
        if row in figures:
            raise BenchError(f"{row}: printed twice", detail=output, hint=hint)
        figures[row] = Figure(match[1], float(match[3]) if match[3] else None)
    if end != "done" or not figures:
        raise BenchError("the benchmark did not finish", detail=output, hint=hint)
    return figures


def merge(repeats: list[Figures]) -> Figures:
    """The median of each figure. BenchError names those that vary too much."""
    merged: Figures = {}
    bad = []
    for row in dict.fromkeys(row for figures in repeats for row in figures):
        found = [figures.get(row, Figure("missing")) for figures in repeats]
        costs = [figure.cost for figure in found if figure.cost is not None]
        spread = max(costs, default=0.0) - min(costs, default=0.0)
        if len({figure.status for figure in found}) > 1 or (
            costs and spread > MAX_SPREAD * abs(min(costs, key=abs))
        ):
            bad.append(f"{row}: {', '.join(map(str, found))}")
        elif costs:
            median = statistics.median(costs)
            merged[row] = Figure("figure", round(median, 3), round(spread, 3))
        else:
            merged[row] = found[0]
    if bad:
        raise BenchError(
            f"{len(bad)} figures differ by more than {MAX_SPREAD:.1%} between boots",
            detail="\n".join(bad),
            hint="run it again; if it persists, find what is random in that operation",
        )
    return merged


def ratios(figures: Figures, base: str) -> dict[Row, float]:
    """Costs in one boot as parts of those of the setup `base`."""
    found = {}
    for row, figure in figures.items():
        under = figures.get(row.under(base), Figure("missing")).cost
        if row.setup != base and figure.cost and under and under > 0:
            found[row] = round(figure.cost / under, 3)
    return found


def save(results: Results, file: Path) -> None:
    """Write the JSON file."""
    content = {
        "schema": SCHEMA,
        "base": results.base,
        "patches": results.patches,
        "release": results.release,
        "build": results.build,
        "figures": [asdict(r) | asdict(f) for r, f in results.figures.items()],
        "kvm_ratios": [asdict(r) | {"ratio": x} for r, x in results.kvm_ratios.items()],
    }
    file.write_text(json.dumps(content, indent=1) + "\n")


def load(file: Path, base: str) -> Results:
    """Read the JSON file. UsageError if it is something else, or of another base."""

    def wrong(what: str) -> UsageError:
        hint = "give --against the bench.json of an earlier --bench of the same base"
        return UsageError(f"--against {file}: {what}", hint=hint)

    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise wrong(error.strerror or str(error)) from None
    except ValueError:
        raise wrong("this is not JSON") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise wrong(f'its schema is not "{SCHEMA}"')
    if content.get("base") != base:
        raise wrong(f"its base is {content.get('base')}, not {base}")
    try:
        figures = dict(map(_figure_of, content["figures"]))
        if not figures or len(figures) != len(content["figures"]):
            raise ValueError
        build = str(content.get("build", ""))
        words = content["patches"], content["release"]
        return Results(base, *words, figures, build=build)
    except (KeyError, TypeError, ValueError):
        raise wrong("its figures do not match the schema") from None


def _figure_of(entry: dict[str, Any]) -> tuple[Row, Figure]:
    row = Row(*(str(entry[key]) for key in ("setup", "type", "operation", "path")))
    status, cost = entry["status"], entry["cost"]
    if status not in _STATUSES or (status == "figure") != (cost is not None):
        raise ValueError
    return row, Figure(status, None if cost is None else float(cost), entry["spread"])


@dataclass
class Comparison:
    """Lines that tell what differs from earlier results by more than TOLERANCE."""

    worse: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)  # was a figure, is not any more
    better: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether that is a regression: what cannot be compared may hide one."""
        return bool(self.worse or self.gone)


def compare(old: Figures, new: Figures) -> Comparison:
    """Both ways: what costs more or less now, what is missing now or was before."""
    found = Comparison()
    for row in dict.fromkeys([*old, *new]):
        was, now = old.get(row, Figure("missing")), new.get(row, Figure("missing"))
        line = f"{row}: {was} -> {now}"
        if was.cost is not None and now.cost is not None:
            more = now.cost - was.cost
            if abs(more) > TOLERANCE:
                (found.worse if more > 0 else found.better).append(
                    f"{line}, {more:+.1f}"
                )
        elif was.cost is not None:
            found.gone.append(line)
        elif was.status != now.status:
            found.added.append(line)
    return found
