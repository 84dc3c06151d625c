"""A guest under virtme-ng: boot it, run commands in it, leave nothing behind.

The console is only watched. Commands and results go over a channel to agent.py in the
guest.
"""

from __future__ import annotations

import select
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from vm import limits
from vm.agent import COPY
from vm.channel import Channel, Result, output_of, request
from vm.console import Console
from vm.errors import GuestError
from vm.hung import state_of
from vm.machine import Machine, environment
from vm.ports import PORT, SHELL_PORT, qemu_options
from vm.splats import Splat, listed
from vm.terminal import Log

AGENT = Path(__file__).with_name("agent.py")
_OFF = "reboot: Power down"  # kernel/reboot.c: kernel_power_off(), just before it


def _readable(channel: socket.socket, seconds: float) -> bool:
    return bool(select.select([channel], [], [], seconds)[0])


class Guest:
    """A booted guest, as a context manager.

    The console goes to `log`; while it boots, a guest is given up when there was no
    line for `boot_deadline` seconds; `shares` are folders to mount, see Machine.
    `sockets` is what the paths of QEMU's Unix sockets begin with: that of attach.py
    ends in ".shell"; hung.py uses the others and `vmlinux`. Entering, run() and
    leaving raise GuestError if the guest is lost; by then none of its processes is
    left, and `state` says what a guest that hung was doing. `release` is what the
    kernel has to call itself, if that is known.
    """

    def __init__(
        self,
        machine: Machine,
        bzimage: Path,
        log: Log,
        *,
        boot_deadline: float = limits.BOOT_DEADLINE,
        shares: Sequence[Path] = (),
        sockets: str = "",
        vmlinux: Path | None = None,
        release: str = "",
    ) -> None:
        self.release = ""
        self._built, self._cpus = release, machine.cpus
        self.state: list[str] = []
        self.folder = Path()
        self.boot_seconds = 0.0
        self.vanished = False  # QEMU ended for no reason that the kernel told
        self.console = Console(log.path)
        self._log = log
        # Of its own: virtme-run leaves files there if a signal ends it.
        self._temporary = log.path.absolute().with_suffix(".tmp")
        self._boot_deadline = boot_deadline
        self._channel = Channel()
        # The Python below the virtual environment: fewer files to search.
        words = [str(Path(sys.executable).resolve()), "-I", "-S", str(AGENT)]
        words += [PORT, str(limits.OUTPUT_LIMIT), *([SHELL_PORT] if sockets else [])]
        ports = qemu_options(self._channel.name, sockets)
        machine = replace(machine, qemu_opts=(*ports, *machine.qemu_opts))
        self.command = machine.vng_command(
            bzimage, shares=[*shares, AGENT.parent], script=words
        )
        self._requests = 0
        self._before = 0  # how many splats were there before the command
        self._given_up = float("inf")  # when, after the kernel reported a hang
        self._taint = 0
        self._reports = 0  # allowed ones included, when the taint was read
        self._booting = True
        self.limits = limits.Limits(debugger=machine.gdb is not None)
        self._sockets = sockets
        self._vmlinux = vmlinux

    @property
    def splats(self) -> list[Splat]:
        """What the kernel has reported so far; complete after leaving."""
        return self.console.scan.splats

    @property
    def alive(self) -> bool:
        """Whether it can still be talked to, for all that is known."""
        return self._channel.socket is not None

    @property
    def worst(self) -> Splat | None:
        """The worst of it, if any."""
        return self.console.scan.worst

    @property
    def _dead(self) -> bool:
        return any(splat.fatal for splat in self.splats)

    @property
    def _floods(self) -> bool:
        """Whether it fills its console instead of booting."""
        if self.limits.none or not self._booting:
            return False
        much = self.console.size > limits.BOOT_CONSOLE
        return much or len(self.splats) > limits.BOOT_SPLATS

    def __enter__(self) -> Self:
        begin = time.monotonic()
        try:
            self._boot(self.limits.deadline(limits.BOOT_FACTOR * self._boot_deadline))
        except BaseException:
            self._end()
            raise
        self.boot_seconds = time.monotonic() - begin
        self._booting = False
        self.limits.booted(self.boot_seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self.alive and kind is None:
                self._power_off()
        finally:
            self._end()

    def run(self, argv: Sequence[str], *, timeout: float) -> Result:
        """Run a command in the guest; after `timeout` seconds it is ended there."""
        command = shlex.join(argv)
        doing = f"during `{command}`"
        if not self.alive:
            raise self._lost(f"the guest ended before `{command}`")
        self._requests += 1
        self._before = len(self.splats)
        self._given_up = float("inf")
        timeout = self.limits.seconds(timeout)
        deadline = self.limits.deadline(limits.ANSWER_MARGIN) + timeout
        self._channel.send(request(self._requests, timeout, argv))
        header = self._receive_answer(deadline, doing)
        if header[:2] == ["stuck", str(self._requests)]:
            what = f"unkillable: process {header[2]} does not end {doing}"
            raise self._lost_hanging(doing, what)
        known, numbers = header[:2] == ["done", str(self._requests)], header[3:]
        known = known and len(numbers) == 6 and "".join(numbers).isdecimal()
        if not known or int(numbers[4]) > limits.OUTPUT_LIMIT:
            raise self._lost(f"the agent answered {header!r} {doing}")
        status, timed_out, milliseconds, taint, sent, total = map(int, numbers)
        output = output_of(self._receive(sent, deadline, doing), total)
        self._wait_for_mark(f"end {header[2]}", doing)
        self._check_taint(taint)
        return Result(status, output, milliseconds / 1000, bool(timed_out))

    def copy(self, files: Sequence[Path]) -> None:
        """Copy files of the host into the guest's `folder`, which is in memory.

        Over 9p, each start of a program would read all of it again.
        """
        command = [COPY, *map(str, files)]
        what = f"copying {', '.join(file.name for file in files)} into the guest"
        copied = self.run(command, timeout=limits.COPY_TIMEOUT)
        if copied.timed_out or copied.status:
            late = f"timed out after {copied.seconds:.0f} s"
            raise GuestError(
                f"{what} {late if copied.timed_out else 'failed'}",
                command=command,
                detail=copied.output,
                hint="is the machine overloaded, or the file not readable by you, or "
                "below /run or /proc? --memory gives the guest more memory",
            )

    def _wait_for_mark(self, what: str, doing: str) -> None:
        """Wait for a mark of the agent's on the console, which may be behind."""
        seconds = self.limits.seconds(limits.CONSOLE_DEADLINE)
        marks = self.console.scan.marks
        if not self.console.wait_for(lambda: what in marks[-20:], seconds):
            if self.console.ended:
                raise self.lost(doing)
            raise self._lost(f"the agent's mark did not reach the console {doing}")

    def _boot(self, deadline: float) -> None:
        with self._channel.listen() as listener:
            with self.console.logging():
                self._log.command(self.command)
                self._temporary.mkdir(exist_ok=True)
            temporary = {"TMPDIR": str(self._temporary)}
            self.console.start(self.command, environment() | temporary)
            while not self.alive:
                self._wait(listener, deadline, "during boot")
                self._channel.accept(listener, self.console.started)
        ready = self._receive_line(deadline, "during boot").split()
        if len(ready) != 5 or ready[0] != "ready" or not "".join(ready[3:]).isdecimal():
            raise self._lost(f"the agent said {ready!r} instead of `ready`")
        self.release, self.folder, cpus = ready[1], Path(ready[2]), int(ready[4])
        if self._built not in ("", self.release):
            raise self._lost(f"the guest runs {self.release}, not {self._built}")
        if cpus != self._cpus:
            raise self._lost(f"{cpus} of the guest's {self._cpus} CPUs are online")
        self._wait_for_mark("ready", "during boot")
        self._check_taint(int(ready[3]))

    def _check_taint(self, taint: int) -> None:
        """A splat sets a flag, too: it is seen even if the console shows nothing."""
        if self.console.scan.reports == self._reports:
            self.console.scan.tainted(self._taint, taint)
        self._taint, self._reports = taint, self.console.scan.reports

    def _wait(self, readable: socket.socket, deadline: float, doing: str) -> None:
        """Wait until there is something to read, or raise what became of the guest."""
        # Past the deadline, only what is there already: signs of life would go on.
        while not _readable(readable, 0 if self._late(deadline) else 0.1):
            if self.console.closed() or self._dead:
                raise self.lost(doing)
            if self._floods:
                raise self._lost_flooding(doing)
            silent = self._booting and self.console.silent > self._boot_deadline
            if self._late(deadline) or (silent and not self.limits.none):
                raise self._lost_hanging(doing)

    def _late(self, deadline: float) -> bool:
        if any(splat.hang for splat in self.splats[self._before :]):
            # It may recover, but not after the longest limit.
            self._given_up = min(
                self._given_up, self.limits.deadline(limits.HANG_GRACE)
            )
        return time.monotonic() > min(deadline, self._given_up)

    def _receive_some(self, deadline: float, doing: str) -> None:
        assert self._channel.socket is not None
        self._wait(self._channel.socket, deadline, doing)
        if not self._channel.receive():
            raise self.lost(doing)

    def _receive_line(self, deadline: float, doing: str) -> str:
        while (line := self._channel.line()) is None:
            self._receive_some(deadline, doing)
        return line

    def _receive_answer(self, deadline: float, doing: str) -> list[str]:
        """The words of the next line that is not just a sign of life."""
        for _ in range(limits.SIGNS_OF_LIFE):
            silent = min(deadline, self.limits.deadline(limits.SILENCE))
            if (line := self._receive_line(silent, doing)) != "alive":
                return line.split()
        raise self._lost(f"the agent is alive but does not answer {doing}")

    def _receive(self, count: int, deadline: float, doing: str) -> bytes:
        while (data := self._channel.take(count)) is None:
            self._receive_some(deadline, doing)
        return data

    def _power_off(self) -> None:
        self._channel.send("poweroff")
        if not self.console.closed(self.limits.seconds(limits.POWER_OFF_DEADLINE)):
            raise self._lost_hanging("at power-off")
        # Without it, QEMU may have ended for another reason, such as a triple fault.
        off = any(_OFF in line for line in self.console.scan.tail)
        if self._dead or not off:
            raise self.lost("at power-off")

    def lost(self, doing: str) -> GuestError:
        """The error for a guest that died, from what its console says."""
        # A panic ends QEMU, and with it the console: then all of it is there.
        self.console.closed(limits.TRACE_GRACE)
        if (worst := self.worst) and self._dead:
            what = f"{worst.kind.outcome} {doing}: {worst.headline}"
            return self._lost(what, worst.quote)
        self.vanished = True
        return self._lost(f"vanished: QEMU ended {doing}")

    def _lost_flooding(self, doing: str) -> GuestError:
        self._end()
        shown = f"{len(self.splats)} splats and {self.console.size >> 10} KiB"
        what = f"never booted: {shown} on the console {doing}"
        return self._lost(what, self.splats[0].quote if self.splats else "")

    def _lost_hanging(self, doing: str, what: str = "") -> GuestError:
        what = what or f"hang: the guest does not respond {doing}"
        if (worst := self.worst) and worst.hang:
            what = f"{worst.kind.outcome} {doing}: {worst.headline}"
        tail = self.console.tail(20)
        if self._sockets:
            log = replace(self._log, path=self._log.path.with_suffix(".cpus.log"))
            self.state = state_of(self._sockets, self.console, self._vmlinux, log)
        return self._lost(what, tail)

    def _lost(self, what: str, tail: str = "") -> GuestError:
        """End everything that is left, and make the error."""
        self._end()
        tail = tail or self.console.tail(20)
        others = [splat for splat in self.splats if splat.headline not in what]
        splats = f"{listed(others)}\n\n" if self._booting and others else ""
        return GuestError(
            what,
            command=self.command,
            detail=splats + tail,
            hint=f"the whole console is in {self.console.log}",
        )

    def _end(self) -> None:
        """Leave nothing: channel, processes, terminal. May be called again."""
        self._channel.close()
        self.console.end()
        shutil.rmtree(self._temporary, ignore_errors=True)
