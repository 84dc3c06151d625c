"""Tests of vm/image.py, with a `make` that only counts its calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vm.errors import BuildError
from vm.image import Image, build_image, check_config
from vm.source import Source
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
MERGE = """#!/bin/sh
shift 3
config=$1; shift
cat "$@" >> "$config"
"""
SAYS = """\
  HOSTCC  scripts/basic/fixdep
  CC      kernel/bpf/map_trace.o
  CC [M]  lib/x.o
../kernel/bpf/map_trace.c:3:5: warning: unused variable 'x' [-Wunused-variable]
../kernel/bpf/map_trace.c:3:5: warning: unused variable 'x' [-Wunused-variable]
../kernel/fork.c:3:5: warning: not ours
  AS      arch/x86/entry/entry.o
  LD      vmlinux
"""
PATCH = """\
--- /dev/null
+++ b/kernel/bpf/map_trace.c
@@ -0,0 +1 @@
+int x;
"""


class Bench:
    """A patched tree, fragments, and the fake tools on PATH."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tmp_path = tmp_path
        self.calls = tmp_path / "calls"
        self.says = tmp_path / "says"
        self.said: list[str] = []
        self.steps: list[tuple[int, int | None]] = []
        self.linux = tmp_path / "trees" / "key" / "linux"
        scripts = {
            tmp_path / "tools" / "make": MAKE,
            tmp_path / "tools" / "gcc": "#!/bin/sh\necho gcc ${GCC_VERSION:-12}\n",
            tmp_path / "tools" / "ccache": '#!/bin/sh\nexec "$@"\n',
            tmp_path / "tools" / "pahole": "#!/bin/sh\necho v1.24\n",
            self.linux / "scripts" / "kconfig" / "merge_config.sh": MERGE,
        }
        for script, text in scripts.items():
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(text)
            script.chmod(0o755)
        applied = self.linux.parent / "applied"
        applied.mkdir()
        (applied / "0001.patch").write_text(PATCH)
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

    def build(self, applied: str = "series") -> Image:
        source = Source("release", self.tmp_path, "key", "linux")
        self.steps.clear()
        self.said.clear()
        self.calls.write_text("")
        return build_image(
            Tree(self.linux, source, applied, changed=False),
            self.fragments,
            self.tmp_path / "log",
            self.said.append,
            lambda done, total: self.steps.append((done, total)),
        )

    def goals(self) -> list[str]:
        """What make was called for since build() was."""
        return [line.split()[-1] for line in self.calls.read_text().splitlines()]


ALL = ["tinyconfig", "olddefconfig", "bzImage"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_first_build(bench: Bench) -> None:
    image = bench.build()
    assert bench.goals() == ALL
    assert image.built
    assert image.release == "7.3.4"
    assert image.build == bench.linux.parent / "build-base-vm"
    assert image.bzimage == image.build / "arch/x86/boot/bzImage"
    assert image.objects == 3
    assert bench.steps == [(1, None), (2, None), (3, None)]
    assert image.stages["build"].wall > 0
    assert image.stages["configure"].cpu > 0
    last = bench.calls.read_text().splitlines()[-1]
    assert f"O={image.build} CC=ccache gcc HOSTCC=ccache gcc -j" in last


def test_second_build_does_nothing(bench: Bench) -> None:
    first = bench.build()
    second = bench.build()
    assert bench.goals() == []
    assert (second.built, second.objects) == (False, 0)
    assert second.release == first.release


def test_warnings_only_of_patched_files(bench: Bench) -> None:
    bench.build()
    assert f"1 compiler warning(s) in patched files: see {bench.tmp_path / 'log'}" in (
        bench.said
    )


def other_series(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    bench.build("other")
    return ALL


def other_fragment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    bench.fragments[1].write_text("CONFIG_C=9\n")
    bench.build()
    assert bench.steps[-1] == (3, 3), "all is compiled anew, as the last time"
    return ALL


def other_compiler(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("GCC_VERSION", "13")
    bench.build()
    return ALL


def other_image(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    image = bench.linux.parent / "build-base-vm/arch/x86/boot/bzImage"
    image.write_text("touched by someone")
    bench.build()
    return ["bzImage"]


def no_image(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (bench.linux.parent / "build-base-vm/arch/x86/boot/bzImage").unlink()
    bench.build()
    return ["bzImage"]


def users_compiler(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("CC", "gcc -pipe")
    bench.build()
    assert "CC=gcc -pipe HOSTCC=ccache gcc" in bench.calls.read_text()
    return ALL


@pytest.mark.parametrize(
    "change",
    [
        other_series,
        other_fragment,
        other_compiler,
        other_image,
        no_image,
        users_compiler,
    ],
)
def test_change_that_asks_for_make(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Bench, pytest.MonkeyPatch], list[str]],
) -> None:
    bench.build()
    goals = change(bench, monkeypatch)
    assert bench.goals() == goals


def test_same_config_keeps_its_mtime(bench: Bench) -> None:
    config = bench.build().build / ".config"
    os.utime(config, (1, 1))
    bench.build("other")
    assert bench.goals() == ALL
    assert config.stat().st_mtime == 1
    assert bench.steps[-1] == (3, None), "an incremental build, of unknown size"


def test_failed_build_says_where(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.build()
    error = "../kernel/bpf/map_trace.c:5:1: error: expected ';'"
    bench.says.write_text(f"  CC      a.o\n{error}\nmake: *** [a.o] Error 1\n")
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(BuildError) as raised:
        bench.build("other")
    assert raised.value.what == f"the kernel does not build: {error}"
    assert "Error 1" in raised.value.detail
    assert str(bench.tmp_path / "log") in raised.value.hint
    assert raised.value.command is not None
    assert raised.value.command[-1] == "bzImage"


def test_image_of_a_failed_build_is_never_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.build()
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(BuildError):
        bench.build("other")
    monkeypatch.delenv("FAIL")
    assert bench.build().built, "the image may be of the other series by halves"


def test_lost_option_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSE", "CONFIG_C")
    with pytest.raises(BuildError) as raised:
        bench.build()
    assert raised.value.detail == "CONFIG_C: vm.config wants 8, got n"
    assert "bzImage" not in bench.goals()
    with pytest.raises(BuildError):
        bench.build()


def test_option_that_should_be_off(tmp_path: Path) -> None:
    fragment = tmp_path / "base.config"
    fragment.write_text('# CONFIG_A is not set\nCONFIG_B=n\nCONFIG_S="x"\n')
    config = tmp_path / ".config"
    config.write_text('CONFIG_S="x"\n# CONFIG_A is not set\n')
    check_config(config, [fragment])
    config.write_text('CONFIG_S="x"\nCONFIG_A=y\nCONFIG_B=m\n')
    with pytest.raises(BuildError) as raised:
        check_config(config, [fragment])
    assert raised.value.detail.splitlines() == [
        "CONFIG_A: base.config wants n, got y",
        "CONFIG_B: base.config wants n, got m",
    ]


def test_last_fragment_decides(tmp_path: Path) -> None:
    first, last = tmp_path / "base.config", tmp_path / "debug.config"
    first.write_text("CONFIG_A=y\n")
    last.write_text("# CONFIG_A is not set\n")
    config = tmp_path / ".config"
    config.write_text("")
    check_config(config, [first, last])
