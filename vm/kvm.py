"""Whether KVM really runs a guest on this machine.

That /dev/kvm opens proves nothing: there are machines where a virtual machine can
be created but never runs Linux, and others whose KVM runs no guest with the host's
own CPU model. So a guest is booted under KVM once, if need be with a plainer model,
and the outcome is remembered until the host reboots, unless a guest was merely slow
or QEMU could not start it. That another kernel does as badly is only taken for granted
if KVM itself says what is wrong.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vm.errors import GuestError, UsageError
from vm.guest import Guest
from vm.limits import BOOT_DEADLINE
from vm.machine import Accel, Machine, qemu_version
from vm.terminal import Log

KVM = Path("/dev/kvm")
PROBE_DEADLINE = 20.0  # seconds from power-on to user space
_PLAIN_CPU = "kvm64"  # what QEMU documents as the baseline of all hosts
_REASON_LINES = 2  # the line before QEMU's last one may say more


def choose_accel(
    bzimage: Path,
    init: Path,
    cache: Path,
    log: Log,
    *,
    require_kvm: bool,
    no_kvm: bool,
) -> Accel:
    """KVM if a guest reaches user space under it, TCG otherwise.

    The probe's console goes to `log`, its outcome to a file in the folder
    `cache`; a message precedes a probe, which may take 20 s for each of two CPU models,
    or as long as any boot if KVM is required. UsageError if it is and does not work.
    """
    accel = Accel("tcg", "TCG: without KVM, as asked")
    if not no_kvm:
        reason = _unusable()
        if reason:
            accel = Accel("tcg", f"TCG: {reason}")
        else:
            deadline = BOOT_DEADLINE if require_kvm else PROBE_DEADLINE
            probe = Probe(bzimage, init, log, deadline)
            accel = _probed(probe, cache / "kvm-probe.json")
    if require_kvm and accel.name != "kvm":
        raise UsageError(
            f"--require-kvm was given, but {accel.why.removeprefix('TCG: ')}",
            hint="leave --require-kvm out to run under TCG; a probe's console, "
            f"if there was one, is in {log.path}",
        )
    return accel


def _unusable() -> str:
    """Why KVM is out of the question; empty if it can be opened."""
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"there is no {KVM}"
    except OSError as error:
        return f"cannot open {KVM}: {error.strerror}"
    return ""


def _host(log: Log) -> dict[str, str]:
    """What a probe's outcome depends on: this boot, this device, this QEMU."""
    device = KVM.stat()
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "device": f"{device.st_rdev}:{device.st_ino}:{device.st_ctime_ns}",
        "qemu": qemu_version(log),
    }


@dataclass(frozen=True)
class _Boot:
    """What a boot under KVM shows.

    `certain`: it would end the same way again; `alike`: so would any kernel; `refused`:
    QEMU ended before the guest ran, which may pass: something else may use KVM, or the
    memory; `silent`: the guest has not said a word, and may be slow.
    """

    accel: Accel
    certain: bool
    alike: bool = True
    refused: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Probe:
    """A guest to boot under KVM, given up after `deadline` seconds of silence."""

    bzimage: Path
    init: Path
    log: Log
    deadline: float

    def run(self) -> _Boot:
        """Boot it, with a plainer CPU model if the host's own fails."""
        host = self._boot("")
        if host.accel.name == "kvm" or not (host.certain or host.silent):
            return host
        self.log.say(f"no guest booted with the host's CPU model, trying {_PLAIN_CPU}")
        plain = self._boot(_PLAIN_CPU)
        if plain.accel.name == "kvm":
            # The host's model has more features, and may only have been slow.
            return replace(plain, certain=host.certain)
        why = f"{host.accel.why}, nor one with -cpu {_PLAIN_CPU}"
        again = host.certain and plain.certain and not plain.refused
        return replace(host, accel=replace(host.accel, why=why), certain=again)

    def _boot(self, cpu: str) -> _Boot:
        """The same with one model of the CPU; the host's own if `cpu` is empty."""
        # The user's options for the guest are not KVM's fault, and several CPUs take
        # much longer where the host has fewer.
        machine = Machine(Accel("kvm", "probe", cpu), cpus=1, init=self.init)
        guest = Guest(machine, self.bzimage, self.log, boot_deadline=self.deadline)
        try:
            with guest:
                seconds = guest.boot_seconds
        except GuestError as error:
            worst = guest.worst
            if worst is not None and worst.kind.rank > 0:
                # The kernel ran well enough to say what is wrong with itself.
                accel = Accel("tcg", f"TCG: the guest under KVM: {error.what}")
                return _Boot(accel, certain=False)
            reason = worst.headline if worst else "no output"
            lines = guest.console.scan.last_lines(_REASON_LINES)
            if worst is None and lines:
                reason = f"the last lines: {' / '.join(lines)}"
            why = f"{KVM} opens, but no guest reached user space"
            # A guest that was merely too slow may be fast enough the next time. One
            # without a line is not slow if KVM has just failed with another model.
            booted = guest.console.scan.booted
            slow = worst is None and not guest.vanished and (booted or not cpu)
            return _Boot(
                Accel("tcg", f"TCG: {why} within {self.deadline:.0f} s ({reason})"),
                certain=not slow,
                alike=worst is not None,
                refused=worst is None and guest.vanished and not booted,
                silent=worst is None and not guest.vanished and not booted,
            )
        with_cpu = f" with -cpu {cpu}" if cpu else ""
        why = f"KVM: a guest reached user space in {seconds:.1f} s{with_cpu}"
        return _Boot(Accel("kvm", why, cpu), certain=True)


def _probed(probe: Probe, remembered: Path) -> Accel:
    """What the probe finds, or has found since the host was booted."""
    host = _host(probe.log)
    kernel = f"{probe.bzimage} of {probe.bzimage.stat().st_mtime_ns}"
    try:
        entry = json.loads(remembered.read_text())
        if entry["host"] == host and entry["kernel"] in ("any", kernel):
            return Accel(entry["name"], entry["why"], entry["cpu"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no earlier probe, or an unreadable one: probe
    seconds = f"{probe.deadline:.0f} s"
    probe.log.say(f"trying KVM: does a guest reach user space in {seconds}?")
    boot = probe.run()
    if boot.certain:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        kernel = "any" if boot.alike else kernel
        entry = {"host": host, "kernel": kernel, **asdict(boot.accel)}
        remembered.write_text(json.dumps(entry, indent=4) + "\n")
    return boot.accel
