"""KVM or TCG: which of them really runs a guest on this machine.

That /dev/kvm opens proves nothing: there are machines where a virtual machine
can be made and never runs Linux. So a guest is booted under KVM once, and what
came of it is remembered until the host boots again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vm.errors import GuestError, UsageError
from vm.guest import Guest, qemu_version

KVM = Path("/dev/kvm")
PROBE_DEADLINE = 20.0  # seconds from power-on to user space


@dataclass(frozen=True)
class Accel:
    """How the guest's CPUs run: "kvm" or "tcg", and why, for the summary."""

    name: str
    why: str


def choose_accel(
    bzimage: Path,
    cache: Path,
    log: Path,
    say: Callable[[str], None],
    *,
    require_kvm: bool,
    no_kvm: bool,
) -> Accel:
    """KVM where a guest reaches user space under it, TCG everywhere else.

    The probe's console goes to the file `log`, its outcome to a file in the
    folder `cache`; `say` gets a line before a probe, which may take 20 s.
    UsageError where KVM is required and does not run.
    """
    if no_kvm and require_kvm:
        raise UsageError(
            "--no-kvm and --require-kvm exclude each other", hint="give one of them"
        )
    accel = Accel("tcg", "TCG: --no-kvm was given")
    if not no_kvm:
        reason = _unusable()
        if reason:
            accel = Accel("tcg", f"TCG: {reason}")
        else:
            accel = _probed(bzimage, cache / "kvm-probe.json", log, say)
    if require_kvm and accel.name != "kvm":
        raise UsageError(
            f"--require-kvm was given, but {accel.why.removeprefix('TCG: ')}",
            hint="leave --require-kvm out to run under TCG; a probe's console, "
            f"if there was one, is in {log}",
        )
    return accel


def _unusable() -> str:
    """Why KVM is out of the question; empty where it can be opened."""
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"there is no {KVM}"
    except OSError as error:
        return f"cannot open {KVM}: {error.strerror}"
    return ""


def _host() -> dict[str, str]:
    """What a probe's outcome depends on: this boot, this device, this QEMU."""
    device = KVM.stat()
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "device": f"{device.st_rdev}:{device.st_ino}:{device.st_ctime_ns}",
        "qemu": qemu_version(),
    }


def _probed(
    bzimage: Path, remembered: Path, log: Path, say: Callable[[str], None]
) -> Accel:
    host = _host()
    try:
        entry = json.loads(remembered.read_text())
        if entry["host"] == host:
            return Accel(entry["name"], entry["why"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no probe so far, or one that nobody can read: probe
    say(f"trying KVM: does a guest reach user space within {PROBE_DEADLINE:.0f} s?")
    accel, certain = _probe(bzimage, log)
    if certain:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        entry = {"host": host, "name": accel.name, "why": accel.why}
        remembered.write_text(json.dumps(entry, indent=4) + "\n")
    return accel


def _probe(bzimage: Path, log: Path) -> tuple[Accel, bool]:
    """Boot a guest under KVM; what came of it, and whether it is KVM's doing."""
    guest = Guest(
        bzimage,
        Accel("kvm", "probe"),
        log.parent,
        boot_deadline=PROBE_DEADLINE,
        log_name=log.name,
    )
    try:
        with guest:
            seconds = guest.boot_seconds
    except GuestError as error:
        verdict = guest.verdict
        if verdict is not None and verdict.kind != "KVM internal error":
            # The kernel ran well enough to say what is wrong with itself.
            return Accel("tcg", f"TCG: the guest under KVM: {error.what}"), False
        reason = verdict.headline if verdict else "nothing came"
        if verdict is None and guest.console.tail(1):
            reason = f"the last line: {guest.console.tail(1)}"
        why = f"{KVM} opens, but no guest reached user space"
        return Accel(
            "tcg", f"TCG: {why} within {PROBE_DEADLINE:.0f} s ({reason})"
        ), True
    return Accel("kvm", f"KVM: a guest reached user space in {seconds:.1f} s"), True
