"""The bench: what each map operation costs, in instructions, without and with hooks.

The guest is emulated with one CPU and counts its own instructions, so a figure
does not depend on the host or its load. selftests/bench.c measures in the guest;
this boots the kernels, each of them REPEATS times, and shows what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vm.accel import Accel
from vm.errors import GuestError, UsageError
from vm.figures import (
    TOLERANCE,
    BenchError,
    Figures,
    Results,
    Row,
    compare,
    merge,
    parse,
    ratios,
    save,
)
from vm.guest import Guest
from vm.prepare import ROOT, Prepared
from vm.tree import series

UNPATCHED = "unpatched"
PLAIN = (UNPATCHED, "fentry_map_fn", "kprobe_map_fn", "iterate")
PATCHED = ("unattached", "filtered", "hit", "fmod_ret")
REPEATS = 3  # boots of each kernel
SETUP_TIMEOUT = 300.0  # seconds; a setup takes about 5
BOOT_DEADLINE = 240.0  # seconds; a guest that counts instructions is slow
PROGRAM = "/run/bench"  # in the guest, where /run is a tmpfs
TCG = Accel("tcg", "TCG: counts instructions")
WORDS = ("worse", "gone", "better", "added")  # the fields of a Comparison

_HEADINGS = {
    UNPATCHED: "un-\npatched",
    "unattached": "un-\nattached",
    "fentry_map_fn": "fentry\nmap_fn",
    "kprobe_map_fn": "kprobe\nmap_fn",
}
Say = Callable[[str], None]


def measure_boot(
    bzimage: Path,
    programs: Path,
    setups: Iterable[str],
    log: Path,
    accel: Accel = TCG,
) -> tuple[Figures, str]:
    """Boot a kernel and measure some setups; the figures, and the kernel's release.

    Under TCG they are instructions, under KVM nanoseconds. `programs` is the
    folder of the built bench, `log` the file for the console's log. BenchError
    where the bench fails, GuestError where the guest is lost or its kernel
    complains.
    """
    tcg = accel.name == "tcg"
    figures: Figures = {}
    guest = Guest(
        *(bzimage, accel, log.parent),
        cpus=1,
        boot_deadline=BOOT_DEADLINE,
        shares=[programs],
        log_name=log.name,
        icount=tcg,
    )
    with guest:
        copied = guest.run(["cp", str(programs / "bench"), PROGRAM], timeout=60)
        if copied.status:
            raise GuestError(
                f"the guest cannot read {programs / 'bench'}",
                detail=copied.output,
                hint="is the folder readable by you and not below /run or /proc?",
            )
        unit = "instructions" if tcg else "nanoseconds"
        for setup in setups:
            command = [PROGRAM, unit, setup]
            result = guest.run(command, timeout=SETUP_TIMEOUT)
            what = f"no end after {SETUP_TIMEOUT:.0f} s" if result.timed_out else ""
            if not what:
                found = parse(result.output)
                if other := {row.setup for row in found} - {setup}:
                    what = f"it printed figures of {', '.join(sorted(other))}"
                elif result.status:
                    what = f"exit status {result.status}"
                figures |= found
            if what:
                raise BenchError(
                    f"{setup}: {what}",
                    command=command,
                    detail=result.output,
                    hint=f"the console's log is {log}",
                )
    if guest.splats:
        raise GuestError(
            "the kernel complained during the bench",
            detail="\n".join(guest.splats),
            hint=f"the console's log is {log}",
        )
    return figures, guest.release


def measure(
    bzimage: Path,
    programs: Path,
    setups: Iterable[str],
    logs: Path,
    name: str,
    say: Say = print,
) -> tuple[Figures, str]:
    """measure_boot() in instructions, the same in REPEATS boots.

    `name` tells the kernel in what is said and in the names of the logs in the
    folder `logs`. BenchError names the figures that are not the same.
    """
    repeats, release = [], ""
    for number in range(1, REPEATS + 1):
        say(f"measuring the {name} kernel: boot {number} of {REPEATS}")
        log = logs / f"console-{name}-{number}.log"
        figures, release = measure_boot(bzimage, programs, setups, log)
        repeats.append(figures)
    return merge(repeats), release


def run(
    prepare: Callable[[int | None], Prepared],
    choose_accel: Callable[[], Accel],
    *,
    base: str,
    upto: int | None,
    logs: Path,
    say: Say,
) -> Results:
    """Measure the plain kernel, then the patched one, and write bench.json.

    `prepare` builds a kernel with the first N patches, or all of them for None;
    the next may take its place, so each is measured before the next is built.
    Where KVM runs, nanoseconds are measured as well, in one boot of each kernel.
    """
    patches = len(series(ROOT / "patches" / base, upto))
    if not patches:
        raise UsageError(
            "--bench compares with the plain kernel, and so is --upto 0",
            hint="leave --upto out, or give the number of a patch",
        )
    figures: Figures = {}
    clocked: dict[Row, float] = {}
    release = ""
    for name, count, setups in (("plain", 0, PLAIN), ("patched", upto, PATCHED)):
        built = prepare(count)
        accel = choose_accel()
        bzimage, programs = built.image.bzimage, built.programs
        found, release = measure(bzimage, programs, setups, logs, name, say)
        figures |= found
        if accel.name == "kvm":
            say(f"measuring the {name} kernel: nanoseconds under KVM")
            log = logs / f"console-{name}-kvm.log"
            nanoseconds, _ = measure_boot(bzimage, programs, setups, log, accel)
            clocked |= ratios(nanoseconds, setups[0])
    results = Results(base, patches, release, figures, clocked)
    save(results, logs / "bench.json")
    return results


def show(results: Results, old: Results | None, logs: Path, console: Console) -> int:
    """Print the tables, draw bench.svg, compare with `old`; the exit status."""
    figures = results.figures
    for title, table in tables(results).items():
        console.print(f"{title}:", soft_wrap=True, highlight=False)
        console.print(table, "", highlight=False)
    draw(figures, logs / "bench.svg")
    if old is None:
        return 0
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
    figures = results.figures
    setups = (*PATCHED, *PLAIN[1:-1])
    costs = _table(UNPATCHED, *setups)
    compared = _table(UNPATCHED)
    clocked = _table(*setups[1:])
    kind = ""
    for row, figure in figures.items():
        if row.setup == PLAIN[-1]:
            compared.add_row(row.type, str(figure))
        if row.setup != UNPATCHED:
            continue
        if row.type != kind:
            kind = row.type
            costs.add_row(kind)
            clocked.add_row(kind)
        label = f" {row.operation} {row.path}"
        cells = [_cell(figures, row, setup) for setup in (UNPATCHED, *setups)]
        costs.add_row(label, *cells)
        found = [results.kvm_ratios.get(row.under(setup)) for setup in setups[1:]]
        clocked.add_row(label, *(f"{x:.2f}" if x else "-" for x in found))
    shown = {
        "instructions for an operation, and what the hooks add": costs,
        "instructions for an element, to compare two maps by an iterator": compared,
    }
    if results.kvm_ratios:
        title = "time under KVM, divided by unpatched or unattached in the same boot"
        shown[f"{title} (inexact)"] = clocked
    return shown


def _table(*setups: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for setup in setups:
        table.add_column(_HEADINGS.get(setup, setup), justify="right")
    return table


def _cell(figures: Figures, row: Row, setup: str) -> str:
    """A cost; of patched kernels also what it is more than unpatched."""
    figure, plain = figures.get(row.under(setup)), figures[row].cost
    if figure is None:
        return "-"
    if figure.cost is None or plain is None:
        return {"unavailable": "n/a"}.get(figure.status, figure.status)
    more = f" {figure.cost - plain:+.0f}" if setup in PATCHED else ""
    return f"{figure.cost:.0f}{more}"


def draw(figures: Figures, path: Path) -> None:
    """The chart: what each setup adds to an operation."""
    from vm import chart  # takes a second

    panels: dict[str, dict[str, dict[str, float]]] = {}
    for row, plain in figures.items():
        if row.setup != UNPATCHED or plain.cost is None:
            continue
        panel = panels.setdefault(f"by a {row.path}", {})
        for setup in (*PATCHED, *PLAIN[1:-1]):
            series_of = panel.setdefault(setup, {})
            figure = figures.get(row.under(setup))
            if figure and figure.cost is not None:
                more = figure.cost - plain.cost
                series_of[f"{row.type} {row.operation}"] = more
    chart.dots(path, "What a setup adds to an operation", "instructions", panels)
