"""Tests of vm/build.py: what is made, and when nothing has to be."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vm.errors import BuildError, UsageError
from vm.tests.kernel import ALL, Kernel
from vm.tests.project import executable


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


def test_removed_vmlinux(kernel: Kernel) -> None:
    """The audit may ask for that, so that it is linked again."""
    kernel.build().vmlinux.unlink()
    again = kernel.build()
    assert again.built and again.vmlinux.exists()


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


@pytest.mark.parametrize("tool", ["gcc", "pahole", "ld", "as"])
def test_other_tool(kernel: Kernel, tool: str) -> None:
    """kbuild would keep what the old one has made."""
    kernel.build()
    made = kernel.folder / "vmlinux.o"
    made.touch()
    kernel.build("other")
    assert made.exists()
    executable(kernel.tmp_path / "tools" / tool, "#!/bin/sh\necho gcc 99.1\n")
    assert kernel.build("other").built
    assert not made.exists()
    assert kernel.goals()[-3:] == ALL
    assert not kernel.build("other").built


def test_tools_are_not_known(kernel: Kernel) -> None:
    """As after a removal cut short, which left some of what the old ones made."""
    kernel.build()
    (kernel.folder / "tools.json").unlink()
    made = kernel.folder / "vmlinux.o"
    made.touch()
    kernel.build("other")
    assert not made.exists()


def test_fragment_with_a_space_in_its_path(kernel: Kernel) -> None:
    folder = kernel.tmp_path / "my configs"
    folder.mkdir()
    kernel.fragments[1] = kernel.fragments[1].rename(folder / "b.config")
    kernel.build()
    assert "CONFIG_C=" in (kernel.folder / ".config").read_text()


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


@pytest.mark.parametrize(("seconds", "kept"), [(-1, True), (3600, False)])
def test_clock_that_was_set_back(kernel: Kernel, seconds: int, kept: bool) -> None:
    """What was built before is newer, to make, than what is edited now."""
    kernel.build()
    made = kernel.folder / "kernel" / "fork.o"
    made.parent.mkdir()
    made.touch()
    when = time.time_ns() + seconds * 10**9
    os.utime(made, ns=(when, when))
    assert not kernel.build().built, "nothing is edited"
    assert kernel.build("other").built
    assert made.exists() == kept
    assert kernel.goals() == (["bzImage"] if kept else ALL)
    line = f"{made} is from the future: removing {kernel.folder}"
    assert (line not in kernel.said.lines) == kept
    assert not (kernel.folder / "now").exists()
    assert not kernel.build("other").built


def test_size_of_the_last_full_build_is_remembered(kernel: Kernel) -> None:
    kernel.build()
    kernel.says.write_text("  CC      a.o\n")
    kernel.build("other")
    kernel.fragments[1].write_text("CONFIG_C=9\n")
    kernel.build()
    assert kernel.said.steps == [(1, 3)], "not that of the incremental build"
    assert "building bzImage with -j3, about 3 objects" in kernel.said.lines


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


def test_same_config_keeps_its_mtime(kernel: Kernel) -> None:
    config = kernel.build().build / ".config"
    os.utime(config, (1, 1))
    kernel.build("other")
    assert kernel.goals() == ALL
    assert config.stat().st_mtime == 1
    assert kernel.said.steps[-1] == (3, None), "an incremental build, of unknown size"


def test_lost_option_is_named(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSE", "CONFIG_C")
    with pytest.raises(BuildError) as raised:
        kernel.build()
    assert raised.value.detail == "CONFIG_C: vm.config wants 8, got n"
    assert "bzImage" not in kernel.goals()
    with pytest.raises(BuildError):
        kernel.build()


def test_each_set_of_fragments_has_its_folder(kernel: Kernel) -> None:
    first = kernel.build()
    kernel.fragments.append(kernel.tmp_path / "debug.config")
    kernel.fragments[-1].write_text("CONFIG_D=y\n")
    second = kernel.build()
    assert second.build != first.build
    assert "CONFIG_D=y" in (second.build / ".config").read_text()
    del kernel.fragments[-1]
    assert not kernel.build().built


def test_most_cpus(kernel: Kernel) -> None:
    assert kernel.build().max_cpus == 1, "a kernel without SMP"
    kernel.fragments[1].write_text("CONFIG_NR_CPUS=8\n")
    assert kernel.build().max_cpus == 8


def test_compiler_that_is_too_old(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made; a kernel that is built already needs no compiler."""
    kernel.build()
    monkeypatch.setenv("LEAST", "13")
    assert not kernel.build().built
    with pytest.raises(UsageError, match=r"needs gcc 13\.1\.0 or newer, but gcc is 12"):
        kernel.build("other")
    assert kernel.goals() == []
