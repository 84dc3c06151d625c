"""Tests of vm/results.py."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from vm.channel import Result
from vm.results import TestResult, judge, variants_table, write_ktap
from vm.splats import Splat, scan

DATA = Path(__file__).with_name("data")


def reports(*lines: str) -> list[Splat]:
    """What the kernel reported."""
    return scan("Linux version 7.3.4\n" + "\n".join(lines)).splats


RESULTS = [
    TestResult("one", "map.hash.a", "passed", "", (), 0.25),
    TestResult("one", "map.array.a", "failed", "Test failed", ("x.c:1:a:no",), 0.5),
    TestResult("two", "other.b", "skipped", "no such map", (), 1.0),
    TestResult("two", "map.hash.b", "passed", "", (), 0.25),
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
KTAP_CUT = """\
KTAP version 1
1..2
  # Subtest: two
  KTAP version 1
  1..3
  ok 1 map.hash.b
# 2 of 3 tests have no result
not ok 1 two
"""
TABLE = """\
variant  passed  failed  skipped  seconds
-             0       0        1      1.0
array         0       1        0      0.5
hash          2       0        0      0.5
all           2       1        1      2.0
"""


def result(name: str, status: int = 0, timed_out: bool = False) -> Result:
    """That of a recorded test."""
    text = (DATA / f"ktap_{name}.txt").read_text()
    return Result(status, text, 60.25, timed_out)


def test_ktap_file(tmp_path: Path) -> None:
    for planned in ({}, {"one": 2, "two": 2}):
        write_ktap(tmp_path / "results.ktap", RESULTS, planned)
        assert (tmp_path / "results.ktap").read_text() == KTAP


def test_ktap_file_that_is_not_complete(tmp_path: Path) -> None:
    """A run that was cut is not taken for one in which all passed."""
    write_ktap(tmp_path / "results.ktap", RESULTS[3:], {"one": 2, "two": 3})
    assert (tmp_path / "results.ktap").read_text() == KTAP_CUT


def test_table() -> None:
    file = io.StringIO()
    Console(file=file, width=100).print(variants_table(RESULTS))
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
        (result("passes", timed_out=True), [], "failed", "timed out after 60 s"),
        (result("passes"), ["BUG: x"], "failed", "BUG: BUG: x"),
        (result("skips"), ["WARNING: y", "BUG: x"], "failed", "BUG: BUG: x"),
    ],
)
def test_judge(ended: Result, splats: list[str], outcome: str, reason: str) -> None:
    name = ended.output.partition(" RUN ")[2].split()[0]
    judged = judge("one", name, ended, reports(*splats))
    assert (judged.outcome, judged.reason) == (outcome, reason)
    assert (judged.program, judged.name) == ("one", name)
    assert judged.seconds == 60.25
    assert set(splats) <= set(judged.diagnostics)


def test_result_of_another_test() -> None:
    """Nor of one whose name only begins or ends alike."""
    for name in ("map.hash.skips", "map.hash.passes_too", "hash.passes"):
        judged = judge("one", name, result("passes"), [])
        what = "another test started: map.hash.passes"
        assert (judged.name, judged.outcome, judged.reason) == (name, "failed", what)


def test_diagnostics_and_splats() -> None:
    notes = judge(
        "one", "map.hash.fails", result("fails", 1), reports("BUG: x")
    ).diagnostics
    assert notes[0] == "s.c:12:fails:Expected 0 (0) == self->fd (3)"
    assert (len(notes), notes[-1]) == (5, "BUG: x")
    splats = reports("WARNING: y", "BUG: x")
    twice = judge("one", "map.hash.passes", result("passes"), splats)
    assert twice.diagnostics == ("", "WARNING: y", "BUG: x")


@pytest.mark.parametrize(
    ("name", "variant"),
    [("map.hash.passes", "hash"), ("global.alone", "-"), ("x", "-")],
)
def test_variant(name: str, variant: str) -> None:
    assert TestResult("one", name, "passed", "").variant == variant


def test_result_in_words() -> None:
    assert str(RESULTS[1]) == "map.array.a: Test failed\nx.c:1:a:no"
    assert str(RESULTS[2]) == "other.b: no such map"


def test_output_is_kept() -> None:
    """A timeline may be in it."""
    ended = result("passes")
    assert judge("one", "x", ended, []).output == ended.output


def test_results_of_no_tests(tmp_path: Path) -> None:
    write_ktap(tmp_path / "results.ktap", [], {})
    assert (tmp_path / "results.ktap").read_text() == "KTAP version 1\n1..0\n"
    assert variants_table([]).row_count == 1
