"""Build the kernel's own tests of BPF, in a copy of what they are made from.

The copy is pruned: tools/testing/selftests/bpf compiles all of its thousand programs
before the first test, so those are left out that no chosen test uses.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from vm.build import Image, Make, remove_others
from vm.compiler import Compiler, newest_clang
from vm.errors import BuildError, UsageError
from vm.mirror import Mirror
from vm.process import output_of, run_logged
from vm.terminal import Log
from vm.tools import UPSTREAM, missing, not_installed

BPF = Path("tools", "testing", "selftests", "bpf")
PROGRAMS = ("test_progs", "test_maps", "test_lru_map")
# What BPF includes, links with or runs: folders, and files in others.
_FOLDERS = ("scripts", *(f"tools/{n}" for n in ("arch", "bpf", "build", "include")))
_FOLDERS += ("tools/lib", "tools/scripts", f"{BPF}")
_FILES = ("kernel/bpf/disasm.[ch]", "tools/testing/selftests/*.*")
# Left out: what only other tests use, and what LLVM 19 cannot compile (libarena).
_VARIABLES = (
    "TRUNNER_EXTRA_FILES",
    "TEST_KMODS",
    "LIBARENA_SKEL",
    "LIBARENA_ASAN_SKEL",
)
_TEST = re.compile(r"^void (?:serial_)?test_(\w+)\((?:void)?\)", re.MULTILINE)
_USED = re.compile(r"\b(\w+)\.(?:(?:l|sub)?skel\.h|bpf\.o)\b")
_INCLUDED = re.compile(r'^#include "(?:\S*/)?(\w+)\.c"', re.MULTILINE)


@dataclass(frozen=True)
class Copy:
    """The copy in `home`, for a kernel's build folder: both kernels share it."""

    home: Path
    log: Log

    @property
    def folder(self) -> Path:
        """Where the tests are built, and run."""
        return self.home / "linux" / BPF

    def update(self, tree: Path, files: Collection[str]) -> None:
        """Make it like `tree`, with those `files` of prog_tests. UsageError."""
        if "BPF_STRICT_BUILD" not in _read(tree / BPF / "Makefile"):
            raise UsageError(
                f"the tests in {tree / BPF} cannot be built in part",
                hint="--upstream needs a kernel that has BPF_STRICT_BUILD there, as "
                "7.3 does",
            )
        # make would keep the programs that another clang has made.
        clang = output_of([f"clang{clang_suffix(self.log)}", "--version"], self.log)[0]
        remove_others(self.home, {"clang": clang}, self.log)
        names = sorted(_names(tree, set(files)))
        Mirror(self.home).update(tree, names, {}, self.log)

    def build_modules(self, image: Image, compiler: Compiler, jobs: int) -> list[Path]:
        """Build the modules that tests load, for this kernel. BuildError."""
        folder = self.folder / "test_kmods"
        for file in (*folder.glob("*.ko"), *folder.glob("*.mod.o")):
            file.unlink()  # make would keep the other kernel's
        make = Make.of(image.tree, image.build, compiler, self.log)
        make.run(f"-j{jobs}", "modules")
        make.run(f"-j{jobs}", f"M={folder}", "modules")
        return sorted(folder.glob("*.ko"))

    def build_programs(
        self, image: Image, files: Collection[str], programs: Collection[str], jobs: int
    ) -> None:
        """Build the programs, test_progs with these files. BuildError, UsageError."""
        clang = clang_suffix(self.log)
        variables = [f"{name}=" for name in _VARIABLES]
        command = [
            *("make", "-C", f"{self.folder}", f"-j{jobs}", "LLVM="),
            *(f"CLANG=clang{clang}", f"LLVM_STRIP=llvm-strip{clang}"),
            *("SKIP_DOCS=1", "SKIP_LLVM=1", "SKIP_LIBBFD=1", "BPF_STRICT_BUILD=0"),
            *(f"VMLINUX_BTF={image.vmlinux}", *variables),
        ]
        what = "the kernel's tests of BPF do not build"
        # With -j, make would sign programs before it has the key.
        for goals in (["verification_cert.h"], sorted(programs)):
            run_logged([*command, *goals], self.log, what=what)
        lacking = [f for f in files if not (self.folder / f"{f}.test.o").exists()]
        if lacking:
            raise BuildError(
                f"{len(lacking)} of the kernel's tests do not build: "
                f"{', '.join(sorted(lacking))}",
                hint=f"see the errors before SKIP-BPF and SKIP-TEST in {self.log.path}",
            )

    def install(self, modules: Collection[Path]) -> None:
        """Put a kernel's modules where test_progs looks for them."""
        for file in self.folder.glob("*.ko"):
            file.unlink()
        for file in modules:
            shutil.copy(file, self.folder)


def clang_suffix(log: Log) -> str:
    """What follows "clang" in the names of LLVM's programs. UsageError for no clang."""
    if lacking := missing(UPSTREAM):
        raise not_installed(lacking)
    suffix = newest_clang(log)
    return suffix if suffix.startswith("-") else ""


def tests_in(tree: Path, file: str) -> list[str]:
    """The tests that a file of prog_tests defines; none if the tree lacks it."""
    return _TEST.findall(_read(tree / BPF / "prog_tests" / f"{file}.c"))


def _names(tree: Path, files: set[str]) -> Iterator[str]:
    """The files of the tree that the copy consists of."""
    tests, programs = tree / BPF / "prog_tests", tree / BPF / "progs"
    sources = [tree / BPF / "Makefile", *(tree / BPF / "map_tests").glob("*.c")]
    sources += [tree / BPF / f"{name}.c" for name in PROGRAMS]
    sources += [tests / f"{name}.c" for name in files]
    todo = {name for file in sources for name in _USED.findall(_read(file))}
    todo |= set(re.findall(r"\b(\w+)\.c\b", _read(sources[0])))
    used: set[str] = set()
    while todo:
        used |= todo
        including = {
            n for p in todo for n in _INCLUDED.findall(_read(programs / f"{p}.c"))
        }
        todo = including - used
    for pattern in _FILES:
        yield from (f"{file.relative_to(tree)}" for file in tree.glob(pattern))
    for folder in _FOLDERS:
        for parent, _, names in os.walk(tree / folder):
            kept = {f"{tests}": files, f"{programs}": used}.get(parent)
            for name in names:
                if kept is None or name[-2:] != ".c" or name[:-2] in kept:
                    yield os.path.relpath(f"{parent}/{name}", tree)


def _read(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""
