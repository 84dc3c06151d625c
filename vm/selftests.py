"""The C selftests: build them for a kernel, and ask them for their tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.build import Image
from vm.cache import write_state
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
    record = folder / f"sources-{'-'.join(targets) or 'all'}.json"
    sources = _sources(selftests)
    if not folder.exists():
        # Even if this build fails, nothing is from older sources.
        folder.mkdir(parents=True)
        write_state(record, sources)
    changed = [*_changed(sources, selftests, record)]
    _forget(folder, sources)
    run_logged(
        [
            *("make", f"-j{jobs}", "-C", selftests, f"KERNEL={image.tree.path}"),
            *(f"BUILD={image.build}", f"OUT={folder}", f"PATCHES={patches}"),
            *(f"-W{file}" for file in changed),
            *targets,
        ],
        log,
        what="the selftests do not build",
    )
    write_state(record, sources)
    return Programs(folder)


def _sources(selftests: Path) -> dict[str, list[int]]:
    """Each file that the tests are built from: when it was changed, and its size."""
    root = selftests.parent
    files = [*selftests.rglob("*"), *(root / "upgrade").rglob("*"), root / "vm/init.c"]
    status = {str(file): file.stat() for file in files if file.is_file()}
    return {name: [s.st_mtime_ns, s.st_size] for name, s in status.items()}


def _changed(
    sources: dict[str, list[int]], selftests: Path, record: Path
) -> Iterator[str]:
    """What has changed since the last build, as make names it.

    make alone would miss a file that was copied with its times, or of another checkout
    with the same cache: it may be older than what was built from the one before. What
    was never built needs only what was built for other targets.
    """
    others = sorted(
        record.parent.glob("sources-*.json"), key=lambda file: file.stat().st_mtime_ns
    )
    known = [record] if record.exists() else others[-1:]
    last = json.loads(known[0].read_text()) if known else {}
    for file, stamp in sources.items():
        if stamp != last.get(file):
            yield os.path.relpath(file, selftests)


def _forget(folder: Path, sources: dict[str, list[int]]) -> None:
    """Let no record, of whatever targets, say that files are built as they were.

    Some of what make is about to build from the changed ones stays if it fails or is
    killed, and other targets share some of it.
    """
    for record in folder.glob("sources-*.json"):
        last = json.loads(record.read_text())
        same = {
            name: stamp for name, stamp in last.items() if sources.get(name) == stamp
        }
        if same != last:
            write_state(record, same)
