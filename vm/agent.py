"""The guest's end of the harness: runs one command at a time, tells what it did.

    python3 -I -S agent.py PORT LIMIT

PORT names a virtio-serial port; at most LIMIT bytes of a command's output are
sent. The port is the agent's own, so nothing that a test or the kernel prints
can be mistaken for an answer. It says "ready RELEASE"; then, until "poweroff"
or the end of its input, which both power the guest off:

    request: ID SECONDS WORD...     time limit; each word as x and its bytes in hex
    answer:  done ID STATUS TIMED_OUT MS SENT TOTAL, and SENT bytes of output

STATUS is the exit status, 128+n for signal n. The agent imports little and
starts no other program: each costs much in a guest that is emulated.
"""

import os
import select
import signal
import sys
import time

OUTPUT = "/run/agent-output"  # /run is a tmpfs
TERM_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
# Not by udev's names: udev may be missing, and the kernel has them here.
PORTS = "/sys/class/virtio-ports"


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


def session_of(pid: str) -> int:
    """The session of a living process, 0 for one that is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "XZ" else int(fields[3])


def end_leftovers(first: int) -> None:
    """Kill what a command left behind, in whatever group or session.

    Processes and sessions with a number below `first` are not a command's; the
    kernel gives no number below 300 out twice.
    """
    left = True
    while left:
        left = False
        for pid in os.listdir("/proc"):
            if pid.isdecimal() and int(pid) >= first and session_of(pid) >= first:
                left = True
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass


def wait(pid: int, seconds: float) -> tuple[int, bool]:
    """The exit status of a child that leads a session, and if it had to be ended."""
    watch = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    timed_out = not poll.poll(seconds * 1000)
    if timed_out:
        os.killpg(pid, signal.SIGTERM)
        if not poll.poll(TERM_GRACE * 1000):
            os.killpg(pid, signal.SIGKILL)
    os.close(watch)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return (status if status >= 0 else 128 - status), timed_out


def run(argv: list[str], seconds: float, output: int) -> tuple[int, bool]:
    """Run a command with stdout and stderr to the file `output`."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.ftruncate(output, 0)
    os.lseek(output, 0, os.SEEK_SET)
    actions = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate((null, output))]
    actions.append((os.POSIX_SPAWN_DUP2, output, 2))
    try:
        pid = os.posix_spawnp(
            argv[0], argv, os.environ, file_actions=actions, setsid=True
        )
    except OSError as error:
        os.write(output, f"{argv[0]}: {error.strerror}\n".encode())
        return 127, False
    finally:
        os.close(null)
    status = wait(pid, seconds)
    end_leftovers(pid)
    return status


def main(port_name: str, limit: int) -> None:
    """Serve requests until told to power off."""
    port = open_port(port_name)
    output = os.open(OUTPUT, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(port, f"ready {os.uname().release}\n".encode())
    for line in lines(port):
        if line == b"poweroff":
            break
        number, seconds, *words = line.decode().split()
        argv = [bytes.fromhex(word[1:]).decode() for word in words]
        begin = time.monotonic()
        status, timed_out = run(argv, float(seconds), output)
        milliseconds = int((time.monotonic() - begin) * 1000)
        total = os.fstat(output).st_size
        text = os.pread(output, min(total, limit), 0)
        answer = f"done {number} {status} {int(timed_out)} {milliseconds}"
        message = f"{answer} {len(text)} {total}\n".encode() + text
        while message:
            message = message[os.write(port, message) :]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
