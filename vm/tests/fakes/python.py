"""Stands in for Python in a project of the tests: the fork server starts the program.

    python.py [-I] [-u] PROGRAM WORD…
    python.py [-u] -c CODE

For runs of the harness that a run starts, and for the workers of pytest-xdist. It
imports as little as it can: it is there because a start of Python takes long.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import select
import sys

PROJECT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def number(pipe: int) -> int:
    """The next number that the server tells."""
    return int.from_bytes(os.read(pipe, 4), sys.byteorder, signed=True)


def main() -> int:
    # A handler would not run when its signal comes just before a call that waits.
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    _signal.set_wakeup_fd(woken)
    passed_on = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
    for each in passed_on:
        _signal.signal(each, lambda *_: None)
    argv = [word for word in sys.argv[1:] if word not in ("-I", "-u")]
    request = marshal.dumps((argv, os.getcwd(), dict(os.environ)))
    told, status = os.pipe()
    fds = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2, status))
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    server.connect(f"\0{PROJECT[-100:]}")
    server.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    for fd in (0, 1, status):
        os.close(fd)
    pid = number(told)
    while told not in select.select([told, wake], [], [])[0]:
        for signal in os.read(wake, 64):
            os.kill(pid, signal)
    code = number(told)
    for each in passed_on:
        _signal.signal(each, _signal.SIG_DFL)
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


os._exit(main())
