"""Commands that end when the harness ends, with their output in a log file."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from vm.errors import BuildError, HarnessError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Run in a new child before exec: SIGTERM it when the harness dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_group(process: subprocess.Popen[str], grace: float = 2.0) -> None:
    """End a process that leads its own group, and the whole group with it."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sig)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
    process.wait()


def run_logged(
    command: Sequence[str | os.PathLike[str]],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    hint: str = "",
    error: type[HarnessError] = BuildError,
    what: str = "",
) -> None:
    """Run a command to its end; append the command and its output to `log`.

    `env` is added to the environment. `on_line` gets each line of output, for
    showing progress. A nonzero exit raises `error` with the last 15 lines of
    output. On any exception, Ctrl-C included, the command's whole process
    group is ended before the exception goes on.
    """
    argv = [os.fspath(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", errors="replace") as out:
        out.write(f"$ {subprocess.list2cmdline(argv)}\n")
        out.flush()
        last = _run(argv, out, cwd, env, on_line, error)
    if last is not None:
        raise error(
            f"{what or argv[0]} (exit status {last[0]})",
            command=argv,
            detail="\n".join(last[1]),
            hint=hint or f"the whole output is in {log}",
        )


def output_of(
    command: Sequence[str | os.PathLike[str]],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    error: type[HarnessError] = BuildError,
    hint: str = "",
) -> list[str]:
    """Run a command; its lines of output, those of stderr among them."""
    lines: list[str] = []
    run_logged(command, log, env=env, on_line=lines.append, error=error, hint=hint)
    return lines


def _run(
    argv: list[str],
    out: TextIO,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    on_line: Callable[[str], None] | None,
    error: type[HarnessError],
) -> tuple[int, list[str]] | None:
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            # Safe with threads: it takes no lock that one of them could hold.
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
    except OSError as reason:
        raise error(
            f"cannot run {argv[0]}: {reason.strerror}",
            command=argv,
            hint="./run_tests.py --install-deps installs what is missing",
        ) from reason
    tail: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            out.write(line)
            tail = [*tail[-14:], line.rstrip("\n")]
            if on_line:
                on_line(line.rstrip("\n"))
        status = process.wait()
    except BaseException:
        end_group(process)
        raise
    return (status, tail) if status else None
