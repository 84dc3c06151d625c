"""Stands in for vm/vng.py in a project of the tests: a console, and the real agent.

It takes the real command line. The agent runs on the host, so the guest's programs
do, too; its folder is `guest` in the project. The file `how` of the project says
what goes wrong, `asked` gets the command line and what the agent was asked for.

It imports as little as the agent, because it is started several hundred times.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import _thread
import ctypes
import os
import sys
import termios
import time
import tty

PROJECT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
with open(f"{PROJECT}/how") as how:
    HOW = how.read()
sys.path.insert(0, PROJECT)
from vm import agent  # noqa: E402  (after the path)


def join(words: "list[str]") -> str:
    """As shlex.join() does."""
    return " ".join(map(quote, words))


def quote(word: str) -> str:
    """As shlex.quote() does."""
    if word and all(c.isalnum() or c in "@%+=:,./-_" for c in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


WORDS = join(sys.argv[1:])
OOPS = "BUG: kernel NULL pointer dereference, address: 0000000000000000"
PANIC = "Kernel panic - not syncing: Fatal exception"


def say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


def note(line: str) -> None:
    with open(f"{PROJECT}/asked", "a") as file:
        file.write(line + "\n")


def linger() -> None:
    while True:
        time.sleep(60)


def panic() -> None:
    say(OOPS)
    time.sleep(0.1)
    say("Call Trace:", " htab_map_update_elem+0x1/0x2", "---[ end trace ]---", PANIC)
    os._exit(255)


def following(start: str, end: str = ",") -> str:
    """What stands between `start` and `end` in the command line."""
    return " ".join(sys.argv).partition(start)[2].partition(end)[0]


def path_of(name: str) -> str:
    """The path of the socket of this name."""
    return following(f"id={name},path=")


def serve(path: str, answer) -> None:  # type: ignore[no-untyped-def]
    """Be QEMU's end of a socket, and answer each connection."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)

    def accept() -> None:
        # Only the main thread's system calls are interrupted by its own signals.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGTERM, _signal.SIGHUP])
        while True:
            number, _ = listener._accept()  # type: ignore[attr-defined]
            from socket import socket

            with socket(fileno=number) as connection:
                answer(connection)

    _thread.start_new_thread(accept, ())


def monitor(connection) -> None:  # type: ignore[no-untyped-def]
    """QEMU's monitor, and the kernel's SysRq behind it."""
    import json

    with connection.makefile("rw") as lines:
        lines.write('{"QMP": {}}\n')
        lines.flush()
        for line in lines:
            request = json.loads(line)
            note(f"monitor {line.strip()}")
            answer: dict[str, object] = {"return": ""}
            if HOW == "no gdb server" and "gdbserver" in line:
                answer = {"error": {"desc": "no such command"}}
            if request["execute"] == "chardev-change":
                # From now on the console is a socket.
                arguments = request["arguments"]
                assert arguments["id"] == "console"
                serve(arguments["backend"]["data"]["addr"]["data"]["path"], sysrq)
            lines.write(json.dumps({"event": "RESUME"}) + "\n")
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


def sysrq(connection) -> None:  # type: ignore[no-untyped-def]
    while key := connection.recv(1):
        note(f"sysrq {key.decode()}")
        if HOW != "ignores SysRq":
            connection.sendall(b"sysrq: Show\r\nState\r\n")


def shell(connection) -> None:  # type: ignore[no-untyped-def]
    """What the agent does on the shell's port."""
    import subprocess

    number = connection.fileno()
    program = f"{PROJECT}/vm/guest_shell.py"
    subprocess.Popen(
        [sys.executable, "-S", program, str(number)],
        pass_fds=[number],
        preexec_fn=lambda: _signal.pthread_sigmask(_signal.SIG_SETMASK, []),  # noqa: PLW1509
    )


def end(*_: object) -> None:
    """Take what the agent runs along: it would end with a real guest."""
    for pid in agent.children():
        os.kill(pid, _signal.SIGKILL)
    os._exit(143)


def uname() -> os.uname_result:
    """As the kernel that was built calls itself, if the project has built one."""
    image = sys.argv[sys.argv.index("--run") + 1]
    build, arch, _ = image.partition("/arch/")
    build = build if arch else image.rpartition("/upstream/")[0]
    release = f"{build}/include/config/kernel.release"
    if HOW == "another kernel" or not os.path.exists(release):
        return os.uname_result(("Linux", "guest", "6.6.6", "", ""))
    with open(release) as file:
        return os.uname_result(("Linux", "guest", file.read().strip(), "", ""))


def main() -> None:
    note(f"vng {WORDS}")
    with open(f"{PROJECT}/vngs", "a") as vngs:
        vngs.write(f"{os.getpid()}\n")
    if "-pidfile " in WORDS:
        with open(following("-pidfile ", " "), "w") as file:
            file.write(str(os.getpid()))
    for asks in (_signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(asks, _signal.SIG_IGN if HOW == "ignores SIGTERM" else end)
    if HOW == "has children":
        import subprocess

        subprocess.Popen(["sleep", "600"], process_group=0)
        subprocess.Popen(["sh", "-c", "trap '' TERM HUP; sleep 600; true"])
    plain_cpu = "-cpu kvm64" in HOW and "-cpu kvm64" in WORDS
    say("WARNING: vng itself warns of something")
    if HOW == "vanishes, or hangs with -cpu kvm64 " and plain_cpu:
        linger()
    if HOW.startswith("is silent") and not plain_cpu:
        linger()
    if HOW == "vanishes before it boots":
        return
    say("Linux version 7.3.4")
    with open(f"{PROJECT}/vngs") as vngs:
        boots = len(vngs.readlines())
    if HOW in ("warns at boot", "warns and hangs at boot") or (
        HOW == "warns at the second boot" and boots == 2
    ):
        say("WARNING: suspicious RCU usage")
    if "id=monitor" in WORDS:
        serve(path_of("monitor"), monitor)
    tty.setraw(0, termios.TCSANOW)  # as QEMU does: no echo
    if HOW == "panics at boot":
        say("init: mount /dev/shm: No such device")
        say("Kernel panic - not syncing: VFS: Unable to mount root fs")
        say(*[f" f{number}+0x1/0x2" for number in range(30)])
        return
    if HOW == "KVM internal error":
        say("KVM internal error. Suberror: 1", "RAX=0000000000000000")
        linger()
    if "or hangs" in HOW and plain_cpu:
        linger()
    if "hangs at boot" in HOW or (HOW == "no KVM" and "--disable-kvm" not in WORDS):
        linger()
    if HOW.startswith("vanishes") and not plain_cpu:
        return
    if HOW in ("boots slowly", "warns and boots slowly"):
        for _ in range(6):
            time.sleep(0.3)
            say(*["WARNING: at map.c" if "warns" in HOW else "booting"] * 2)
    if HOW == "splats for ever":
        for count in range(600):
            time.sleep(0.05)
            say(f"BUG: KASAN: use-after-free in f{count}+0x1/0x2", "Call Trace:")
    while HOW == "prints for ever":
        say("booting" * 100)
    if HOW == "boots for ever":
        for _ in range(600):
            time.sleep(0.05)
            say("booting")
    # More than a terminal holds: the guest would stop if nobody read it.
    say(*[" ".join(["console noise"] * 50)] * 20)
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    channel.connect("\0" + following("id=agent,path=", ",abstract=on"))
    port = agent_words()[1]
    really_run = agent.run

    def run(argv, seconds, output):  # type: ignore[no-untyped-def]
        note(f"run {seconds:.0f} {join(argv)}")
        if argv[0] == "hang":
            linger()
        if HOW == "unkillable":
            raise agent.Stuck(77)
        if HOW == "garbage":
            channel.sendall(b"ok 1 all tests passed\n")
        if HOW == "no numbers":
            channel.sendall(b"done 1 end 0 0 all 0 0 0\n")
        if HOW == "too much":
            channel.sendall(b"done 1 end 0 0 0 4096 9999999 9999999\n")
        while HOW == "endless line":
            channel.sendall(b"all" * 1000)
        while HOW == "always alive":
            channel.sendall(b"alive\n" * 1000)
        if (HOW, boots) == ("warns of a full disk", 1) and argv[-1].endswith("/two"):
            say("WARNING: suspicious RCU usage")
        if HOW == "no copy" and argv[0] == agent.COPY:
            argv = [agent.COPY, "/no/such/file"]
        return really_run(argv, seconds, output)

    requests: list[bytes] = []
    really_lines = agent.lines

    def lines(port):  # type: ignore[no-untyped-def]
        for line in really_lines(port):
            requests.append(line)
            yield line
            if (HOW, boots, len(requests)) == ("warns after a test", 1, 2):
                while not os.path.exists(f"{PROJECT}/after"):
                    time.sleep(0.02)
                say("WARNING: suspicious RCU usage")

    def mark(kmsg, what):  # type: ignore[no-untyped-def]
        if HOW != "no end" or not what.startswith("end"):
            really_mark(kmsg, what)

    really_mark = agent.mark
    agent.mark = mark
    agent.BEAT = 0.05  # more often than the harness looks at the time
    agent.run = run
    agent.lines = lines
    agent.KMSG = "/dev/null" if HOW == "no markers" else os.ttyname(1)
    number = following("console-gw", ".").partition("-")[0]
    worker = f"gw{number}" if number else ""
    os.uname = uname
    cpus = int(sys.argv[sys.argv.index("--cpus") + 1])
    os.sysconf = lambda _: cpus - (HOW == "lacks a CPU")
    agent.TAINTED = f"{PROJECT}/tainted{worker}"
    with open(agent.TAINTED, "w") as file:
        file.write("all\n" if HOW == "no taint" else "4096\n")
    agent.FOLDER = f"{PROJECT}/guest/{worker}"
    if os.path.lexists(f"{agent.FOLDER}/two"):
        os.unlink(f"{agent.FOLDER}/two")
    agent.open_port = lambda name: {port: channel.fileno()}[name]
    agent.serve_shells = lambda port_name: serve(path_of("shell"), shell)
    # For the programs: where the console is, and what to kill to end the guest.
    os.environ["CONSOLE"], os.environ["VNG"] = os.ttyname(1), str(os.getpid())
    os.environ["PROJECT"] = PROJECT
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as init.c
    agent.main(*agent_arguments())  # type: ignore[arg-type]
    if requests[-1:] == [b"poweroff"]:
        note("power off")
    note("end of the agent")
    if HOW == "kills at power-off":
        os.kill(os.getppid(), _signal.SIGKILL)
    if HOW == "panics at power-off":
        panic()
    if HOW == "warns at power-off":
        say("WARNING: suspicious RCU usage")
    if requests[-1:] == [b"poweroff"] and HOW != "dies at power-off":
        say("reboot: Power down")
    if HOW == "warns in its last bytes":
        sys.stdout.write("WARNING: suspicious RCU usage")
        sys.stdout.flush()
    if HOW in ("stays", "ignores SIGTERM"):
        linger()


def agent_words() -> list[str]:
    """agent.py, PORT, LIMIT and maybe SHELL_PORT, as the guest would start it."""
    words = sys.argv[sys.argv.index("--exec") + 1].split()
    return words[words.index("-S") + 1 :]


def agent_arguments() -> list[object]:
    _, port, limit, *shell = agent_words()
    return [port, int(limit), *shell]


main()
os._exit(0)  # without a wait for the threads
