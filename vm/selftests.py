"""The C selftests: build them for a kernel, and ask them for their tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.build import Image
from vm.errors import BuildError
from vm.ktap import list_tests
from vm.process import output_of, run_logged
from vm.terminal import Log

_LISTED = 4  # the exit status of `prog -l`: kselftest's "skipped"


@dataclass(frozen=True)
class Programs:
    """The built C tests, one executable for each, in `folder`."""

    folder: Path

    @property
    def init(self) -> Path:
        """What the kernel of a guest starts."""
        return self.folder / "init"

    def tests_of(self, source: Path, log: Log) -> list[str]:
        """The tests of the program built from `source`, as fixture.variant.test."""
        program = self.folder / source.stem
        hint = f"compare {source} with the other tests"
        what = f"{program} does not list its tests"
        lines = output_of(
            [program, "-l"], log, hint=hint, what=what, statuses=[_LISTED]
        )
        names = list_tests(lines)
        if not names:
            raise BuildError(
                f"{program} lists no tests", command=[str(program), "-l"], hint=hint
            )
        return names


def build_programs(
    selftests: Path,
    image: Image,
    patches: Path,
    log: Log,
    *,
    jobs: int,
    targets: Sequence[str] = (),
) -> Programs:
    """Build what the Makefile in `selftests` builds, or just `targets`.

    `patches` is the series, from which the documentation's example is taken.
    """
    folder = image.build / "selftests"
    run_logged(
        [
            *("make", f"-j{jobs}", "-C", selftests, f"KERNEL={image.tree.path}"),
            *(f"BUILD={image.build}", f"OUT={folder}", f"PATCHES={patches}"),
            *targets,
        ],
        log,
        what="the selftests do not build",
    )
    return Programs(folder)
