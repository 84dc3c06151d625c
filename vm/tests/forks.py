"""Starts the harness by a fork, which takes half of the time of a whole run.

    python -I forks.py CHANNEL

The server imports pytest and all else that the harness needs, and the harness of the
first project whose run it is to start. A run of another project, or after an edit,
imports its own. For each request on the socket CHANNEL, the server starts the program
in a child, and tells the child's PID and exit status. So it does for what connects to
the socket that is named after that project, see fakes/python.py.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import marshal
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
from typing import IO, Any

_NUMBER = struct.Struct("i")
# What runs import after their start, or in their workers.
_LATE = (
    *("encodings.unicode_escape", "faulthandler", "getpass", "jinja2", "pdb"),
    *(
        "readline",
        "rich._emoji_codes",
        "unittest",
        "xdist.dsession",
        "xdist.looponfail",
    ),
    *("xdist.plugin", "xdist.remote", "xdist.workermanage"),
)


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
        request = marshal.dumps(([*argv], str(cwd), {**env}))
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
        socket.send_fds(_server(), [request], fds)
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


_harness: dict[Path, tuple[int, int]] = {}  # the files that are imported of one


def _stamp(file: Path) -> tuple[int, int]:
    """What is different after an edit."""
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _import_harness(project: Path) -> None:
    """Import what the plugin of the project's harness does.

    pytest itself imports the plugin, and rewrites its assertions.
    """
    sys.path.insert(0, str(project))
    importlib.import_module("vm.plugin")
    del sys.modules["vm.plugin"], sys.modules["vm"].plugin
    sys.modules["vm.splats"].Scan()  # reads its table
    sys.path.pop(0)
    _beside("quick_vng")["prepare"](project / "vm" / "vng.py")
    files = [Path(str(sys.modules[name].__file__)) for name in _ours()]
    files.append(project / "vm" / "splats.toml")
    _harness.update((file, _stamp(file)) for file in files)


def _beside(name: str) -> dict[str, Any]:
    """What another file here defines; its package may be of no project."""
    return runpy.run_path(str(Path(__file__).with_name(f"{name}.py")))


def _ours() -> list[str]:
    """The imported modules of the harness."""
    return [name for name in sys.modules if name.partition(".")[0] == "vm"]


def _forget_another_harness(project: Path) -> None:
    """Unless this is the project that was imported, and it is as it was."""
    own = project / "vm" / "__init__.py" in _harness
    if not own or any(_stamp(file) != stamp for file, stamp in _harness.items()):
        for name in _ours():
            del sys.modules[name]


def _fork(fds: list[int]) -> int:
    """Fork; in the child, `fds` are stdin, stdout and stderr, and all it has."""
    if pid := os.fork():
        for fd in fds:
            os.close(fd)
    else:
        for to, fd in enumerate(fds):
            os.dup2(fd, to)
        os.closerange(3, 1 << 16)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return pid


def _tell(pipe: int, number: int) -> None:
    """Tell it whoever asked, unless that has ended."""
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, _NUMBER.pack(number))


def serve(channel: socket.socket) -> bytes | None:
    """Serve until the other end is closed; in a child, the request for it."""
    running: dict[int, tuple[int, int]] = {}
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    while True:
        asked = [channel.fileno(), *([listener.fileno()] if _harness else [])]
        ready = select.select([*asked, *running], [], [])[0]
        for ended in running.keys() & set(ready):
            pid, status = running.pop(ended)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            _tell(status, code)
            os.close(status)
            os.close(ended)
        if channel.fileno() in ready:
            data, fds, *_ = socket.recv_fds(channel, 1 << 20, 4)
            if not data:
                return None
        elif listener.fileno() in ready:
            with listener.accept()[0] as connection:
                data, fds, *_ = socket.recv_fds(connection, 1 << 20, 4)
        else:
            continue
        project = Path(marshal.loads(data)[0][0]).parent.parent
        if not _harness and (project / "vm" / "plugin.py").exists():
            _import_harness(project)
            listener.bind(f"\0{str(project)[-100:]}")
            listener.listen()
            gc.freeze()
        status = fds.pop()
        pid = _fork(fds)
        if not pid:
            return data
        _tell(status, pid)
        running[os.pidfd_open(pid)] = pid, status


def _end(status: int) -> None:
    """End as Python does, but let the kernel free the memory.

    To free object after object would first copy what is shared with the server.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def main(channel: socket.socket) -> None:
    """Serve; in a child, run the program, as if it had been started by itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _LATE:
        importlib.import_module(name)
    _beside("quick_pytest")["prepare"]()
    gc.freeze()
    data = serve(channel)
    if data is None:
        return
    channel.detach()
    argv, cwd, env = marshal.loads(data)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    try:
        if argv[0] == "-c":
            _forget_another_harness(Path(cwd))
            sys.argv[:] = ["-c"]
            exec(argv[1], {"__name__": "__main__"})
        else:
            _forget_another_harness(Path(argv[0]).parent.parent)
            sys.argv[:] = argv
            runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        _end(end.code)
    _end(0)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
