"""A prepared kernel tree for each source, with the patch series applied."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vm.cache import write_state
from vm.mirror import Mirror
from vm.process import run_logged
from vm.series import Patched, apply_series
from vm.source import Source
from vm.terminal import Log

_USER_TREES_KEPT = 3


@dataclass(frozen=True)
class Tree:
    """A kernel tree at `path` with a series applied.

    `version` differs whenever a file has changed, `config` whenever one for the
    configuration has. `names` are the files that the series concerns, and `there` its
    patches that the source had already.
    """

    path: Path
    source: Source
    version: str
    config: str
    names: frozenset[str]
    there: tuple[Path, ...] = ()


def prepare_tree(
    source: Source,
    patches: Sequence[Path],
    cache: Path,
    log: Log,
    upto: int | None = None,
) -> Tree:
    """The tree of `source` with exactly the first `upto` of `patches`, all for None.

    Made if missing; otherwise only files that end up different are written, so that
    make rebuilds no more than that. BuildError or UsageError as from apply_series(),
    with the tree as it was.
    """
    home = cache / "trees" / source.key
    mirror = Mirror(home)
    if not mirror.state.exists():
        if home.exists():
            # Older versions of the harness kept the series in files of other names.
            older = (home / "state").exists()
            why = (
                "made by an older version"
                if older
                else "left half-made by a killed run"
            )
            log.say(f"{home} was {why}: starting over")
            shutil.rmtree(home)
        home.mkdir(parents=True)
        if source.kind != "tree":
            log.say(f"unpacking {source.describe}")
            _unpack(source, mirror.path, cache, log)
        mirror.note("tree", "config")
    # When it was last used: the user's oldest trees are dropped.
    os.utime(mirror.state)
    if source.kind == "tree":
        patched = apply_series(
            *(patches, upto, source.path.joinpath, source.path, home / "patching", log)
        )
        instead = {name: patched.folder / name for name in patched.names}
        mirror.update(source.path, source.files, instead, log)
        _drop_old_user_trees(home, log)
    else:
        patched = _patch_archive(mirror, patches, upto, log)
    version, config = mirror.version(), mirror.version("config")
    source = replace(source, files=())  # they would go to every worker
    return Tree(mirror.path, source, version, config, patched.names, patched.there)


def _unpack(source: Source, path: Path, cache: Path, log: Log) -> None:
    """Make the folder `path`. Every file gets the current time as mtime."""
    path.mkdir()
    words = ["tar", "-x", "-m", "-C", f"{path}", "--strip-components=1"]
    hint = f"see {log.path}; is there enough space in {cache}?"
    run_logged([*words, "-f", f"{source.path}"], log, hint=hint)


def _patch_archive(
    mirror: Mirror, patches: Sequence[Path], upto: int | None, log: Log
) -> Patched:
    """Patch the files of an unpacked archive, whose originals are kept beside it."""
    originals, record = mirror.home / "original", mirror.home / "original.json"
    kept: list[str] = json.loads(record.read_text()) if record.exists() else []

    def original(name: str) -> Path:
        return (originals if name in kept else mirror.path) / name

    patched = apply_series(
        *(patches, upto, original, mirror.path, mirror.home / "patching", log)
    )
    new = sorted(patched.names - set(kept))
    for name in new:
        if (mirror.path / name).exists():
            (originals / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(mirror.path / name, originals / name)
    if new:
        # Only now may these files be changed.
        write_state(record, [*kept, *new])
    for name in [*kept, *new]:
        folder = patched.folder if name in patched.names else originals
        mirror.put(name, folder / name)
    return patched


def _drop_old_user_trees(current: Path, log: Log) -> None:
    """The copy and the builds of a tree take some GB: limit them."""
    # Whatever the clock says, the current one stays.
    homes = [home for home in current.parent.glob("tree-*") if home != current]
    homes.sort(key=lambda home: _used(home / "version.json"))
    for home in homes[: 1 - _USER_TREES_KEPT]:
        log.say(f"removing {home}: {_USER_TREES_KEPT} other trees have been used since")
        # First, so that a removal cut short is not taken for a tree.
        (home / "version.json").unlink(missing_ok=True)
        shutil.rmtree(home)


def _used(state: Path) -> int:
    return state.stat().st_mtime_ns if state.exists() else 0
