"""A project to run whole: the real harness, with fakes of vng, make and compilers.

The fakes are programs, so everything between the command line and vng's is real,
and so is the agent, which the fake vng starts on the host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vm.archives import Record, keep
from vm.cache import sha256_file
from vm.process import session_members
from vm.tests.forks import Forked
from vm.tools import HARNESS, KERNEL, UPSTREAM, WELCOME

ROOT = Path(__file__).resolve().parents[2]
FAKES = Path(__file__).with_name("fakes")
BASE = "7.3"

PATCH = """\
Subject: add a line

--- a/map.c
+++ b/map.c
@@ -1,{old} +1,{new} @@
 line 1
{lines}"""
TOOLS = {
    "gcc": "echo gcc 12.2.0",
    "ip": "exit",
    "ccache": 'test "$1" != --get-config || exec echo /; exec "$@"',
    "pahole": "echo v1.24",
    "objdump": "echo code",
    "gdb": "echo reading; echo 'Thread 1 (CPU#0 [running])'; echo \"#0 0x1 in $*\"",
    "qemu-system-x86_64": "echo QEMU emulator version 7.2.22",
}
DECODE = "#!/bin/sh\nsed s,map+0x1/0x2,map.c:$LLVM,\n"
MERGE = '#!/bin/sh\nshift 3\nconfig=$1\nshift\ncat "$@" >> "$config"\n'


@dataclass
class Ended:
    """What a run did: its exit status, and stdout and stderr together."""

    status: int
    output: str


class Project:
    """A project in the folder `path`, and its runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cache = path / "cache"
        self.plugins = False  # whether to load pytest's installed plugins: slow

    def copy(self, path: Path) -> Project:
        """The same project in another folder."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path)

    def move(self, path: Path) -> Project:
        """Move it to another folder."""
        return Project(self.path.rename(path))

    def archive(self) -> None:
        """Make linux-7.3.4 the kernel's source, where a download would put it."""
        archives = self.cache / "sources"
        archives.mkdir(parents=True, exist_ok=True)
        archive = archives / "linux-7.3.4.tar.xz"
        with tarfile.open(archive, "w:xz") as tar:
            tar.add(self.path / "linux-7.3.4", "linux-7.3.4")
        digest = sha256_file(archive)
        describe = "linux-7.3.4 (of the tests)"
        keep(archive, Record("release", BASE, "7.3.4", digest, describe))

    def set(self, how: str) -> None:
        """Say what goes wrong in the next runs; see the fakes."""
        (self.path / "how").write_text(how)

    def tests(self, one: str, two: str = "f.percpu.passes") -> None:
        """Name the tests of one.c and two.c."""
        (self.path / "selftests" / "one.c").write_text(one)
        (self.path / "selftests" / "two.c").write_text(two)

    def limit_files(self) -> None:
        """Have files that end at 12 KiB, as on a full disk."""
        limit = (
            "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, 2 * [12288])"
        )
        _edit(
            self.path / "vm" / "__main__.py", "import signal", f"{limit}\nimport signal"
        )

    def start(
        self,
        *arguments: str,
        stdout: int | IO[str] = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (),
    ) -> subprocess.Popen[str] | Forked:
        """Start run_tests.py's second half, or another `program`."""
        for told in ("asked", "vngs"):
            (self.path / told).write_text("")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST", "GITHUB_"))
        }
        path = f"{self.path / 'bin'}:{os.environ['PATH']}"
        quick = {} if self.plugins else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        env = {**kept, **quick, "PATH": path, **(environment or {})}
        words = [f"--cache={self.cache}", *arguments]
        process: subprocess.Popen[str] | Forked
        if program:
            process = subprocess.Popen(
                [*program, *words],
                cwd=self.path,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        else:
            argv = [str(self.path / "vm" / "__main__.py"), *words]
            process = Forked(argv, cwd=self.path, env=env, stdout=stdout)
        (self.path / "harness").write_text(str(process.pid))
        return process

    def run(self, *arguments: str, how: str = "", typed: str = "") -> Ended:
        """Run to the end, and see that nothing crashed."""
        self.set(how)
        process = self.start(*arguments)
        output, _ = process.communicate(typed, timeout=120)
        for word in (
            "Traceback (most",
            "INTERNALERROR",
            "plugin.py:",
            "vm/run.py:",
            "ctest.py:",
        ):
            assert word not in output, output
        return Ended(process.returncode, output)

    def wait_for(self, test: str) -> None:
        """Wait until the run that is going on has begun a test."""
        deadline = time.monotonic() + 90
        while test not in self.ran:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    @property
    def asked(self) -> list[str]:
        """What make, vng and the guest's agent were asked for in the last run."""
        return (self.path / "asked").read_text().splitlines()

    @property
    def vng(self) -> list[str]:
        """The command lines of the guests."""
        return [line for line in self.asked if line.startswith("vng ")]

    @property
    def sessions(self) -> list[int]:
        """Those of the guests of the last run, which their vngs lead."""
        return [int(pid) for pid in (self.path / "vngs").read_text().split()]

    @property
    def guests(self) -> list[int]:
        """The living processes of these guests."""
        return [pid for leader in self.sessions for pid in session_members(leader)]

    @property
    def ran(self) -> list[str]:
        """The tests that ran, as "PROGRAM NAME", and the end of the guest."""
        guest = f"{self.path}/guest/"
        found = []
        for line in self.asked:
            words = line.split()
            if words[0] == "run" and words[2].startswith(guest):
                found.append(f"{Path(words[2]).name} {words[-1]}")
            elif line == "power off":
                found.append(line)
        return found

    @property
    def logs(self) -> Path:
        """The folder of the last run."""
        return max((self.cache / "runs").iterdir(), key=lambda f: f.stat().st_ctime_ns)

    @property
    def runs(self) -> int:
        """How many folders of runs there are."""
        folder = self.cache / "runs"
        return len(list(folder.iterdir())) if folder.exists() else 0

    @property
    def ktap(self) -> list[str]:
        """The KTAP file of the last run."""
        lines = (self.logs / "results.ktap").read_text().splitlines()
        return [line.strip() for line in lines]


def make_project(path: Path) -> Project:
    """A project in the new folder `path`."""
    for folder in ("vm", "bin", "patches/7.3", "kconfig", "selftests"):
        (path / folder).mkdir(parents=True)
    for file in (ROOT / "vm").glob("*.*"):
        shutil.copy2(file, path / "vm")
    shutil.copy(FAKES / "vng.py", path / "vm" / "vng.py")
    shutil.copy(ROOT / "run_tests.py", path)
    shutil.copy(ROOT / "pyproject.toml", path)
    shutil.copy(ROOT / "selftests" / "conftest.py", path / "selftests")
    table = (ROOT / "patches" / "bases.toml").read_text()
    (row,) = [row for row in table.split("\n\n") if row.startswith(f'["{BASE}"]')]
    (path / "patches" / "bases.toml").write_text(f"{row.strip()}\n")
    shutil.copytree(FAKES, path / "fakes")
    shutil.copytree(Path(__file__).with_name("data"), path / "data")
    # What is outside the project: headers, and the device.
    here = "Path(__file__).parents[1]"
    python = path / "bin" / "python"
    start = f"exec {sys.executable} -IS {path}/fakes/python.py"
    executable(python, f'#!/bin/sh\n{start} "$@"\n')
    _edit(path / "vm" / "each.py", "sys.executable,", f'"{python}",')
    _edit(path / "vm" / "plugin.py", '["popen"]', f'["popen//python={python}"]')
    _edit(
        path / "vm" / "tools.py", 'Path("/usr/include"', f'Path(f"{{{here}}}/include"'
    )
    _edit(path / "vm" / "kvm.py", 'Path("/dev/kvm")', f'{here} / "kvm"')
    for tool in (*HARNESS, *KERNEL, *UPSTREAM, *WELCOME):
        if tool.name.startswith("/"):
            header = path / "include" / tool.name[1:]
            header.parent.mkdir(parents=True, exist_ok=True)
            header.touch()
        elif tool.name not in ("git", "python3", "tar", "xz", "make"):
            text = TOOLS.get(tool.name, "exit 1")
            executable(path / "bin" / tool.name, f"#!/bin/sh\n{text}\n")
    (path / "bin" / "make").symlink_to("../fakes/make")
    for number, old, lines in ((1, 1, "+first"), (2, 2, " first\n+second")):
        text = PATCH.format(old=old, new=old + 1, lines=lines + "\n")
        (path / "patches" / BASE / f"000{number}-add-a-line.patch").write_text(text)
    (path / "patches" / BASE / "calls.toml").write_text("calls = []\n")
    (path / "kconfig" / "base.config").write_text("CONFIG_NR_CPUS=8\n")
    (path / "kconfig" / "vm.config").write_text("CONFIG_TTY=y\n")
    (path / "kconfig" / "debug.config").write_text("CONFIG_KASAN=y\n")
    (path / "kconfig" / "faults.config").write_text("CONFIG_LKDTM=y\n")
    (path / "kconfig" / "upstream.config").write_text("CONFIG_KEYS=y\n")
    (path / "kconfig" / "distro.config").write_text("CONFIG_SLUB_TINY=n\n")
    (path / "kconfig" / "distro-clang.config").write_text("CONFIG_CFI=y\n")
    for lto in ("thin", "full"):
        text = f"CONFIG_LTO_CLANG_{lto.upper()}=y\n"
        (path / "kconfig" / f"lto-{lto}.config").write_text(text)
    (path / "selftests" / "Makefile").write_text("TESTS := one \\\n\ttwo\n")
    needs = '[[needs]]\ntests = ["{}"]\npatches = {}\n'
    rows = needs.format("one.*.needs", '["0002"]') + needs.format("*", "[]")
    (path / "selftests" / "needs.toml").write_text(rows)
    (path / "selftests" / "helper.c").write_text("f.helper.fails")
    project = Project(path)
    project.tests("f.hash.passes f.array.passes")
    project.set("")
    _make_tree(path / "linux-7.3.4")
    project.archive()
    return project


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file} has not one {old}"
    file.write_text(text.replace(old, new))


def _make_tree(tree: Path) -> None:
    """A small kernel tree."""
    (tree / "scripts").mkdir(parents=True)
    (tree / "map.c").write_text("line 1\n")
    (tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n")
    executable(tree / "scripts" / "kconfig" / "merge_config.sh", MERGE)
    (tree / "scripts" / "decode_stacktrace.sh").write_text(DECODE)
    (tree / "scripts" / "min-tool-version.sh").write_text("echo 8.1.0\n")


def executable(file: Path, text: str) -> None:
    """Write a program, and its folder if that is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
