"""No process of a guest is left, whatever ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from vm.errors import GuestError
from vm.process import session_members
from vm.terminal import Log
from vm.tests.conftest import Make, wait_for
from vm.tests.project import Project


def test_interrupted_boot(
    make: Make, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the harness waits for the guest, in a process that lives on."""
    guest = make("hangs at boot")

    def interrupt(*_: object) -> bool:
        wait_for(lambda: bool(project.guests), 60)
        raise KeyboardInterrupt

    monkeypatch.setattr(guest, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt), guest:
        pass
    assert not project.guests


@pytest.mark.parametrize("how", ["stays", "has children", "ignores SIGTERM"])
@pytest.mark.parametrize("interrupted", [False, True])
def test_nothing_is_left(make: Make, log: Log, how: str, interrupted: bool) -> None:
    """Whatever it takes: children in groups of their own, deaf ones, Ctrl-C."""
    leader, begin = 0, 0.0
    with (
        contextlib.suppress(KeyboardInterrupt, GuestError),
        make(how, soon=True) as guest,
    ):
        leader = guest.console._child.pid  # type: ignore[union-attr]
        begin = time.monotonic()
        assert session_members(leader)
        (log.path.with_suffix(".tmp") / "virtme_ret123").touch()
        if interrupted:
            raise KeyboardInterrupt
    assert time.monotonic() - begin < 60
    assert session_members(leader) == []
    assert [file.name for file in log.path.parent.iterdir()] == [log.path.name]


@pytest.mark.parametrize(
    ("sig", "how"),
    [
        (signal.SIGKILL, ""),
        (signal.SIGKILL, "hangs at boot"),
        (signal.SIGINT, "hangs at boot"),
        (signal.SIGINT, "has children"),
    ],
)
def test_harness_ends(project: Project, sig: signal.Signals, how: str) -> None:
    """A harness that is killed or interrupted leaves no guest behind."""
    project.set(how)
    program = f"""
import io, signal, sys
sys.path.insert(0, {str(project.path)!r})
from pathlib import Path
from rich.console import Console
from vm.guest import Guest
from vm.machine import Machine
from vm.terminal import Log, Terminal
# In the background of a shell it is ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
terminal = Terminal(Console(file=io.StringIO()))
log = Log(Path({str(project.path)!r}) / "console", terminal)
with Guest(Machine(), Path('/boot/bzImage'), log) as guest:
    guest.run(["sleep", "600"], timeout=120)
"""
    harness = subprocess.Popen(
        [sys.executable, "-I", "-c", program], stderr=subprocess.DEVNULL
    )
    leader = 0
    try:
        wait_for(lambda: bool(project.guests), 60)
        (leader,) = project.sessions
        time.sleep(0.2)
        harness.send_signal(sig)
        harness.wait(60)
        wait_for(lambda: not session_members(leader), 60)
    finally:
        harness.kill()
        harness.wait()
        for pid in session_members(leader) if leader else ():
            os.kill(pid, signal.SIGKILL)
