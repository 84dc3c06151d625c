"""Has the fake vng run in the process that was forked for it.

pexpect forks, and its child starts a command on the new terminal. If that is
"python PROGRAM", tied to the harness's life or not, the child becomes PROGRAM without
another start of Python, which takes a fifth of a whole run. What PROGRAM can tell of it
are its command line in /proc, sys.path and sys.modules.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import NoReturn

_TIE = ["/usr/bin/setpriv", "--pdeathsig", "TERM", "--"]
_PR_SET_PDEATHSIG = 1
_STREAMS = ("stdin", "stdout", "stderr")
_libc = ctypes.CDLL(None)
_compiled: dict[tuple[str, int, int], CodeType] = {}
_really_exec = os.execvpe


def prepare(program: Path) -> None:
    """Compile this program, and start it and others like it without another Python."""
    _code(str(program))
    os.execvpe = execvpe  # type: ignore[assignment]


def _code(program: str) -> CodeType:
    status = Path(program).stat()
    key = program, status.st_mtime_ns, status.st_size
    if key not in _compiled:
        _compiled[key] = compile(Path(program).read_bytes(), program, "exec")
    return _compiled[key]


def execvpe(file: str, args: Sequence[str | bytes], env: Mapping[str, str]) -> NoReturn:
    """Stands in for os.execvpe()."""
    words = [os.fsdecode(word) for word in args]
    tied = [*words[: len(_TIE)]] == _TIE
    python, *argv = words[len(_TIE) :] if tied else words
    if python != sys.executable or not argv or not argv[0].endswith(".py"):
        _really_exec(file, words, env)
    if tied:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    try:
        _become(argv, env)
    except BaseException as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        traceback.print_exception(error.with_traceback(trace))
    finally:
        # Whatever happens: this is a copy of the process that wanted a child.
        os._exit(1)


def _become(argv: list[str], env: Mapping[str, str]) -> NoReturn:
    """Run this program, with what exec leaves to it."""
    os.closerange(3, 1 << 16)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # as Python does
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = argv
    for fd, (name, mode) in enumerate(zip(_STREAMS, "rww", strict=True)):
        old = getattr(sys, f"__{name}__")
        new = open(fd, mode, 1, old.encoding, old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
    exec(_code(argv[0]), {"__name__": "__main__", "__file__": argv[0]})
    sys.stdout.flush()
    os._exit(0)
