"""Tests of vm/build.py, with a `make` that only counts its calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vm.build import Image, build_image
from vm.compiler import choose_compiler
from vm.errors import BuildError
from vm.kconfig import folder_name
from vm.source import Source
from vm.terminal import Log
from vm.tests.conftest import Said, executable
from vm.tree import Tree

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
cat "$@" >> "$config"
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
            self.linux / "scripts" / "kconfig" / "merge_config.sh": MERGE,
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


ALL = ["tinyconfig", "olddefconfig", "bzImage"]


@pytest.fixture
def kernel(
    tmp_path: Path, log: Log, said: Said, monkeypatch: pytest.MonkeyPatch
) -> Kernel:
    return Kernel(tmp_path, log, said, monkeypatch)


def test_first_build(kernel: Kernel) -> None:
    image = kernel.build()
    assert kernel.goals() == ALL
    assert image.built
    assert image.release == "7.3.4"
    assert image.build == kernel.folder
    assert image.bzimage == image.build / "arch/x86/boot/bzImage"
    assert image.vmlinux == image.build / "vmlinux"
    assert image.objects == 3
    assert kernel.said.steps == [(1, 7), (2, 7), (3, 7)]
    assert "building bzImage with -j3, about 7 objects" in kernel.said.lines
    assert image.stages["build"].wall > 0
    assert image.stages["configure"].cpu > 0
    last = kernel.calls.read_text().splitlines()[-1]
    assert f"O={image.build} CC=ccache gcc HOSTCC=ccache gcc -j3 bzImage" in last


def test_second_build_does_nothing(kernel: Kernel) -> None:
    first = kernel.build()
    second = kernel.build()
    assert kernel.goals() == []
    assert (second.built, second.objects) == (False, 0)
    assert second.release == first.release


def test_warnings_only_of_patched_files(kernel: Kernel) -> None:
    kernel.build()
    assert kernel.said.lines[-1] == (
        f"1 compiler warning(s) in patched files: {kernel.log.path}"
    )


def other_files(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    kernel.build("other")
    assert kernel.said.lines[0] == "building bzImage with -j3", "some objects"
    return ["bzImage"]


def other_kconfig(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    kernel.build("other", "other")
    return ALL


def other_fragment(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    kernel.fragments[1].write_text("CONFIG_C=9\n")
    kernel.build()
    assert kernel.said.steps[-1] == (3, 3), "all is compiled anew, as the last time"
    return ALL


def other_compiler(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("GCC_VERSION", "13")
    kernel.build()
    return ALL


def other_image(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    image = kernel.folder / "arch/x86/boot/bzImage"
    image.write_text("touched by someone")
    kernel.build()
    return ["bzImage"]


def no_image(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (kernel.folder / "arch/x86/boot/bzImage").unlink()
    kernel.build()
    return ["bzImage"]


def other_pahole(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    executable(kernel.tmp_path / "tools" / "pahole", "#!/bin/sh\necho v1.25\n")
    kernel.build()
    return ALL


def half_written_stamp(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    stamp = kernel.folder / "built.json"
    stamp.write_text(stamp.read_text()[:-9])
    kernel.build()
    return ["bzImage"]


def edited_config(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """By hand, and the image is gone, so that it must be built."""
    (kernel.folder / ".config").write_text("CONFIG_MINE=y\n")
    return [*ALL[:2], *no_image(kernel, monkeypatch)]


@pytest.mark.parametrize(
    "change",
    [
        other_files,
        other_kconfig,
        other_fragment,
        other_compiler,
        other_image,
        no_image,
        other_pahole,
        half_written_stamp,
        edited_config,
    ],
)
def test_change_that_asks_for_make(
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Kernel, pytest.MonkeyPatch], list[str]],
) -> None:
    kernel.build()
    goals = change(kernel, monkeypatch)
    assert kernel.goals() == goals


def test_same_config_keeps_its_mtime(kernel: Kernel) -> None:
    config = kernel.build().build / ".config"
    os.utime(config, (1, 1))
    kernel.build("other")
    assert kernel.goals() == ALL
    assert config.stat().st_mtime == 1
    assert kernel.said.steps[-1] == (3, None), "an incremental build, of unknown size"


def test_failed_build_says_where(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.build()
    error = "../kernel/bpf/map_trace.c:5:1: error: expected ';'"
    kernel.says.write_text(f"  CC      a.o\n{error}\nmake: *** [a.o] Error 1\n")
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(BuildError) as raised:
        kernel.build("other")
    assert raised.value.what == f"the kernel does not build: {error}"
    assert "Error 1" in raised.value.detail
    assert str(kernel.log.path) in raised.value.hint
    assert raised.value.command[-1] == "bzImage"


def test_image_of_a_failed_build_is_never_used(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.build()
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(BuildError):
        kernel.build("other")
    monkeypatch.delenv("FAIL")
    assert kernel.build().built, "the image may be of the other series by halves"


def test_lost_option_is_named(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSE", "CONFIG_C")
    with pytest.raises(BuildError) as raised:
        kernel.build()
    assert raised.value.detail == "CONFIG_C: vm.config wants 8, got n"
    assert "bzImage" not in kernel.goals()
    with pytest.raises(BuildError):
        kernel.build()


def test_each_compiler_has_its_folder(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though all of these say the same: so nothing is built anew on the way back."""
    tools = f"{kernel.tmp_path}/tools/"
    choices = [
        ("CC", "gcc", "CC=gcc HOSTCC=ccache gcc"),
        ("CC", "gcc -pipe", "CC=gcc -pipe HOSTCC=ccache gcc"),
        *(
            ("LLVM", value, f"LLVM={value} CC=ccache {name} HOSTCC=ccache {name}")
            for value, name in (
                *(("1", "clang"), ("-18", "clang-18")),
                (tools, f"{tools}clang"),
            )
        ),
    ]
    for name, value, variables in choices:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            kernel.build()
            assert kernel.goals() == ALL
            last = kernel.calls.read_text().splitlines()[-1]
            assert f" {variables} -j3 bzImage" in last
    assert len(list(kernel.folder.parent.glob("build-*"))) == len(choices)
    for name, value, _ in choices:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            kernel.build()
            assert kernel.goals() == []


def test_llvm_that_is_empty_chooses_nothing(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.build()
    monkeypatch.setenv("LLVM", "")
    kernel.build()
    assert kernel.goals() == []


def test_what_made_it(kernel: Kernel) -> None:
    tools = kernel.build().tools
    assert tools.startswith("gcc 12.2.0, pahole 1.24")


def test_each_set_of_fragments_has_its_folder(kernel: Kernel) -> None:
    first = kernel.build()
    kernel.fragments.append(kernel.tmp_path / "debug.config")
    kernel.fragments[-1].write_text("CONFIG_D=y\n")
    second = kernel.build()
    assert second.build != first.build
    assert "CONFIG_D=y" in (second.build / ".config").read_text()
    del kernel.fragments[-1]
    assert not kernel.build().built


def test_size_of_the_last_full_build_is_remembered(kernel: Kernel) -> None:
    kernel.build()
    kernel.says.write_text("  CC      a.o\n")
    kernel.build("other")
    kernel.fragments[1].write_text("CONFIG_C=9\n")
    kernel.build()
    assert kernel.said.steps == [(1, 3)], "not that of the incremental build"
    assert "building bzImage with -j3, about 3 objects" in kernel.said.lines


def test_most_cpus(kernel: Kernel) -> None:
    assert kernel.build().max_cpus == 1, "a kernel without SMP"
    kernel.fragments[1].write_text("CONFIG_NR_CPUS=8\n")
    assert kernel.build().max_cpus == 8


def test_ccache_that_cannot_write(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder would be made in the first one that there is."""
    really_access = os.access

    def access(path: Path, mode: int) -> bool:
        return path != kernel.tmp_path and really_access(path, mode)

    make = kernel.tmp_path / "tools" / "make"
    make.write_text(make.read_text() + 'echo "disabled: $CCACHE_DISABLE"\n')
    kernel.build()
    assert kernel.log.path.read_text().count("disabled: \n") == 3
    monkeypatch.setattr("vm.build.os.access", access)
    kernel.build("other", "other")
    assert kernel.log.path.read_text().count("disabled: 1\n") == 3


def test_time_is_no_part_of_the_kernel(kernel: Kernel) -> None:
    """Else the compiler's cache would not know the objects that contain it."""
    make = kernel.tmp_path / "tools" / "make"
    make.write_text(make.read_text() + 'echo "time $KBUILD_BUILD_TIMESTAMP"\n')
    kernel.build()
    assert kernel.log.path.read_text().count("time 1970-01-01\n") == 3
