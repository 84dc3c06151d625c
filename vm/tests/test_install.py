"""Tests of selftests/Makefile: what it tells upgrade/Makefile to build again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from vm.build import Image
from vm.selftests import build_programs
from vm.terminal import Log
from vm.tests.diffs import OLD
from vm.tests.project import ROOT
from vm.tests.said import Said

# libbpf and bpftool, which are made at once.
KERNEL = {
    "lib/bpf": "$(OUTPUT)libbpf.a:\n\tar rcs $@\n"
    "install_headers:\ninstall_pkgconfig:\n\tmkdir -p $(libdir)\n",
    "bpf/bpftool": "bootstrap:\n\tmkdir $(OUTPUT)bootstrap\n"
    "\ttouch $(OUTPUT)bootstrap/bpftool\n",
}
# The library and the command, which ends with the sum of all their numbers.
SOURCES = {
    "upgrade.h": "",
    "state.h": "",
    "bpf-upgrade.pc.in": "",
    "parts.h": "int library(void);\n#define PARTS {}\n",
    "library.c": '#include "parts.h"\nint library(void) {{ return {} + PARTS; }}\n',
    "command/command.h": "#define COMMAND {}\n",
    "command/main.c": '#include "parts.h"\n#include "command.h"\n'
    "int main(void) {{ return library() + PARTS + COMMAND + {}; }}\n",
}


class Checkout:
    """A project that has nothing but the Makefiles and these sources."""

    def __init__(self, folder: Path) -> None:
        self.root, self.kernel = folder / "project", folder / "linux"
        self.build = folder / "build"
        self.log = Log(folder / "log", Said())
        for tool, text in KERNEL.items():
            self._write(self.kernel / "tools" / tool / "Makefile", text)
        for name, text in SOURCES.items():
            self._write(self.root / "upgrade" / name, text.format(1))
        for name in "upgrade/Makefile", "selftests/Makefile":
            self._write(self.root / name, (ROOT / name).read_text())
        for name in "selftests/libeu.c", "vm/init.c":
            self._write(self.root / name, "")
        with (self.root / "selftests" / "Makefile").open("a") as makefile:
            makefile.write("LDLIBS :=\n.PHONY: library\nlibrary: $(INSTALLED)/stamp\n")
        for path in self.root.rglob("*"):
            os.utime(path, ns=(OLD + 1, OLD + 1))

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def change(self, name: str) -> None:
        """Put another file in its place, which is older."""
        path = self.root / "upgrade" / name
        self._write(path, SOURCES[name].format(2))
        os.utime(path, ns=(OLD, OLD))

    def install(self) -> tuple[int, int]:
        """The sum of the numbers in what is installed, and when that was."""
        tree = SimpleNamespace(path=self.kernel)
        image = cast(Image, SimpleNamespace(build=self.build, tree=tree))
        folder = build_programs(
            *(self.root / "selftests", image, self.root, self.log),
            jobs=1,
            targets=["library"],
        ).folder
        command = folder / "installed" / "bin" / "bpf-upgrade"
        made = (folder / "installed" / "stamp").stat().st_mtime_ns
        return subprocess.run([command], check=False).returncode, made


@pytest.mark.parametrize(
    ("name", "more"),
    [("library.c", 1), ("parts.h", 2), ("command/main.c", 1), ("command/command.h", 1)],
)
def test_sources_that_make_takes_for_old(tmp_path: Path, name: str, more: int) -> None:
    """They are compiled again for the library and the command that are installed."""
    checkout = Checkout(tmp_path)
    before, _ = checkout.install()
    checkout.change(name)
    after = checkout.install()
    assert after[0] == before + more
    assert checkout.install() == after, "the next time, nothing is made"


def test_headers_have_one_name() -> None:
    """make would not know that command/../parts.h is the parts.h after -W."""
    files = [f for name in ("upgrade", "selftests") for f in (ROOT / name).rglob("*")]
    sources = [file for file in files if file.suffix in (".c", ".h")]
    assert sources
    assert [str(f) for f in sources if '#include "../' in f.read_text()] == []
