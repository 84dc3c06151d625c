"""A prepared kernel tree for each source, with the patch series applied."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vm.errors import BuildError, UsageError
from vm.process import run_logged
from vm.source import Source
from vm.terminal import Log
from vm.user_tree import AS_COMMITTED, git_objects

_USER_TREES_KEPT = 2

# Inside a repository, `git apply` silently skips files outside the current folder;
# and the user's settings could alter a patch.
_NO_REPOSITORY = {
    "GIT_DIR": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


@dataclass(frozen=True)
class Tree:
    """A kernel tree at `path` with a series applied.

    `applied` is the SHA-256 over its patches; `changed` tells whether files
    changed on the way here.
    """

    path: Path
    source: Source
    applied: str
    changed: bool


def series(folder: Path, upto: int | None = None) -> list[Path]:
    """The patches 0001-*.patch, 0002-*.patch, ... of `folder`, the first `upto`.

    UsageError for a folder without patches, a gap or duplicate in the numbers, a
    *.patch without a number, or fewer than `upto` patches.
    """
    patches = sorted(folder.glob("*.patch"))
    if not patches:
        raise UsageError(f"{folder} has no patches", hint="choose a base that has them")
    for number, patch in enumerate(patches, 1):
        if not patch.name.startswith(f"{number:04d}-"):
            raise UsageError(
                f"{patch} is where patch {number:04d} of the series should be",
                hint="number the patches 0001-, 0002-, ... without a gap; "
                "the cover letter's name ends in .txt",
            )
    if upto is None:
        return patches
    if not 0 <= upto <= len(patches):
        raise UsageError(
            f"there is no patch {upto} in {folder}",
            hint=f"choose 0 (none) to {len(patches)} (all)",
        )
    return patches[:upto]


def prepare_tree(source: Source, patches: list[Path], cache: Path, log: Log) -> Tree:
    """The tree of `source` with exactly `patches` applied.

    Unpacked if missing; otherwise only the patches that differ are reversed and
    applied, and only files that end up different get a new mtime, so that make
    rebuilds no more than that. BuildError if a patch does not apply; those before
    it are applied then, and the next call continues from there.
    """
    home = cache / "trees" / source.key
    path, applied, state = home / "linux", home / "applied", home / "state"
    if home.exists() and not (state.is_file() and state.read_text() == "clean"):
        log.say(f"{home} was left half-made by a killed run: starting over")
        shutil.rmtree(home)
    fresh = not home.exists()
    if fresh:
        applied.mkdir(parents=True)
        state.write_text("changing")
        log.say(f"unpacking {source.describe}")
        path.mkdir()
        _unpack(source, path, cache, log)
        state.write_text("clean")
    # When it was last used: the user's oldest trees are dropped.
    os.utime(state)
    if source.kind == "tree":
        _drop_old_user_trees(cache / "trees", log)
    changed = _switch(path, applied, state, patches, log)
    return Tree(path, source, _digest(patches), fresh or changed)


def touched(tree: Path) -> set[str]:
    """The files, relative to the tree at `tree`, that its applied patches change."""
    applied = (tree.parent / "applied").glob("*.patch")
    return {name for patch in applied for name in _files(patch)}


def _digest(patches: list[Path]) -> str:
    digest = hashlib.sha256()
    for patch in patches:
        digest.update(hashlib.sha256(patch.read_bytes()).digest())
    return digest.hexdigest()


def _unpack(source: Source, path: Path, cache: Path, log: Log) -> None:
    """Fill the empty folder `path`. Every file gets the current time as mtime."""
    hint = f"see {log.path}; is there enough space in {cache}?"
    archive, flags = source.path, ["--strip-components=1"]
    if source.kind == "tree" and not source.git_tree:
        words = ["cp", "-R", "--preserve=mode", "--", f"{source.path}/.", f"{path}"]
        run_logged(words, log, hint=hint)
        return
    if source.git_tree:
        archive, flags = path.with_name("export.tar"), []
        words = ["git", "-C", f"{source.path}", *AS_COMMITTED, "archive"]
        objects = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{git_objects(cache)}"}
        words += ["-o", f"{archive}", source.git_tree]
        run_logged(words, log, env=objects, hint=hint)
    words = ["tar", "-x", "-m", "-C", f"{path}", *flags, "-f", f"{archive}"]
    run_logged(words, log, hint=hint)
    if source.git_tree:
        archive.unlink()
        shutil.rmtree(git_objects(cache), ignore_errors=True)


def _drop_old_user_trees(trees: Path, log: Log) -> None:
    """Every edit of a user's tree makes a new folder of some GB: limit them."""
    homes = [home for home in trees.glob("tree-*") if (home / "state").is_file()]
    homes.sort(key=lambda home: (home / "state").stat().st_mtime_ns)
    for home in homes[:-_USER_TREES_KEPT]:
        log.say(f"removing {home}, made from an older state of a tree of yours")
        # First, so that a removal cut short is not taken for a tree.
        (home / "state").write_text("changing")
        shutil.rmtree(home)


def _switch(
    path: Path, applied: Path, state: Path, patches: list[Path], log: Log
) -> bool:
    """Make `patches` the applied ones; True if that changed anything."""
    old = sorted(applied.glob("*.patch"))
    same = 0
    while (
        same < min(len(old), len(patches))
        and old[same].read_bytes() == patches[same].read_bytes()
    ):
        same += 1
    if same == len(old) == len(patches):
        return False
    names = {name for patch in old[same:] + patches[same:] for name in _files(patch)}
    before = {name: _content(path / name) for name in names}
    times = {n: (path / n).stat().st_mtime_ns for n in names if before[n] is not None}
    state.write_text("changing")
    try:
        for copy in reversed(old[same:]):
            _apply(path, copy, copy.name, state, log, reverse=True)
            copy.unlink()
        for number, patch in enumerate(patches[same:], same + 1):
            log.say(f"applying {patch.name}")
            _apply(path, patch, os.fspath(patch), state, log)
            shutil.copyfile(patch, applied / f"{number:04d}.patch")
    finally:
        # A file that was patched back and forth need not be compiled again.
        for name, time in times.items():
            if before[name] == _content(path / name):
                os.utime(path / name, ns=(time, time))
    state.write_text("clean")
    return True


def _apply(
    path: Path,
    patch: Path,
    name: str,
    state: Path,
    log: Log,
    *,
    reverse: bool = False,
) -> None:
    """Apply one patch completely, or raise BuildError with none of it applied."""
    command = ["git", "apply", "--whitespace=nowarn", *["--reverse"] * reverse]
    command.append(os.fspath(patch.resolve()))
    try:
        run_logged([*command, "--check"], log, cwd=path, env=_NO_REPOSITORY)
    except BuildError as failed:
        place = re.search(r"patch failed: (\S+)$", failed.detail, re.MULTILINE)
        state.write_text("clean")
        raise BuildError(
            f"{name} does not {'reverse' if reverse else 'apply'}"
            + (f" at {place[1]}" if place else ""),
            command=failed.command,
            detail=failed.detail,
            hint=f"compare the patch with the files in {path}",
        ) from None
    files = _files(patch)
    before = [_content(path / file) for file in files]
    run_logged(command, log, cwd=path, env=_NO_REPOSITORY)
    for file, content in zip(files, before, strict=True):
        if _content(path / file) == content:
            raise BuildError(
                f"git applied {name}, yet {file} did not change",
                command=command,
                hint=f"see {log.path}; is {path} inside a git repository?",
            )


def _files(patch: Path) -> list[str]:
    """The files that a patch changes, adds or deletes."""
    text = patch.read_text(errors="replace")
    pairs = re.findall(
        r"^--- (?:a/(\S+)|/dev/null)\n\+\+\+ (?:b/(\S+)|/dev/null)$", text, re.MULTILINE
    )
    return sorted({name for pair in pairs for name in pair if name})


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
