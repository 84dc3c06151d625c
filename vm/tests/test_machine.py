"""The command that starts a guest, word by word."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vm.errors import UsageError
from vm.machine import VNG, Accel, Machine, qemu_version
from vm.terminal import Log

IMAGE = Path("/a folder/bzImage")
KVM = Accel("kvm", "KVM: for the tests")


def test_every_word() -> None:
    """What a test run under TCG starts: nothing may be left out."""
    machine = Machine(init=Path("/tests/init"))
    command = machine.vng_command(IMAGE, shares=[Path("/run/x y")], script=["a b", "c"])
    assert command == [
        *(sys.executable, str(VNG), "--run", "'/a folder/bzImage'"),
        *("--user", "root", "--cpus", "2", "--memory", "1G"),
        *("--force-9p", "--disable-microvm", "--rodir", "'/run/x y'"),
        *("--disable-kvm", "--verbose", "--cwd", "/", "--exec", "'a b' c"),
        *("--append", "oops=panic", "--append", "printk.devkmsg=on"),
        *("--append", "ignore_loglevel", "--append", "printk.time=1"),
        *("--append", "no_timer_check", "--append", "no5lvl"),
        *("--append", "'init=/tests/init\t--\ta b\tc'"),
        "--qemu-opts=-accel tcg,thread=single",
    ]


def test_shares() -> None:
    """Others are part of the guest's root."""
    shares = [Path("/run/x"), Path("/runs"), Path("/var/tmp/x"), Path("/dev/shm/x")]
    command = Machine().vng_command(IMAGE, shares=shares, script=["true"])
    assert " --rodir /run/x --rodir /dev/shm/x --disable-kvm " in " ".join(command)
    assert command.count("--rodir") == 2


def test_kvm() -> None:
    command = Machine(KVM).vng_command(IMAGE, script=["true"])
    assert "--disable-kvm" not in command
    assert command[-1] == "--qemu-opts=-machine accel=kvm"


def test_icount() -> None:
    command = Machine(cpus=1, icount=True).vng_command(IMAGE, script=["true"])
    assert command[-1] == "--qemu-opts=-icount shift=0,sleep=off"


def test_qemu_options_are_quoted_for_the_shell() -> None:
    words = ("-device", "x,y=a b;reboot")
    command = Machine(cpus=1, qemu_opts=words).vng_command(IMAGE, script=["true"])
    assert command[-1] == "--qemu-opts=-device 'x,y=a b;reboot'"


def test_gdb() -> None:
    command = Machine(cpus=1, gdb=1234).vng_command(IMAGE, script=["true"])
    assert command[-1] == "--qemu-opts=-gdb tcp:127.0.0.1:1234 -S"
    assert "--append nokaslr " in " ".join(command)


def test_one_thread_for_emulated_cpus() -> None:
    single = "-accel tcg,thread=single"
    machine = Machine()
    assert (
        single in shlex.join(machine.vng_command(IMAGE, script=["true"]))
        and machine.one_thread
    )
    for other in (
        *(replace(machine, cpus=1), replace(machine, accel=KVM)),
        replace(machine, mttcg=True),
    ):
        assert single not in shlex.join(other.vng_command(IMAGE, script=["true"]))
        assert not other.one_thread
    assert "tcg,thread=multi" in shlex.join(other.vng_command(IMAGE, script=["true"]))


def test_qemu_version(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\necho QEMU emulator version 9.9\necho Copyright\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert qemu_version(log) == "QEMU emulator version 9.9"
    assert log.path.read_text().startswith("$ qemu-system-x86_64 --version\n")
    program.unlink()
    with pytest.raises(UsageError, match="cannot run qemu-system-x86_64"):
        qemu_version(log)


def vng_says(home: Path, *words: str) -> list[str]:
    """The words with which the real vng would start virtme-run, or its exit status."""
    program = home / "bin" / "virtme-run"
    program.parent.mkdir(exist_ok=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    command = Machine().vng_command(Path("/bzImage"), script=["true"])
    result = subprocess.run(
        [*command, *words],
        env={"HOME": str(home), "PATH": f"{program.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_users_vng_settings_do_not_apply(tmp_path: Path) -> None:
    before = vng_says(tmp_path)
    assert "oops=panic" in before
    assert f"init={Path('init').absolute()}\t--\ttrue" in before
    settings = {"default_opts": {"quiet": True, "append": [], "cpus": "7"}}
    for name in (".config/virtme-ng/virtme-ng.conf", ".virtme-ng.conf"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    assert vng_says(tmp_path) == before
