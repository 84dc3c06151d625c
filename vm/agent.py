"""The harness's end in the guest: runs one command at a time, reports on each.

    python3 -I -S agent.py PORT LIMIT [SHELL_PORT]

PORT names a virtio-serial port; at most LIMIT bytes of a command's output are
sent, half of them from its end. The port is the agent's own, so nothing that a
test or the kernel prints can be mistaken for an answer. It says "ready RELEASE FOLDER
TAINT CPUS": the folder is in memory, for programs that are to start fast, and so many
CPUs are online. Then, until "poweroff" or the end of its input, which both power the
guest off:

    request: ID SECONDS WORD...     time limit; each word as x and its bytes in hex
    answer:  done ID END STATUS TIMED_OUT MS TAINT SENT TOTAL, and SENT bytes of output
             stuck ID PID, if SIGKILL does not end this process

A command that begins with the word :copy copies the files named after it to FOLDER.
STATUS is the exit status, 128+n for signal n. TAINT is the kernel's taint. Until the
answer there is a line "alive" every few seconds: a guest that is silent hangs. Before a
command and after it, the agent writes "bpf-map-tracing: begin ID" and "... end END" to
the kernel's log, so that the console shows what the kernel said meanwhile. END is
random, so that the command cannot have written that line itself. Whoever connects to
SHELL_PORT gets a shell, see guest_shell.py. The agent imports little and starts no
other program: each costs much in a guest that is emulated.
"""

import _signal  # type: ignore[import-not-found]
import os
import select
import sys
import time

FOLDER = "/run/bpf-map-tracing"  # /run is a tmpfs
SIGKILL, SIGTERM = 9, 15  # importing signal itself costs eleven modules
TERM_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
KILL_GRACE = 10.0  # seconds from SIGKILL to the end of a process
LONG_WAIT = 1e6  # seconds; poll() takes at most 24 days at a time
BEAT = 5.0  # seconds between signs of life
# Not udev's names: udev may be missing, and the kernel lists them here.
PORTS = "/sys/class/virtio-ports"
KMSG = "/dev/kmsg"
COPY = ":copy"
TAINTED = "/proc/sys/kernel/tainted"
SERVERS: list[int] = []  # the agent's children that no command left behind


def open_port(name: str) -> int:
    """Wait for the port of that name and open it."""
    while True:
        for entry in os.listdir(PORTS) if os.path.isdir(PORTS) else ():
            with open(f"{PORTS}/{entry}/name") as file:
                if file.read().strip() == name:
                    return os.open(f"/dev/{entry}", os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.05)


def lines(port: int):  # type: ignore[no-untyped-def]  # typing costs an import
    """The lines that arrive on the port, until its other end is gone."""
    buffer = b""
    while data := os.read(port, 1 << 16):
        *whole, buffer = (buffer + data).split(b"\n")
        yield from whole


def serve_shells(port_name: str) -> None:
    """Start a process that runs guest_shell.py whenever somebody connects."""
    child = os.fork()
    if child:
        SERVERS.append(child)
        return
    os.setsid()
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest_shell.py")
    poll = select.poll()
    port = open_port(port_name)
    os.set_inheritable(port, True)
    poll.register(port, select.POLLIN)
    while True:
        events = poll.poll()
        if events[0][1] & select.POLLIN:
            argv = [sys.executable, "-S", program, str(port)]
            os.waitpid(os.posix_spawn(argv[0], argv, os.environ), 0)
        else:
            time.sleep(0.3)  # nobody is connected


def children() -> list[int]:
    """The processes whose parent is the agent, except the server of shells."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid() and int(pid) not in SERVERS:
            found.append(int(pid))
    return found


class Stuck(Exception):
    """SIGKILL does not end a process: it hangs in the kernel."""


def end_leftovers() -> None:
    """Kill what a command left behind, in whatever group or session.

    Orphans become the agent's children: init.c arranged that.
    """
    deadline = time.monotonic() + KILL_GRACE
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        if not (left := children()):
            return
        if time.monotonic() > deadline:
            raise Stuck(left[0])
        for pid in left:
            os.kill(pid, SIGKILL)
        time.sleep(0.01)


class Output:
    """What a command prints: the beginning, the end, and how much it was in all.

    At most `limit` bytes are kept, so that a flood fills neither memory nor port.
    """

    def __init__(self, limit: int) -> None:
        self.half = limit // 2
        self.head = b""
        self.tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """The command printed `data`."""
        self.total += len(data)
        room = max(self.half - len(self.head), 0)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * self.half:
            del self.tail[: -self.half]

    def text(self) -> bytes:
        """What is kept; if that is not all, half of it is the end."""
        return self.head + bytes(self.tail[-self.half :] if self.half else b"")


def wait(pid: int, seconds: float, pipe: int, output: Output) -> tuple[int, bool]:
    """The exit status of a child that leads a session, and whether it timed out.

    Meanwhile, what it prints goes from the pipe to `output`.
    """
    watch = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    poll.register(pipe, select.POLLIN)
    begin = time.monotonic()
    signals = [SIGKILL, SIGTERM]
    ended = timed_out = False
    while not ended:
        left = begin + seconds - time.monotonic()
        ready = poll.poll(min(max(left, 0), LONG_WAIT) * 1000)
        for descriptor, _ in ready:
            if descriptor == watch:
                ended = True
            elif not drain(pipe, output):
                poll.unregister(pipe)
        if left <= 0 and not ended:  # whatever it prints meanwhile
            if timed_out and not signals:
                raise Stuck(pid)
            timed_out = True
            os.killpg(pid, signals.pop())
            seconds += TERM_GRACE if signals else KILL_GRACE
    os.close(watch)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return (status if status >= 0 else 128 - status), timed_out


def drain(pipe: int, output: Output) -> bool:
    """Take what is in the pipe now; False if nobody can write to it any more."""
    try:
        data = os.read(pipe, 1 << 16)
    except BlockingIOError:
        return True
    output.add(data)
    return bool(data)


def start(argv: list[str], null: int, inner: int) -> int:
    """Start a command as the leader of a session; its PID."""
    actions = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate((null, inner))]
    actions.append((os.POSIX_SPAWN_DUP2, inner, 2))
    return os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions, setsid=True)


def start_copying(files: list[str], inner: int) -> int:
    """Copy files to FOLDER in a child; its PID. Starting cp takes longer than that."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    for file in files:
        try:
            to = os.path.join(FOLDER, os.path.basename(file))
            with open(file, "rb") as source, open(to, "wb") as copy:
                while data := source.read(1 << 20):
                    copy.write(data)
            os.chmod(to, 0o755)
        except OSError as error:
            os.write(inner, f"{error.filename or to}: {error.strerror}\n".encode())
            os._exit(1)
    os._exit(0)


def run(argv: list[str], seconds: float, output: Output) -> tuple[int, bool]:
    """Run a command with stdout and stderr going to `output`."""
    null = os.open(os.devnull, os.O_RDONLY)
    # Not a file: a command that opens /dev/stderr would truncate it.
    pipe, inner = os.pipe()
    os.set_blocking(pipe, False)
    try:
        if argv[0] == COPY:
            pid = start_copying(argv[1:], inner)
        else:
            pid = start(argv, null, inner)
    except OSError as error:
        output.add(f"{argv[0]}: {error.strerror}\n".encode())
        os.close(pipe)
        return 127, False
    finally:
        os.close(null)
        os.close(inner)
    status = wait(pid, seconds, pipe, output)
    end_leftovers()
    before = -1
    while before != output.total:
        before = output.total
        drain(pipe, output)
    os.close(pipe)
    return status


def mark(kmsg: int, what: str) -> None:
    """Write a line to the kernel's log; 5 is KERN_NOTICE, which the console shows."""
    os.write(kmsg, f"<5>bpf-map-tracing: {what}\n".encode())


def taint() -> str:
    """The flags that the kernel has set on itself, as a decimal number."""
    with open(TAINTED) as file:
        return file.read().strip()


def main(port_name: str, limit: int, shell_port: str = "") -> None:
    """Serve requests until told to power off."""
    if shell_port:
        serve_shells(shell_port)
    port = open_port(port_name)
    os.makedirs(FOLDER, exist_ok=True)
    kmsg = os.open(KMSG, os.O_WRONLY | os.O_CLOEXEC)

    def beat(*_: object) -> None:
        os.write(port, b"alive\n")

    _signal.signal(_signal.SIGALRM, beat)
    mark(kmsg, "ready")
    words = [os.uname().release, FOLDER, taint(), os.sysconf("SC_NPROCESSORS_ONLN")]
    os.write(port, f"ready {' '.join(map(str, words))}\n".encode())
    for line in lines(port):
        if line == b"poweroff":
            break
        number, seconds, *words = line.decode().split()
        argv = [os.fsdecode(bytes.fromhex(word[1:])) for word in words]
        output = Output(limit)
        mark(kmsg, f"begin {number}")
        begin = time.monotonic()
        _signal.setitimer(_signal.ITIMER_REAL, BEAT, BEAT)
        try:
            status, timed_out = run(argv, float(seconds), output)
        except Stuck as stuck:
            os.write(port, f"stuck {number} {stuck}\n".encode())
            continue
        finally:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
        milliseconds = int((time.monotonic() - begin) * 1000)
        end = os.urandom(8).hex()
        mark(kmsg, f"end {end}")
        text = output.text()
        answer = f"done {number} {end} {status} {int(timed_out)} {milliseconds}"
        answer = f"{answer} {taint()} {len(text)} {output.total}\n"
        message = answer.encode() + text
        while message:
            message = message[os.write(port, message) :]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
