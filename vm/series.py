"""A series of patches, and the files that it makes of those of a kernel tree."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.conflict import explain
from vm.errors import BuildError, UsageError
from vm.process import run_logged
from vm.terminal import Log

# Inside a repository, `git apply` silently skips files outside the current folder;
# and the user's settings could alter a patch.
_NO_REPOSITORY = {
    "GIT_DIR": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


@dataclass(frozen=True)
class Patched:
    """The files that a series concerns, `names`, as they are with it in `folder`.

    A name without a file there is a file that must not exist. `there` are the patches
    that the tree had already.
    """

    folder: Path
    names: frozenset[str]
    there: tuple[Path, ...]


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


def apply_series(
    patches: Sequence[Path],
    upto: int | None,
    original: Callable[[str], Path],
    tree: Path,
    folder: Path,
    log: Log,
) -> Patched:
    """Apply the first `upto` of `patches`, all for None, to copies of their files.

    `original` tells where a file of the kernel `tree` is. The copies are made in
    `folder`, so that nothing has happened to the tree if this fails: with a
    BuildError for a patch that neither applies nor is there already, a UsageError if
    the tree has patches beyond the first `upto`. What the last call made of the same
    files is not made again.
    """
    names = frozenset(name for patch in patches for name in files_of(patch))
    made_from = folder / "made-from"
    inputs = _digest(upto, [*patches, *map(original, sorted(names))])
    if made_from.is_file() and made_from.read_text() == inputs:
        return Patched(folder / "with", names, ())
    # Before anything else, so that a removal cut short is not taken for a series.
    made_from.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    for copy in (folder / "without", folder / "with"):
        for name in names:
            if original(name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(original(name), copy / name)
        copy.mkdir(parents=True, exist_ok=True)
    there, own = _there(patches, folder / "without", tree, log)
    wanted = patches[:upto]
    if beyond := [patch for patch in there if patch not in wanted]:
        raise UsageError(
            f"{tree} already has {numbers(beyond)}, not only the first {upto} patches",
            hint="check out a commit without it, or leave out --upto, --unpatched, "
            "--each-patch or --bench",
        )
    missing = [patch for patch in wanted if patch not in there]
    if there:
        more = f"; applying {numbers(missing)}" * bool(missing)
        log.say(f"{tree} already has {numbers(there)}{more}")
    for patch in missing:
        if (failed := _git_apply(patch, folder / "with", log)) is not None:
            raise own or _conflict(patch, folder / "with", tree, failed)
    if not there:  # otherwise the user is told each time
        made_from.write_text(inputs)
    return Patched(folder / "with", names, tuple(there))


def _digest(upto: int | None, files: Sequence[Path]) -> str:
    """A value that changes with the number of patches and with their files."""
    digest = hashlib.sha256(repr(upto).encode())
    for file in files:
        digest.update(repr((file.name, _content(file))).encode())
    return digest.hexdigest()


def numbers(patches: Sequence[Path]) -> str:
    """How the user is told of patches: "patches 0001, 0002"."""
    names = ", ".join(patch.name[:4] for patch in patches)
    return f"{'patch' if len(patches) == 1 else 'patches'} {names}"


def files_of(patch: Path) -> set[str]:
    """The files that a patch changes, adds or deletes."""
    text = patch.read_text(errors="replace")
    pairs = re.findall(
        r"^--- (?:a/(\S+)|/dev/null)\n\+\+\+ (?:b/(\S+)|/dev/null)$", text, re.MULTILINE
    )
    # Renames, modes and empty files have no other lines.
    pairs += re.findall(r"^diff --git a/(\S+) b/(\S+)$", text, re.MULTILINE)
    return {name for pair in pairs for name in pair if name}


def _there(
    patches: Sequence[Path], folder: Path, tree: Path, log: Log
) -> tuple[list[Path], BuildError | None]:
    """Take back the patches that are applied in `folder`; which they were.

    Also the error for the last one that is not there, though a later one is: either
    it applies, too, or the tree has its own version of it.
    """
    there: list[Path] = []
    own: BuildError | None = None
    # From the last on: each was made on top of those before it.
    for patch in reversed(patches):
        failed = _git_apply(patch, folder, log, "--reverse")
        if failed is None:
            there.insert(0, patch)
        elif there and own is None:
            own = _conflict(patch, folder, tree, failed, own=True)
    # What only takes back a part of those before it looks like this without them.
    for number, patch in enumerate(patches):
        before = [other for other in patches[:number] if other not in there]
        if patch in there and any(files_of(patch) & files_of(b) for b in before):
            there.remove(patch)
            _git_apply(patch, folder, log)
    return there, own


def _conflict(
    patch: Path, folder: Path, tree: Path, failed: BuildError, *, own: bool = False
) -> BuildError:
    """The error for a patch that does not apply or, the tree's `own`, not reverse."""
    place, lines = explain(patch, folder, failed.detail.splitlines(), reverse=own)
    what = f"{patch} does not apply to {tree}{place}"
    if own:
        what = f"{tree} has its own version of {patch}{place}"
    return BuildError(
        what,
        command=failed.command,
        detail="\n".join(lines),
        hint="add --patched if the tree has its own version of the series, to test it "
        "as it is; or choose another series with --base",
    )


def _git_apply(patch: Path, folder: Path, log: Log, *how: str) -> BuildError | None:
    """Apply all of a patch, or none of it and say why."""
    command = ["git", "-C", os.fspath(folder), "apply", "--whitespace=nowarn", *how]
    command.append(os.fspath(patch.resolve()))
    before = {name: _content(folder / name) for name in sorted(files_of(patch))}
    try:
        run_logged(command, log, env=_NO_REPOSITORY)
    except BuildError as failed:
        return failed
    for name, content in before.items():
        if _content(folder / name) == content:
            raise BuildError(
                f"git applied {patch}, yet {name} did not change",
                command=command,
                hint=f"see {log.path}; is {folder} inside a git repository?",
            )
    return None


def _content(file: Path) -> tuple[bytes, int] | None:
    return (file.read_bytes(), file.stat().st_mode) if file.is_file() else None
