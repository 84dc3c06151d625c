"""A pytest plugin for test_plugin.py: fakes of what needs a kernel or a guest.

The fake tests of a C file are the words of it that are like fixture.variant.test;
what each does is its last part. FAKE_RUN says what goes wrong besides. What the
guest was asked for is in the file `guest` of the working directory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vm import bench, plugin
from vm import prepare as real
from vm import run as module
from vm.accel import Accel
from vm.errors import BuildError, GuestError, UsageError
from vm.guest import Result
from vm.image import Image, Stage
from vm.prepare import Prepared
from vm.source import Source
from vm.testdata import fake_bench
from vm.tree import Tree, series

HERE = Path.cwd()
DATA = Path(__file__).parent
HOW = os.environ.get("FAKE_RUN", "")


class FakePrepared(Prepared):
    """Knows the fake tests of a C file."""

    def tests_of(self, source: Path) -> list[str]:
        if HOW == "no list":
            raise BuildError(f"{source.stem} lists no tests", hint="mend it")
        return [word for word in source.read_text().split() if word.count(".") == 2]


def fake_prepare(*, logs: Path, say: real.Say, **options: Any) -> Prepared:
    """Builds nothing; the arguments are checked as they really are."""
    if HOW == "interrupted":
        raise KeyboardInterrupt
    if HOW == "no build":
        raise BuildError(
            "the kernel does not build: map.c:3: error: no",
            command=["make", "bzImage"],
            detail="map.c:3: error: no",
            hint=f"the whole output is in {logs}/build.log",
        )
    series(real.ROOT / "patches" / options["base"], options["upto"])
    debug = ["debug"] if options["debug"] else []
    say(" ".join(["building", *debug, *options["targets"]]))
    source = Source("release", HERE, "7.3.4", "a key", "Linux 7.3.4 of the fakes")
    image = Image(
        *(HERE / "bzImage", HERE, Tree(HERE, source, "", False), "7.3.4-fake"),
        *(9, True, {}),
    )
    return FakePrepared(image, HERE, {"build": Stage(1.5, 2.5)})


def fake_choose_accel(*_: object, require_kvm: bool, no_kvm: bool) -> Accel:
    """There is no KVM."""
    if require_kvm:
        raise UsageError("there is no KVM", hint="leave --require-kvm out")
    return Accel("tcg", "TCG: of the fakes")


class FakeGuest:
    """Runs the fake tests."""

    release = "7.3.4-fake"
    boot_seconds = 0.25

    def __init__(
        self, bzimage: Path, accel: Accel, out: Path, shares: Sequence[Path]
    ) -> None:
        self.splats: list[str] = []
        self.calls = (HERE / "guest").open("a", buffering=1)

    def __enter__(self) -> FakeGuest:
        if HOW == "no boot":
            raise GuestError("hang during boot", detail="last words", hint="look")
        print("enter", file=self.calls)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        print("exit", kind and kind.__name__, file=self.calls)
        if HOW == "late splat":
            self.splats.append("WARNING: suspicious RCU usage")
        if HOW == "late panic":
            raise GuestError("panic at power-off", detail="last words", hint="look")

    def run(self, argv: Sequence[str], *, timeout: float) -> Result:
        """The recorded output of the test, as the test is named here."""
        if argv[0] == "sh":
            return Result(int(HOW == "no copy"), "cp: no\n", 0.1, False)
        print("run", *argv, file=self.calls)
        name = argv[2]
        what = name.rpartition(".")[2]
        if what == "panics":
            raise GuestError("panic: no way out", detail="last words", hint="look")
        if what == "interrupts":
            raise KeyboardInterrupt
        if what == "splats":
            self.splats += ["WARNING: at map.c", "BUG: sleeping function"]
        recorded = what if what in ("fails", "skips", "crashes") else "passes"
        text = (DATA / f"ktap_{recorded}.txt").read_text()
        output = text.replace(f"map.hash.{recorded}", name)
        return Result(int(recorded == "fails"), output, 0.5, what == "hangs")


def fake_shell(bzimage: Path, accel: Accel) -> int:
    """Does what its user types."""
    return int(sys.stdin.readline())


def pytest_load_initial_conftests() -> None:
    """Before the plugin is used, take the place of what it would call."""
    patch = pytest.MonkeyPatch()
    patch.setattr(plugin, "ROOT", HERE)
    patch.setattr(module, "Guest", FakeGuest)
    patch.setattr(module, "prepare", fake_prepare)
    patch.setattr(module, "choose_accel", fake_choose_accel)
    patch.setattr(module, "shell", fake_shell)
    patch.setattr(module, "one_thread", lambda: False)
    patch.setattr(bench, "Guest", fake_bench.FakeGuest)
    if HOW == "slow hook":
        fake_bench.FakeGuest.extra["hit", 0] = 5.0
    if HOW == "no hook":
        fake_bench.FakeGuest.instead["hit"] = ("error: hit: no hook\n", 1, False)
