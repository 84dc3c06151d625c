"""Tests of vm/ktap.py, on output recorded from 7.3's kselftest_harness.h."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.ktap import KtapResult, list_tests, parse

DATA = Path(__file__).with_name("data")


def output(name: str) -> str:
    """A recorded output."""
    return (DATA / f"ktap_{name}.txt").read_text()


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("passes", 0, KtapResult("ok", "", ())),
        (
            "fails",
            1,
            KtapResult(
                "not ok",
                "Test failed",
                (
                    "s.c:12:fails:Expected 0 (0) == self->fd (3)",
                    "s.c:12:fails:fd of type 1",
                    "s.c:12:fails:Expected 'abc' == 'abd'.",
                ),
                checked=True,
            ),
        ),
        (
            "asserts",
            1,
            KtapResult(
                "not ok",
                "Test terminated by assertion",
                ("s.c:13:asserts:Expected 2 (2) >= self->fd (3)",),
                checked=True,
            ),
        ),
        ("skips", 0, KtapResult("skip", "no map of type 1 # here", ())),
        (
            "crashes",
            1,
            KtapResult("not ok", "Test terminated unexpectedly by signal 11", ()),
        ),
        ("hangs", 1, KtapResult("not ok", "Test terminated by timeout", ())),
        ("fake_result", 0, KtapResult("ok", "", ())),
        ("no_test", 0, KtapResult("crashed", "the program has no such test", ())),
    ],
)
def test_parse(name: str, status: int, expected: KtapResult) -> None:
    assert parse(output(name), status) == expected


def test_program_that_dies() -> None:
    text = output("fails")
    cut = text[: text.index("#          FAIL")]
    result = parse(cut, 139)
    assert result.outcome == "crashed"
    assert result.reason == "no result: ended by signal 11"
    assert len(result.diagnostics) == 3
    assert parse("", 127).reason == "no test started: exit status 127"
    late = parse(output("passes"), 134)
    assert (late.outcome, late.reason) == ("crashed", "said ok, then ended by signal 6")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1..1\n", "", "said ok, but planned no tests"),
        ("1..1\n", "1..2\n", "said ok, but planned 2 tests"),
        ("passes\n#", "passes # TODO later\n#", "said ok, but TODO later"),
        ("passes\n#", "passes # XFAIL known\n#", "said ok, but XFAIL known"),
        ("ok 1", "Bail out! no memory\nok 1", "bailed out: no memory"),
        ("ok 1 map.hash", "ok 1 map.h\0sh", "no result: exit status 0"),
        ("ok 1 map.hash", "ok 1 map.array", "no result: exit status 0"),
    ],
)
def test_contradictions(old: str, new: str, reason: str) -> None:
    """Whatever a program says besides, only what is all right is all right."""
    text = output("passes")
    assert old in text
    result = parse(text.replace(old, new), 0)
    assert (result.outcome, result.reason) == ("crashed", reason)


@pytest.mark.parametrize("fake", ["not ok 1 empty.two", "not ok 1 another.test"])
def test_result_lines_of_the_test_itself(fake: str) -> None:
    """Only the last line with the test's own name is the result."""
    text = output("fake_result").replace("not ok 1 fake", fake)
    assert fake in text and parse(text).outcome == "ok"
    end = f"{output('fake_result')}{fake}\n"
    assert (parse(end).outcome == "ok") == ("another" in fake)


def test_list_tests() -> None:
    """Every variant with every test, though the table puts them side by side."""
    tests = ["passes", "fails", "asserts", "skips", "crashes", "hangs", "parent_dies"]
    variants = ["hash", "array", "lru_percpu_hash"]
    expected = ["global.alone"]
    expected += [f"map.{variant}.{test}" for variant in variants for test in tests]
    expected += ["empty.one", "empty.two"]
    assert list_tests(output("list").splitlines()) == expected


def test_list_tests_with_long_names() -> None:
    row = "{:<20} {:<25} {}\n"
    table = row.format("# FIXTURE", "VARIANT", "TEST")
    table += row.format(
        "a_fixture_longer_than_twenty", "a_variant_longer_than_25_x", "a"
    )
    table += row.format("", "second_variant_longer_than_25", "b")
    table += row.format("", "third", "")
    table += "-" * 80 + "\n"
    table += row.format("another_longer_than_twenty", "", "c")
    long = "a_fixture_longer_than_twenty"
    assert list_tests(table.splitlines()) == [
        f"{long}.{variant}.{test}"
        for variant in (
            "a_variant_longer_than_25_x",
            "second_variant_longer_than_25",
            "third",
        )
        for test in "ab"
    ] + ["another_longer_than_twenty.c"]


def test_list_of_no_tests() -> None:
    assert list_tests([]) == []
    assert list_tests(output("list").splitlines()[:1]) == []


def test_failed_check_before_a_skip() -> None:
    text = (DATA / "ktap_skips.txt").read_text()
    start = (
        "# Starting 1 tests from 1 test cases.\n#  RUN           map.hash.skips ...\n"
    )
    assert start in text
    said = "# s.c:12:skips:Expected 0 (0) == 1 (1)\n"
    result = parse(text.replace(start, start + said), 0)
    assert (result.outcome, result.reason) == (
        *("not ok", "a check failed before the skip: no map of type 1 # here"),
    )
    noted = text.replace(start, start + "# s.c:12:skips:fd of type 1\n")
    assert parse(noted, 0).outcome == "skip"
