"""A guest under virtme-ng: boot it, run commands in it, leave nothing behind.

The console is only watched. Commands and results go over a virtio-serial port
to agent.py in the guest. QEMU connects that port to an abstract Unix socket of
ours: it leaves no file, no path is too long for it, and when the harness is
gone the agent sees the end of its input and powers off.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import select
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vm.console import Console, Verdict, splats
from vm.errors import GuestError, UsageError

if TYPE_CHECKING:
    from vm.accel import Accel

AGENT = Path(__file__).with_name("agent.py")
PORT = "bpf.map.tracing"
OUTPUT_LIMIT = 1 << 20  # bytes of a command's output that the agent sends
ANSWER_MARGIN = 20.0  # seconds beyond a command's timeout until it is a hang
POWER_OFF_DEADLINE = 20.0  # seconds
_TRACE_GRACE = 3.0  # seconds for the rest of a trace after its headline


@dataclass(frozen=True)
class Result:
    """What a command in the guest did.

    `status` is its exit status, 128+n after signal n; `output` is stdout and
    stderr as they came; `seconds` were measured in the guest.
    """

    status: int
    output: str
    seconds: float
    timed_out: bool


def _environment() -> dict[str, str]:
    """vng starts virtme-run by name: both are beside the Python that runs us."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path}


def qemu_version() -> str:
    """The first line that QEMU says of its version; empty where there is no QEMU."""
    try:
        text = subprocess.run(
            ["qemu-system-x86_64", "--version"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except OSError:
        return ""
    return text.partition("\n")[0]


@functools.cache
def one_thread() -> bool:
    """Whether emulated CPUs have to share a thread of QEMU.

    Before 8.1, a CPU that changes code while another one translates it may lose
    the change. The kernel does that when a program is attached to a function that
    runs: the breakpoint which it puts there meanwhile stays, and is an oops.
    """
    version = re.search(r"version (\d+)\.(\d+)", qemu_version())
    return version is not None and (int(version[1]), int(version[2])) < (8, 1)


def vng_command(
    bzimage: Path,
    accel: Accel,
    *,
    cpus: int = 2,
    memory: str = "1G",
    shares: Sequence[Path] = (),
    channel: str | None = None,
    icount: bool = False,
) -> list[str]:
    """The command that boots `bzimage` on the host's file system, copy on write.

    With `channel` (the name of an abstract socket) the agent runs in the guest
    and QEMU connects it to that socket; without, it is an interactive shell.
    `shares` are folders that are mounts of their own in the guest, read-only:
    needed for what is below a folder that virtme-ng hides (/run, /var/tmp, …).
    With `icount` (TCG and one CPU only) the guest's clocks count its instructions,
    one for a nanosecond, and jump ahead where it has nothing to do.

    UsageError where vng is not installed.
    """
    vng = shutil.which("vng", path=_environment()["PATH"])
    if vng is None:
        raise UsageError(
            "vng (virtme-ng) is not installed",
            hint="./run_tests.py --install-deps installs what is missing",
        )
    # vng hands these paths to a shell without quoting them.
    command = [vng, "--run", shlex.quote(str(bzimage.absolute()))]
    command += ["--user", "root", "--cpus", str(cpus), "--memory", memory]
    # virtiofsd of Debian 12 takes other options than vng gives; microvm has no
    # PCI, which the kernel is configured for.
    command += ["--force-9p", "--disable-microvm"]
    for share in shares:
        command += ["--rodir", shlex.quote(str(share.absolute()))]
    qemu = ""
    if accel.name == "tcg":
        command.append("--disable-kvm")
        if cpus > 1 and one_thread():
            qemu = "-accel tcg,thread=single"
    else:
        # vng asks for kvm:tcg, and QEMU would fall back to TCG in silence.
        qemu = "-machine accel=kvm"
    if icount:
        qemu += " -icount shift=0,sleep=off"
    if channel is not None:
        # The Python below the virtual environment: fewer files to look through.
        python = str(Path(sys.executable).resolve())
        agent = shlex.join([python, "-I", "-S", str(AGENT), PORT, str(OUTPUT_LIMIT)])
        command += ["--verbose", "--append", "oops=panic", "--cwd", "/"]
        command += ["--exec", f"exec {agent}"]
        qemu += (
            f" -device virtio-serial-pci,id=tests"
            f" -chardev socket,id=agent,path={channel},abstract=on,server=off"
            f" -device virtserialport,bus=tests.0,chardev=agent,name={PORT}"
        )
    return [*command, f"--qemu-opts={qemu.strip()}"] if qemu else command


def shell(bzimage: Path, accel: Accel) -> int:
    """An interactive root shell in the guest, on this terminal; its exit status."""
    command = vng_command(bzimage, accel)
    return subprocess.run(command, env=_environment(), check=False).returncode


class Guest:
    """A booted guest, as a context manager.

    `out` is the folder for the console's log. `boot_deadline` is in seconds.
    Entering, run() and leaving raise GuestError when the guest is lost; by then
    none of its processes is left.
    """

    def __init__(
        self,
        bzimage: Path,
        accel: Accel,
        out: Path,
        *,
        cpus: int = 2,
        memory: str = "1G",
        boot_deadline: float = 120.0,
        shares: Sequence[Path] = (),
        log_name: str = "console.log",
        icount: bool = False,
    ) -> None:
        self.release = ""
        self.boot_seconds = 0.0
        self.console = Console(out / log_name)
        self._boot_deadline = boot_deadline
        # Only who knows the name can connect, and _accept looks who did.
        self._name = f"{PORT}.{os.getpid()}.{secrets.token_hex(8)}"
        self.command = vng_command(
            *(bzimage, accel),
            cpus=cpus,
            memory=memory,
            shares=shares,
            channel=self._name,
            icount=icount,
        )
        self._channel: socket.socket | None = None
        self._received = b""
        self._requests = 0

    @property
    def splats(self) -> list[str]:
        """Headlines of kernel warnings and bugs so far; complete after leaving."""
        return splats(self.console.text)

    @property
    def verdict(self) -> Verdict | None:
        """The worst that the console reported so far."""
        return self.console.verdict()

    def __enter__(self) -> Self:
        begin = time.monotonic()
        try:
            self._boot(begin + self._boot_deadline)
        except BaseException:
            self._end()
            raise
        self.boot_seconds = time.monotonic() - begin
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._channel is not None and kind is None:
                self._power_off(self._channel)
        finally:
            self._end()

    def run(self, argv: Sequence[str], *, timeout: float) -> Result:
        """Run a command in the guest; after `timeout` seconds it is ended there."""
        command = shlex.join(argv)
        doing = f"during `{command}`"
        if self._channel is None:
            raise self._lost(f"the guest was gone before `{command}`")
        self._requests += 1
        words = " ".join("x" + word.encode().hex() for word in argv)
        request = f"{self._requests} {timeout:.3f} {words}\n"
        deadline = time.monotonic() + timeout + ANSWER_MARGIN
        with contextlib.suppress(OSError):  # the answer's absence tells more
            self._channel.sendall(request.encode())
        header = self._receive_line(deadline, doing).split()
        if header[:2] != ["done", str(self._requests)] or len(header) != 7:
            raise self._lost(f"the agent answered {header!r} {doing}")
        status, timed_out, milliseconds, sent, total = map(int, header[2:])
        output = self._receive(sent, deadline, doing).decode(errors="replace")
        if total > sent:
            output += f"\n[{total - sent} more bytes of output are left out]\n"
        return Result(status, output, milliseconds / 1000, bool(timed_out))

    def _boot(self, deadline: float) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(f"\0{self._name}")
            listener.listen(1)
            temporary = {"TMPDIR": str(self.console.log.parent.absolute())}
            self.console.start(self.command, _environment() | temporary)
            while self._channel is None:
                self._wait(listener, deadline, "during boot")
                self._accept(listener)
        ready = self._receive_line(deadline, "during boot").split()
        if len(ready) != 2 or ready[0] != "ready":
            raise self._lost(f"the agent said {ready!r} instead of being ready")
        self.release = ready[1]

    def _accept(self, listener: socket.socket) -> None:
        """Take the connection, if it is from a process of this guest's session."""
        channel, _ = listener.accept()
        peer = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if self.console.started(struct.unpack("3i", peer)[0]):
            self._channel = channel
        else:
            channel.close()

    def _wait(self, readable: socket.socket, deadline: float, doing: str) -> None:
        """Wait until there is something to read, or raise what became of the guest."""
        while not select.select([readable], [], [], 0.1)[0]:
            if self.console.closed() or (self.verdict and self.verdict.fatal):
                raise self._lost_to(doing)
            if time.monotonic() > deadline:
                raise self._lost_hanging(doing)

    def _receive_some(self, deadline: float, doing: str) -> None:
        assert self._channel is not None
        self._wait(self._channel, deadline, doing)
        data = b""
        with contextlib.suppress(ConnectionError):
            data = self._channel.recv(1 << 16)
        if not data:
            raise self._lost_to(doing)
        self._received += data

    def _receive_line(self, deadline: float, doing: str) -> str:
        while b"\n" not in self._received:
            self._receive_some(deadline, doing)
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace")

    def _receive(self, count: int, deadline: float, doing: str) -> bytes:
        while len(self._received) < count:
            self._receive_some(deadline, doing)
        data, self._received = self._received[:count], self._received[count:]
        return data

    def _power_off(self, channel: socket.socket) -> None:
        with contextlib.suppress(OSError):
            channel.sendall(b"poweroff\n")
        if not self.console.closed(POWER_OFF_DEADLINE):
            raise self._lost_hanging("at power-off")
        if self.verdict and self.verdict.fatal:
            raise self._lost_to("at power-off")

    def _lost_to(self, doing: str) -> GuestError:
        """The error for a guest that died, by what its console says."""
        # A panic ends QEMU, and with it the console: then all of it is there.
        self.console.closed(_TRACE_GRACE)
        if (verdict := self.verdict) and verdict.fatal:
            return self._lost(f"{verdict.kind} {doing}: {verdict.headline}")
        return self._lost(f"vanished: QEMU ended {doing}")

    def _lost_hanging(self, doing: str) -> GuestError:
        stall = f": {self.verdict.headline}" if self.verdict else ""
        return self._lost(f"hang: no sign of the guest {doing}{stall}")

    def _lost(self, what: str) -> GuestError:
        """End all that is left, and make the error."""
        self._end()
        return GuestError(
            what,
            command=self.command,
            detail=self.console.tail(20),
            hint=f"the whole console is in {self.console.log}",
        )

    def _end(self) -> None:
        """Leave nothing: channel, processes, terminal. Any number of times."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self.console.end()
        # virtme-run leaves these in TMPDIR where a signal ended it.
        for file in self.console.log.parent.glob("virtme_ret*"):
            file.unlink(missing_ok=True)
