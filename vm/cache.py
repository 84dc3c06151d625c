"""The cache folder: where it is, and who is using it.

Standard library only: run_tests.py checks the folder before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vm.errors import UsageError

_NAME = "bpf-map-tracing"


def last_option(arguments: Sequence[str], option: str) -> str | None:
    """The value of the last `option` on a command line, if there is one."""
    named = None
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == "--":
            break
        if word == option and following:
            named = following
        elif word.startswith(f"{option}="):
            named = word.partition("=")[2]
    return named


def cache_folder(option: str | Path | None) -> Path:
    """The cache folder, absolute, created if missing.

    `option`, else $XDG_CACHE_HOME/bpf-map-tracing, else ~/.cache/bpf-map-tracing.
    UsageError if it is not writable, or kbuild could not build in it.
    """
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = xdg if xdg.is_absolute() else Path("~/.cache")
    # Path.expanduser raises RuntimeError for an unknown ~user.
    named = os.path.expanduser(option or base / _NAME)  # noqa: PTH111
    path = Path(named).resolve()
    hint = "choose another folder with --cache"
    refuse_space(path, "cache folder", hint)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as reason:
        raise UsageError(
            f"cannot write to the cache folder {path}: {reason.strerror}", hint=hint
        ) from reason
    return path


def refuse_space(path: Path, what: str, hint: str) -> None:
    """UsageError for a path that make cannot handle."""
    if re.search(r"[\s:]", str(path)):
        # kbuild refuses such an O= folder, but only after the download.
        raise UsageError(f"space or colon in the path of the {what} {path}", hint=hint)


@contextmanager
def locked(path: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the folder `path`.

    Blocks while another run holds it, after one `note`. The kernel drops the
    lock when its holder dies, no matter how.
    """
    descriptor = lock(path, wait=False)
    if descriptor is None:
        note(f"waiting for another run that uses {path}")
        descriptor = lock(path, wait=True)
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)


def lock(folder: Path, *, wait: bool) -> int | None:
    """Lock a folder until the returned descriptor is closed.

    None if another process holds the lock and `wait` is false.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safe_name(text: str) -> str:
    """`text` with everything but letters, digits, dots and dashes replaced."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", text)


def write_state(path: Path, value: object) -> None:
    """Replace a JSON file that later runs rely on: whole even if the power fails."""
    write_whole(path, json.dumps(value) + "\n", sync=True)


def write_whole(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace a file as a whole. OSError if that fails; then it is as before.

    With `sync`, the new content is on the disk before it has the name.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
