"""Stands in for vm/vng.py in a project of the tests: a console, and the real agent.

It takes the real command line. The agent runs on the host, so the guest's programs
do, too; its folder is `guest` in the project. The file `how` of the project says
what goes wrong, `asked` gets the command line and what the agent was asked for.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
HOW = (PROJECT / "how").read_text()
WORDS = shlex.join(sys.argv[1:])
sys.path.insert(0, str(PROJECT))
from vm import agent  # noqa: E402  (after the path)

OOPS = "BUG: kernel NULL pointer dereference, address: 0000000000000000"
PANIC = "Kernel panic - not syncing: Fatal exception"


def say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


def note(line: str) -> None:
    with (PROJECT / "asked").open("a") as file:
        file.write(line + "\n")


def linger() -> None:
    while True:
        time.sleep(60)


def panic() -> None:
    say(OOPS)
    time.sleep(0.1)
    say("Call Trace:", " htab_map_update_elem+0x1/0x2", "---[ end trace ]---", PANIC)
    os._exit(255)


def listen(name: str) -> socket.socket:
    """QEMU's end of the socket of this name."""
    listener = socket.socket(socket.AF_UNIX)
    match = re.search(f"id={name},path=([^,]+)", WORDS)
    assert match is not None
    listener.bind(match[1])
    listener.listen(1)
    return listener


def serve_monitor() -> None:
    """QEMU's monitor, and the kernel's SysRq behind it."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        import json

        with connection, connection.makefile("rw") as lines:
            lines.write('{"QMP": {}}\n')
            lines.flush()
            for line in lines:
                request = json.loads(line)
                note(f"monitor {line.strip()}")
                answer: dict[str, object] = {"return": ""}
                if HOW == "no gdb server" and "gdbserver" in line:
                    answer = {"error": {"desc": "no such command"}}
                if request["execute"] == "chardev-change":
                    serve_sysrq(request["arguments"])
                lines.write(json.dumps({"event": "RESUME"}) + "\n")
                lines.write(json.dumps(answer) + "\n")
                lines.flush()

    threading.Thread(target=serve, args=[listen("monitor")], daemon=True).start()


def serve_sysrq(arguments) -> None:  # type: ignore[no-untyped-def]
    """From now on the console is a socket."""
    assert arguments["id"] == "console"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(arguments["backend"]["data"]["addr"]["data"]["path"])
    listener.listen(1)

    def serve() -> None:
        connection, _ = listener.accept()
        while key := connection.recv(1):
            note(f"sysrq {key.decode()}")
            if HOW != "ignores SysRq":
                connection.sendall(b"sysrq: Show\r\nState\r\n")

    threading.Thread(target=serve, daemon=True).start()


def serve_shells(port_name: str) -> None:
    """Be QEMU's end of the shell's port, and do what the agent does there."""
    listener = listen("shell")

    def accept() -> None:
        # Only the main thread's system calls are interrupted by its own signals.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])
        while True:
            connection, _ = listener.accept()
            import subprocess

            program = PROJECT / "vm" / "guest_shell.py"
            with connection:
                number = connection.fileno()
                command = [sys.executable, "-S", str(program), str(number)]
                subprocess.Popen(
                    command,
                    pass_fds=[number],
                    preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, []),  # noqa: PLW1509
                )

    threading.Thread(target=accept, daemon=True).start()


def end(*_: object) -> None:
    """Take what the agent runs along: it would end with a real guest."""
    for pid in agent.children():
        os.kill(pid, signal.SIGKILL)
    os._exit(143)


def main() -> None:
    note(f"vng {WORDS}")
    if match := re.search(r"-pidfile ([^\s']+)", WORDS):
        Path(match[1]).write_text(str(os.getpid()))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    if HOW == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if HOW == "has children":
        import subprocess

        subprocess.Popen(["sleep", "600"], process_group=0)
        subprocess.Popen(["sh", "-c", "trap '' TERM HUP; sleep 600; true"])
    say("WARNING: vng itself warns of something", "Linux version 7.3.4")
    if HOW == "warns at boot":
        say("WARNING: suspicious RCU usage")
    if "id=monitor" in WORDS:
        serve_monitor()
    tty.setraw(0, termios.TCSANOW)  # as QEMU does: no echo
    if HOW == "panics at boot":
        say("Kernel panic - not syncing: VFS: Unable to mount root fs")
        return
    if HOW == "KVM internal error":
        say("KVM internal error. Suberror: 1", "RAX=0000000000000000")
        linger()
    if HOW == "hangs at boot" or (HOW == "no KVM" and "--disable-kvm" not in WORDS):
        linger()
    if HOW == "vanishes at boot":
        return
    if HOW == "boots slowly":
        for _ in range(6):
            time.sleep(0.5)
            say("booting")
    if HOW == "boots for ever":
        for _ in range(600):
            time.sleep(0.05)
            say("booting")
    # More than a terminal holds: the guest would stop if nobody read it.
    say("\n".join(["console noise"] * 1000))
    name = re.search(r"id=agent,path=([^,]+),abstract=on", WORDS)
    assert name is not None
    channel = socket.socket(socket.AF_UNIX)
    channel.connect("\0" + name[1])
    port = agent_words()[1]
    really_run = agent.run

    def run(argv: list[str], seconds: float, output: agent.Output) -> tuple[int, bool]:
        note(f"run {seconds:.0f} {shlex.join(argv)}")
        if argv[0] == "hang":
            linger()
        if HOW == "unkillable":
            raise agent.Stuck(77)
        if HOW == "garbage":
            channel.sendall(b"ok 1 all tests passed\n")
        if HOW == "no copy" and argv[0] == agent.COPY:
            argv = [agent.COPY, "/no/such/file"]
        return really_run(argv, seconds, output)

    requests: list[bytes] = []
    really_lines = agent.lines

    def lines(port: int) -> Iterator[bytes]:
        for line in really_lines(port):
            requests.append(line)
            yield line

    agent.BEAT = 0.1
    agent.run = run
    agent.lines = lines
    agent.KMSG = "/dev/null" if HOW == "no markers" else os.ttyname(1)
    found = re.search(r"console-(gw\d+)", WORDS)
    worker = found[1] if found else ""
    agent.TAINTED = str(PROJECT / f"tainted{worker}")
    Path(agent.TAINTED).write_text("4096\n")
    agent.FOLDER = str(PROJECT / "guest" / worker)
    (PROJECT / "guest" / worker / "two").unlink(missing_ok=True)
    agent.open_port = lambda name: {port: channel.fileno()}[name]
    agent.serve_shells = serve_shells
    # For the programs: where the console is, and what to kill to end the guest.
    os.environ["CONSOLE"], os.environ["VNG"] = os.ttyname(1), str(os.getpid())
    os.environ["PROJECT"] = str(PROJECT)
    agent.main(*agent_arguments())  # type: ignore[arg-type]
    if requests[-1:] == [b"poweroff"]:
        note("power off")
    note("end of the agent")
    if HOW == "kills at power-off":
        os.kill(os.getppid(), signal.SIGKILL)
    if HOW == "panics at power-off":
        panic()
    if HOW == "warns at power-off":
        say("WARNING: suspicious RCU usage")
    if HOW in ("stays", "ignores SIGTERM"):
        linger()


def agent_words() -> list[str]:
    """agent.py, PORT, LIMIT and maybe SHELL_PORT, as the guest would start it."""
    script = sys.argv[sys.argv.index("--exec") + 1]
    words = shlex.split(script)
    return words[words.index("-S") + 1 :]


def agent_arguments() -> list[object]:
    _, port, limit, *shell = agent_words()
    return [port, int(limit), *shell]


main()
