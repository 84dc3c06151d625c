"""The guest's driver against a fake vng: each way to lose a guest, no kernel."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vm import guest as guest_module
from vm.accel import Accel
from vm.console import session_members
from vm.errors import GuestError, UsageError
from vm.guest import Guest, one_thread, vng_command

FAKE = Path(__file__).with_name("testdata") / "fake_vng.py"
TCG = Accel("tcg", "TCG: for the tests")
IMAGE = Path("/boot/bzImage")


@pytest.fixture(autouse=True)
def fake_vng(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `vng` that is the fake, found where vng is looked for."""
    script = tmp_path / "bin" / "vng"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    script.chmod(0o755)
    path = f"{script.parent}:{os.environ['PATH']}"
    monkeypatch.setenv("FAKE_VNG", "works")
    monkeypatch.setattr(
        guest_module, "_environment", lambda: {**os.environ, "PATH": path}
    )
    for name in ("ANSWER_MARGIN", "POWER_OFF_DEADLINE"):
        monkeypatch.setattr(guest_module, name, 0.5)


def environment_for(how: str) -> dict[str, str]:
    """The environment in which `vng` is a fake that behaves in that way."""
    return {**guest_module._environment(), "FAKE_VNG": how}


def make(out: Path, how: str = "works", deadline: float = 20.0) -> Guest:
    """A guest that will behave in that way."""
    os.environ["FAKE_VNG"] = how
    return Guest(IMAGE, TCG, out / "log", boot_deadline=deadline)


def with_marker(marker: str) -> list[int]:
    """The living processes that have the marker in their command line."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in file.read_bytes().replace(b"\0", b" "):
                found.append(int(file.parent.name))
    return found


def test_runs_a_command(tmp_path: Path) -> None:
    with make(tmp_path) as guest:
        assert guest.release == "7.3.4-fake"
        assert guest.boot_seconds > 0
        result = guest.run(["echo", "two words", "a\nb"], timeout=5)
        assert with_marker(guest._name)
    assert (result.status, result.seconds, result.timed_out) == (3, 0.25, False)
    assert "done 1 0 0 0 0 0\n" in result.output
    words = result.output.splitlines()[1].split(" ")[1:]
    sent = [bytes.fromhex(word.removeprefix("x")).decode() for word in words]
    assert sent == ["echo", "two words", "a\nb"]
    assert "9 more bytes" in result.output
    assert guest.splats == []
    assert not with_marker(guest._name)
    log = guest.console.log.read_bytes()
    assert log.count(b"console noise") == 5000 and b"\r" not in log


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("panics at boot", "panic during boot: Kernel panic - not syncing: VFS"),
        ("KVM internal error", "KVM internal error during boot"),
        ("hangs at boot", "hang: no sign of the guest during boot"),
        ("vanishes at boot", "vanished: QEMU ended during boot"),
    ],
)
def test_lost_at_boot(tmp_path: Path, how: str, expected: str) -> None:
    guest = make(tmp_path, how, deadline=2.0)
    with pytest.raises(GuestError, match=expected) as error, guest:
        pass
    assert not with_marker(guest._name)
    assert error.value.command == guest.command
    assert "Linux version" in error.value.detail
    assert str(guest.console.log) in error.value.hint


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("panic", "oops during `panic`: BUG: kernel NULL pointer dereference"),
        ("vanish", "vanished: QEMU ended during `vanish`"),
        ("hang", "hang: no sign of the guest during `hang`"),
        ("garbage", "the agent answered .*'all'.* during `garbage`"),
    ],
)
def test_lost_in_a_command(tmp_path: Path, word: str, expected: str) -> None:
    with pytest.raises(GuestError, match=expected) as error, make(tmp_path) as guest:
        guest.run([word], timeout=0.5)
    assert not with_marker(guest._name)
    if word == "panic":
        assert "not syncing: Fatal exception" in error.value.detail
    with pytest.raises(GuestError, match="gone before"):
        guest.run(["echo"], timeout=1)


def test_interrupted_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the harness waits for the guest, in a process that lives on."""
    guest = make(tmp_path, "hangs at boot")

    def interrupt(*_: object) -> bool:
        wait_for(lambda: bool(with_marker(guest._name)), 5)
        raise KeyboardInterrupt

    monkeypatch.setattr(guest, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt), guest:
        pass
    assert not with_marker(guest._name)


def test_splats(tmp_path: Path) -> None:
    """A warning is reported and does not end the guest; vng's own is none."""
    with make(tmp_path) as guest:
        guest.run(["warn"], timeout=5)
        guest.run(["echo"], timeout=5)
        wait_for(lambda: len(guest.splats) == 1, 5)
    assert len(guest.splats) == 1
    assert guest.splats[0].startswith("WARNING: kernel/bpf/hashtab.c:1")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("panics at power-off", "oops at power-off: BUG"),
        ("stays", "hang: no sign of the guest at power-off"),
    ],
)
def test_lost_at_power_off(tmp_path: Path, how: str, expected: str) -> None:
    with (
        pytest.raises(GuestError, match=expected),
        make(tmp_path, how) as guest,
    ):
        guest.run(["echo"], timeout=5)
    assert not with_marker(guest._name)


@pytest.mark.parametrize("how", ["stays", "has children", "ignores SIGTERM"])
@pytest.mark.parametrize("interrupted", [False, True])
def test_nothing_is_left(tmp_path: Path, how: str, interrupted: bool) -> None:
    """Whatever it takes: children in groups of their own, deaf ones, Ctrl-C."""
    leader, begin = 0, 0.0
    with (
        contextlib.suppress(KeyboardInterrupt, GuestError),
        make(tmp_path, how) as guest,
    ):
        leader = guest.console._child.pid  # type: ignore[union-attr]
        begin = time.monotonic()
        assert session_members(leader)
        (tmp_path / "log" / "virtme_ret123").touch()
        if interrupted:
            raise KeyboardInterrupt
    assert time.monotonic() - begin < 5
    assert session_members(leader) == []
    assert list((tmp_path / "log").iterdir()) == [tmp_path / "log" / "console.log"]


@pytest.mark.parametrize(
    ("sig", "how"),
    [
        (signal.SIGKILL, "works"),
        (signal.SIGKILL, "hangs at boot"),
        (signal.SIGINT, "hangs at boot"),
        (signal.SIGINT, "has children"),
    ],
)
def test_harness_ends(tmp_path: Path, sig: signal.Signals, how: str) -> None:
    """A harness that is killed or interrupted leaves no guest for 5 s."""
    image = f"/marker-{os.getpid()}-{sig}-{how.replace(' ', '-')}"
    program = f"""
import signal
import vm.guest
from pathlib import Path
from vm.accel import Accel
# In the background of a shell it is ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
vm.guest._environment = lambda: {environment_for(how)!r}
image, out = Path({image!r}), Path({str(tmp_path)!r})
with vm.guest.Guest(image, Accel("tcg", ""), out) as guest:
    guest.run(["hang"], timeout=60)
"""
    harness = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.DEVNULL,
    )
    leader = 0
    try:
        wait_for(lambda: bool(with_marker(f"--run {image}")), 10)
        leader = os.getsid(with_marker(f"--run {image}")[0])
        time.sleep(0.5)
        harness.send_signal(sig)
        harness.wait(5)
        wait_for(lambda: not session_members(leader), 5)
    finally:
        harness.kill()
        harness.wait()
        for pid in session_members(leader) if leader else ():
            os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Fail when the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_command_under_tcg_and_kvm() -> None:
    image = Path("/a folder/bzImage")
    tcg = vng_command(image, TCG, channel="name", shares=[Path("/run/x y")])
    text = shlex.join(tcg)
    assert "--disable-kvm" in tcg and "accel=kvm" not in text
    assert tcg[tcg.index("--run") + 1] == "'/a folder/bzImage'"
    assert tcg[tcg.index("--rodir") + 1] == "'/run/x y'"
    assert "path=name,abstract=on" in tcg[-1] and tcg[-1].startswith("--qemu-opts=")
    kvm = vng_command(image, Accel("kvm", ""))
    assert "--disable-kvm" not in kvm and "-machine accel=kvm" in kvm[-1]
    assert "--exec" not in kvm and "--verbose" not in kvm


@pytest.mark.parametrize(
    ("version", "one"),
    [("7.2.22 (Debian 1)", True), ("8.0.5", True), ("8.1.0", False), ("10.0.2", False)],
)
def test_one_thread_before_qemu_8_1(
    version: str, one: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    qemu = tmp_path / "bin" / "qemu-system-x86_64"
    qemu.write_text(f"#!/bin/sh\necho 'QEMU emulator version {version}'\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{qemu.parent}:{os.environ['PATH']}")
    one_thread.cache_clear()
    try:
        single = "-accel tcg,thread=single"
        assert (single in shlex.join(vng_command(IMAGE, TCG))) == one
        assert single not in shlex.join(vng_command(IMAGE, TCG, cpus=1))
        assert single not in shlex.join(vng_command(IMAGE, Accel("kvm", "")))
    finally:
        one_thread.cache_clear()


def test_no_vng(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_module, "_environment", lambda: {"PATH": "/nowhere"})
    with pytest.raises(UsageError, match=r"vng .* is not installed"):
        vng_command(IMAGE, TCG)
