"""The programs and headers that a run needs, and the packages that have them.

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

_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")


class Tool(NamedTuple):
    """A program found on PATH, a header below /usr/include (/x.h) or a libx.a.

    `package` is Debian's.
    """

    name: str
    package: str


# For the harness's Python environment; its own tests need nothing else.
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
    Tool("llvm-addr2line", "llvm"),
    Tool("llvm-strip", "llvm"),
    Tool("lz4", "lz4"),
    Tool("make", "make"),
    Tool("objdump", "binutils"),
    Tool("pahole", "dwarves"),
    Tool("perl", "perl"),
    Tool("pkg-config", "pkgconf"),
    Tool("qemu-system-x86_64", "qemu-system-x86"),
    Tool("tar", "tar"),
    Tool("xz", "xz-utils"),
    Tool("/gelf.h", "libelf-dev"),
    Tool("/openssl/ssl.h", "libssl-dev"),
    Tool("/stdio.h", "libc6-dev"),
    Tool("/zlib.h", "zlib1g-dev"),
    Tool("/zstd.h", "libzstd-dev"),
    # What the guest runs is linked statically.
    Tool("libc.a", "libc6-dev"),
    Tool("libelf.a", "libelf-dev"),
    Tool("libz.a", "zlib1g-dev"),
    Tool("libzstd.a", "libzstd-dev"),
)

# For --compiler clang. Distributions' default clang may be too old for a new kernel;
# Debian 12, Debian 13 and Ubuntu 24.04 all have this one.
CLANG = (
    Tool("clang-19", "clang-19"),
    Tool("ld.lld-19", "lld-19"),
    Tool("llvm-ar-19", "llvm-19"),
)

# For --upstream, beside clang: some programs are signed, and the tests need a network.
UPSTREAM = (
    Tool("ip", "iproute2"),
    Tool("openssl", "openssl"),
)

# Optional: the second build of a kernel is many times faster; what the CPUs of a guest
# that hangs are doing.
WELCOME = (
    Tool("ccache", "ccache"),
    Tool("gdb", "gdb"),
)


# Other distributions' commands, and their names of a tool's package, or of Debian's
# package, where they differ: Fedora's, Arch Linux's and openSUSE's. All are untried.
_ELSEWHERE = {
    "dnf install": {
        "clang-19": "clang",
        "iproute2": "iproute",
        "libc.a": "glibc-static",
        "libc6-dev": "glibc-devel",
        "libelf-dev": "elfutils-libelf-devel",
        "libelf.a": "elfutils-libelf-devel-static",
        "libssl-dev": "openssl-devel",
        "libz.a": "zlib-ng-compat-static",
        "libzstd-dev": "libzstd-devel",
        "libzstd.a": "libzstd-static",
        "lld-19": "lld",
        "llvm-19": "llvm",
        "pkgconf": "pkgconf-pkg-config",
        "python3-venv": "python3",
        "xz-utils": "xz",
        "zlib1g-dev": "zlib-devel",
    },
    "pacman -S": {
        "clang-19": "clang",
        "dwarves": "pahole",
        "libc6-dev": "glibc",
        "libelf-dev": "libelf",
        "libssl-dev": "openssl",
        "libzstd-dev": "zstd",
        "lld-19": "lld",
        "llvm-19": "llvm",
        "python3-venv": "python",
        "xz-utils": "xz",
        "zlib1g-dev": "zlib",
    },
    "zypper install": {
        "clang-19": "clang",
        "libc.a": "glibc-devel-static",
        "libc6-dev": "glibc-devel",
        "libelf-dev": "libelf-devel",
        "libelf.a": "libelf-devel-static",
        "libssl-dev": "libopenssl-devel",
        "libz.a": "zlib-devel-static",
        "libzstd-dev": "libzstd-devel",
        "libzstd.a": "libzstd-devel-static",
        "lld-19": "lld",
        "llvm-19": "llvm",
        "pkgconf": "pkg-config",
        "python3-venv": "python3",
        "qemu-system-x86": "qemu-x86",
        "xz-utils": "xz",
        "zlib1g-dev": "zlib-devel",
    },
}


def missing(tools: Sequence[Tool]) -> list[Tool]:
    """Those of `tools` that this machine does not have."""
    lacking = [tool for tool in tools if not _present(tool.name)]
    return [t for t in lacking if t.name != "libzstd.a" or _needs_zstd()]


def _needs_zstd() -> bool:
    """Whether this machine's libelf.a does, as newer ones may. Arch Linux has none."""
    found = [Path(folder, "libelf.a") for folder in _LIBRARIES]
    return not any(
        b"ZSTD_" not in file.read_bytes() for file in found if file.is_file()
    )


def not_installed(tools: Sequence[Tool]) -> UsageError:
    """The error for these tools, with what to do on this machine."""
    if _present("apt-get"):
        names = [f"{tool.name} (package {tool.package})" for tool in tools]
        detail, hint = "", "./run_tests.py --install-deps"
    else:
        names = [tool.name for tool in tools]
        detail = "\n".join(_commands(tools))
        hint = "install them, then run again; these package names are untested"
    names = [f"/usr/include{name}" if name[0] == "/" else name for name in names]
    return UsageError(f"not installed: {', '.join(names)}", detail=detail, hint=hint)


def _commands(tools: Sequence[Tool]) -> list[str]:
    """What installs these with the package manager of this machine, or any other."""
    commands = {}
    for command, called in _ELSEWHERE.items():
        packages = {
            called.get(tool.name) or called.get(tool.package, tool.package)
            for tool in tools
        }
        commands[command] = f"{command} {' '.join(sorted(packages))}"
    here = [commands[c] for c in commands if _present(c.split()[0])]
    return here or list(commands.values())


def _present(name: str) -> bool:
    if name.startswith("/"):
        return Path("/usr/include" + name).is_file()
    if name.endswith(".a"):
        return any(Path(folder, name).is_file() for folder in _LIBRARIES)
    # Administrators' programs such as ip may be outside a user's PATH.
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return shutil.which(name, path=path) is not None


def install_deps(more: Sequence[Tool] = ()) -> None:
    """Install all of them with apt-get, through sudo unless root. UsageError.

    `more` are tools that not every run needs. Without apt-get, see that nothing is
    missing.
    """
    needed = (*HARNESS, *KERNEL, *more)
    if not _present("apt-get"):
        # The default clang of the others is at least as new as this one.
        needed = tuple(t._replace(name=t.name.removesuffix("-19")) for t in needed)
        if lacking := missing(needed):
            raise not_installed([*lacking, *missing(WELCOME)])
        if lacking := missing(WELCOME):
            print("optional:", *_commands(lacking), sep="\n    ")
        return
    packages = sorted({tool.package for tool in (*needed, *WELCOME)})
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
