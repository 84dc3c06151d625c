"""Where the kernel source comes from: the user, the cache, kernel.org or Debian."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from vm.archives import Record, keep, recall
from vm.bases import Base
from vm.cache import sha256_file
from vm.debian import OTHER_WAY, debian_source
from vm.errors import BuildError
from vm.terminal import Log

RELEASE_URL = "https://cdn.kernel.org/pub/linux/kernel"

_CONNECT_SECONDS = 10
_STALL_SECONDS = 60
_MB = 1_000_000


@dataclass(frozen=True)
class Source:
    """A kernel source that is available.

    `kind` is "tree" (`path`: a folder of the user's, never written to), "release"
    or "debian" (`path`: an archive in the cache). `key` names the folder or the
    content, and is safe in file names. `describe` is one line for the summary. `files`
    are those of a "tree" that belong to the source.
    """

    kind: str
    path: Path
    key: str
    describe: str
    files: tuple[str, ...] = ()


def fetch_source(base: Base, cache: Path, log: Log) -> Source:
    """The archive of the base's kernel, downloaded if the cache does not have it.

    UsageError on a machine that has no way to get it, BuildError for a download
    that fails; a wrong checksum never leads to trying elsewhere.
    """
    archives = cache / "sources"
    archives.mkdir(parents=True, exist_ok=True)

    def wanted(record: Record) -> bool:
        if record.kind == "release":
            pinned = record.sha256 == (base.sha256 or record.sha256)
            fresh = record.version == base.release and pinned
        else:
            # Debian may not have had the version that is pinned.
            fresh = base.package_sha256 in (record.sha256, record.pinned)
        return record.base == base.name and fresh

    found = recall(archives, wanted, log.say)
    if found is None:
        found = _release(base, archives, log) or debian_source(base, archives, log)
        keep(*found)
    archive, record = found
    return Source(record.kind, archive, record.key, record.describe)


def _release(base: Base, archives: Path, log: Log) -> tuple[Path, Record] | None:
    """Download the release and check it; None if the site cannot be reached."""
    folder = f"{RELEASE_URL}/v{base.release.split('.')[0]}.x"
    name = f"linux-{base.release}.tar.xz"
    sums = f"{folder}/sha256sums.asc"
    try:
        with urllib.request.urlopen(sums, timeout=_CONNECT_SECONDS) as reply:
            listing = reply.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as reason:
        why = getattr(reason, "reason", reason)
        log.say(f"cannot reach {sums} ({why}): trying Debian's package")
        return None
    wanted, origin = base.sha256, "patches/bases.toml"
    if not wanted:
        line = re.search(
            rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}$", listing, re.MULTILINE
        )
        if line is None:
            raise BuildError(f"{sums} has no checksum for {name}", hint=OTHER_WAY)
        wanted, origin = line[1], "sha256sums.asc"
        log.say(f"patches/bases.toml pins no checksum for {name}: using {origin}")
    log.say(f"downloading {folder}/{name}")
    archive = archives / name
    part = archives / f"{name}.part"
    _download(f"{folder}/{name}", part, log)
    got = sha256_file(part)
    if got != wanted:
        part.unlink()
        raise BuildError(
            f"{folder}/{name} has the wrong checksum",
            detail=f"downloaded: SHA-256 {got}\n{origin}: {wanted}",
            hint=f"try again; if it persists, do not trust the site, and {OTHER_WAY}",
        )
    part.replace(archive)
    describe = f"linux-{base.release} (kernel.org)"
    return archive, Record("release", base.name, base.release, got, describe)


def _download(url: str, part: Path, log: Log) -> None:
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
                    log.terminal.progress("MB", done // _MB, total and total // _MB)
        log.terminal.finish()
        if total is not None and done < total:
            raise ConnectionError("the connection was closed")
    except (OSError, http.client.HTTPException) as reason:
        part.unlink(missing_ok=True)
        raise BuildError(
            f"downloading {url} was cut off after {done} of {total or '?'} bytes: "
            f"{reason}",
            hint=f"run again, or {OTHER_WAY}",
        ) from reason
