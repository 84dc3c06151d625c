"""The guest's console: a terminal that is read all the time, and its log.

Test results never come from here; splats.py reads what the kernel reports.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]

from vm.process import end_session, tied
from vm.splats import Scan

_CLOSE_SECONDS = 2.0  # for the terminal to be closed once its processes are gone


class Console:
    """A command on a terminal of its own, which is the guest's console.

    A thread reads the terminal, so that it never fills and blocks the guest; what
    it reads is appended to the file `log`, and `scan` says what it shows.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.log_error: OSError | None = None  # what ended the log, not the reading
        self._child: pexpect.spawn | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.scan = Scan()
        self.size = 0  # characters shown
        self._changed = 0.0
        self._news = threading.Condition()
        self.ended = False  # no process has the terminal open

    @property
    def silent(self) -> float:
        """For how many seconds there was no output."""
        return time.monotonic() - self._changed

    def start(self, command: list[str], env: dict[str, str]) -> None:
        """Start the command as the leader of a session of its own."""
        program, *arguments = tied(command)
        self._child = pexpect.spawn(
            program,
            arguments,
            env=env,
            encoding="utf-8",
            codec_errors="replace",
            timeout=None,
        )
        # By default it waits for processes that end() has ended already.
        self._child.ptyproc.delayafterclose = 0.0
        self._changed = time.monotonic()
        self._thread.start()

    def _read(self) -> None:
        """Read until the last process has closed the terminal."""
        assert self._child is not None
        with contextlib.suppress(pexpect.EOF, OSError, ValueError):
            while True:
                self.show(self._child.read_nonblocking(4096, timeout=None))
        with self._news:
            self.scan.end()
            self.ended = True
            self._news.notify_all()

    def show(self, part: str) -> None:
        """The console shows `part`: log it, and see what it says."""
        self._changed = time.monotonic()
        self.size += len(part)
        self._keep(part.replace("\r", ""))
        with self._news:
            self.scan.feed(part)
            self._news.notify_all()

    def wait_for(self, shown: Callable[[], bool], seconds: float) -> bool:
        """Wait until `shown`, or until nothing more can be shown; which it was."""
        seconds = min(seconds, threading.TIMEOUT_MAX)
        with self._news:
            self._news.wait_for(lambda: self.ended or shown(), seconds)
            return shown()

    def _keep(self, part: str) -> None:
        """Append to the log. Without it, the guest is still watched."""
        if self.log_error is None:
            with (
                self.logging(),
                self.log.open("a", encoding="utf-8", newline="") as file,
            ):
                file.write(part)

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """What is in this block is not in the log if that cannot be written."""
        try:
            yield
        except OSError as error:
            self.log_error = error

    def started(self, pid: int) -> bool:
        """Whether the process belongs to the command's session."""
        with contextlib.suppress(ProcessLookupError):
            return self._child is not None and os.getsid(pid) == self._child.pid
        return False

    def closed(self, seconds: float = 0.0) -> bool:
        """Wait until no process has the terminal open; whether that is so."""
        self._thread.join(min(seconds, threading.TIMEOUT_MAX))
        return not self._thread.is_alive()

    def end(self) -> None:
        """End every process on this terminal. May be called again."""
        if self._child is not None:
            end_session(self._child.pid)
            self.closed(_CLOSE_SECONDS)
            self._child.close(force=True)
            self._child = None

    def tail(self, count: int = 20) -> str:
        """The last `count` lines."""
        return "\n".join(self.scan.last_lines(count))
