"""Tests of vm/report.py."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from vm.guest import Result
from vm.report import Reporter, TestReport, judge, variants_table, write_ktap

DATA = Path(__file__).with_name("testdata")
REPORTS = [
    TestReport("one", "map.hash.a", "passed", "", (), 0.25),
    TestReport("one", "map.array.a", "failed", "Test failed", ("x.c:1:a:no",), 0.5),
    TestReport("two", "other.b", "skipped", "no such map", (), 1.0),
    TestReport("two", "map.hash.b", "passed", "", (), 0.25),
]
KTAP = """\
KTAP version 1
1..2
  # Subtest: one
  KTAP version 1
  1..2
  ok 1 map.hash.a
  # Test failed
  # x.c:1:a:no
  not ok 2 map.array.a
not ok 1 one
  # Subtest: two
  KTAP version 1
  1..2
  ok 1 other.b # SKIP no such map
  ok 2 map.hash.b
ok 2 two
"""
TABLE = """\
variant  passed  failed  skipped  seconds
hash          2       0        0      0.5
array         0       1        0      0.5
-             0       0        1      1.0
all           2       1        1      2.0
"""


def reporter(*, terminal: bool) -> tuple[Reporter, io.StringIO]:
    """A reporter and what it writes."""
    file = io.StringIO()
    return Reporter(Console(file=file, force_terminal=terminal, width=80)), file


def result(name: str, status: int = 0, timed_out: bool = False) -> Result:
    """That of a recorded test."""
    text = (DATA / f"ktap_{name}.txt").read_text()
    return Result(status, text, 60.25, timed_out)


def test_ktap_file(tmp_path: Path) -> None:
    write_ktap(tmp_path / "results.ktap", REPORTS)
    assert (tmp_path / "results.ktap").read_text() == KTAP


def test_table() -> None:
    file = io.StringIO()
    Console(file=file, width=100).print(variants_table(REPORTS))
    assert [line.rstrip() for line in file.getvalue().splitlines()] == (
        TABLE.splitlines()
    )


@pytest.mark.parametrize(
    ("ended", "splats", "outcome", "reason"),
    [
        (result("passes"), [], "passed", ""),
        (result("skips"), [], "skipped", "no map of type 1 # here"),
        (result("fails", 1), [], "failed", "Test failed"),
        (result("passes", 139), [], "failed", "said ok, then ended by signal 11"),
        (result("passes", timed_out=True), [], "failed", "no end after 60 s"),
        (result("passes"), ["BUG: x"], "failed", "the kernel complained"),
        (result("skips"), ["BUG: x"], "failed", "the kernel complained"),
    ],
)
def test_judge(ended: Result, splats: list[str], outcome: str, reason: str) -> None:
    report = judge("one", "map.hash.a", ended, splats)
    assert (report.outcome, report.reason) == (outcome, reason)
    assert (report.program, report.name) == ("one", "map.hash.a")
    assert report.seconds == 60.25
    assert report.diagnostics[-len(splats) :] == tuple(splats) or not splats


def test_diagnostics_and_splats() -> None:
    notes = judge("one", "x", result("fails", 1), ["BUG: x"]).diagnostics
    assert notes[0] == "s.c:12:fails:Expected 0 (0) == self->fd (3)"
    assert (len(notes), notes[-1]) == (4, "BUG: x")


def test_progress_in_a_log() -> None:
    said, file = reporter(terminal=False)
    said.say("building [bzImage]")
    for done in range(1, 251):
        said.progress(done, 250)
    said.finish()
    said.progress(100, None)
    assert file.getvalue().splitlines() == [
        *("building [bzImage]", "  100 of 250", "  200 of 250", "  100"),
    ]


def test_progress_of_bytes_in_a_log() -> None:
    said, file = reporter(terminal=False)
    for done in range(0, 200_001, 1000):
        said.progress(done, 200_000)
    assert len(file.getvalue().splitlines()) == 10


def test_progress_on_a_terminal() -> None:
    said, file = reporter(terminal=True)
    said.progress(1, 4)
    said.progress(4, 4)
    said.say("done")
    assert "4/4" in file.getvalue() and file.getvalue().endswith("done\n")
