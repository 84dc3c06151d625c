"""The last lines of a run: what was tested, how long it took, where the logs are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from vm.build import Image
from vm.logs import REPORT, RunLogs
from vm.machine import Machine
from vm.options import Options
from vm.results import TestResult
from vm.stopwatch import Stage


def describe(machine: Machine, release: str, options: Options) -> str:
    """What was booted, and on what."""
    words = [f"{machine.accel.name} ({machine.accel.why})", machine.qemu]
    words += ["one thread for all CPUs"] * machine.one_thread
    words += ["a thread for each CPU, kernel with vm/mttcg.patch"] * machine.mttcg
    built = [f"{options.lto} LTO"] if options.lto else []
    built += [options.config] if options.config else []
    built += ["debug"] * options.debug_kernel
    why = ", ".join(filter(None, words))
    return f"{', '.join([release, *built])}, accelerator: {why}"


def summary(
    image: Image | None,
    kernel: str,
    stages: Mapping[str, Stage],
    objects: int | None,
    options: Options,
    logs: RunLogs,
) -> list[str]:
    """Line by line; `kernel` is what describe() says, empty if nothing was booted.

    `objects` is how many were compiled, None if nothing had to be.
    """
    lines = []
    if image is not None:
        upto = options.upto
        series = "all patches" if upto is None else f"the first {upto} patches"
        if there := ", ".join(patch.name[:4] for patch in image.tree.there):
            series += f" (it had {there})"
        if options.patched:
            series = "its own patches"
        lines.append(f"source:  {image.tree.source.describe}, {series}")
        lines.append(f"tools:   {image.tools}")
        if kernel:
            lines.append(f"kernel:  {kernel}")
        made = "nothing to build" if objects is None else f"{objects} objects"
        took = (
            f"{name} {stage.wall:.1f} s (CPU {stage.cpu:.1f})"
            for name, stage in stages.items()
        )
        lines.append(f"stages:  {', '.join(took)}; {made}")
    if logs.path.exists():
        files = sorted(path.name for path in logs.path.iterdir())
        names = f": {', '.join(files)}" if image is not None else ""
        lines.append(f"logs:    {logs.path}{names}")
        if REPORT in files:
            lines.append(f"report:  {logs.path / REPORT}")
    return lines


def skipped(results: Sequence[TestResult]) -> list[str]:
    """How many tests were skipped for which reason, line by line."""
    reasons = Counter(r.reason for r in results if r.outcome == "skipped")
    return [f"skipped: {count}: {reason}" for reason, count in reasons.most_common()]
