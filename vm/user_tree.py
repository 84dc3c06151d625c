"""A kernel tree of the user's, given with --kernel-tree: it is only ever read."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from vm.errors import UsageError
from vm.process import output_of, run_logged
from vm.source import Source
from vm.terminal import Log

_OTHER = "or choose another --kernel-tree"

# The user's conversions of line ends would export another tree than the commit.
AS_COMMITTED = (
    *("-c", "core.autocrlf=false", "-c", "core.eol=lf"),
    *("-c", f"core.attributesFile={os.devnull}"),
)


def user_source(
    base: str, path: Path, allow_dirty: bool, cache: Path, log: Log
) -> Source:
    """The source in the folder `path`, a git checkout or a plain tree.

    UsageError if it is not a kernel of the base, has uncommitted changes that are
    not allowed, or was built in place.
    """
    # No symbolic link is followed, and an unknown ~user is no RuntimeError.
    path = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111
    version = _version(path)
    if version != base and not version.startswith(f"{base}."):
        raise UsageError(
            f"{path} is Linux {version}; the patches are for {base}",
            hint=f"check out a {base} kernel there, {_OTHER}",
        )
    if (path / ".git").exists():
        return _git_checkout(path, version, allow_dirty, cache, log)
    for sign in (".config", "include/config"):
        if (path / sign).exists():
            raise UsageError(
                f"{path} was built in place (it has {sign}), so it cannot be built "
                "in a separate folder",
                hint=f"run `make mrproper` in it, {_OTHER}",
            )
    key = f"tree-dir-{_fingerprint(path)}"
    return Source("tree", path, key, f"Linux {version} in {path}")


def git_objects(cache: Path) -> Path:
    """The folder for the git objects of a checkout's uncommitted changes."""
    return cache / "sources" / "git-objects"


def _version(path: Path) -> str:
    """VERSION.PATCHLEVEL[.SUBLEVEL] of a kernel tree's Makefile."""
    try:
        head = (path / "Makefile").read_text(errors="replace")[:4096]
    except OSError:
        head = ""
    fields = dict(re.findall(r"^(\w+) *= *(\d+) *$", head, re.MULTILINE))
    if not {"VERSION", "PATCHLEVEL"} <= fields.keys():
        raise UsageError(
            f"{path} is not a kernel tree: no Makefile there sets VERSION and "
            "PATCHLEVEL",
            hint="give the top folder of a kernel source tree with --kernel-tree",
        )
    parts = [fields["VERSION"], fields["PATCHLEVEL"], fields.get("SUBLEVEL", "0")]
    return ".".join(parts[:2] if parts[2] == "0" else parts)


def _git_checkout(
    path: Path, version: str, allow_dirty: bool, cache: Path, log: Log
) -> Source:
    git = ["git", "--no-optional-locks", "-C", os.fspath(path), *AS_COMMITTED]
    hint = f"git must be able to read this checkout; {_OTHER}"
    status = [*git, "status", "--porcelain", "--untracked-files=normal"]
    changes = output_of(status, log, error=UsageError, hint=hint)
    if changes and not allow_dirty:
        raise UsageError(
            f"{path} has uncommitted changes",
            command=status,
            detail="\n".join(changes[:10]),
            hint="commit or stash them, or add --allow-dirty to test them as they are",
        )
    where = [*git, "rev-parse", "HEAD^{tree}", "--git-path", "index"]
    tree, index = output_of(where, log, error=UsageError, hint=hint)[-2:]
    if changes:
        tree = _working_tree(cache, log, git, path / index)
    note = ", with uncommitted changes" if changes else ""
    return Source(
        "tree",
        path,
        f"tree-git-{tree}",
        f"Linux {version} in {path} (git tree {tree[:12]}{note})",
        git_tree=tree,
    )


def _working_tree(cache: Path, log: Log, git: list[str], index: Path) -> str:
    """Write the files that git would add as a git tree; its name.

    Index and objects go into the cache, so that nothing is written to the
    user's repository; `--missing-ok` because unchanged objects stay there.
    """
    objects = git_objects(cache)
    shutil.rmtree(objects, ignore_errors=True)
    objects.mkdir(parents=True)
    if index.exists():
        # With its time: git looks at the content of files that are as new.
        shutil.copy2(index, objects / "index")
    env = {
        "GIT_INDEX_FILE": os.fspath(objects / "index"),
        "GIT_OBJECT_DIRECTORY": os.fspath(objects),
    }
    # A split index would have its other half in the user's repository.
    git = [*git, "-c", "core.splitIndex=false"]
    run_logged([*git, "add", "--all"], log, env=env, error=UsageError)
    return output_of([*git, "write-tree", "--missing-ok"], log, env=env)[-1]


def _fingerprint(path: Path) -> str:
    """A hash that changes when a file below `path` does: by its stat, not content."""
    digest = hashlib.sha256(os.fsencode(path))

    def refuse(reason: OSError) -> None:
        raise UsageError(
            f"cannot read {reason.filename}: {reason.strerror}",
            hint=f"make the whole tree readable, {_OTHER}",
        )

    for folder, folders, files in os.walk(path, onerror=refuse):
        folders.sort()
        for name in sorted(files):
            file = f"{folder}/{name}"
            stat = os.lstat(file)
            times = (
                f"{stat.st_mode} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
            )
            digest.update(os.fsencode(file) + b"\0" + times.encode() + b"\0")
    return digest.hexdigest()[:16]
