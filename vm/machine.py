"""The virtual machine that a guest runs on, and the vng command that starts it."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.errors import UsageError
from vm.process import output_of
from vm.terminal import Log

VNG = Path(__file__).with_name("vng.py")
# An oops is the end; the agent's marks are not dropped; nobody can lower the
# console's log level; a time stamp tells where a message begins in a line. Without
# no_timer_check, a guest that gets no CPU time for 40 ms at the wrong moment panics
# with "IO-APIC + timer doesn't work"; Linux itself sets it for KVM guests. While
# identify_cpu() has the CPU's features cleared, pgtable_l5_enabled() is false: with
# KASAN, an interrupt just then is one "wild-memory-access" after another, for ever.
_KERNEL = (
    "oops=panic",
    "printk.devkmsg=on",
    "ignore_loglevel",
    "printk.time=1",
    "no_timer_check",
    "no5lvl",
)
_HIDDEN = ("/dev", "/proc", "/run", "/sys")
_GDB_PORT = 1234  # the one that everybody knows


@dataclass(frozen=True)
class Accel:
    """What runs the guest's CPUs: "kvm" or "tcg", and why, for the summary.

    `cpu` is QEMU's model of the CPU; vng's choice if it is empty.
    """

    name: str
    why: str
    cpu: str = ""


TCG = Accel("tcg", "TCG")


@dataclass(frozen=True)
class Machine:
    """What every guest is made from.

    `append` is added to the kernel command line, `qemu_opts` to QEMU's. With
    `icount` (TCG and one CPU only) the guest's clocks count its instructions, one
    for each nanosecond, and jump ahead when it is idle. With `mttcg`, each emulated CPU
    has a thread of its own: only for a kernel with mttcg.patch. `gdb` is the TCP port
    on which QEMU waits for a debugger; then nothing times out. `qemu` is the version
    that QEMU prints, for the summary, and `init` the program built from init.c.
    """

    accel: Accel = TCG
    cpus: int = 2
    memory: str = "1G"
    append: tuple[str, ...] = ()
    qemu_opts: tuple[str, ...] = ()
    icount: bool = False
    mttcg: bool = False
    gdb: int | None = None
    qemu: str = ""
    init: Path = Path("init")

    @property
    def one_thread(self) -> bool:
        """Whether the CPUs share a thread of QEMU.

        With a thread for each, emulated CPUs lose code changes to each other: when
        a program is attached to a function that another CPU is running, that CPU
        may hit the temporary breakpoint after the kernel has taken it away ("Oops:
        int3"), and will for ever. The defect is QEMU's (7.2, 10.0 and 11.1, the
        newest there is): two CPUs without a kernel, one of which patches what the
        other one runs and has it serialize after each step, show it within 2,500
        patches, with one-insn-per-tb=on, too. QEMU discards the old translation
        before it stores the byte, and the other CPU may translate it in between. If
        the byte is stored again once the other CPU has serialized, as a kernel with
        mttcg.patch does, 4,000 patches show nothing.
        """
        return self.accel.name == "tcg" and self.cpus > 1 and not self.mttcg

    def vng_command(
        self, bzimage: Path, *, shares: Sequence[Path] = (), script: Sequence[str]
    ) -> list[str]:
        """The command that boots `bzimage` on the host's file system, copy on write.

        `script` are the words of the command that is run as root. `shares` are
        folders that the guest has to see, even if init.c hides them.
        """
        # vng hands these paths to a shell without quoting them.
        command = [sys.executable, str(VNG)]
        command += ["--run", shlex.quote(str(bzimage.absolute()))]
        command += ["--user", "root", "--cpus", str(self.cpus)]
        # virtiofsd of Debian 12 does not know the options that vng gives it; a
        # microvm has no PCI, which our kernel configuration needs.
        command += ["--memory", self.memory, "--force-9p", "--disable-microvm"]
        for share in map(Path.resolve, shares):
            if any(share.is_relative_to(folder) for folder in _HIDDEN):
                command += ["--rodir", shlex.quote(str(share))]
        if self.accel.name == "tcg":
            command.append("--disable-kvm")
        command += ["--verbose", "--cwd", "/", "--exec", shlex.join(script)]
        for word in _KERNEL:
            command += ["--append", word]
        if self.gdb is not None:
            # Breakpoints are set at the addresses in vmlinux.
            command += ["--append", "nokaslr"]
        for word in self.append:
            command += ["--append", shlex.quote(word)]
        # vng's own init= comes last and would be in effect, but what follows -- are
        # the arguments of ours. virtme-run would quote spaces.
        words = [f"init={self.init.absolute()}", "--", *script]
        command += ["--append", shlex.quote("\t".join(words))]
        # vng hands these, too, to a shell, and takes what follows as QEMU's.
        qemu = shlex.join(self._qemu_options())
        return [*command, f"--qemu-opts={qemu}"] if qemu else command

    def _qemu_options(self) -> list[str]:
        words: list[str] = []
        if self.accel.name == "kvm":
            # vng asks for kvm:tcg, and QEMU would fall back to TCG silently.
            words += ["-machine", "accel=kvm"]
            words += ["-cpu", self.accel.cpu] if self.accel.cpu else []
        elif self.one_thread:
            words += ["-accel", "tcg,thread=single"]
        elif self.mttcg:
            words += ["-accel", "tcg,thread=multi"]
        if self.icount:
            words += ["-icount", "shift=0,sleep=off"]
        if self.gdb is not None:
            words += ["-gdb", f"tcp:127.0.0.1:{self.gdb}", "-S"]
        return [*words, *self.qemu_opts]


def environment() -> dict[str, str]:
    """vng starts virtme-run by name, which is beside the Python that runs us."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path}


def free_gdb_port() -> int:
    """The usual port, or another one if that is taken."""
    for port in (_GDB_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UsageError("no TCP port is free for --gdb", hint="run without --gdb")


def qemu_version(log: Log) -> str:
    """The first line of `qemu-system-x86_64 --version`."""
    return output_of(["qemu-system-x86_64", "--version"], log, error=UsageError)[0]
