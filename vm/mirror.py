"""A copy of a kernel tree, kept like it by content.

Only files whose content differs are written. So make, which looks at times, compiles
what an edit touched, and neither a commit nor a checkout back and forth costs anything.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from vm.cache import write_state
from vm.errors import UsageError
from vm.terminal import Log

# What the configuration is made from, beside the fragments.
_CONFIGURES = re.compile(r"(^|/)Kconfig|^scripts/|/configs/")
# A file that was changed so shortly before it was looked at may change again in the
# same tick of the file system's clock.
_TICK = 100_000_000  # ns
_MANY = 1000  # files to copy, so that the user should know


class Mirror:
    """The copy in the folder `linux` of `home`, and its version.

    The version changes whenever a file does. It is written before the file, so that an
    image of the old version is never taken for one of the new, even if the harness is
    killed in between.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "linux"
        self.state = home / "version.json"
        self._noted: set[str] = set()

    def version(self, of: str = "tree") -> str:
        """The version of all files, or of those for the "config"uration."""
        return str(json.loads(self.state.read_text())[of])

    def note(self, *parts: str) -> None:
        """Give these parts of the version, "tree" and "config", another value."""
        if new := set(parts) - self._noted:
            versions = json.loads(self.state.read_text()) if self.state.exists() else {}
            versions |= {part: secrets.token_hex(8) for part in new}
            write_state(self.state, versions)
            self._noted |= new

    def put(self, name: str, original: Path) -> None:
        """Make the file `name` like `original`, which may be missing."""
        copy = self.path / name
        if _same(original, copy):
            return
        self.note(*["config"] * bool(_CONFIGURES.search(name)), "tree")
        if copy.is_dir() and not copy.is_symlink():
            shutil.rmtree(copy)
        if not os.path.lexists(original):
            copy.unlink(missing_ok=True)  # if it was a folder
            with suppress(OSError):  # until one is not empty
                for folder in copy.relative_to(self.path).parents:
                    (self.path / folder).rmdir()
            return
        copy.parent.mkdir(parents=True, exist_ok=True)
        # Whole, or not at all.
        part = self.home / "part"
        part.unlink(missing_ok=True)
        shutil.copyfile(original, part, follow_symlinks=False)
        if not part.is_symlink():
            part.chmod(0o755 if _executable(original) else 0o644)
        part.replace(copy)

    def update(
        self, root: Path, names: Iterable[str], patched: Mapping[str, Path], log: Log
    ) -> None:
        """Make the copy consist of the files `names` of `root`, and of the `patched`.

        `patched` has for each name of a patched file where it is, if it exists. A file
        of `root` is only read if its stat has changed since the last time; what a link
        out of `root` leads to is left to make. UsageError for a file that cannot be
        read or changes meanwhile, and for a link with a patched file behind it.
        """
        record = self.home / "files.json"
        known: dict[str, str] = json.loads(_read(record) or "{}")
        before = time.time_ns() - _TICK
        files = {name: "" for name, file in patched.items() if file.exists()}
        stats: dict[str, str] = {}
        links: dict[str, Path] = {}
        for name in names:
            if name not in patched and (status := _lstat(root, name)):
                stats[name] = _signature(status)
                files[name] = stats[name] * (status.st_ctime_ns < before)
                if stat.S_ISLNK(status.st_mode):
                    _refuse_patched_below(root / name, name, patched)
                    if _leads_out(root, name):
                        links[name] = (root / name).parent / (root / name).readlink()
        if links:
            log.say(f"symbolic links lead out of {root}, as {min(links)}: running make")
            self.note("tree", "config")
        gone = known.keys() - files.keys()
        todo = [
            n
            for n, signature in files.items()
            if not signature or known.get(n) != signature
        ]
        # Now, for the case that the harness is killed: the user may move files of the
        # old stats back, or remove new ones.
        if (unsure := known | dict.fromkeys([*todo, *gone], "")) != known:
            write_state(record, unsure)
        if len(todo) > _MANY:
            log.say(f"copying {len(todo)} files of {root}")
        for name in sorted(gone):
            # Behind a link that a killed run made are other files than that one.
            if not any((self.path / f).is_symlink() for f in Path(name).parents):
                self.put(name, self.home / "none")
        for name in todo:
            original = patched.get(name, root / name)
            if name in links:  # from here, it would lead elsewhere
                original = self.home / "link"
                original.unlink(missing_ok=True)
                original.symlink_to(links[name])
            try:
                self.put(name, original)
            except PermissionError as reason:
                raise UsageError(
                    f"cannot read {reason.filename}: {reason.strerror}",
                    hint="make the whole tree readable, or choose another "
                    "--kernel-tree",
                ) from None
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise _changing(root, name) from None
        for name in todo:
            if name in stats:
                status = _lstat(root, name)
                if status is None or _signature(status) != stats[name]:
                    raise _changing(root, name)
        if files != known:
            write_state(record, files)


def _lstat(root: Path, name: str) -> os.stat_result | None:
    """The stat of a file or a link; None if it is something else, or not there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        status = os.lstat(f"{root}/{name}")
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            return status
    return None


def _leads_out(root: Path, link: str) -> bool:
    """Whether a link leads out of the tree, to files that may change unseen."""
    target = os.path.realpath(root / link)
    absolute = (root / link).readlink().is_absolute()
    return absolute or not Path(target).is_relative_to(root.resolve())


def _refuse_patched_below(link: Path, name: str, patched: Mapping[str, Path]) -> None:
    """UsageError if a link is the folder of a patched file: that would be behind it."""
    for file in patched:
        if file.startswith(f"{name}/"):
            raise UsageError(
                f"{link} is a symbolic link, and the series changes {file}",
                hint="put the folder itself there, or add --patched if it has the "
                "series",
            )


def _changing(root: Path, name: str) -> UsageError:
    """Neither the old file nor the new one may have been copied, but some of each."""
    return UsageError(
        f"{root / name} changed while it was copied",
        hint="run again when nothing changes the tree",
    )


def _signature(status: os.stat_result) -> str:
    """Differs whenever the content does, except within a tick of the clock."""
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{status.st_mode:o} {status.st_ino} {status.st_size} {times}"


def _same(one: Path, other: Path) -> bool:
    """Whether both are missing, or alike in content and in being executable."""
    if not (os.path.lexists(one) and os.path.lexists(other)):
        return os.path.lexists(one) == os.path.lexists(other)
    if one.is_symlink() or other.is_symlink():
        links = one.is_symlink() and other.is_symlink()
        return links and one.readlink() == other.readlink()
    return (
        other.is_file()
        and _executable(one) == _executable(other)
        and one.stat().st_size == other.stat().st_size
        and one.read_bytes() == other.read_bytes()
    )


def _executable(file: Path) -> bool:
    return bool(file.stat().st_mode & stat.S_IXUSR)


def _read(file: Path) -> str:
    return file.read_text(errors="surrogateescape") if file.exists() else ""
