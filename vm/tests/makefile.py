"""selftests/Makefile on a kernel tree whose libraries and tools are made at once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from vm.tests.diffs import OLD
from vm.tests.project import ROOT

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
