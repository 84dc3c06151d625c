"""The programs and headers that a run needs, and Debian's packages of them.

Imported by run_tests.py before anything is installed: standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Tool(NamedTuple):
    """A program found on PATH or, where it has a slash, a header below /usr/include."""

    name: str
    package: str


# To prepare the harness's own Python environment; its own tests need no more.
HARNESS = (
    Tool("git", "git"),
    Tool("python3", "python3-venv"),
)

# To fetch, build and boot a kernel, and to build the selftests.
KERNEL = (
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
)

# Not needed, but it makes the second build of a kernel many times faster.
WELCOME = (Tool("ccache", "ccache"),)


def missing(tools: Sequence[Tool]) -> list[Tool]:
    """Those of `tools` that this machine lacks."""
    return [tool for tool in tools if not _present(tool.name)]


def _present(name: str) -> bool:
    if name.startswith("/"):
        return Path("/usr/include" + name).is_file()
    # Administrators' programs such as ip may be outside a user's PATH.
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return shutil.which(name, path=path) is not None


def install_deps() -> int:
    """Install all of them with apt-get, through sudo where not root; its status."""
    packages = sorted({tool.package for tool in (*HARNESS, *KERNEL, *WELCOME)})
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        command = [*sudo, *noninteractive, *words]
        print("$ " + " ".join(command), flush=True)
        status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        # An index of some other repository may be out of reach: the install tells.
        if status.returncode and words[0] != "update":
            return status.returncode
    return 0
