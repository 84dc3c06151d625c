"""The guest's driver and the real agent, under a fake vng: each way to lose a guest."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vm import guest as module
from vm import hung, machine
from vm.errors import GuestError
from vm.guest import AGENT, OUTPUT_LIMIT, Guest
from vm.machine import Accel, Machine
from vm.ports import PORT
from vm.process import session_members
from vm.terminal import Log
from vm.tests.project import Project

IMAGE = Path("/boot/bzImage")


@pytest.fixture
def make(
    project: Project, log: Log, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Guest]:
    """Makes a guest that behaves in the given way, given up `soon` if it hangs."""
    monkeypatch.setattr(machine, "VNG", project.path / "vm" / "vng.py")
    monkeypatch.setattr("vm.process._TERM_GRACE", 0.4)

    def call(
        how: str = "", deadline: float = 60.0, *, soon: bool = False, sockets: str = ""
    ) -> Guest:
        project.set(how)
        (project.path / "asked").touch()
        if soon:
            for name in ("ANSWER_MARGIN", "POWER_OFF_DEADLINE", "CONSOLE_DEADLINE"):
                monkeypatch.setattr(module, name, 0.5)
        return Guest(
            *(Machine(), IMAGE, log),
            boot_deadline=deadline,
            sockets=sockets,
            vmlinux=Path("vmlinux"),
        )

    return call


Make = Callable[..., Guest]


def with_marker(marker: str) -> list[int]:
    """The living processes that have the marker in their command line."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in file.read_bytes().replace(b"\0", b" "):
                found.append(int(file.parent.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Fail if the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Commands


def test_runs_commands(make: Make, project: Project) -> None:
    with make() as guest:
        assert guest.release == os.uname().release
        assert guest.folder == project.path / "guest"
        assert guest.boot_seconds > 0
        script = 'printf "%s|" "$@"; pwd >&2; exit 3'
        words = ["sh", "-c", script, "sh", "two words", "a\nb", "'\"$x", "é", ""]
        result = guest.run(words, timeout=60)
        assert (result.status, result.timed_out) == (3, False)
        assert result.output.startswith("two words|a\nb|'\"$x|é||/")
        assert 0 <= result.seconds < 5
        # The next one, and what looks like an answer.
        text = "done 2 0 0 0 0 0 0\n"
        assert guest.run(["printf", text], timeout=60).output == text
        assert with_marker(guest._name)
    assert guest.splats == []
    assert not with_marker(guest._name)
    log = guest.console.log.read_bytes()
    assert log.count(b"console noise") == 1000 and b"\r" not in log
    assert log.startswith(f"$ {shlex.join(guest.command)}\n".encode())


def test_status_of_a_signal_and_of_nothing(make: Make) -> None:
    with make() as guest:
        assert guest.run(["sh", "-c", "kill -SEGV $$"], timeout=60).status == 139
        missing = guest.run(["/no/such"], timeout=60)
        assert (missing.status, missing.output) == (127, "/no/such: No such file or "
                                                    "directory\n")  # fmt: skip


def test_time_limit(make: Make) -> None:
    with make() as guest:
        result = guest.run(["sleep", "60"], timeout=0.2)
        assert (result.status, result.timed_out) == (143, True)
        assert 0.2 <= result.seconds < 2
        assert guest.run(["true"], timeout=60).status == 0


def test_much_output(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning and the end are kept: the result is at the end."""
    monkeypatch.setattr(module, "OUTPUT_LIMIT", 10)
    with make() as guest:
        result = guest.run(["seq", "10"], timeout=60)
        assert result.output == "1\n2\n3\n[11 bytes of output are left out]\n9\n10\n"
        flood = "head -c 50000000 /dev/zero; echo end"
        result = guest.run(["sh", "-c", flood], timeout=60)
        assert result.output.endswith("end\n") and "49999994 bytes" in result.output


def test_reopened_stderr(make: Make) -> None:
    script = "echo one >&2; echo two >/dev/stderr; echo three"
    with make() as guest:
        assert guest.run(["sh", "-c", script], timeout=60).output == "one\ntwo\nthree\n"


def test_nothing_of_a_command_is_left(make: Make) -> None:
    with make() as guest:
        daemon = "setsid sh -c 'sleep 600 & echo $!' & wait; echo $!"
        pids = guest.run(["sh", "-c", daemon], timeout=60).output.split()
        assert len(pids) == 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        assert with_marker(guest._name)


def test_bytes_that_are_no_text(make: Make) -> None:
    with make() as guest:
        assert guest.run(["printf", "a\\377"], timeout=5).output == "a\ufffd"


def test_copy(make: Make, tmp_path: Path, project: Project) -> None:
    files = [tmp_path / name for name in ("a", "b c")]
    for file in files:
        file.write_text(file.name)
    with make() as guest:
        guest.copy(files)
        assert (project.path / "guest" / "b c").read_text() == "b c"
        with pytest.raises(
            GuestError, match="copying none into the guest failed"
        ) as raised:
            guest.copy([tmp_path / "none"])
    assert raised.value.command[0] == ":copy" and "No such file" in raised.value.detail


def test_copy_that_takes_too_long(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_COPY_TIMEOUT", 0.2)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with (
        make() as guest,
        pytest.raises(GuestError, match=r"copying fifo .* timed out after 0 s"),
    ):
        guest.copy([fifo])


# Lost guests


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("panics at boot", "panic during boot: Kernel panic - not syncing: VFS"),
        ("KVM internal error", "KVM internal error during boot"),
        ("hangs at boot", "hang: the guest does not respond during boot"),
        ("vanishes at boot", "vanished: QEMU ended during boot"),
    ],
)
def test_lost_at_boot(make: Make, how: str, expected: str) -> None:
    guest, begin = make(how, deadline=0.7), time.monotonic()
    with pytest.raises(GuestError, match=expected) as error, guest:
        pass
    assert time.monotonic() - begin < module.BOOT_DEADLINE / 2
    assert not with_marker(guest._name)
    assert error.value.command == guest.command
    assert "Linux version" in error.value.detail
    assert str(guest.console.log) in error.value.hint


def test_slow_boot_and_what_follows(make: Make) -> None:
    """It is the silence that counts, and whoever boots slowly is given more time."""
    with make("boots slowly", deadline=2.0) as guest:
        assert guest.boot_seconds > 2.5
    assert guest._slowness == 1.0
    begin = time.monotonic()
    with pytest.raises(GuestError, match="hang: "), make("hangs at boot", deadline=2.0):
        pass
    assert 2 < time.monotonic() - begin < 8, "not five times the deadline"
    with make() as guest:
        guest._slowness = 3.0
        result = guest.run(["sleep", "60"], timeout=0.2)
        assert result.timed_out and 0.6 <= result.seconds < 3


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
def test_lost_in_a_command(make: Make, script: str, expected: str) -> None:
    with pytest.raises(GuestError, match=expected) as error, make(soon=True) as guest:
        guest.run(["sh", "-c", script], timeout=0.5)
    assert not with_marker(guest._name)
    if TRACE in script:
        assert "not syncing: Fatal exception" in error.value.detail
    with pytest.raises(GuestError, match="gone before"):
        guest.run(["echo"], timeout=1)


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
        monkeypatch.setattr(module, "HANG_GRACE", 0.5)
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


@pytest.mark.parametrize(
    ("how", "command", "reason"),
    [
        ("no gdb server", ["hang"], "human-monitor-command: no such command"),
        ("", ["sh", "-c", "kill -STOP $VNG; sleep 600"], "timed out"),
    ],
)
def test_state_of_a_guest_that_cannot_be_had(
    make: Make, project: Project, monkeypatch: pytest.MonkeyPatch, how: str,
    command: list[str], reason: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(hung, "_ANSWER", 0.5)
    guest = make(how, soon=True, sockets=f"{project.path}/x")
    with pytest.raises(GuestError, match="hang: "), guest:
        guest.run(command, timeout=2)
    assert guest.state == [f"no backtraces: QEMU's monitor does not answer: {reason}"]


def test_silent_guest(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after the limit of the longest test; one that lives says so all the time."""
    stop = "kill -STOP $VNG; sleep 60"
    begin = time.monotonic()
    with (
        pytest.raises(GuestError, match="hang: the guest does not respond during `sh"),
        make() as guest,
    ):
        monkeypatch.setattr(module, "SILENCE", 1.0)
        assert guest.run(["sleep", "2"], timeout=600).status == 0
        guest.run(["sh", "-c", stop], timeout=600)
    assert time.monotonic() - begin < 60


def test_process_that_cannot_be_killed(make: Make) -> None:
    with (
        pytest.raises(GuestError, match="unkillable: process 77 does not end during"),
        make("unkillable") as guest,
    ):
        guest.run(["true"], timeout=60)


def test_corrupt_answer(make: Make) -> None:
    with (
        pytest.raises(GuestError, match=r"the agent answered .*'all'.* during `true`"),
        make("garbage") as guest,
    ):
        guest.run(["true"], timeout=60)
    assert not with_marker(guest._name)


def test_console_that_does_not_show_the_end(make: Make) -> None:
    """Without the marks nobody knows if the kernel complained."""
    guest = make("no markers", soon=True)
    with pytest.raises(GuestError, match=r"the console did not show .* during boot"):
        guest.__enter__()
    assert not with_marker(guest._name)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("panics at power-off", "oops at power-off: BUG"),
        ("stays", "hang: the guest does not respond at power-off"),
    ],
)
def test_lost_at_power_off(make: Make, how: str, expected: str) -> None:
    with pytest.raises(GuestError, match=expected), make(how, soon=True) as guest:
        guest.run(["true"], timeout=60)
    assert not with_marker(guest._name)


def test_interrupted_boot(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the harness waits for the guest, in a process that lives on."""
    guest = make("hangs at boot")

    def interrupt(*_: object) -> bool:
        wait_for(lambda: bool(with_marker(guest._name)), 60)
        raise KeyboardInterrupt

    monkeypatch.setattr(guest, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt), guest:
        pass
    assert not with_marker(guest._name)


# What the kernel says


def test_allowed_report_taints(make: Make, project: Project) -> None:
    """The flag that it sets is accounted for; another one is not."""
    with make() as guest:
        guest.console.scan._allowed = re.compile("WARNING: known.*")
        known = "echo 'WARNING: known' >$CONSOLE; "
        taint = f"echo $((4096 + 512)) >{project.path}/tainted"
        guest.run(["sh", "-c", known + taint], timeout=60)
        assert guest.splats == []
        guest.run(
            ["sh", "-c", f"echo $((4096 + 640)) >{project.path}/tainted"], timeout=9
        )
        assert [splat.kind.outcome for splat in guest.splats] == ["taint"]


def test_splats_are_seen_with_the_command(make: Make) -> None:
    """As soon as run() returns; vng's own warning is none."""
    with make() as guest:
        for count in range(1, 30):
            script = "echo 'WARNING: kernel/bpf/hashtab.c:1 at f+0x1/0x2' >$CONSOLE"
            guest.run(["sh", "-c", script], timeout=60)
            assert len(guest.splats) == count
    assert guest.splats[0].headline.startswith("WARNING: kernel/bpf/hashtab.c:1")


# Nothing survives


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
        (log.path.parent / "virtme_ret123").touch()
        if interrupted:
            raise KeyboardInterrupt
    assert time.monotonic() - begin < 60
    assert session_members(leader) == []
    assert not list(log.path.parent.glob("virtme_ret*"))


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
    image = f"/marker-{os.getpid()}-{sig}-{how.replace(' ', '-')}"
    program = f"""
import io, signal, sys
sys.path.insert(0, {str(project.path)!r})
from pathlib import Path
from rich.console import Console
from vm.guest import AGENT, OUTPUT_LIMIT, Guest
from vm.machine import Machine
from vm.terminal import Log, Terminal
# In the background of a shell it is ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
terminal = Terminal(Console(file=io.StringIO()))
log = Log(Path({str(project.path)!r}) / "console", terminal)
with Guest(Machine(), Path({image!r}), log) as guest:
    guest.run(["sleep", "600"], timeout=120)
"""
    harness = subprocess.Popen(
        [sys.executable, "-I", "-c", program], stderr=subprocess.DEVNULL
    )
    leader = 0
    try:
        wait_for(lambda: bool(with_marker(f"--run {image}")), 60)
        leader = os.getsid(with_marker(f"--run {image}")[0])
        time.sleep(0.2)
        harness.send_signal(sig)
        harness.wait(60)
        wait_for(lambda: not session_members(leader), 60)
    finally:
        harness.kill()
        harness.wait()
        for pid in session_members(leader) if leader else ():
            os.kill(pid, signal.SIGKILL)


def test_accel_is_in_the_command(make: Make, log: Log) -> None:
    kvm = Guest(Machine(Accel("kvm", "")), IMAGE, log)
    assert "--disable-kvm" not in kvm.command
    assert "-machine accel=kvm" in kvm.command[-1]


# What starts a guest


def test_agent_is_in_the_command(make: Make) -> None:
    """It reads nothing of a virtual environment's or the user's."""
    command = make().command
    script = shlex.split(command[command.index("--exec") + 1])
    python = str(Path(sys.executable).resolve())
    agent = ["-I", "-S", str(AGENT), PORT, str(OUTPUT_LIMIT)]
    assert script == ["exec", python, *agent]


def test_shares_are_in_the_command(log: Log) -> None:
    folders = [Path("/run/a"), Path("/var/tmp/b")]
    command = Guest(Machine(), IMAGE, log, shares=folders).command
    at = [n for n, word in enumerate(command) if word == "--rodir"]
    assert [command[n + 1] for n in at] == list(map(str, folders))


def test_environment_of_vng(make: Make, log: Log) -> None:
    """virtme-run is found, and leaves its files where they are removed."""
    with make() as guest:
        pid = guest.console._child.pid  # type: ignore[union-attr]
        text = Path(f"/proc/{pid}/environ").read_text()
    found = dict(line.partition("=")[::2] for line in text.split("\0"))
    assert found["TMPDIR"] == str(log.path.parent)
    assert found["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_debugger_takes_its_time(make: Make, log: Log) -> None:
    make("boots slowly")
    with Guest(Machine(gdb=1234), IMAGE, log, boot_deadline=0.0) as guest:
        assert guest.run(["sleep", "0.5"], timeout=0.1).status == 0


def test_stranger_is_not_taken_for_the_agent(make: Make) -> None:
    """Somebody who found out the name of the socket."""
    guest = make("hangs at boot", deadline=1.0)
    got: list[bytes] = []

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(20)
            while stranger.connect_ex(f"\0{guest._name}"):
                time.sleep(0.02)
            with contextlib.suppress(OSError):
                stranger.sendall(b"ready 6.6.6 / 0\n")
            with contextlib.suppress(ConnectionError):
                got.append(stranger.recv(100))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    with pytest.raises(GuestError, match="does not respond during boot"), guest:
        pass
    thread.join(20)
    assert guest.release == "" and got in ([], [b""])
