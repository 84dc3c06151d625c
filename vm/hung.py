"""What a guest that hangs is doing, found out before it is ended."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any, Self

from vm.console import Console
from vm.errors import HarnessError
from vm.ports import LISTEN
from vm.process import output_of
from vm.terminal import Log

# Blocked tasks, the CPUs' backtraces, the locks held (with lockdep), all tasks.
SYSRQ = "wldt"
_ANSWER = 5.0  # seconds for QEMU to answer, and for the kernel to begin printing
_QUIET = 0.5  # seconds without output until a SysRq counts as done
_SYSRQ_LIMIT = 10.0  # seconds for each, however much it prints
_GDB_LIMIT = 30  # seconds; it reads all symbols


class Monitor:
    """A connection to QEMU's monitor on a Unix socket, as a context manager."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_ANSWER)
        self._path = path

    def __enter__(self) -> Self:
        self._socket.connect(self._path)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._lines.readline()  # its greeting
        self.run("qmp_capabilities")
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def run(self, command: str, **arguments: object) -> Any:
        """Run a command of QMP; what it returns. OSError if it fails."""
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while line := self._lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise OSError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise OSError("QEMU has ended")


def state_of(
    sockets: str, console: Console, vmlinux: Path | None, log: Log
) -> list[str]:
    """Have the kernel print its tasks on the console; the backtraces of the CPUs.

    `sockets` is what the paths of QEMU's sockets begin with: its monitor's, and those
    that it is told to make, for the console and for gdb.
    Where something is not available, a line says why.
    """
    try:
        with Monitor(f"{sockets}.monitor") as monitor:
            answered = _sysrq(monitor, f"{sockets}.sysrq", console)
            server = f"gdbserver unix:{sockets}.gdb,{LISTEN}"
            monitor.run("human-monitor-command", **{"command-line": server})
    except (OSError, ValueError) as reason:
        return [f"no backtraces: QEMU's monitor does not answer: {reason}"]
    state = []
    if not answered:
        state.append("the console does not answer SysRq: interrupts may be off")
    return state + _backtraces(f"{sockets}.gdb", vmlinux, log)


def _sysrq(monitor: Monitor, path: str, console: Console) -> bool:
    """Have the kernel print on the console what SYSRQ says; whether it did."""
    # The console has no input: from now on it is a socket.
    address = {"type": "unix", "data": {"path": path}}
    server = {"addr": address, "server": True, "wait": False}
    backend = {"type": "socket", "data": server}
    monitor.run("chardev-change", id="console", backend=backend)
    answered = False
    with socket.socket(socket.AF_UNIX) as serial:
        serial.connect(path)
        for key in SYSRQ:
            monitor.run("chardev-send-break", id="console")
            serial.sendall(key.encode())
            limit = time.monotonic() + _SYSRQ_LIMIT
            serial.settimeout(_ANSWER)
            with contextlib.suppress(TimeoutError):
                while time.monotonic() < limit and (data := serial.recv(1 << 16)):
                    console.show(data.decode(errors="replace"))
                    answered = True
                    serial.settimeout(_QUIET)
            if not answered:
                break
    return answered


def _backtraces(server: str, vmlinux: Path | None, log: Log) -> list[str]:
    if vmlinux is None or shutil.which("gdb") is None:
        return ["no backtraces: gdb is not installed"]
    command = ["timeout", str(_GDB_LIMIT), "gdb", "-nx", "-batch"]
    command += ["-ex", "set debuginfod enabled off", "-ex", "set width 0"]
    command += ["-ex", f"target remote {server}", "-ex", "thread apply all bt 16"]
    try:
        lines = output_of([*command, vmlinux], log)
    except HarnessError as error:
        return [f"no backtraces: {error.what}", *error.detail.splitlines()]
    first = next((n for n, line in enumerate(lines) if line.startswith("Thread ")), 0)
    return [line for line in lines[first:] if line]
