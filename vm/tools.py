"""The programs and headers that a run needs, and Debian's packages of them.

Imported by run_tests.py before anything is installed: standard library only.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vm.errors import UsageError


class Tool(NamedTuple):
    """A program found on PATH or, where it has a slash, a header below /usr/include."""

    name: str
    package: str


# For the harness's Python environment; its own tests need nothing else.
HARNESS = (
    Tool("git", "git"),
    Tool("python3", "python3-venv"),
)

# To fetch, build and boot a kernel, and to build the selftests.
KERNEL = (
    Tool("addr2line", "binutils"),
    Tool("ar", "binutils"),
    Tool("bc", "bc"),
    Tool("bison", "bison"),
    Tool("clang", "clang"),
    Tool("flex", "flex"),
    Tool("gcc", "gcc"),
    Tool("ip", "iproute2"),
    Tool("llvm-strip", "llvm"),
    Tool("lz4", "lz4"),
    Tool("make", "make"),
    Tool("objdump", "binutils"),
    Tool("pahole", "dwarves"),
    Tool("perl", "perl"),
    Tool("qemu-system-x86_64", "qemu-system-x86"),
    Tool("tar", "tar"),
    Tool("udevadm", "udev"),
    Tool("xz", "xz-utils"),
    Tool("/gelf.h", "libelf-dev"),
    Tool("/openssl/ssl.h", "libssl-dev"),
    Tool("/stdio.h", "libc6-dev"),
    Tool("/zlib.h", "zlib1g-dev"),
    Tool("/zstd.h", "libzstd-dev"),
)

# Optional: the second build of a kernel is many times faster; what the CPUs of a guest
# that hangs are doing.
WELCOME = (
    Tool("ccache", "ccache"),
    Tool("gdb", "gdb"),
)


def missing(tools: Sequence[Tool]) -> list[Tool]:
    """Those of `tools` that this machine does not have."""
    return [tool for tool in tools if not _present(tool.name)]


def _present(name: str) -> bool:
    if name.startswith("/"):
        return Path("/usr/include" + name).is_file()
    # Administrators' programs such as ip may be outside a user's PATH.
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return shutil.which(name, path=path) is not None


def install_deps() -> None:
    """Install all of them with apt-get, through sudo unless root. UsageError."""
    packages = sorted({tool.package for tool in (*HARNESS, *KERNEL, *WELCOME)})
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        command = [*sudo, *noninteractive, *words]
        print(f"$ {shlex.join(command)}", flush=True)
        try:
            status = subprocess.run(
                command, stdin=subprocess.DEVNULL, check=False
            ).returncode
        except OSError as error:
            raise UsageError(
                f"cannot run {error.filename}: {error.strerror}",
                command=command,
                hint="run this as root",
            ) from None
        # The index of an unrelated repository may fail: the install will tell.
        if status and words[0] != "update":
            raise UsageError(
                f"apt-get failed (exit status {status})",
                command=command,
                hint="see its error above",
            )
