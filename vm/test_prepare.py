"""Tests of vm/prepare.py, with the steps that have tests of their own replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vm import prepare as module
from vm.conftest import Said
from vm.errors import BuildError, UsageError
from vm.image import Image, Stage
from vm.prepare import Prepared, prepare
from vm.source import Source
from vm.tools import Tool
from vm.tree import Tree

MAKE = """#!/bin/sh
echo "recorder.bpf.c:3: error: no"
echo "$*" > "$CALLS"
exit "$STATUS"
"""
LIST = Path(__file__).with_name("testdata") / "ktap_list.txt"
Prepare = Callable[..., Prepared]


@pytest.fixture
def run(tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """prepare() in tmp_path, for a kernel that is built at once."""
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text(MAKE)
    make.chmod(0o755)
    monkeypatch.setenv("PATH", str(make.parent), prepend=":")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("STATUS", "0")
    source = Source("release", tmp_path, "7.3.4", "Linux 7.3.4")
    tree = Tree(tmp_path / "linux", source, "", False)
    build = tmp_path / "build"
    stages = {"build": Stage(1.5)}
    image = Image(build / "bzImage", build, tree, "7.3.4", 9, True, stages)
    monkeypatch.setattr(module, "missing", lambda _: [])
    monkeypatch.setattr(module, "get_source", lambda *_, **__: source)
    monkeypatch.setattr(module, "prepare_tree", lambda *_: tree)

    def fake_build_image(_: Tree, fragments: list[Path], *__: object) -> Image:
        assert all(fragment.is_file() for fragment in fragments)
        said("building " + ", ".join(fragment.stem for fragment in fragments))
        return image

    monkeypatch.setattr(module, "build_image", fake_build_image)

    def call(
        base: str = "7.3",
        upto: int | None = None,
        debug: bool = False,
        targets: Sequence[str] = (),
    ) -> Prepared:
        return prepare(
            base=base,
            upto=upto,
            debug=debug,
            kernel_tree=None,
            allow_dirty=False,
            cache=tmp_path,
            logs=tmp_path / "logs",
            say=said,
            progress=lambda done, total: None,
            targets=targets,
        )

    return call


def test_steps(run: Prepare, tmp_path: Path) -> None:
    prepared = run()
    assert prepared.programs == tmp_path / "build" / "selftests"
    steps = ["fetch", "unpack and patch", "build", "selftests"]
    assert list(prepared.stages) == steps
    assert (tmp_path / "calls").read_text().split() == [
        *("-C", str(module.SELFTESTS), f"KERNEL={tmp_path}/linux"),
        *(f"BUILD={tmp_path}/build", f"OUT={prepared.programs}"),
        f"PATCHES={module.ROOT}/patches/7.3",
    ]


def test_debug_adds_a_fragment(run: Prepare, said: Said) -> None:
    run()
    run(debug=True)
    assert said == ["building base, vm", "building base, vm, debug"]


def test_other_targets(run: Prepare, tmp_path: Path) -> None:
    run(targets=["bench"])
    words = (tmp_path / "calls").read_text().split()
    assert words[-2:] == [f"PATCHES={module.ROOT}/patches/7.3", "bench"]


def test_all_that_is_missing_is_named(
    run: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = [Tool("bc", "bc"), Tool("/gelf.h", "libelf-dev")]
    monkeypatch.setattr(module, "missing", lambda _: lacking)
    with pytest.raises(UsageError) as raised:
        run()
    assert str(raised.value).splitlines() == [
        "usage error: not installed: bc (package bc), /gelf.h (package libelf-dev)",
        "next:    ./run_tests.py --install-deps",
    ]


@pytest.mark.parametrize(("base", "upto"), [("9.9", None), ("7.3", 9)])
def test_wrong_series_is_told_before_anything_is_fetched(
    run: Prepare, monkeypatch: pytest.MonkeyPatch, base: str, upto: int | None
) -> None:
    monkeypatch.delattr(module, "get_source")
    with pytest.raises(UsageError, match=r"9\.9 has no patches|no patch 9 in "):
        run(base, upto)


def test_selftests_that_do_not_build(
    run: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATUS", "2")
    with pytest.raises(BuildError) as raised:
        run()
    error = raised.value
    assert error.what == "the selftests do not build (exit status 2)"
    assert error.detail == "recorder.bpf.c:3: error: no"
    assert error.command is not None and error.command[0] == "make"
    assert error.hint.endswith(f"{tmp_path}/logs/selftests.log")


def test_tests_of_a_program(run: Prepare) -> None:
    prepared = run()
    program = prepared.programs / "update"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\ntest "$1" = -l && cat {LIST} >&2; exit 4\n')
    program.chmod(0o755)
    assert prepared.tests_of(Path("selftests/update.c"))[:2] == [
        *("global.alone", "map.hash.passes"),
    ]
    program.write_text("#!/bin/sh\necho no such option >&2; exit 1\n")
    with pytest.raises(BuildError, match="update lists no tests") as raised:
        prepared.tests_of(Path("selftests/update.c"))
    assert raised.value.command == [str(program), "-l"]
    assert raised.value.detail == "no such option\n"
