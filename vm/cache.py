"""The cache folder: where it is, who uses it now, and what was fetched into it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from vm.errors import UsageError

_NAME = "bpf-map-tracing"


def cache_dir(option: Path | None) -> Path:
    """The cache folder, absolute and made if missing.

    `option`, else $XDG_CACHE_HOME/bpf-map-tracing, else ~/.cache/bpf-map-tracing.
    UsageError where it cannot be written, or kbuild could not build in it.
    """
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = xdg if xdg.is_absolute() else Path("~/.cache")
    # Path.expanduser raises RuntimeError for an unknown ~user.
    named = os.path.expanduser(option or base / _NAME)  # noqa: PTH111
    path = Path(named).resolve()
    hint = "name another folder with --cache"
    if re.search(r"[\s:]", str(path)):
        # The kernel's Makefile refuses such an O= folder, after the download.
        raise UsageError(f"space or colon in the cache folder {path}", hint=hint)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as reason:
        raise UsageError(
            f"cannot write the cache folder {path}: {reason.strerror}", hint=hint
        ) from reason
    return path


@contextmanager
def locked(path: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of `path`: of a folder, its `.lock`; else the file itself.

    Blocks while another run holds it, after one `note`. The kernel drops the
    lock when its holder dies, however that happens.
    """
    file = path / ".lock" if path.is_dir() else path
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"waiting for another run that uses {path}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safe_name(text: str) -> str:
    """`text` with everything but letters, digits, dots and dashes replaced."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", text)


@dataclass(frozen=True)
class Record:
    """What is known of an archive in the cache; kept beside it as JSON."""

    kind: str
    base: str
    version: str
    sha256: str
    describe: str

    @property
    def key(self) -> str:
        """A file-system-safe name for the archive's content."""
        return f"{self.kind}-{safe_name(self.version)}-{self.sha256[:12]}"


def keep(archive: Path, record: Record) -> None:
    """Write the record of a complete archive: from now on it is in the cache."""
    file = archive.with_name(archive.name + ".json")
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(record), indent=1) + "\n")
    part.replace(file)


def recall(
    archives: Path, wanted: Callable[[Record], bool], say: Callable[[str], None]
) -> tuple[Path, Record] | None:
    """An archive in `archives` with a `wanted` record, whose content is as recorded.

    One that is not as recorded is removed, and said to be.
    """
    for file in sorted(archives.glob("*.json"), reverse=True):
        archive = file.with_suffix("")
        try:
            record = Record(**json.loads(file.read_text()))
        except (ValueError, TypeError):
            say(f"{file} is not readable: removed")
            file.unlink()
            continue
        if not wanted(record):
            continue
        if archive.is_file() and sha256_file(archive) == record.sha256:
            return archive, record
        say(f"{archive} is not what was fetched (SHA-256 differs): removed")
        archive.unlink(missing_ok=True)
        file.unlink()
    return None
