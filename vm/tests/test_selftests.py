"""Tests of vm/selftests.py: what it has make build again."""

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
from vm.tests.makefile import Selftests
from vm.tests.project import ROOT
from vm.tests.said import Said


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
