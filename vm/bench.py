"""The benchmark: instructions for each map operation, with and without hooks.

The guest is emulated with one CPU and counts its own instructions, so a figure
does not depend on the host or its load. selftests/bench measures in the guest;
this boots the kernels, each of them REPEATS times, and shows the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vm.errors import GuestError, UsageError
from vm.figures import (
    TOLERANCE,
    BenchError,
    Figures,
    Results,
    Row,
    compare,
    load,
    merge,
    parse,
    ratios,
    save,
)
from vm.guest import Guest
from vm.machine import TCG, Machine
from vm.prepare import ROOT
from vm.run import Run
from vm.series import series
from vm.summary import describe
from vm.terminal import Log

UNPATCHED = "unpatched"
# What a user would attach to the maps' own functions without the hooks.
MAP_FN = ("fentry_map_fn", "multi_filtered", "multi_hit", "kprobe_map_fn")
PLAIN = (UNPATCHED, *MAP_FN, "iterate")
PATCHED = ("unattached", "filtered", "hit", "fmod_ret", "after")
REPEATS = 3  # boots of each kernel
SETUP_TIMEOUT = 300.0  # seconds; a setup takes about 5
BOOT_DEADLINE = 240.0  # seconds; a guest that counts instructions is slow
WORDS = ("worse", "gone", "better", "added")  # the fields of a Comparison

_HEADINGS = {
    UNPATCHED: "un-\npatched",
    "unattached": "un-\nattached",
    "fentry_map_fn": "fentry",
    "multi_filtered": "multi\nfiltered",
    "multi_hit": "multi\nhit",
    "kprobe_map_fn": "kprobe",
}


def bench(run: Run, against: Path | None) -> int:
    """Measure the plain and the patched kernel; the exit status.

    Raises HarnessError, and writes bench.json and bench.svg into the run's folder.
    """
    console = Console(emoji=False)
    base = run.options.base
    old = load(against, base) if against else None
    with run.closing():
        results = measure_both(run)
        save(results, run.logs.folder() / "bench.json")
        status = show(results, old, run.logs.folder(), console)
    for line in run.summary():
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    return status


def measure_both(run: Run) -> Results:
    """Measure the plain kernel, then the patched one.

    The second build may take the place of the first, so the plain kernel is
    measured before the patched one is built. If KVM works, nanoseconds are measured
    as well, in one boot of each kernel.
    """
    options = run.options
    patches = len(series(ROOT / "patches" / options.base, options.upto))
    if not patches:
        raise UsageError(
            "--bench compares with the plain kernel, which --upto 0 is, too",
            hint="leave --upto out, or give the number of a patch",
        )
    run.logs.keep()
    figures: Figures = {}
    clocked: dict[Row, float] = {}
    for name, count, setups in (
        ("plain", 0, PLAIN),
        ("patched", options.upto, PATCHED),
    ):
        built = run.prepare(count, ["bench"])
        program, bzimage = built.programs.folder / "bench", built.image.bzimage
        machine = Machine(
            *(TCG, 1, options.memory),
            append=options.append,
            qemu_opts=options.qemu_opts,
            icount=True,
            init=built.programs.init,
        )
        repeats = []
        for number in range(1, REPEATS + 1):
            run.terminal.say(f"measuring the {name} kernel: boot {number} of {REPEATS}")
            log = run.logs.log(f"console-{name}-{number}")
            found, release = measure_boot(machine, bzimage, program, setups, log)
            repeats.append(found)
        figures |= merge(repeats)
        accel = run.accel()
        if accel.name == "kvm":
            run.terminal.say(f"measuring the {name} kernel: nanoseconds under KVM")
            log = run.logs.log(f"console-{name}-kvm")
            machine = replace(machine, accel=accel, icount=False)
            nanoseconds, _ = measure_boot(machine, bzimage, program, setups, log)
            clocked |= ratios(nanoseconds, setups[0])
        run.kernel = describe(replace(machine, accel=accel), release, options)
    build = f"{built.image.build.name}: {built.image.tools}"
    return Results(options.base, patches, release, figures, clocked, build)


def measure_boot(
    machine: Machine, bzimage: Path, program: Path, setups: Iterable[str], log: Log
) -> tuple[Figures, str]:
    """Boot a kernel and measure some setups; the figures, and the kernel's release.

    With icount they are instructions, else nanoseconds. `program` is the built
    benchmark. BenchError if it fails, GuestError if the guest is lost or its kernel
    complains.
    """
    figures: Figures = {}
    guest = Guest(
        *(machine, bzimage, log), boot_deadline=BOOT_DEADLINE, shares=[program.parent]
    )
    with guest:
        guest.copy([program])
        unit = "instructions" if machine.icount else "nanoseconds"
        for setup in setups:
            figures |= _measure(guest, str(guest.folder / program.name), unit, setup)
    if guest.splats:
        raise GuestError(
            "the kernel complained during the benchmark",
            detail="\n".join(map(str, guest.splats)),
            hint=f"the console's log is {log.path}",
        )
    return figures, guest.release


def _measure(guest: Guest, program: str, unit: str, setup: str) -> Figures:
    """The figures of one setup. BenchError if there is anything wrong with them."""
    command = [program, unit, setup]
    result = guest.run(command, timeout=SETUP_TIMEOUT)
    if result.timed_out:
        what, found = f"timed out after {SETUP_TIMEOUT:.0f} s", Figures()
    else:
        found, what = parse(result.output), ""
        if other := {row.setup for row in found} - {setup}:
            what = f"it printed figures of {', '.join(sorted(other))}"
        elif result.status:
            what = f"exit status {result.status}"
    if what:
        raise BenchError(
            f"{setup}: {what}",
            command=command,
            detail=result.output,
            hint=f"the console's log is {guest.console.log}",
        )
    return found


def show(results: Results, old: Results | None, logs: Path, console: Console) -> int:
    """Print the tables, draw bench.svg, compare with `old`; the exit status."""
    figures = results.figures
    for title, table in tables(results).items():
        console.print(f"{title}:", soft_wrap=True, highlight=False)
        console.print(table, "", highlight=False)
    draw(figures, logs / "bench.svg")
    if old is None:
        return 0
    if old.build and old.build != results.build:
        console.print(
            f"the kernels were not built in the same way: {old.build}; "
            f"now {results.build}",
            soft_wrap=True,
            highlight=False,
        )
    found = compare(old.figures, figures)
    for word in WORDS:
        for line in getattr(found, word):
            console.print(f"{word + ':':8} {line}", soft_wrap=True, highlight=False)
    counts = ", ".join(f"{len(getattr(found, word))} {word}" for word in WORDS)
    console.print(
        f"against {old.release} with {old.patches} patches: {counts}; "
        f"up to {TOLERANCE:.0f} instructions are no difference",
        soft_wrap=True,
        highlight=False,
    )
    return BenchError.exit_status if found.failed else 0


def tables(results: Results) -> dict[str, Table]:
    """What to print, in 80 columns: operations by setup, iterators, KVM's ratios."""
    figures, ratios = results.figures, results.kvm_ratios

    def cost(row: Row, setup: str) -> str:
        return _cell(figures, row, setup)

    def ratio(row: Row, setup: str) -> str:
        found = ratios.get(row.under(setup))
        return f"{found:.2f}" if found else "-"

    compared = _table(UNPATCHED)
    for row, figure in figures.items():
        if row.setup == PLAIN[-1]:
            compared.add_row(row.type, str(figure))
    shown = {
        "instructions per operation, and what the hooks add": _operations(
            figures, (UNPATCHED, *PATCHED), cost
        ),
        "instructions with a program on the map's own function, without the hooks": (
            _operations(figures, (UNPATCHED, *MAP_FN), cost)
        ),
        "instructions per element of an iterator that compares two maps": compared,
    }
    if ratios:
        title = "time under KVM, divided by unpatched or unattached in the same boot"
        setups = (*PATCHED[1:], *MAP_FN)
        shown[f"{title} (inexact)"] = _operations(figures, setups, ratio)
    return shown


def _operations(
    figures: Figures, setups: Sequence[str], cell: Callable[[Row, str], str]
) -> Table:
    """A row for each operation and a column for each setup, filled in by `cell`."""
    table = _table(*setups)
    kind = ""
    for row in figures:
        if row.setup != UNPATCHED:
            continue
        if row.type != kind:
            kind = row.type
            table.add_row(kind)
        cells = (cell(row, setup) for setup in setups)
        table.add_row(f" {row.operation} {row.path}", *cells)
    return table


def _table(*setups: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for setup in setups:
        table.add_column(_HEADINGS.get(setup, setup), justify="right")
    return table


def _cell(figures: Figures, row: Row, setup: str) -> str:
    """A cost and, except for the plain kernel alone, what it is more than that."""
    figure, plain = figures.get(row.under(setup)), figures[row].cost
    if figure is None:
        return "-"
    if figure.cost is None or plain is None:
        return {"unavailable": "n/a"}.get(figure.status, figure.status)
    more = "" if setup == UNPATCHED else f" {figure.cost - plain:+.0f}"
    return f"{figure.cost:.0f}{more}"


def draw(figures: Figures, path: Path) -> None:
    """The chart: what each setup adds to an operation."""
    from vm import chart  # takes a second

    panels: dict[str, dict[str, dict[str, float]]] = {}
    for row, plain in figures.items():
        if row.setup != UNPATCHED or plain.cost is None:
            continue
        panel = panels.setdefault(f"by a {row.path}", {})
        for setup in (*PATCHED, *MAP_FN):
            series_of = panel.setdefault(setup, {})
            figure = figures.get(row.under(setup))
            if figure and figure.cost is not None:
                more = figure.cost - plain.cost
                series_of[f"{row.type} {row.operation}"] = more
    chart.dots(path, "What a setup adds to an operation", "instructions", panels)
