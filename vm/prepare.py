"""From the user's options to a kernel image and the test programs for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.bases import load_base
from vm.build import Image, build_image
from vm.errors import UsageError
from vm.kconfig import fragments_of
from vm.options import Options
from vm.selftests import Programs, build_programs
from vm.source import fetch_source
from vm.stopwatch import Stage, timed
from vm.terminal import Log
from vm.tools import KERNEL, missing
from vm.tree import prepare_tree, series
from vm.user_tree import user_source

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Prepared:
    """What a run needs before it boots; `stages` in the order they were done."""

    image: Image
    programs: Programs
    stages: dict[str, Stage]


def prepare(
    options: Options,
    cache: Path,
    log: Callable[[str], Log],
    *,
    upto: int | None,
    targets: Sequence[str] = (),
) -> Prepared:
    """Fetch, unpack, patch, configure and build the kernel, then the selftests.

    `log` makes the log of a stage, by its name; `upto` is the number of patches,
    all for None; `targets` are those of selftests/Makefile, by default all tests.
    UsageError for missing tools, a wrong tree or series; BuildError for a step
    that fails. The caller holds the cache's lock.
    """
    lacking = missing(KERNEL)
    if lacking:
        raise UsageError(
            "not installed: "
            + ", ".join(f"{tool.name} (package {tool.package})" for tool in lacking),
            hint="./run_tests.py --install-deps",
        )
    stages = {name: Stage() for name in ("fetch", "unpack and patch")}
    base = load_base(ROOT / "patches" / "bases.toml", options.base)
    folder = ROOT / "patches" / base.name
    patches = series(folder, upto)
    more = ["debug.config"] * options.debug_kernel + ["faults.config"] * options.faults
    fragments = fragments_of([*base.fragments, *more], options.kconfig)
    with timed(stages["fetch"]):
        fetching = log("fetch")
        if options.kernel_tree is None:
            source = fetch_source(base, cache, fetching)
        else:
            source = user_source(
                *(base.name, options.kernel_tree, options.allow_dirty),
                *(cache, fetching),
            )
    with timed(stages["unpack and patch"]):
        tree = prepare_tree(source, patches, cache, log("patch"))
    image = build_image(
        *(tree, fragments, log("build")), jobs=options.jobs, objects=base.objects
    )
    stages |= image.stages
    with timed(stages.setdefault("selftests", Stage())):
        programs = build_programs(
            *(ROOT / "selftests", image, folder, log("selftests")),
            jobs=options.jobs,
            targets=targets,
        )
    return Prepared(image, programs, stages)
