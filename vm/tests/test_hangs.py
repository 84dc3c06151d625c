"""Guests that hang, or are merely slow."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from vm import agent, hung, kvm, limits
from vm.errors import GuestError
from vm.terminal import Log
from vm.tests.conftest import Make
from vm.tests.project import Project

# Seconds to the kernel's report of a soft lockup, and from one to the next: twice the
# default of watchdog_thresh, and it looks five times in that period.
SOFT_LOCKUP_SEEN = 2 * 10.0 * 6 / 5


def test_limits_fit_together() -> None:
    """Each leaves time for what is to happen before it."""
    assert limits.SILENCE >= 4 * agent.BEAT, "signs of life may be late"
    assert limits.SILENCE > SOFT_LOCKUP_SEEN, "the kernel says first what hangs"
    assert limits.HANG_GRACE >= SOFT_LOCKUP_SEEN, "it may recover until the next"
    # A process may end just before its time is up and leave one that does not.
    stuck = agent.TERM_GRACE + 2 * agent.KILL_GRACE
    assert stuck < limits.ANSWER_MARGIN, "the agent says first which process it is"
    assert limits.SIGNS_OF_LIFE * agent.BEAT >= 2 * 24 * 3600
    assert limits.USUAL_BOOT < kvm.PROBE_DEADLINE < limits.BOOT_DEADLINE


def test_slow_boot_and_what_follows(make: Make) -> None:
    """It is the silence that counts, and whoever boots slowly is given more time.

    A few splats do not end a boot.
    """
    with make("warns and boots slowly", deadline=1.2) as guest:
        assert guest.boot_seconds > 1.5 and len(guest.splats) == 12
    assert guest.limits.slowness == 1.0
    begin = time.monotonic()
    with pytest.raises(GuestError, match="hang: "), make("hangs at boot", deadline=1.2):
        pass
    assert 1.2 < time.monotonic() - begin < 5, "not five times the deadline"
    with make() as guest:
        guest.limits.slowness = 3.0
        result = guest.run(["sleep", "60"], timeout=0.2)
        assert result.timed_out and 0.6 <= result.seconds < 3


def test_boot_that_does_not_end(make: Make) -> None:
    """Whatever it prints: after five times the deadline it is given up."""
    begin = time.monotonic()
    guest = make("boots for ever", deadline=0.4)
    with pytest.raises(GuestError, match="does not respond during boot"), guest:
        pass
    assert time.monotonic() - begin < 20


def test_boot_that_prints_splats_for_ever(make: Make, project: Project) -> None:
    """It is given up at once, and the first of them are told: they are the cause."""
    begin = time.monotonic()
    guest = make("splats for ever", sockets=f"{project.path}/x")
    lost = r"never booted: 2\d splats and \d KiB on the console during boot\n"
    with pytest.raises(GuestError, match=lost) as error, guest:
        pass
    assert time.monotonic() - begin < 20
    lines = error.value.detail.splitlines()
    assert lines[0] == "KASAN: BUG: KASAN: use-after-free in f0+0x1/0x2"
    assert lines[9].endswith(" in f9+0x1/0x2")
    assert lines[10] == f"and {len(guest.splats) - 10} more"
    assert lines[13:16] == ["Linux version 7.3.4", lines[0][7:], "Call Trace:"]
    assert not project.guests and not guest.state


def test_boot_that_fills_the_console(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does its log fill the disk."""
    monkeypatch.setattr(limits, "BOOT_CONSOLE", 1 << 20)
    begin = time.monotonic()
    guest = make("prints for ever")
    lost = r"never booted: 0 splats and \d{4} KiB on the console during boot\n"
    with pytest.raises(GuestError, match=lost) as error, guest:
        pass
    assert time.monotonic() - begin < 20
    assert "bootingbooting" in error.value.detail
    assert guest.console.log.stat().st_size < 4 * limits.BOOT_CONSOLE


def test_slow_guest_has_more_time_to_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWER_MARGIN", 0.1)
    with pytest.raises(GuestError, match="hang: "), make() as guest:
        guest.limits.slowness = 20.0
        begin = time.monotonic()
        guest.run(["hang"], timeout=0.02)
    assert time.monotonic() - begin >= 20 * (0.1 + 0.02)


def test_hang_that_the_kernel_reports(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the limit of the longest test; but what has recovered is forgotten."""
    stall = "echo 'watchdog: BUG: soft lockup - CPU#0 stuck for 22s!' >$CONSOLE; "
    begin = time.monotonic()
    with (
        pytest.raises(GuestError, match=r"soft lockup during `sh .*: watchdog: BUG: s"),
        make() as guest,
    ):
        monkeypatch.setattr(limits, "HANG_GRACE", 0.5)
        assert guest.run(["sh", "-c", stall], timeout=600).status == 0
        assert guest.run(["sleep", "1"], timeout=600).status == 0
        guest.run(["sh", "-c", stall + "sleep 600"], timeout=600)
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ("", []),
        ("ignores SysRq", ["the console does not answer SysRq: interrupts may be off"]),
    ],
)
def test_state_of_a_guest_that_hangs(
    make: Make, project: Project, monkeypatch: pytest.MonkeyPatch, how: str,
    state: list[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", f"{project.path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(hung, "_ANSWER", 0.5)
    monkeypatch.setattr(hung, "_QUIET", 0.1)
    sockets = f"{project.path}/x"
    guest = make(how, soon=True, sockets=sockets)
    with pytest.raises(GuestError, match="hang: ") as error, guest:
        guest.run(["hang"], timeout=0)
    assert "sysrq" not in error.value.detail, "the console as it was"
    *said, thread, frame = guest.state
    assert (said, thread) == (state, "Thread 1 (CPU#0 [running])")
    assert f"target remote {sockets}.gdb " in frame and frame.endswith(" vmlinux")
    asked = [json.loads(line[8:]) for line in project.asked if "monitor " in line[:8]]
    keys = "w" if how else "wldt"  # the others would not be answered either
    assert [request["execute"] for request in asked] == [
        *("qmp_capabilities", "chardev-change", *["chardev-send-break"] * len(keys)),
        "human-monitor-command",
    ]
    pressed = [line[-1] for line in project.asked if line.startswith("sysrq ")]
    assert pressed == [*keys]
    server = f"gdbserver unix:{sockets}.gdb,server=on,wait=off"
    assert asked[-1]["arguments"] == {"command-line": server}
    log = guest.console.log.read_text()
    assert log.count("sysrq: Show\nState\n") == (4 if how == "" else 0)


def test_gdb_that_does_not_end(
    log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gdb = tmp_path / "gdb"
    gdb.write_text("#!/bin/sh\necho Thread 1\nexec sleep 20\n")
    gdb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(hung, "_GDB_LIMIT", 0.5)
    begin = time.monotonic()
    (why, *_) = hung._backtraces("x.gdb", Path("vmlinux"), log)
    assert why.startswith("no backtraces: ") and time.monotonic() - begin < 15


@pytest.mark.parametrize(
    ("how", "command", "seconds", "reason"),
    [
        ("no gdb server", ["hang"], 0, "human-monitor-command: no such command"),
        ("", ["sh", "-c", "kill -STOP $VNG; sleep 600"], 2, "timed out"),
    ],
)
def test_state_of_a_guest_that_cannot_be_had(
    make: Make, project: Project, monkeypatch: pytest.MonkeyPatch, how: str,
    command: list[str], seconds: float, reason: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(hung, "_ANSWER", 0.5)
    monkeypatch.setattr(hung, "_QUIET", 0.1)
    guest = make(how, soon=True, sockets=f"{project.path}/x")
    with pytest.raises(GuestError, match="hang: "), guest:
        guest.run(command, timeout=seconds)
    assert guest.state == [f"no backtraces: QEMU's monitor does not answer: {reason}"]


def test_silent_guest(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after the limit of the longest test; one that lives says so all the time."""
    stop = "kill -STOP $VNG; sleep 60"
    begin = time.monotonic()
    with (
        pytest.raises(GuestError, match="hang: the guest does not respond during `sh"),
        make() as guest,
    ):
        monkeypatch.setattr(limits, "SILENCE", 1.0)
        assert guest.run(["sleep", "1.3"], timeout=600).status == 0
        guest.run(["sh", "-c", stop], timeout=600)
    assert time.monotonic() - begin < 60


def test_process_that_cannot_be_killed(make: Make) -> None:
    with (
        pytest.raises(GuestError, match="unkillable: process 77 does not end during"),
        make("unkillable") as guest,
    ):
        guest.run(["true"], timeout=60)
