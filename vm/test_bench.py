"""The bench with a guest that only prints: what it boots, checks, writes and says."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vm import bench, guest
from vm.accel import Accel
from vm.conftest import Said
from vm.errors import GuestError, UsageError
from vm.figures import BenchError, Figure, Results, Row
from vm.image import Image
from vm.prepare import ROOT, Prepared
from vm.source import Source
from vm.testdata.fake_bench import FakeGuest, output_of
from vm.tree import Tree

TCG = Accel("tcg", "TCG: for the tests")
KVM = Accel("kvm", "KVM: for the tests")
HIT = Row("hit", "hash", "update", "program")


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeGuest]:
    """The guest, which was asked for nothing yet and does nothing wrong."""
    clean = {"asked": [], "extra": {}, "instead": {}, "complaints": [], "boots": 0}
    for name, value in clean.items():
        monkeypatch.setattr(FakeGuest, name, value)
    monkeypatch.setattr(bench, "Guest", FakeGuest)
    return FakeGuest


def built(folder: Path, count: int | None) -> Prepared:
    """What prepare() gives for the first `count` patches."""
    source = Source("release", folder, "7.3.4", "a key", "Linux 7.3.4")
    tree = Tree(folder, source, "", False)
    image = Image(folder / f"bzImage-{count}", folder, tree, "7.3.4", 9, True, {})
    return Prepared(image, folder / "selftests")


def run(
    folder: Path,
    fake: type[FakeGuest],
    say: Said,
    *,
    upto: int | None = None,
    accel: Accel = TCG,
) -> Results:
    """A whole run in `folder`; what is built is among what the guest was asked."""

    def prepare(count: int | None) -> Prepared:
        fake.asked.append(f"build {count}")
        return built(folder, count)

    return bench.run(
        prepare, lambda: accel, base="7.3", upto=upto, logs=folder, say=say
    )


def shown(results: Results, old: Results | None, logs: Path) -> tuple[int, str]:
    """The exit status, and what an 80-column terminal shows."""
    file = io.StringIO()
    status = bench.show(results, old, logs, Console(file=file, width=80))
    return status, file.getvalue()


# The guest


@pytest.mark.parametrize("icount", [False, True])
def test_icount(monkeypatch: pytest.MonkeyPatch, icount: bool) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: f"/bin/{name}")
    command = guest.vng_command(
        Path("bzImage"), TCG, cpus=1, channel="name", icount=icount
    )
    (options,) = (word for word in command if word.startswith("--qemu-opts="))
    words = options.removeprefix("--qemu-opts=").split()
    assert ("-icount" in words) == icount
    if icount:
        assert words[words.index("-icount") + 1] == "shift=0,sleep=off"
    assert command[command.index("--cpus") + 1] == "1"


def test_one_boot(tmp_path: Path, fake: type[FakeGuest]) -> None:
    log = tmp_path / "console.log"
    figures, release = bench.measure_boot(
        Path("bzImage"), tmp_path, ["hit", "iterate"], log
    )
    assert release == "7.3.4-fake"
    assert figures[HIT].cost == 210
    assert figures[Row("iterate", "array", "compare", "program")].cost == 200.25
    asked = ["boot bzImage tcg console.log", "run hit", "run iterate", "exit"]
    assert fake.asked == asked


@pytest.mark.parametrize(
    ("command", "instead", "what"),
    [
        ("hit", ("error: hit array: no hook\n", 1, False), "hit array: no hook"),
        ("hit", ("", 0, False), "the bench did not finish"),
        ("hit", (output_of("hit"), 0, True), "hit: no end after 300 s"),
        ("hit", (output_of("hit"), 139, False), "hit: exit status 139"),
        ("hit", (output_of("filtered"), 0, False), "hit: .* figures of filtered"),
    ],
)
def test_bench_that_fails(
    tmp_path: Path,
    fake: type[FakeGuest],
    command: str,
    instead: tuple[str, int, bool],
    what: str,
) -> None:
    fake.instead[command] = instead
    with pytest.raises(BenchError, match=what) as raised:
        bench.measure_boot(Path("bzImage"), tmp_path, ["hit"], tmp_path / "console.log")
    assert raised.value.exit_status == 1
    assert fake.asked[-1] == "exit"


def test_guest_that_fails(tmp_path: Path, fake: type[FakeGuest]) -> None:
    log = tmp_path / "console.log"
    fake.complaints.append("WARNING: at map.c")
    with pytest.raises(GuestError, match="the kernel complained") as raised:
        bench.measure_boot(Path("bzImage"), tmp_path, ["hit"], log)
    assert raised.value.detail == "WARNING: at map.c"
    fake.instead["cp"] = ("cp: no\n", 1, False)
    with pytest.raises(GuestError, match="the guest cannot read") as raised:
        bench.measure_boot(Path("bzImage"), tmp_path, ["hit"], log)
    assert raised.value.detail == "cp: no\n"


# A run


def test_plain_is_measured_before_patched_is_built(
    tmp_path: Path, fake: type[FakeGuest], said: Said
) -> None:
    results = run(tmp_path, fake, said)
    order = [line for line in fake.asked if line.startswith(("build", "boot"))]
    assert order == [
        "build 0",
        *(f"boot bzImage-0 tcg console-plain-{n}.log" for n in (1, 2, 3)),
        "build None",
        *(f"boot bzImage-None tcg console-patched-{n}.log" for n in (1, 2, 3)),
    ]
    ran = [line.split()[1] for line in fake.asked if line.startswith("run")]
    assert ran == [*bench.PLAIN * 3, *bench.PATCHED * 3]
    assert "measuring the plain kernel: boot 1 of 3" in said
    patches = len(list((ROOT / "patches" / "7.3").glob("*.patch")))
    assert (results.patches, results.release) == (patches, "7.3.4-fake")
    content = json.loads((tmp_path / "bench.json").read_text())
    assert len(content["figures"]) == len(results.figures) == 7 * 6 + 2
    assert content["kvm_ratios"] == []


def test_upto(tmp_path: Path, fake: type[FakeGuest], said: Said) -> None:
    assert run(tmp_path, fake, said, upto=2).patches == 2
    assert [line for line in fake.asked if "build" in line] == ["build 0", "build 2"]
    fake.asked.clear()
    with pytest.raises(UsageError, match="and so is --upto 0"):
        run(tmp_path, fake, said, upto=0)
    with pytest.raises(UsageError, match="there is no patch 99 in "):
        run(tmp_path, fake, said, upto=99)
    assert fake.asked == []


def test_boots_that_differ(tmp_path: Path, fake: type[FakeGuest], said: Said) -> None:
    """A fifth boot of six with 2 instructions more of 160: more than 0.5 %."""
    fake.extra["hit", 5] = 2.0
    with pytest.raises(BenchError) as raised:
        run(tmp_path, fake, said)
    first = "hit array update program: 210.0, 212.0, 210.0"
    assert raised.value.detail.splitlines()[0] == first
    assert not any("syscall" in line for line in raised.value.detail.splitlines())
    assert not (tmp_path / "bench.json").exists()


def test_kvm(tmp_path: Path, fake: type[FakeGuest], said: Said) -> None:
    """Besides: a boot of each kernel whose nanoseconds become ratios."""
    results = run(tmp_path, fake, said, accel=KVM)
    boots = [line for line in fake.asked if line.startswith("boot")]
    assert boots[3] == "boot bzImage-0 kvm console-plain-kvm.log"
    assert boots[7] == "boot bzImage-None kvm console-patched-kvm.log"
    assert results.figures[HIT].cost == 210
    assert results.kvm_ratios[HIT] == 1.909
    assert results.kvm_ratios[HIT.under("kprobe_map_fn")] == 2.0
    setups = {row.setup for row in results.kvm_ratios}
    assert not setups & {"unpatched", "unattached", "iterate"}
    _, output = shown(results, None, tmp_path)
    assert "time under KVM" in output and "(inexact)" in output
    rows = [line.split() for line in output.splitlines()]
    assert rows.count(["update", "program", *["1.91"] * 3, "2.00", "2.00"]) == 2


# What is shown


def test_tables(tmp_path: Path, fake: type[FakeGuest], said: Said) -> None:
    results = run(tmp_path, fake, said)
    status, output = shown(results, None, tmp_path)
    lines = [line.rstrip() for line in output.splitlines()]
    assert status == 0
    assert lines[0] == "instructions for an operation, and what the hooks add:"
    headings = "patched attached filtered hit fmod_ret map_fn map_fn"
    assert lines[2].split() == headings.split()
    rows = [line.split() for line in lines]
    attached = ["210", "+110"] * 3
    by_program = ["update", "program", "100", "110", "+10", *attached, "200", "200"]
    assert rows.count(by_program) == 2
    by_syscall = ["1060", "1070", "+10", *["1170", "+110"] * 3, "n/a", "skipped"]
    assert ["delete", "syscall", *by_syscall] in rows
    assert ["hash", "200.2"] in rows
    assert "KVM" not in output


def test_real_figures_fit_in_80_columns(tmp_path: Path) -> None:
    """The widest there are, with signs: no cell is folded or cut."""
    figures = {}
    for setup in (*bench.PLAIN[:-1], *bench.PATCHED):
        row = Row(setup, "lru_percpu_hash", "update", "syscall")
        more = 0 if setup == "unpatched" else 345
        figures[row] = Figure("figure", 2161.7 + more, 0.0)
        if setup == "kprobe_map_fn":
            figures[row] = Figure("skipped")
    _, output = shown(Results("7.3", 3, "7.3.4", figures), None, tmp_path)
    cells = " ".join(["2507 +345"] * 4)
    assert f"\n update syscall    2162 {cells}   2507 skipped" in output
    assert max(map(len, output.splitlines())) <= 80


def test_chart(tmp_path: Path, fake: type[FakeGuest], said: Said) -> None:
    shown(run(tmp_path, fake, said), None, tmp_path)
    text = (tmp_path / "bench.svg").read_text()
    for word in ("by a program", "by a syscall", "hash delete", *bench.PATCHED):
        assert f">{word}</text>" in text


def test_chart_shows_what_is_added(
    tmp_path: Path, fake: type[FakeGuest], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    results = run(tmp_path, fake, said)
    monkeypatch.setattr("vm.chart.dots", lambda *words: drawn.extend(words))
    bench.draw(results.figures, tmp_path / "bench.svg")
    panels = drawn[3]
    assert list(panels) == ["by a program", "by a syscall"]
    added = {"array update": 110, "hash update": 110, "hash delete": 110}
    assert panels["by a syscall"]["hit"] == added
    assert panels["by a syscall"]["kprobe_map_fn"] == {}
    assert "unpatched" not in panels["by a program"]


def test_comparison(tmp_path: Path, fake: type[FakeGuest], said: Said) -> None:
    """5 instructions in one setup: named for each operation, whatever it costs."""
    old = run(tmp_path, fake, said)
    assert shown(old, old, tmp_path)[0] == 0
    fake.extra["hit", 0] = 5.0
    status, output = shown(run(tmp_path, fake, said), old, tmp_path)
    assert status == 1
    lines = output.splitlines()
    assert "worse:   hit hash update syscall: 1210.0 -> 1215.0, +5.0" in lines
    assert len([line for line in lines if line.startswith("worse:")]) == 6
    assert (
        f"against 7.3.4-fake with {old.patches} patches: 6 worse, 0 gone, 0 better, "
        "0 added; up to 2 instructions are no difference"
    ) in lines
    fake.extra["hit", 0] = -5.0
    status, output = shown(run(tmp_path, fake, said), old, tmp_path)
    assert status == 0 and "0 worse, 0 gone, 6 better" in output
