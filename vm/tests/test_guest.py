"""The guest's driver and the real agent, under a fake vng."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from vm import guest as module
from vm import limits
from vm.console import Console
from vm.errors import GuestError
from vm.guest import AGENT, Guest
from vm.machine import Accel, Machine
from vm.ports import PORT
from vm.terminal import Log
from vm.tests.conftest import Make
from vm.tests.project import Project
from vm.tests.said import Said

IMAGE = Path("/boot/bzImage")


# Commands


def test_runs_commands(make: Make, project: Project) -> None:
    with make() as guest:
        assert guest.release == "6.6.6"
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
        assert project.guests
    assert guest.splats == []
    assert not project.guests
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


def test_wait_for_what_the_console_shows(tmp_path: Path) -> None:
    """It ends with that, or with the console, and not with the time limit."""
    begin = time.monotonic()
    console = Console(tmp_path / "log")
    threading.Timer(0.1, console.show, ["shown\n"]).start()
    assert console.wait_for(lambda: console.tail() == "shown", 60)
    assert not console.wait_for(lambda: False, 0.1)
    console.start(["sleep", "0.1"], {"PATH": os.environ["PATH"]})
    assert not console.wait_for(lambda: False, 60)
    console.end()
    assert time.monotonic() - begin < 20


def test_much_output(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning and the end are kept: the result is at the end."""
    monkeypatch.setattr(limits, "OUTPUT_LIMIT", 10)
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


def test_nothing_of_a_command_is_left(make: Make, project: Project) -> None:
    with make() as guest:
        daemon = "setsid sh -c 'sleep 600 & echo $!' & wait; echo $!"
        pids = guest.run(["sh", "-c", daemon], timeout=60).output.split()
        assert len(pids) == 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        assert project.guests


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
    monkeypatch.setattr(limits, "COPY_TIMEOUT", 0.2)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with (
        make() as guest,
        pytest.raises(GuestError, match=r"copying fifo .* timed out after 0 s"),
    ):
        guest.copy([fifo])


# What the kernel says


def test_allowed_report_taints(make: Make, project: Project) -> None:
    """The flag that it sets is accounted for; another one is not."""
    with make() as guest:
        guest.console.scan._allowed = re.compile("WARNING: known.*")
        known = "echo 'WARNING: known' >$CONSOLE; "
        taint = f"echo $((4096 + 512)) >{project.path}/tainted"
        guest.run(["sh", "-c", known + taint], timeout=60)
        guest.run(["true"], timeout=60)
        assert guest.splats == [], "nor is it the next command's"
        guest.run(
            ["sh", "-c", f"echo $((4096 + 640)) >{project.path}/tainted"], timeout=9
        )
        assert [splat.kind.outcome for splat in guest.splats] == ["taint"]


def test_allowed_report_between_commands_taints(make: Make, project: Project) -> None:
    with make() as guest:
        guest.console.scan._allowed = re.compile("WARNING: known.*")
        guest.run(["true"], timeout=60)
        guest.console.show("WARNING: known\n")
        (project.path / "tainted").write_text(f"{4096 + 512}\n")
        guest.run(["true"], timeout=60)
        assert guest.splats == []


def test_splats_are_seen_with_the_command(make: Make) -> None:
    """As soon as run() returns; vng's own warning is none."""
    with make() as guest:
        for count in range(1, 30):
            script = "echo 'WARNING: kernel/bpf/hashtab.c:1 at f+0x1/0x2' >$CONSOLE"
            guest.run(["sh", "-c", script], timeout=60)
            assert len(guest.splats) == count
    assert guest.splats[0].headline.startswith("WARNING: kernel/bpf/hashtab.c:1")


# What starts a guest


def test_accel_is_in_the_command(make: Make, log: Log) -> None:
    kvm = Guest(Machine(Accel("kvm", "")), IMAGE, log)
    assert "--disable-kvm" not in kvm.command
    assert "-machine accel=kvm" in kvm.command[-1]


def test_agent_is_in_the_command(make: Make) -> None:
    """It reads nothing of a virtual environment's or the user's."""
    command = make().command
    script = shlex.split(command[command.index("--exec") + 1])
    python = str(Path(sys.executable).resolve())
    agent = ["-I", "-S", str(AGENT), PORT, str(limits.OUTPUT_LIMIT)]
    assert script == [python, *agent]


def test_shares_are_in_the_command(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent has to be there, too."""
    monkeypatch.setattr(module, "AGENT", Path("/run/b/agent.py"))
    command = Guest(Machine(), IMAGE, log, shares=[Path("/run/a")]).command
    assert " --rodir /run/a --rodir /run/b " in " ".join(command)


def test_environment_of_vng(make: Make, log: Log) -> None:
    """virtme-run is found, and leaves its files where they are removed."""
    with make() as guest:
        text = guest.run(["env", "-0"], timeout=60).output  # the fake's: same machine
    found = dict(line.partition("=")[::2] for line in text.split("\0"))
    assert found["TMPDIR"] == str(log.path.with_suffix(".tmp"))
    assert found["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_log_that_cannot_be_written(make: Make, said: Said) -> None:
    """The guest is watched all the same, and that the log is missing is told later."""
    make()
    with Guest(Machine(), IMAGE, Log(Path("/dev/full"), said)) as guest:
        assert guest.run(["true"], timeout=60).status == 0
    assert guest.console.log_error and guest.console.tail(99).count("noise") > 99


def test_debugger_takes_its_time(
    make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the guest prints meanwhile, and also at power-off."""
    for name in ("BOOT_SPLATS", "ANSWER_MARGIN", "POWER_OFF_DEADLINE"):
        monkeypatch.setattr(limits, name, 0)
    make("warns and boots slowly")
    with Guest(Machine(gdb=1234), IMAGE, log, boot_deadline=0.0) as guest:
        assert guest.run(["sleep", "0.5"], timeout=0.1).status == 0


def test_stranger_is_not_taken_for_the_agent(make: Make) -> None:
    """Somebody who found out the name of the socket."""
    guest = make("hangs at boot", deadline=1.0)
    got: list[bytes] = []

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(20)
            while stranger.connect_ex(f"\0{guest._channel.name}"):
                time.sleep(0.02)
            with contextlib.suppress(OSError):
                stranger.sendall(b"ready 6.6.6 / 0 2\n")
            with contextlib.suppress(ConnectionError):
                got.append(stranger.recv(100))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    with pytest.raises(GuestError, match="does not respond during boot"), guest:
        pass
    thread.join(20)
    assert guest.release == "" and got in ([], [b""])
