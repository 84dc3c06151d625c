"""Tests of selftests/Makefile: what it builds again, on a kernel tree of fakes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from vm.build import Image
from vm.errors import BuildError
from vm.selftests import build_programs
from vm.terminal import Log
from vm.tests.diffs import OLD
from vm.tests.project import ROOT, executable
from vm.tests.said import Said

LIBBPF, BPFTOOL, EXAMPLE = (
    *("libbpf/libbpf.a", "bpftool/bootstrap/bpftool"),
    "example.bpf.c",
)
FILES = (
    *("lib/bpf/libbpf.c", "lib/bpf/libbpf.map", "bpf/bpftool/gen.c"),
    *("include/uapi/linux/bpf.h", "build/Build.include", "scripts/Makefile.include"),
    *("arch/x86/include/asm/barrier.h", "../scripts/bpf_doc.py"),
)


class Selftests:
    """The Makefile, and a kernel whose libraries and tools are made at once."""

    def __init__(self, tmp_path: Path) -> None:
        self.kernel, self.out = tmp_path / "linux", tmp_path / "out"
        self.patches = tmp_path / "7.3"
        self.patch("7.3", "one")
        for name in FILES:
            file = self.kernel / "tools" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("1\n")
        for folder, goals, made in (
            ("lib/bpf", "$(OUTPUT)libbpf.a install_headers", "libbpf.a"),
            ("bpf/bpftool", "bootstrap", "bootstrap/bpftool"),
        ):
            text = f"{goals}:\n\tmkdir -p $(OUTPUT)/bootstrap; touch $(OUTPUT){made}\n"
            (self.kernel / "tools" / folder / "Makefile").write_text(text)

    def patch(self, series: str, word: str) -> None:
        """A series with this example in the documentation."""
        self.patches = self.patches.with_name(series)
        self.patches.mkdir()
        lines = f'+   #include "vmlinux.h"\n+   {word}\n+\n+The end.\n'
        file = self.patches / "0003-of-hash-maps.patch"
        file.write_text(lines)
        os.utime(file, ns=(OLD, OLD))

    def make(self, *targets: str) -> list[str]:
        """Make them; those that were made anew, or that make has changed."""
        files = [self.out / target for target in targets]
        for file in (*self.out.rglob("*"), *self.out.rglob("")):
            os.utime(file, ns=(OLD + 10**9, OLD + 10**9))
        words = [f"KERNEL={self.kernel}", f"BUILD={self.out}", f"OUT={self.out}"]
        words += [f"PATCHES={self.patches}", *map(str, files)]
        make = ["make", "-C", str(ROOT / "selftests"), *words]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        new = [file.stat().st_mtime_ns > OLD + 10**9 for file in files]
        return [target for target, is_new in zip(targets, new, strict=True) if is_new]

    def age(self) -> None:
        for file in (self.kernel, *self.kernel.rglob("*")):
            os.utime(file, ns=(OLD, OLD))


@pytest.fixture
def selftests(tmp_path: Path) -> Selftests:
    selftests = Selftests(tmp_path)
    assert selftests.make(LIBBPF, BPFTOOL) == [LIBBPF, BPFTOOL]
    selftests.age()
    assert selftests.make(LIBBPF, BPFTOOL) == []
    return selftests


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


def test_sources_that_make_takes_for_old(selftests: Selftests, tmp_path: Path) -> None:
    """Those of another checkout, or copied with their times, may be older."""
    tree = SimpleNamespace(path=selftests.kernel)
    image = cast(Image, SimpleNamespace(build=tmp_path / "build", tree=tree))
    log = Log(tmp_path / "log", Said())
    rogue = image.build / "selftests" / "rogue"
    for checkout, status in ("one", 1), ("one", 2), ("two", 3), ("one", 2):
        root = tmp_path / checkout
        for name in (
            "vm/init.c",
            "selftests/faults/lkdtm.c",
            "selftests/faults/rogue.c",
        ):
            source = root / name
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(f"int main(void) {{ return {status}; }}\n")
            os.utime(source, ns=(OLD + status, OLD + status))
        source.with_name("ktap.sh").touch()
        makefile = shutil.copy(ROOT / "selftests" / "Makefile", root / "selftests")
        os.utime(makefile, ns=(OLD, OLD))
        times = []
        for _ in range(3):
            build_programs(
                *(root / "selftests", image, selftests.patches, log),
                jobs=1,
                targets=["faults"],
            )
            times.append(rogue.stat().st_mtime_ns)
            if len(times) == 2:  # as if other targets had been built, and these not
                record = rogue.with_name("sources-faults.json")
                record.rename(record.with_name("sources-all.json"))
        assert subprocess.run([rogue], check=False).returncode == status
        assert len({*times}) == 1, "the second and third time, nothing is made"


@pytest.mark.parametrize("other", ["one", "two"])
def test_sources_after_a_build_that_failed(
    selftests: Selftests, tmp_path: Path, other: str
) -> None:
    """What it made of edited files, or another checkout's, is made again."""
    tree = SimpleNamespace(path=selftests.kernel)
    image = cast(Image, SimpleNamespace(build=tmp_path / "build", tree=tree))
    log = Log(tmp_path / "log", Said())
    programs = [image.build / "selftests" / name for name in ("lkdtm", "rogue")]

    def build(checkout: str, text: str, last: str, old: bool) -> list[int]:
        """What the programs return; the second is made of the `last` text."""
        root = tmp_path / checkout
        for name, words in (
            ("vm/init.c", text),
            ("selftests/faults/lkdtm.c", text),
            ("selftests/faults/rogue.c", last),
            ("selftests/faults/ktap.sh", ""),
        ):
            source = root / name
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(words)
            if old:  # as it was before
                os.utime(source, ns=(OLD, OLD))
        makefile = shutil.copy(ROOT / "selftests" / "Makefile", root / "selftests")
        os.utime(makefile, ns=(OLD, OLD))
        build_programs(
            *(root / "selftests", image, selftests.patches, log),
            jobs=1,
            targets=["faults"],
        )
        return [subprocess.run([file], check=False).returncode for file in programs]

    one, two = (f"int main(void) {{ return {status}; }}\n" for status in (1, 2))
    assert build("one", one, one, old=True) == [1, 1]
    with pytest.raises(BuildError):
        build(other, two, "error", old=False)
    assert subprocess.run([programs[0]], check=False).returncode == 2
    assert build("one", one, one, old=True) == [1, 1]


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


def test_first_build_that_fails(selftests: Selftests, tmp_path: Path) -> None:
    """The next one does not take all that was built for old."""
    tree = SimpleNamespace(path=selftests.kernel)
    image = cast(Image, SimpleNamespace(build=tmp_path / "build", tree=tree))
    with pytest.raises(BuildError) as failed:
        build_programs(
            *(ROOT / "selftests", image, selftests.patches),
            Log(tmp_path / "log", Said()),
            jobs=1,
            targets=["no-such-program"],
        )
    assert "-W" not in str(failed.value)
    assert list((image.build / "selftests").glob("sources-*.json"))


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
