"""Where the kernel source comes from: the user, the cache, kernel.org or Debian."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vm import cache as store
from vm.debian import OTHER_WAY, debian_source
from vm.errors import BuildError, UsageError
from vm.process import output_of, run_logged

PINNED = {"7.3": "7.3.4"}
"""Base to the release that is fetched for it from kernel.org."""

DEBIAN_SUITE = {"7.3": "trixie-backports"}
"""Base to the Debian suite that has its linux-source package."""

RELEASE_URL = "https://cdn.kernel.org/pub/linux/kernel"

_CONNECT_SECONDS = 10
_STALL_SECONDS = 60

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Source:
    """A kernel source that is at hand.

    `kind` is "tree" (`path`: a folder of the user, only ever read), "release" or
    "debian" (`path`: an archive in the cache). `key` names the content and is
    safe in file names. `describe` is one line for the summary. `git_tree` is
    the git tree object to export, where `path` is a git checkout.
    """

    kind: str
    path: Path
    key: str
    describe: str
    git_tree: str = ""


def get_source(
    base: str,
    cache: Path,
    log: Path,
    say: Say,
    *,
    kernel_tree: Path | None = None,
    allow_dirty: bool = False,
    progress: Progress | None = None,
) -> Source:
    """The source of the kernel `base` ("7.3"), fetched if need be.

    `progress(done, total)` counts the bytes of a download from kernel.org.
    UsageError for a base or tree that will not do, BuildError for a fetch that
    fails; a wrong checksum is never answered by trying elsewhere.
    """
    if kernel_tree is not None:
        return _user_tree(base, cache, log, kernel_tree, allow_dirty)
    if base not in PINNED:
        raise UsageError(
            f"no kernel source is known for base {base}",
            hint=f"choose one of {', '.join(PINNED)}, or {OTHER_WAY}",
        )
    archives = cache / "sources"
    archives.mkdir(parents=True, exist_ok=True)

    def wanted(record: store.Record) -> bool:
        stale = record.kind == "release" and record.version != PINNED[base]
        return record.base == base and not stale

    found = store.recall(archives, wanted, say)
    if found is None:
        found = _release(base, archives, say, progress)
        if found is None:
            found = debian_source(base, DEBIAN_SUITE[base], archives, log, say)
        store.keep(*found)
    archive, record = found
    return Source(record.kind, archive, record.key, record.describe)


# A tree of the user


def _user_tree(
    base: str, cache: Path, log: Path, path: Path, allow_dirty: bool
) -> Source:
    # No symbolic link is followed, and an unknown ~user is no RuntimeError.
    path = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111
    version = _version(path)
    if version != base and not version.startswith(f"{base}."):
        raise UsageError(
            f"{path} is Linux {version}; the patches are for {base}",
            hint=f"check out a {base} kernel there, or name another --kernel-tree",
        )
    if (path / ".git").exists():
        return _git_checkout(cache, log, path, version, allow_dirty)
    for sign in (".config", "include/config"):
        if (path / sign).exists():
            raise UsageError(
                f"{path} was built in place (it has {sign}), so it cannot be built "
                "in a folder of its own",
                hint="run `make mrproper` in it, or name a clean --kernel-tree",
            )
    key = f"tree-dir-{_fingerprint(path)}"
    return Source("tree", path, key, f"Linux {version} in {path}")


def _version(path: Path) -> str:
    """VERSION.PATCHLEVEL[.SUBLEVEL] of a kernel tree's Makefile."""
    try:
        head = (path / "Makefile").read_text(errors="replace")[:4096]
    except OSError:
        head = ""
    fields = dict(re.findall(r"^(\w+) *= *(\d+) *$", head, re.MULTILINE))
    if not {"VERSION", "PATCHLEVEL"} <= fields.keys():
        raise UsageError(
            f"{path} is no kernel tree: no Makefile there sets VERSION and PATCHLEVEL",
            hint="name the top folder of a kernel source tree with --kernel-tree",
        )
    parts = [fields["VERSION"], fields["PATCHLEVEL"], fields.get("SUBLEVEL", "0")]
    return ".".join(parts[:2] if parts[2] == "0" else parts)


def _git_checkout(
    cache: Path, log: Path, path: Path, version: str, allow_dirty: bool
) -> Source:
    git = ["git", "--no-optional-locks", "-C", os.fspath(path)]
    hint = "git must be able to read this checkout; or name another --kernel-tree"
    status = [*git, "status", "--porcelain"]
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


def _working_tree(cache: Path, log: Path, git: list[str], index: Path) -> str:
    """Write the files that git would add as a git tree; its name.

    Index and objects go into the cache, so that nothing is written to the
    user's repository; `--missing-ok` since the unchanged objects stay there.
    """
    objects = git_objects(cache)
    shutil.rmtree(objects, ignore_errors=True)
    objects.mkdir(parents=True)
    shutil.copyfile(index, objects / "index")
    env = {
        "GIT_INDEX_FILE": os.fspath(objects / "index"),
        "GIT_OBJECT_DIRECTORY": os.fspath(objects),
    }
    run_logged([*git, "add", "--all"], log, env=env, error=UsageError)
    return output_of([*git, "write-tree", "--missing-ok"], log, env=env)[-1]


def git_objects(cache: Path) -> Path:
    """Where the objects of a checkout's uncommitted changes are."""
    return cache / "sources" / "git-objects"


def _fingerprint(path: Path) -> str:
    """A hash that changes when a file below `path` does: by its stat, not content."""
    digest = hashlib.sha256(os.fsencode(path))

    def refuse(reason: OSError) -> None:
        raise UsageError(
            f"cannot read {reason.filename}: {reason.strerror}",
            hint="make the whole tree readable, or name another --kernel-tree",
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


# kernel.org


def _release(
    base: str, archives: Path, say: Say, progress: Progress | None
) -> tuple[Path, store.Record] | None:
    """Fetch the release archive and check it; None where the site is not reached."""
    version = PINNED[base]
    folder = f"{RELEASE_URL}/v{base.split('.')[0]}.x"
    name = f"linux-{version}.tar.xz"
    sums = f"{folder}/sha256sums.asc"
    try:
        with urllib.request.urlopen(sums, timeout=_CONNECT_SECONDS) as reply:
            listing = reply.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as reason:
        why = getattr(reason, "reason", reason)
        say(f"{sums} is not reachable ({why}): trying Debian's package")
        return None
    line = re.search(
        rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}$", listing, re.MULTILINE
    )
    if line is None:
        raise BuildError(f"{sums} has no checksum for {name}", hint=OTHER_WAY)
    say(f"downloading {folder}/{name}")
    archive = archives / name
    part = archives / f"{name}.part"
    _download(f"{folder}/{name}", part, progress)
    got = store.sha256_file(part)
    if got != line[1]:
        part.unlink()
        raise BuildError(
            f"{folder}/{name} has the wrong checksum",
            detail=f"SHA-256 of what came: {got}\nsha256sums.asc says:   {line[1]}",
            hint=f"run again; if it stays so, do not trust the site, and {OTHER_WAY}",
        )
    part.replace(archive)
    describe = f"linux-{version} (kernel.org)"
    return archive, store.Record("release", base, version, got, describe)


def _download(url: str, part: Path, progress: Progress | None) -> None:
    done = 0
    total: int | None = None
    try:
        with urllib.request.urlopen(url, timeout=_STALL_SECONDS) as reply:
            length = reply.headers.get("Content-Length")
            total = int(length) if length else None
            with part.open("wb") as out:
                while chunk := reply.read(1 << 18):
                    out.write(chunk)
                    done += len(chunk)
                    if progress:
                        progress(done, total)
        if total is not None and done < total:
            raise ConnectionError("the connection was closed")
    except (OSError, http.client.HTTPException) as reason:
        part.unlink(missing_ok=True)
        raise BuildError(
            f"downloading {url} broke off after {done} of {total or '?'} bytes: "
            f"{reason}",
            hint=f"run again, or {OTHER_WAY}",
        ) from reason
