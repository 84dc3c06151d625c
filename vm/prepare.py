"""From the user's options to an image and the test programs for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vm.errors import BuildError, UsageError
from vm.image import Image, Stage, build_image, timed
from vm.ktap import list_tests
from vm.process import run_logged
from vm.source import get_source
from vm.tools import KERNEL, missing
from vm.tree import prepare_tree, series

ROOT = Path(__file__).resolve().parent.parent
SELFTESTS = ROOT / "selftests"
KCONFIG = ROOT / "kconfig"
FRAGMENTS = [KCONFIG / "base.config", KCONFIG / "vm.config"]
Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]


@dataclass
class Prepared:
    """All that a run needs before it boots.

    `programs` is the folder of the built C tests; `stages` tells what each step
    took, in the order in which they were taken.
    """

    image: Image
    programs: Path
    stages: dict[str, Stage] = field(default_factory=dict)

    def tests_of(self, source: Path) -> list[str]:
        """The tests of the program built from `source`, as fixture.variant.test."""
        program = self.programs / source.stem
        # The listing goes to stderr, and the exit status 4 says "skipped".
        listing = subprocess.run(
            [program, "-l"], capture_output=True, text=True, check=False
        )
        names = list_tests(listing.stderr) if listing.returncode == 4 else []
        if not names:
            raise BuildError(
                f"{program} lists no tests",
                command=[str(program), "-l"],
                detail=listing.stderr,
                hint=f"compare {source} with the other tests",
            )
        return names


def prepare(
    *,
    base: str,
    upto: int | None,
    debug: bool,
    kernel_tree: Path | None,
    allow_dirty: bool,
    cache: Path,
    logs: Path,
    say: Say,
    progress: Progress,
    targets: Sequence[str] = (),
) -> Prepared:
    """Fetch, unpack, patch, configure and build the kernel, then the selftests.

    `debug` adds kconfig/debug.config. `targets` are those of selftests/Makefile,
    where it is not all tests.
    Raises UsageError for missing tools, a wrong tree or series; BuildError for
    what fails on the way. The caller holds the cache's lock.
    """
    lacking = missing(KERNEL)
    if lacking:
        raise UsageError(
            "not installed: "
            + ", ".join(f"{tool.name} (package {tool.package})" for tool in lacking),
            hint="./run_tests.py --install-deps",
        )
    stages: dict[str, Stage] = {}
    patches = series(ROOT / "patches" / base, upto)
    with timed(stages.setdefault("fetch", Stage())):
        source = get_source(
            base,
            cache,
            logs / "fetch.log",
            say,
            kernel_tree=kernel_tree,
            allow_dirty=allow_dirty,
            progress=progress,
        )
    with timed(stages.setdefault("unpack and patch", Stage())):
        tree = prepare_tree(source, patches, cache, logs / "patch.log", say)
    fragments = [*FRAGMENTS, KCONFIG / "debug.config"] if debug else FRAGMENTS
    image = build_image(tree, fragments, logs / "build.log", say, progress)
    stages |= image.stages
    programs = image.build / "selftests"
    with timed(stages.setdefault("selftests", Stage())):
        run_logged(
            [
                *("make", "-C", SELFTESTS, f"KERNEL={tree.path}"),
                *(f"BUILD={image.build}", f"OUT={programs}"),
                *(f"PATCHES={ROOT / 'patches' / base}", *targets),
            ],
            logs / "selftests.log",
            what="the selftests do not build",
        )
    return Prepared(image, programs, stages)
