"""Tests of selftests/Makefile: what it builds again, on a kernel tree of fakes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vm.tests.diffs import OLD
from vm.tests.makefile import BPFTOOL, EXAMPLE, FILES, LIBBPF, Selftests
from vm.tests.project import ROOT, executable


@pytest.mark.parametrize("name", FILES)
def test_edited_file(selftests: Selftests, name: str) -> None:
    """bpftool has a libbpf of its own, and both use headers and makefiles."""
    (selftests.kernel / "tools" / name).write_text("2\n")
    assert selftests.make(LIBBPF, BPFTOOL) == [LIBBPF, BPFTOOL]
    selftests.age()
    assert selftests.make(LIBBPF, BPFTOOL) == []


def test_removed_file(selftests: Selftests) -> None:
    (selftests.kernel / "tools" / "lib" / "bpf" / "libbpf.c").unlink()
    assert selftests.make(LIBBPF, BPFTOOL) == [LIBBPF, BPFTOOL]


@pytest.mark.parametrize("target", ["all", "bench", "faults"])
def test_what_every_run_needs(selftests: Selftests, target: str) -> None:
    """Whichever programs are tested: bpftool for the audit, init for the guest."""
    words = [f"KERNEL={selftests.kernel}", f"BUILD={selftests.out}"]
    words += [f"OUT={selftests.out}", f"PATCHES={selftests.patches}"]
    make = ["make", "-npq", "-C", str(ROOT / "selftests"), *words, target]
    run = subprocess.run(make, capture_output=True, text=True, check=False)
    (rule,) = (x for x in run.stdout.splitlines() if x.startswith(f"{target}: "))
    assert {str(selftests.out / name) for name in (BPFTOOL, "init")} < {*rule.split()}


def test_example_of_another_series(selftests: Selftests) -> None:
    """Whose patches are older than what was cut out of the last one's."""
    assert selftests.make(EXAMPLE) == [EXAMPLE]
    assert selftests.make(EXAMPLE) == []
    selftests.patch("6.12", "two")
    assert selftests.make(EXAMPLE) == [EXAMPLE]
    example = (selftests.out / EXAMPLE).read_text()
    assert example == '#include "vmlinux.h"\ntwo\n\n'


def test_example_that_the_series_lacks(selftests: Selftests) -> None:
    """It is that of 7.3, so that the test can be built and skipped."""
    audit_log = "audit_log.bpf.c"
    assert selftests.make(audit_log) == [audit_log]
    example = (selftests.out / audit_log).read_text()
    assert "} audited SEC" in example
    (selftests.patches / "0010-after-they-are.patch").write_text(
        '+   #include "vmlinux.h"\n+   own\n context\n'
    )
    assert selftests.make(audit_log) == [audit_log]
    example = (selftests.out / audit_log).read_text()
    assert example == '#include "vmlinux.h"\nown\n'


def test_header_that_a_source_includes(selftests: Selftests, tmp_path: Path) -> None:
    """Edited, the program is made again; nor is it missed. A warning is an error."""
    root, rogue = tmp_path / "checkout", selftests.out / "rogue"
    makefile = root / "selftests" / "Makefile"
    (makefile.parent / "faults").mkdir(parents=True)
    shutil.copy(ROOT / "selftests" / "Makefile", makefile)
    source, header = (makefile.parent / "faults" / f"rogue.{c}" for c in "ch")
    source.write_text('#include "rogue.h"\nint main(void) { return STATUS; }\n')
    words = [f"KERNEL={selftests.kernel}", f"BUILD={selftests.out}"]
    words += [f"OUT={selftests.out}", f"PATCHES={selftests.patches}", str(rogue)]

    def make() -> int:
        """What the program returns, if it can be built."""
        command = ["make", "-C", str(makefile.parent), *words]
        subprocess.run(command, check=True, capture_output=True)
        return subprocess.run([rogue], check=False).returncode

    def make_old() -> None:
        for file in (*root.rglob("*.*"), makefile, *selftests.out.iterdir()):
            os.utime(file, ns=(OLD, OLD))

    header.write_text("#define STATUS 1\n")
    assert make() == 1
    make_old()
    header.write_text("#define STATUS 2\n")
    assert make() == 2
    make_old()
    header.unlink()
    source.write_text("int main(void) { return 3; }\n")
    assert make() == 3
    make_old()
    source.write_text("int main(void) { int unused; return 4; }\n")
    with pytest.raises(subprocess.CalledProcessError):
        make()


@pytest.mark.parametrize("changed", ["CC", "CLANG"])
def test_other_compiler(selftests: Selftests, tmp_path: Path, changed: str) -> None:
    """What the last one has built is built again: an upgrade, or another CLANG."""
    words = [f"KERNEL={selftests.kernel}", f"BUILD={selftests.out}"]
    words += [f"OUT={selftests.out}", f"PATCHES={selftests.patches}"]
    compilers = {name: tmp_path / name for name in ("CC", "CLANG")}
    for compiler in compilers.values():
        executable(
            compiler, '#!/bin/sh\ntest "$1" = --version && exec echo 1\nexec cc "$@"\n'
        )
    words += [f"{name}={compiler}" for name, compiler in compilers.items()]
    init = selftests.out / "init"

    def make() -> int:
        """When the program was made."""
        make = ["make", "-C", str(ROOT / "selftests"), *words, str(init)]
        subprocess.run(make, check=True, capture_output=True)
        return init.stat().st_mtime_ns

    made = make()
    assert make() == made
    text = compilers[changed].read_text()
    executable(compilers[changed], text.replace("echo 1", "echo 2"))
    assert made < make() == make()


def test_every_object_depends_on_the_compilers(selftests: Selftests) -> None:
    (selftests.out / "vmlinux").touch()
    words = [f"KERNEL={selftests.kernel}", f"BUILD={selftests.out}"]
    words += [f"OUT={selftests.out}", f"PATCHES={selftests.patches}"]
    make = ["make", "-np", "-C", str(ROOT / "selftests"), *words]
    make += ["-o", f"{selftests.out}/installed/stamp", "all", "bench"]
    run = subprocess.run(make, capture_output=True, text=True, check=False)
    rules = run.stdout.splitlines()
    for name in ("init", "libeu.a", "veto.o", "bench.o", "recorder.bpf.o"):
        (rule,) = (x for x in rules if x.startswith(f"{selftests.out / name}: "))
        assert str(selftests.out / "compilers") in rule.split(), name


def test_words_for_the_compilers(selftests: Selftests) -> None:
    """They write down the headers for make, and take a warning for an error."""
    (selftests.out / "vmlinux").touch()
    words = [f"KERNEL={selftests.kernel}", f"BUILD={selftests.out}", "CC=cc"]
    words += [f"OUT={selftests.out}", f"PATCHES={selftests.patches}", "CLANG=bpfcc"]
    make = ["make", "-n", "-C", str(ROOT / "selftests"), *words]
    # The library is installed by a makefile of its own.
    make += ["-o", f"{selftests.out}/installed/stamp", "all", "bench", "faults"]
    run = subprocess.run(make, capture_output=True, text=True, check=True)
    commands = [line.split() for line in run.stdout.splitlines()]
    from_source = [x for x in commands if any(word.endswith(".c") for word in x)]
    for compiler in "cc", "bpfcc":
        ours = [x for x in from_source if x[0] == compiler]
        assert ours
        for command in ours:
            assert {"-Wall", "-Werror", "-MMD", "-MP"} < {*command}, command


@pytest.mark.parametrize("lacks", [True, False])
def test_libelf_that_lacks_functions(
    selftests: Selftests, tmp_path: Path, lacks: bool
) -> None:
    """They are taken from libeu.a, but only if libelf.a does not have them."""
    assert selftests.make("libeu.a") == ["libeu.a"]
    tree = "void eu_search_tree_init(void *tree)"
    (tmp_path / "main.c").write_text(
        "int set; int elf_begin(void); int main(void) { return elf_begin(); }"
    )
    (tmp_path / "begin.c").write_text(
        f"extern int set; {tree};"
        "int elf_begin(void) { eu_search_tree_init(0); return set; }"
    )
    (tmp_path / "tree.c").write_text(f"extern int set; {tree} {{ set = 7; }}")
    members = ["begin.o"] if lacks else ["begin.o", "tree.o"]
    for command in (
        ["gcc", "-c", "begin.c", "tree.c"],
        ["ar", "rcs", "libelf.a", *members],
        ["gcc", "-static", "main.c", "-L.", "-lelf", f"{selftests.out}/libeu.a"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    status = subprocess.run([tmp_path / "a.out"], check=False).returncode
    assert status == (0 if lacks else 7)
