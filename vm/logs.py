"""The folder of a run's logs and results: made when needed, kept while in use."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from vm.cache import lock
from vm.terminal import Log, Terminal

RUNS_KEPT = 20  # --each-patch alone leaves one for each patch
REPORT = "report.html"  # the page of the run, see report.py

_OURS = re.compile(r"\d{8}-\d{6}-\d+")


class RunLogs:
    """The folder of one run below `runs` in the cache.

    It is locked for as long as the run lives, so that no other run removes it.
    """

    def __init__(self, cache: Path, terminal: Terminal) -> None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        self.path = cache / "runs" / f"{now}-{os.getpid()}"
        self.terminal = terminal
        self._lock: int | None = None
        self._kept = False

    def folder(self) -> Path:
        """The folder; created and locked by the first call."""
        if self._lock is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.path, wait=True)
        return self.path

    def log(self, stage: str) -> Log:
        """The log of a stage."""
        return Log(self.folder() / f"{stage}.log", self.terminal)

    def keep(self) -> None:
        """Keep this folder; remove the oldest beyond RUNS_KEPT that no run uses.

        From the others, remove what a killed run could not.
        """
        self._kept = True
        # What else is there is the user's, whose folder the cache may be.
        folders = [f for f in self.folder().parent.iterdir() if _OURS.fullmatch(f.name)]
        for place, old in enumerate(sorted(folders, reverse=True)):
            with contextlib.suppress(FileNotFoundError):  # its run removed it
                held = lock(old, wait=False)
                if held is None:
                    continue
                if place >= RUNS_KEPT:
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    _remove_leftovers(old)
                os.close(held)

    def close(self, *, failed: bool) -> None:
        """The run is over: remove the folder unless it is kept or says what failed."""
        said = failed and self.path.is_dir() and any(self.path.iterdir())
        if not self._kept and not said:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _remove_leftovers(folder: Path) -> None:
    for file in folder.iterdir():
        if file.is_socket():
            file.unlink(missing_ok=True)
        elif file.suffix == ".tmp":
            shutil.rmtree(file, ignore_errors=True)


class WorkersLogs(RunLogs):
    """The same folder for a worker: the main process locks, keeps and removes it."""

    def __init__(self, folder: Path, terminal: Terminal) -> None:
        self.path = folder
        self.terminal = terminal

    def folder(self) -> Path:
        """The folder."""
        return self.path

    def keep(self) -> None:
        """Nothing to do."""

    def close(self, *, failed: bool) -> None:
        """Nothing to do."""


def runs_in_use(cache: Path) -> list[Path]:
    """The folders of the runs that are going on, the newest first."""
    found = []
    runs = cache / "runs"
    for folder in sorted(runs.iterdir(), reverse=True) if runs.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # its run removed it
            held = lock(folder, wait=False)
            if held is None:
                found.append(folder)
            else:
                os.close(held)
    return found


def short_path(folder: Path, stack: ExitStack) -> str:
    """A short path of a folder, good until `stack` is closed.

    That of a Unix socket must not exceed 107 bytes, however long the cache's is.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return f"/proc/{os.getpid()}/fd/{descriptor}"
