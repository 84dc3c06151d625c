"""The archives of kernel sources in the cache, each with a record of what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vm.cache import safe_name, sha256_file, write_state


@dataclass(frozen=True)
class Record:
    """What an archive is; kept beside it as JSON.

    `kind` is "release" or "debian"; `describe` is one line for the summary. `pinned` is
    the SHA-256 that patches/bases.toml had when it was fetched: not always its own.
    """

    kind: str
    base: str
    version: str
    sha256: str
    describe: str
    pinned: str = ""

    @property
    def key(self) -> str:
        """A file-system-safe name for the archive's content."""
        return f"{self.kind}-{safe_name(self.version)}-{self.sha256[:12]}"


def keep(archive: Path, record: Record) -> None:
    """Write the record of a complete archive: from now on it is in the cache."""
    file = archive.with_name(archive.name + ".json")
    write_state(file, asdict(record))


def recall(
    archives: Path, wanted: Callable[[Record], bool], say: Callable[[str], None]
) -> tuple[Path, Record] | None:
    """An archive in `archives` with a `wanted` record and the recorded content.

    One whose content differs from its record is removed, with a message. Other files
    there are the user's.
    """
    for file in sorted(archives.glob("linux-*.tar.xz.json"), reverse=True):
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
        say(f"{archive} has changed since it was fetched (SHA-256 differs): removed")
        archive.unlink(missing_ok=True)
        file.unlink()
    return None
