"""A patched kernel tree to build, with a `make` that only counts its calls."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vm.build import Image, build_image
from vm.compiler import choose_compiler
from vm.kconfig import folder_name
from vm.source import Source
from vm.terminal import Log
from vm.tests.project import executable
from vm.tests.said import Said
from vm.tree import Tree

ALL = ["tinyconfig", "olddefconfig", "bzImage"]  # goals of make

# Takes the place of kbuild: bzImage is made of what CONFIG_OUT says.
MAKE = """#!/bin/sh
echo "$*" >> "$CALLS"
for word; do case "$word" in O=*) out="${word#O=}" ;; esac; done
mkdir -p "$out/arch/x86/boot" "$out/include/config"
case "$*" in
*tinyconfig) echo '# CONFIG_TINY is not set' > "$out/.config" ;;
*olddefconfig) test -z "$LOSE" || sed -i "/$LOSE/d" "$out/.config" ;;
*bzImage)
    echo 7.3.4 > "$out/include/config/kernel.release"
    cat "$SAYS"
    test -z "$FAIL" || exit 2
    touch "$out/vmlinux"
    date +%N > "$out/arch/x86/boot/bzImage" ;;
esac
"""
CCACHE = """#!/bin/sh
test "$*" != "--get-config cache_dir" || exec echo {}
exec "$@"
"""
MERGE = """#!/bin/sh
shift 3
config=$1; shift
cat $* >> "$config"  # splits the names at spaces
"""
SAYS = """\
  HOSTCC  scripts/basic/fixdep
  CC      /build/tools/objtool/check.o
  CC      kernel/bpf/map_trace.o
  CC [M]  lib/x.o
../kernel/bpf/map_trace.c:3:5: warning: unused variable 'x' [-Wunused-variable]
../kernel/bpf/map_trace.c:3:5: warning: unused variable 'x' [-Wunused-variable]
../kernel/fork.c:3:5: warning: not ours
  AS      arch/x86/entry/entry.o
  LD      vmlinux
"""


class Kernel:
    """A patched tree, fragments, and the fake tools on PATH."""

    def __init__(
        self, tmp_path: Path, log: Log, said: Said, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.tmp_path = tmp_path
        self.log, self.said = log, said
        self.calls = tmp_path / "calls"
        self.says = tmp_path / "says"
        self.linux = tmp_path / "trees" / "key" / "linux"
        scripts = {
            tmp_path / "tools" / "make": MAKE,
            tmp_path / "tools" / "gcc": "#!/bin/sh\necho gcc ${GCC_VERSION:-12}.2.0\n",
            tmp_path / "tools" / "clang": "#!/bin/sh\necho clang 18.1.0\n",
            tmp_path / "tools" / "clang-18": "#!/bin/sh\necho clang 18.1.0\n",
            tmp_path / "tools" / "ccache": CCACHE.format(tmp_path / "no" / "folder"),
            tmp_path / "tools" / "pahole": "#!/bin/sh\necho v1.24\n",
            tmp_path / "tools" / "ld": "#!/bin/sh\necho GNU ld 2.40\n",
            tmp_path / "tools" / "as": "#!/bin/sh\necho GNU assembler 2.40\n",
            self.linux / "scripts" / "kconfig" / "merge_config.sh": MERGE,
            self.linux / "scripts" / "min-tool-version.sh": "echo ${LEAST:-8}.1.0\n",
        }
        for script, text in scripts.items():
            executable(script, text)
        self.calls.touch()
        self.says.write_text(SAYS)
        self.fragments = [tmp_path / "base.config", tmp_path / "vm.config"]
        self.fragments[0].write_text("# Why.\nCONFIG_A=y\n# CONFIG_B is not set\n")
        self.fragments[1].write_text("CONFIG_C=8\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
        monkeypatch.setenv("CALLS", str(self.calls))
        monkeypatch.setenv("SAYS", str(self.says))
        for name in ("CC", "HOSTCC", "LLVM", "LOSE", "FAIL"):
            monkeypatch.delenv(name, raising=False)

    def build(self, version: str = "a", config: str = "a") -> Image:
        source = Source("release", self.tmp_path, "key", "linux")
        patched = frozenset({"kernel/bpf/map_trace.c"})
        self.said.steps.clear()
        self.said.lines.clear()
        self.calls.write_text("")
        return build_image(
            Tree(self.linux, source, version, config, patched),
            self.fragments,
            choose_compiler(None, None, self.log),
            self.log,
            jobs=3,
            objects=7,
        )

    @property
    def folder(self) -> Path:
        """Where it is built."""
        return self.linux.parent / folder_name(self.fragments)

    def goals(self) -> list[str]:
        """What make was called for since build() was."""
        return [line.split()[-1] for line in self.calls.read_text().splitlines()]
