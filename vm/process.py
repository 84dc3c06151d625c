"""Commands that end when the harness ends, with their output in a log."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TextIO

from vm.errors import NO_ROOM, BuildError, HarnessError
from vm.terminal import Log

_TERM_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_TIE = ("/usr/bin/setpriv", "--pdeathsig", "TERM", "--")
_TAIL = 15  # lines of output that an error quotes


def tied(argv: Sequence[str], cwd: Path | None = None) -> list[str]:
    """The command that runs `argv`, and that gets SIGTERM when the harness dies.

    A function for Popen to call in the child could do that, too. But with one, Python
    cannot use vfork(), and copying a process of this size takes longer than setpriv.
    """
    program = Path(cwd or "", argv[0]) if "/" in argv[0] else argv[0]
    if shutil.which(program):
        return [*_TIE, *argv]
    return [*argv]  # starting it will tell what is wrong


def session_members(leader: int) -> list[int]:
    """The living processes of the session that `leader` started."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # Of the many other processes, nothing is read.
            if os.getsid(int(folder.name)) == leader:
                stat = (folder / "stat").read_text(errors="replace")
                if stat.rpartition(")")[2].split()[0] not in "ZX":
                    members.append(int(folder.name))
    return members


def end_session(leader: int) -> None:
    """End every process of a session: SIGTERM, after 2 s SIGKILL."""
    asked: set[int] = set()
    kill_at = time.monotonic() + _TERM_GRACE
    while members := session_members(leader):
        late = time.monotonic() > kill_at
        for pid in members:
            if late or pid not in asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.02)


def run_logged(
    command: Sequence[str | os.PathLike[str]],
    log: Log,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[str] = subprocess.DEVNULL,
    on_line: Callable[[str], None] | None = None,
    hint: str = "",
    error: type[HarnessError] = BuildError,
    what: str = "",
    statuses: Sequence[int] = (0,),
) -> None:
    """Run a command to its end; append the command and its output to `log`.

    `env` is added to the environment. `on_line` gets each line of output, to
    show progress. An exit status not in `statuses` raises `error` with the last
    15 lines of output. On any exception, Ctrl-C included, the command's whole
    session is ended before the exception goes on.
    """
    argv = [os.fspath(word) for word in command]
    try:
        log.command(argv)
        with log.path.open("a", encoding="utf-8", errors="replace") as out:
            status, tail = _run(argv, out, cwd, env, stdin, on_line, error, hint)
    except OSError as reason:
        raise HarnessError(
            f"cannot write {log.path}: {reason.strerror}",
            command=argv,
            hint="make room (a run needs 8 GB), or choose another --cache"
            if reason.errno in NO_ROOM
            else "make it writable, or choose another --cache",
        ) from None
    if status not in statuses:
        raise error(
            f"{what or argv[0]} (exit status {status})",
            command=argv,
            detail="\n".join(tail),
            hint=hint or f"the whole output is in {log.path}",
        )


def output_of(
    command: Sequence[str | os.PathLike[str]],
    log: Log,
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[str] = subprocess.DEVNULL,
    error: type[HarnessError] = BuildError,
    hint: str = "",
    what: str = "",
    statuses: Sequence[int] = (0,),
) -> list[str]:
    """Run a command; its lines of output, those of stderr among them."""
    lines: list[str] = []
    run_logged(
        *(command, log),
        env=env,
        stdin=stdin,
        on_line=lines.append,
        error=error,
        hint=hint,
        what=what,
        statuses=statuses,
    )
    return lines


def _run(
    argv: list[str],
    out: TextIO,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: int | IO[str],
    on_line: Callable[[str], None] | None,
    error: type[HarnessError],
    hint: str,
) -> tuple[int, list[str]]:
    """The exit status and the last lines of output."""
    try:
        process = subprocess.Popen(
            tied(argv, cwd),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as reason:
        raise error(
            f"cannot run {reason.filename or argv[0]}: {reason.strerror}",
            command=argv,
            hint=hint or "./run_tests.py --install-deps installs what is missing",
        ) from reason
    tail: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            out.write(line)
            tail = [*tail[1 - _TAIL :], line.rstrip("\n")]
            if on_line:
                on_line(line.rstrip("\n"))
        status = process.wait()
    except BaseException:
        end_session(process.pid)
        process.wait()
        raise
    return status, tail
