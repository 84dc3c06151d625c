"""Starts the harness by a fork, which takes half of the time of a whole run.

    python -I forks.py CHANNEL

The server imports pytest and all else that the harness needs, but not the harness: a
project of the tests has its own copy. For each request on the socket CHANNEL, a
supervisor starts the program in a child, and tells the child's PID and exit status.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
_NUMBER = struct.Struct("i")


class Forked:
    """A running Python program that the server started, as subprocess.Popen would.

    stdin is a pipe, and so is stderr, with stdout unless that goes elsewhere.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: int | IO[str] = subprocess.PIPE,
    ) -> None:
        self._status: int | None = None
        self._lock = threading.Lock()
        request = json.dumps({"argv": argv, "cwd": str(cwd), "env": {**env}})
        typed, stdin = os.pipe()
        output, pipe = os.pipe()
        told, status = os.pipe()
        self.stdin = os.fdopen(stdin, "w")
        self.stdout = os.fdopen(output)
        self._told = os.fdopen(told, "rb", buffering=0)
        self._merged = stdout == subprocess.PIPE
        if not isinstance(stdout, int):
            stdout = stdout.fileno()
        fds = [typed, pipe if self._merged else stdout, pipe, status]
        socket.send_fds(_server(), [request.encode()], fds)
        for fd in (typed, pipe, status):
            os.close(fd)
        self.pid = self._number()

    def _number(self) -> int:
        number: int = _NUMBER.unpack(self._told.read(_NUMBER.size))[0]
        return number

    def _ended(self, seconds: float | None) -> bool:
        return bool(select.select([self._told], [], [], seconds)[0])

    def wait(self, timeout: float) -> int:
        """Wait for the end; the exit status, or -n after signal n."""
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        with self._lock:
            if self._status is None:
                self._status = self._number()
        return self._status

    @property
    def returncode(self) -> int:
        """The exit status of one that was waited for."""
        assert self._status is not None
        return self._status

    def communicate(self, typed: str = "", timeout: float = 90) -> tuple[str, str]:
        """Type that, and read to the end; what came on stdout and on stderr."""
        deadline = time.monotonic() + timeout
        with contextlib.suppress(BrokenPipeError), self.stdin:
            self.stdin.write(typed)
        text = b""
        with self.stdout:
            left = timeout
            while select.select([self.stdout], [], [], left)[0]:
                data = os.read(self.stdout.fileno(), 1 << 16)
                if not data:
                    break
                text += data
                left = max(deadline - time.monotonic(), 0)
        self.wait(max(deadline - time.monotonic(), 0))
        output = text.decode()
        return (output, "") if self._merged else ("", output)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if not self._ended(0):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _server() -> socket.socket:
    """The socket of the server, which ends when this process does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        server = subprocess.Popen(
            [sys.executable, "-I", __file__, str(its.fileno())],
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _import_for_the_harness() -> None:
    """Import what the harness and pytest do, and forget the harness."""
    sys.path.insert(0, str(ROOT))
    for name in ("vm.plugin", "pdb", "unittest", *_plugins()):
        importlib.import_module(name)
    sys.modules["vm.splats"].Scan()  # re keeps the patterns that it has compiled
    sys.path.pop(0)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vm"]:
        del sys.modules[name]


def _plugins() -> list[str]:
    """The modules of pytest that it only loads when it runs."""
    from _pytest.config import default_plugins

    return [f"_pytest.{name}" for name in default_plugins]


def _supervise(fds: list[int]) -> None:
    """Fork; return in the child, which has `fds` as its stdin, stdout and stderr."""
    status = fds.pop()
    pid = os.fork()
    if not pid:
        for to, fd in enumerate(fds):
            os.dup2(fd, to)
        os.closerange(3, max(*fds, status) + 1)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for fd in fds:
        os.close(fd)
    os.write(status, _NUMBER.pack(pid))
    ended = os.waitpid(pid, 0)[1]
    os.write(status, _NUMBER.pack(os.waitstatus_to_exitcode(ended)))
    os._exit(0)


def main(channel: socket.socket) -> None:
    """Serve until the other end is closed."""
    _import_for_the_harness()
    gc.freeze()
    while True:
        data, fds, *_ = socket.recv_fds(channel, 1 << 20, 4)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not data:
            return
        if not os.fork():
            break
        for fd in fds:
            os.close(fd)
    # The program runs below, and ends as if it had been started by itself.
    channel.close()
    _supervise(fds)
    request = json.loads(data)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[:] = request["argv"]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
