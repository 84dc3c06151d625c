"""KVM only after a guest reached user space under it; a fake vng here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vm import guest, kvm, limits, machine
from vm.errors import UsageError
from vm.kvm import choose_accel
from vm.machine import Accel
from vm.terminal import Log
from vm.tests import quick_vng
from vm.tests.project import Project
from vm.tests.said import Said

Choose = Callable[..., Accel]


@pytest.fixture
def choose(
    project: Project, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Choose:
    """Chooses, with a device that opens and a guest that behaves in the given way."""
    monkeypatch.setattr(machine, "VNG", project.path / "vm" / "vng.py")
    monkeypatch.setattr(os, "execvpe", quick_vng.execvpe)
    monkeypatch.setattr(kvm, "KVM", tmp_path / "kvm")
    monkeypatch.setattr(limits, "TRACE_GRACE", 0.2)
    (tmp_path / "kvm").touch()
    (tmp_path / "bzImage").touch()
    (project.path / "asked").write_text("")

    def call(
        how: str = "",
        *,
        require_kvm: bool = False,
        no_kvm: bool = False,
        soon: bool = False,
    ) -> Accel:
        project.set(how)
        deadline = 1.0 if soon or how == "hangs at boot" else 60.0
        name = "BOOT_DEADLINE" if require_kvm else "PROBE_DEADLINE"
        monkeypatch.setattr(kvm, name, deadline)
        cache = tmp_path / "cache"
        return choose_accel(
            *(tmp_path / "bzImage", Path("init"), cache, log),
            require_kvm=require_kvm,
            no_kvm=no_kvm,
        )

    return call


def test_kvm_that_works_is_probed_once(
    choose: Choose, project: Project, said: Said
) -> None:
    accel = choose(require_kvm=True)
    assert accel.name == "kvm"
    assert accel.why.startswith("KVM: a guest reached user space in ")
    assert said.lines == ["trying KVM: does a guest reach user space in 60 s?"]
    assert choose("hangs at boot") == accel
    assert len(project.vng) == 1 and "-machine accel=kvm" in project.vng[0]
    assert " --cpus 1 " in project.vng[0], "the host may have no more"


def test_kvm_that_runs_nothing(choose: Choose, project: Project) -> None:
    accel = choose("vanishes at boot")
    assert accel.name == "tcg"
    assert accel.why.endswith(
        "opens, but no guest reached user space within 60 s (the last lines: "
        "WARNING: vng itself warns of something / Linux version 7.3.4)"
        ", nor one with -cpu kvm64"
    )
    assert choose() == accel
    with pytest.raises(UsageError, match=r"--require-kvm was given, but .* opens, but"):
        choose(require_kvm=True)
    assert len(project.vng) == 2


def test_plainer_cpu(choose: Choose, project: Project, said: Said) -> None:
    """The host's own may have a register that KVM cannot set: QEMU ends."""
    accel = choose("vanishes at boot unless -cpu kvm64")
    assert (accel.name, accel.cpu) == ("kvm", "kvm64")
    assert accel.why.endswith(" s with -cpu kvm64")
    assert said.lines[1:] == ["no guest booted with the host's CPU model, trying kvm64"]
    assert choose("vanishes at boot") == accel
    assert len(project.vng) == 2 and " -cpu kvm64 " in project.vng[1]


@pytest.mark.parametrize(("prints", "probes"), [("", 2), ("after a line", 4)])
def test_plainer_cpu_that_does_not_boot(
    choose: Choose, project: Project, prints: str, probes: int
) -> None:
    """One that never says a word is not just slow."""
    for _ in range(2):
        accel = choose(f"vanishes, or hangs with -cpu kvm64 {prints}", soon=True)
        assert accel.name == "tcg" and "nor one with -cpu kvm64" in accel.why
    assert len(project.vng) == probes


def test_plainer_cpu_after_silence(choose: Choose, project: Project) -> None:
    """A guest that says nothing may be slow, but is tried with it, too."""
    assert choose("is silent", soon=True).name == "tcg"
    accel = choose("is silent unless -cpu kvm64", soon=True)
    assert (accel.name, accel.cpu, len(project.vng)) == ("kvm", "kvm64", 4)
    accel = choose()
    assert (accel.name, accel.cpu, len(project.vng)) == ("kvm", "", 5)


def test_slow_guest_is_not_remembered(choose: Choose, project: Project) -> None:
    begin = time.monotonic()
    accel = choose("hangs at boot")
    assert accel.name == "tcg" and "within 1 s" in accel.why
    assert time.monotonic() - begin < limits.BOOT_DEADLINE / 2
    assert choose().name == "kvm"
    assert len(project.vng) == 2


def test_kvm_that_is_required_may_take_longer(choose: Choose, said: Said) -> None:
    """Where it is, a guest that is slow to boot is no reason to emulate another."""
    with pytest.raises(UsageError, match="no guest reached user space within 1 s"):
        choose("hangs at boot", require_kvm=True)
    choose("vanishes at boot")
    expected = ["1 s", "60 s"]
    asked = [line.split("in ")[1][:-1] for line in said.lines if "trying KVM" in line]
    assert asked == expected


def test_kvm_internal_error(choose: Choose, project: Project) -> None:
    assert "(KVM internal error. Suberror: 1)" in choose("KVM internal error").why
    choose()
    assert len(project.vng) == 2


def test_kernel_that_vanishes_may_be_to_blame(
    choose: Choose, project: Project, tmp_path: Path
) -> None:
    """By a triple fault, for example: another one has its own chance."""
    assert choose("vanishes at boot").name == "tcg"
    assert choose().name == "tcg"
    os.utime(tmp_path / "bzImage", (1, 1))
    assert choose().name == "kvm"
    assert len(project.vng) == 3


def test_guest_that_qemu_cannot_start(choose: Choose) -> None:
    """Another virtual machine may keep KVM to itself, or there is no memory."""
    assert choose("vanishes before it boots").name == "tcg"
    assert choose().name == "kvm"


def test_kernel_that_panics_says_nothing_about_kvm(choose: Choose) -> None:
    accel = choose("panics at boot")
    assert accel.name == "tcg" and "panic during boot" in accel.why
    assert choose().name == "kvm"


@pytest.mark.parametrize("key", ["boot", "device", "qemu"])
def test_another_host_is_probed_again(
    choose: Choose, project: Project, tmp_path: Path, key: str
) -> None:
    choose()
    file = tmp_path / "cache" / "kvm-probe.json"
    entry = json.loads(file.read_text())
    assert entry["host"][key]
    entry["host"][key] = "another"
    file.write_text(json.dumps(entry))
    choose()
    file.write_text("{")
    choose()
    assert len(project.vng) == 3


def test_another_qemu_is_probed_again(
    choose: Choose, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, probes in ("11.0", 1), ("11.1", 2), ("11.1", 2):
        monkeypatch.setattr(kvm, "qemu_version", lambda _, now=version: now)
        choose()
        assert len(project.vng) == probes


def test_ctrl_c_is_not_remembered(
    choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(guest.Guest, "_boot", interrupt)
    with pytest.raises(KeyboardInterrupt):
        choose()
    assert not (tmp_path / "cache").exists()


def test_without_a_device(choose: Choose, project: Project, tmp_path: Path) -> None:
    (tmp_path / "kvm").unlink()
    assert choose() == Accel("tcg", f"TCG: there is no {tmp_path}/kvm")
    (tmp_path / "kvm").mkdir()  # not even root opens a folder for writing
    assert "cannot open" in choose().why
    assert project.vng == []


def test_no_kvm(choose: Choose, project: Project) -> None:
    assert choose(no_kvm=True) == Accel("tcg", "TCG: without KVM, as asked")
    assert project.vng == []
