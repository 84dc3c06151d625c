"""A program that the fork server starts cannot tell that from a start by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vm.tests.forks import Forked
from vm.tests.project import Project
from vm.tests.template import Template

PROGRAM = """
import atexit, os, signal, sys, threading
print(sys.argv, os.getcwd(), sorted(os.environ.items()), sys.path, sys.flags)
print(sorted(os.listdir("/proc/self/fd")), os.getpgrp(), threading.active_count())
print([signal.getsignal(n) for n in signal.valid_signals()])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), __name__, __file__)
print([name for name in sys.modules if name.partition(".")[0] == "vm"])
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.encoding, stream.errors, stream.isatty(), stream.line_buffering)
print(sys.stdin.read(), flush=True)
print("error", file=sys.stderr)
atexit.register(print, "at the end")
sys.exit(3)
"""

SLEEP = """
import time
def sleep(seconds):
    # Python sees a signal that comes just before a call that waits after the call.
    for _ in range(10 * seconds):
        time.sleep(0.1)
"""


def forked(program: Path, text: str, *words: str) -> Forked:
    """Start a program of this text, as the tests start the harness."""
    program.write_text(text)
    argv = [str(program), *words]
    return Forked(argv, cwd=program.parent, env={"A": "b", "LC_ALL": "C.UTF-8"})


def test_as_if_started(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    process = forked(program, PROGRAM, "-x", "a b")
    output, _ = process.communicate("typed")
    started = subprocess.run(
        [sys.executable, "-I", str(program), "-x", "a b"],
        cwd=tmp_path,
        env={"A": "b", "LC_ALL": "C.UTF-8"},
        input="typed",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (process.returncode, output) == (3, started.stdout)
    assert output.endswith("typed\nerror\nat the end\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signal(tmp_path: Path, number: signal.Signals) -> None:
    process = forked(tmp_path / "program.py", SLEEP + "print(flush=True)\nsleep(60)\n")
    next(process.stdout)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == -number


def test_uncaught_exception(tmp_path: Path) -> None:
    process = forked(tmp_path / "program.py", "print('before')\n1 / 0\n")
    output, _ = process.communicate()
    assert process.returncode == 1
    assert output.endswith("ZeroDivisionError: division by zero\n")


def test_stdout_that_is_given(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint('out')\nprint('error', file=sys.stderr)\n")
    with (tmp_path / "out").open("w") as out:
        process = Forked([str(program)], cwd=tmp_path, env={}, stdout=out)
        assert process.communicate() == ("", "error\n")
    assert (tmp_path / "out").read_text() == "out\n"


def test_timeout(tmp_path: Path) -> None:
    process = forked(tmp_path / "program.py", "import time\ntime.sleep(60)\n")
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.2)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL


def test_harness_is_the_projects_own(project: Project, tmp_path: Path) -> None:
    """After an edit, or in another folder, no other one is used that is imported."""
    other = project.copy(tmp_path / "other")
    for edited in (other, project):
        assert "--cpus 0 is too small\n" in project.run("--cpus", "0").output
        file = edited.path / "vm" / "options.py"
        file.write_text(file.read_text().replace("is too small", "is tiny"))
        assert "--cpus 0 is tiny\n" in edited.run("--cpus", "0").output


def test_program_by_another_name(project: Project) -> None:
    """What stands in for Python passes on streams, signals and the status."""
    program = project.path / "program.py"
    text = "import sys\nprint(sys.argv[1:], input(), flush=True)\n"
    program.write_text(SLEEP + text + "sleep(int(sys.argv[1]))\nsys.exit(3)\n")
    project.run("--version")  # from now on the server knows the project
    for seconds, number, status in (
        ("0", 0, 3),
        ("60", signal.SIGTERM, -signal.SIGTERM),
        ("60", signal.SIGINT, -signal.SIGINT),
        ("5", signal.SIGKILL, -signal.SIGKILL),
        ("0", 0, 3),
    ):
        process = subprocess.Popen(
            [project.path / "bin" / "python", "-I", program, seconds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin and process.stdout
        print("typed", file=process.stdin, flush=True)
        assert process.stdout.readline() == f"['{seconds}'] typed\n"
        process.send_signal(number)
        assert process.wait(30) == status
        process.stdin.close()
        process.stdout.close()


ON_A_TERMINAL = """
import ctypes, os, signal, sys, termios, threading
tied = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(tied))  # PR_GET_PDEATHSIG
print(tied.value, sys.argv, os.getcwd(), sorted(os.environ.items()))
print(sorted(os.listdir("/proc/self/fd")), threading.active_count())
print(os.getsid(0) == os.getpgrp() == os.getpid() == os.tcgetpgrp(0), os.isatty(2))
print([signal.getsignal(n) for n in signal.valid_signals()])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), __name__, __file__)
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.encoding, stream.errors, stream.isatty(), stream.line_buffering)
print(sys.stdin.readline(), file=sys.stderr)
"""

SPAWN = """
import atexit, os, signal, sys
import pexpect
atexit.register(lambda: open("ended", "a").write("once "))
open(os.devnull)  # to be closed
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
if not sys.argv[1:]:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
env = {"LC_ALL": "C.UTF-8", "PATH": os.defpath}
words = [*sys.argv[1:], sys.executable, os.path.abspath("program.py"), "a b"]
child = pexpect.spawn(words[0], words[1:], env=env, encoding="utf-8", echo=False)
child.sendline("typed")
print(child.read().replace("\\r", ""))
child.close()
print(bool(child.exitstatus), child.signalstatus)
"""


@pytest.mark.parametrize(
    ("tie", "end"),
    [
        ("", "[][0]"),
        ("", "os.close(2); [][0]"),  # as if the terminal were gone
        ("/usr/bin/setpriv --pdeathsig TERM --", ""),
        ("/usr/bin/setpriv --pdeathsig TERM --", "os.kill(os.getpid(), 9)"),
    ],
)
def test_program_on_a_terminal(
    project: Project, tmp_path: Path, tie: str, end: str
) -> None:
    """pexpect's children do not start another Python, but a program cannot tell."""
    project.run("--version")  # from now on that is so
    (tmp_path / "program.py").write_text(ON_A_TERMINAL + end)
    output, _ = forked(tmp_path / "spawn.py", SPAWN, *tie.split()).communicate()
    started = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "spawn.py"), *tie.split()],
        cwd=tmp_path,
        env={"A": "b", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert output == started.stdout
    assert (tmp_path / "ended").read_text() == "once once "
    assert output.startswith(f"{15 if tie else 0} [") and "/program.py\n" in output


# The project that tests share


def listing(folder: Path) -> list[tuple[str, int, bytes]]:
    """The name, the mode and what is in it, of all that is in a folder."""
    return sorted(
        (str(file.relative_to(folder)), file.lstat().st_mode, content(file))
        for file in folder.rglob("*")
    )


def content(file: Path) -> bytes:
    if file.is_symlink():
        return bytes(file.readlink())
    return b"" if file.is_dir() else file.read_bytes()


def test_project_is_fresh_for_each_test(template: Template) -> None:
    """Whatever the last one did to it."""
    project = template.fresh()
    before = listing(project.path)
    vng = project.path / "vm" / "vng.py"
    text, status = vng.read_text(), vng.stat()
    vng.write_text(text.replace("def", "fed"))
    os.utime(vng, ns=(status.st_atime_ns, status.st_mtime_ns))
    (project.path / "bin" / "make").unlink()
    (project.path / "bin" / "make").mkdir()
    (project.path / "bin" / "make" / "file").touch()
    (project.path / "bin" / "gcc").chmod(0o600)
    (project.path / "bin" / "gdb").rename(project.path / "bin" / "ccache")
    (project.path / "new" / "er").mkdir(parents=True)
    shutil.rmtree(project.path / "data")
    (project.path / "data").symlink_to("vm")
    (project.path / "patches").chmod(0o700)
    changed = listing(project.path)
    assert listing(template.fresh().path) == before != changed
    project.move(project.path.with_name("another"))
    assert listing(template.fresh().path) == before
