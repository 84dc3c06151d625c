"""From the user's options to a kernel image and the test programs for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.audit import audit
from vm.bases import TABLE, is_of, load_base
from vm.build import Image, build_image
from vm.compiler import choose_compiler
from vm.kconfig import fragments_of
from vm.options import Options
from vm.selftests import Programs, build_programs
from vm.series import series
from vm.source import fetch_source
from vm.stopwatch import Stage, timed
from vm.terminal import Log
from vm.tools import KERNEL, missing, not_installed
from vm.tree import prepare_tree
from vm.user_tree import user_source, version_of

ROOT = Path(__file__).resolve().parent.parent
MTTCG = Path(__file__).with_name("mttcg.patch")


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
        raise not_installed(lacking)
    stages = {name: Stage() for name in ("fetch", "unpack and patch")}
    base = load_base(TABLE, options.base)
    folder = ROOT / "patches" / base.name
    applied = len(series(folder, upto))
    patches = [] if options.patched else series(folder)
    patches += [MTTCG] * options.mttcg
    users = fragments_of([], options.kconfig)
    building = log("build")
    compiler = choose_compiler(options.compiler, options.lto, building)
    more = _more_fragments(options, clang=compiler.clang)
    fragments = [*fragments_of([*base.fragments, *more], []), *users]
    with timed(stages["fetch"]):
        fetching = log("fetch")
        if options.kernel_tree is None:
            source = fetch_source(base, cache, fetching)
        else:
            source = user_source(
                *(options.kernel_tree, options.allow_dirty, cache, fetching)
            )
            if patches and not is_of(version_of(source.path), base.name):
                fetching.say(f"{source.describe}: trying the series for {base.name}")
    with timed(stages["unpack and patch"]):
        tree = prepare_tree(*(source, patches, cache, log("patch")), upto=upto)
    image = build_image(
        *(tree, fragments, compiler, building), jobs=options.jobs, objects=base.objects
    )
    stages |= image.stages
    with timed(stages.setdefault("selftests", Stage())):
        programs = build_programs(
            *(ROOT / "selftests", image, folder, log("selftests")),
            jobs=options.jobs,
            targets=targets,
        )
        audit(image, folder, applied, exact=not options.patched, log=log("audit"))
    return Prepared(image, programs, stages)


def _more_fragments(options: Options, *, clang: bool) -> list[str]:
    """The fragments that the options add to those of the base, in order."""
    names = []
    if options.config:
        names += [options.config] + [f"{options.config}-clang"] * clang
    if options.lto:
        names.append(f"lto-{options.lto}")
    names += ["debug"] * options.debug_kernel + ["faults"] * options.faults
    names += ["upstream"] * options.upstream
    names += ["kvm-host"] * options.prove_kvm
    return [f"{name}.config" for name in names]
