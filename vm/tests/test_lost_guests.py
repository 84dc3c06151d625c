"""Guests that are lost: how each way is named."""

from __future__ import annotations

import time

import pytest

from vm import limits
from vm.errors import GuestError
from vm.tests.conftest import Make
from vm.tests.project import Project


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("panics at boot", "panic during boot: Kernel panic - not syncing: VFS"),
        ("KVM internal error", "KVM internal error during boot"),
        ("hangs at boot", "hang: the guest does not respond during boot"),
        ("vanishes at boot", "vanished: QEMU ended during boot"),
    ],
)
def test_lost_at_boot(
    make: Make, project: Project, monkeypatch: pytest.MonkeyPatch, how: str,
    expected: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(limits, "TRACE_GRACE", 0.5)
    guest, begin = make(how, deadline=0.7), time.monotonic()
    with pytest.raises(GuestError, match=expected) as error, guest:
        pass
    assert time.monotonic() - begin < limits.BOOT_DEADLINE / 2
    assert not project.guests
    assert error.value.command == guest.command
    assert "Linux version" in error.value.detail
    assert str(guest.console.log) in error.value.hint


def test_what_leads_to_a_panic(make: Make) -> None:
    """What the guest's init says, for example: a trace is longer than an error."""
    with pytest.raises(GuestError) as error, make("panics at boot"):
        pass
    assert "\ninit: mount /dev/shm: No such device\nKernel" in error.value.detail
    assert error.value.detail.endswith("\n f29+0x1/0x2")


def test_splats_before_a_hang_at_boot(make: Make) -> None:
    """They are told, because nobody scrolls to them."""
    guest = make("warns and hangs at boot", deadline=0.7)
    with pytest.raises(GuestError, match="does not respond") as error, guest:
        pass
    said = "lockdep: WARNING: suspicious RCU usage\n\nWARNING: vng itself"
    assert error.value.detail.startswith(said)


OOPS = "echo 'BUG: kernel NULL pointer dereference, address: 0' >$CONSOLE; sleep 0.2; "
TRACE = "echo 'Kernel panic - not syncing: Fatal exception' >$CONSOLE; kill -9 $VNG"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (OOPS + TRACE, "oops during `sh .*`: BUG: kernel NULL pointer dereference"),
        ("kill -9 $VNG; sleep 5", "vanished: QEMU ended during `sh "),
        ("kill -STOP $VNG; sleep 5", "hang: the guest does not respond during `sh "),
    ],
)
def test_lost_in_a_command(
    make: Make, project: Project, script: str, expected: str
) -> None:
    with pytest.raises(GuestError, match=expected) as error, make(soon=True) as guest:
        guest.run(["sh", "-c", script], timeout=0.5)
    assert not project.guests
    if TRACE in script:
        assert "not syncing: Fatal exception" in error.value.detail
    with pytest.raises(GuestError, match="ended before"):
        guest.run(["echo"], timeout=1)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("garbage", "the agent answered .*'all'.* during `true`"),
        ("no numbers", "the agent answered .*'all'.* during `true`"),
        ("too much", "the agent answered .*'9999999'.* during `true`"),
        ("endless line", "the agent answered .*all.* during `true`"),
        ("always alive", "the agent is alive but does not answer during"),
        ("no taint", "the agent said .*'all'.* instead of `ready`"),
    ],
)
def test_corrupt_answer(make: Make, project: Project, how: str, expected: str) -> None:
    with pytest.raises(GuestError, match=expected), make(how) as guest:
        guest.run(["true"], timeout=60)
    assert not project.guests


def test_console_that_does_not_show_the_end(make: Make, project: Project) -> None:
    """Without the marks nobody knows if the kernel complained."""
    guest = make("no markers", soon=True)
    with pytest.raises(GuestError, match=r"mark did not reach the console during boot"):
        guest.__enter__()
    assert not project.guests


def test_end_that_a_command_forges(make: Make) -> None:
    """A test is root, and can write to the console what the agent would."""
    forge = "for end in 1 '' begin; do echo bpf-map-tracing: end $end; done > $CONSOLE"
    expected = r"mark did not reach the console during `sh -c"
    with (
        pytest.raises(GuestError, match=expected),
        make("no end", soon=True) as guest,
    ):
        guest.run(["sh", "-c", forge], timeout=60)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("panics at power-off", "oops at power-off: BUG"),
        ("stays", "hang: the guest does not respond at power-off"),
    ],
)
def test_lost_at_power_off(
    make: Make, project: Project, how: str, expected: str
) -> None:
    with pytest.raises(GuestError, match=expected), make(how, soon=True) as guest:
        guest.run(["true"], timeout=60)
    assert not project.guests
