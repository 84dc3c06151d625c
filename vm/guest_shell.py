"""In the guest: serve one shell or command to the terminal that connected.

    python3 -S guest_shell.py DESCRIPTOR

The agent starts it when somebody connects. The first frame is a request, b"r":
"TERM COLUMNS LINES WORD...", each word as x and its bytes in hex; TERM is "-" if
the user is not on a terminal, and no words mean a shell.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from vm.frames import Frames, send

SHELLS = ("/bin/bash", "/bin/sh")


class Session:
    """One connection: a process, and the descriptors that lead to it and back."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.frames = Frames()
        self.process: subprocess.Popen[bytes] | None = None
        self.into = self.out = -1
        self.terminal = False

    def start(self, request: str) -> None:
        """Start what the request asks for, on a terminal if the user has one."""
        term, columns, lines, *words = request.split()
        argv = [os.fsdecode(bytes.fromhex(word[1:])) for word in words]
        argv = argv or [next(filter(os.path.exists, SHELLS), SHELLS[-1])]
        self.terminal = term != "-"
        env = {**os.environ, "TERM": term if self.terminal else "dumb"}
        if self.terminal:
            self.out, inner = os.openpty()
            self.into = self.out
            termios.tcsetwinsize(inner, (int(lines), int(columns)))
            theirs = inner
            ends: tuple[int, ...] = (inner,)
        else:
            theirs, self.into = os.pipe()
            self.out, inner = os.pipe()
            ends = (theirs, inner)
        try:
            self.process = subprocess.Popen(
                *(argv,),
                stdin=theirs,
                stdout=inner,
                stderr=inner,
                env=env,
                preexec_fn=self._lead,  # noqa: PLW1509  (there are no threads)
            )
        except OSError as error:
            send(self.port, b"d", f"{argv[0]}: {error.strerror}\r\n".encode())
            send(self.port, b"x", b"127")
        for end in ends:
            os.close(end)

    def _lead(self) -> None:
        """In the child: lead a session, with the terminal as its own."""
        if self.terminal:
            os.login_tty(0)
        else:
            os.setsid()

    def hear(self, kind: bytes, content: bytes) -> None:
        """Do what a frame of the user's end says."""
        if kind == b"r":
            self.start(content.decode())
        elif kind == b"d" and self.into >= 0:
            with contextlib.suppress(OSError):  # it does not read any more
                os.write(self.into, content)
        elif kind == b"e" and self.into >= 0 and not self.terminal:
            os.close(self.into)
            self.into = -1
        elif kind == b"w" and self.terminal:
            columns, lines = content.split()
            termios.tcsetwinsize(self.out, (int(lines), int(columns)))

    def serve(self) -> None:
        """Pass on what comes from either end until one of them is gone."""
        poll = select.poll()
        poll.register(self.port, select.POLLIN)
        while True:
            if self.out >= 0:
                poll.register(self.out, select.POLLIN)
            for descriptor, event in poll.poll():
                if descriptor == self.port:
                    data = os.read(self.port, 1 << 16) if event & select.POLLIN else b""
                    if not data:
                        return
                    for frame in self.frames.feed(data):
                        self.hear(*frame)
                    if self.process is None and self.out >= 0:
                        return
                elif not self._pass_output():
                    return

    def _pass_output(self) -> bool:
        """Send what the process printed; False after its end."""
        assert self.process is not None
        try:
            data = os.read(self.out, 1 << 14)
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if data:
            send(self.port, b"d", data)
            return True
        status = self.process.wait()
        send(self.port, b"x", str(status if status >= 0 else 128 - status).encode())
        return False

    def end(self) -> None:
        """Hang up on what is left."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGHUP)
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)


if __name__ == "__main__":
    session = Session(int(sys.argv[1]))
    try:
        session.serve()
    finally:
        session.end()
