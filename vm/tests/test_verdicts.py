"""What the kernel's own tests of BPF say, and comparing it."""

from __future__ import annotations

import pytest

from vm.channel import Result
from vm.splats import scan
from vm.verdicts import (
    NOT_RUN,
    Row,
    Verdict,
    compare,
    notes_of,
    summary_of,
    verdicts_of,
)

PASSED, SKIPPED = Verdict("passed"), Verdict("skipped")
FAILED, ABSENT = Verdict("failed", "no"), Verdict(NOT_RUN)
COMPLAINED, LOST = Verdict("complained", "KASAN"), Verdict("lost", "panic")

OUTPUT = """\
WARNING! Selftests relying on bpf_testmod.ko will be skipped.
#12/1    timer/one:OK
test_two:PASS:open 0 nsec
test_two:FAIL:load unexpected error: -22 (errno 22)
test_two:FAIL:attach unexpected error: -2 (errno 2)
#12/2    timer/two: of 3:FAIL
#12/3    timer/four:SKIP
#12      timer:FAIL

All error logs:
test_two:FAIL:load unexpected error: -22 (errno 22)
#12/2    timer/two: of 3:FAIL
#12      timer:FAIL
Summary: 0/1 PASSED, 1 SKIPPED, 1/1 FAILED
"""
WHY = "test_two:FAIL:load unexpected error: -22 (errno 22)"


def of(output: str, status: int, *, late: bool = False, alone: bool = False) -> object:
    result = Result(status, output, 3.0, late)
    return verdicts_of("timer", result, [], alone=alone)


def test_test_progs() -> None:
    """The first failed check is why."""
    assert of(OUTPUT, 1) == {
        "timer/one": PASSED,
        "timer/two: of 3": Verdict("failed", WHY),
        "timer/four": SKIPPED,
        "timer": Verdict("failed", WHY),
    }


@pytest.mark.parametrize(
    ("output", "status", "verdict"),
    [
        ("#3       timer:OK\n", 0, PASSED),
        ("#3       timer:OK (SKIP: 1/2)\n", 0, PASSED),
        ("#3       timer:SKIP\n", 0, SKIPPED),
        ("#3       timer:SKIP (not built)\n", 0, SKIPPED),
        (
            "#3       timer:OK\n",
            1,
            Verdict("failed", "said passed, then exit status 1"),
        ),
        ("#3       timer:FAIL\n", 1, Verdict("failed", "no output")),
        ("", 2, Verdict(NOT_RUN, "no output")),
        ("open: no\n", 255, Verdict(NOT_RUN, "open: no")),
        (
            "Caught signal #11!\n",
            139,
            Verdict("failed", "exit status 139: Caught signal #11!"),
        ),
    ],
)
def test_ends_of_test_progs(output: str, status: int, verdict: Verdict) -> None:
    assert of(output, status) == {"timer": verdict}


def test_program() -> None:
    """Its exit status counts; of what it prints, only what it says of its parts."""
    output = (
        "test_a:PASS\nsanity (map_type:9): Pass\nretry:OK\nFork 2 tasks\ntest_b:SKIP\n"
    )
    parts = {
        "timer/test_a": PASSED,
        "timer/sanity (map_type:9)": PASSED,
        "timer/test_b": SKIPPED,
    }
    assert of(output, 0, alone=True) == {**parts, "timer": PASSED}
    failed = Verdict("failed", "exit status 255: x(7):FAIL:y")
    found = of(f"{output}x(7):FAIL:y\nbye\n", 255, alone=True)
    assert found == {**parts, "timer": failed}


def test_timeout() -> None:
    """Whatever it said."""
    verdict = Verdict("failed", "timed out after 3 s")
    assert of("#3       timer:OK\n", 143, late=True) == {"timer": verdict}


@pytest.mark.parametrize(
    ("plain", "patched", "change"),
    [
        (PASSED, PASSED, "passed"),
        (PASSED, SKIPPED, "worse"),
        (PASSED, FAILED, "worse"),
        (SKIPPED, FAILED, "worse"),
        (SKIPPED, SKIPPED, "skipped"),
        (SKIPPED, PASSED, "better"),
        (FAILED, FAILED, "failed"),
        (FAILED, PASSED, "better"),
        (FAILED, COMPLAINED, "worse"),
        (FAILED, LOST, "worse"),
        (COMPLAINED, LOST, "worse"),
        (COMPLAINED, COMPLAINED, "complained"),
        (LOST, FAILED, "better"),
        (PASSED, None, NOT_RUN),
        (None, PASSED, NOT_RUN),
        (ABSENT, ABSENT, NOT_RUN),
    ],
)
def test_change(plain: Verdict | None, patched: Verdict | None, change: str) -> None:
    both = [{"a": v} if v else {} for v in (plain, patched)]
    assert [row.change for row in compare(*both)] == [change]


def test_subtests_that_one_kernel_did_not_get_to() -> None:
    """They do as their test does, and are not told of, unless that passed."""
    parts = {"a/x": PASSED, "a/y": PASSED}
    rows = compare({"a": FAILED}, {"a": PASSED, **parts})
    assert [row.change for row in rows] == ["better"] * 3
    assert notes_of(rows) == ["better:  a: no"]
    rows = compare({"a": PASSED, **parts}, {"a": FAILED, "a/x": PASSED})
    assert [row.change for row in rows] == ["worse", "passed", "worse"]
    assert notes_of(rows) == ["worse:   a: no"]
    rows = compare({"a": PASSED, **parts}, {"a": PASSED, "a/x": PASSED})
    assert [row.change for row in rows] == ["passed", "passed", NOT_RUN]
    assert notes_of(rows) == ["not run: a/y"]
    rows = compare({"a": FAILED, **parts}, {"a": FAILED, "a/x": PASSED})
    assert [row.change for row in rows] == ["failed", "passed", "worse"]
    assert notes_of(rows) == ["on both: a: no", "worse:   a/y: no"]


def test_complaint_of_the_kernel() -> None:
    """It is worse than a failure of the test alone, which may be there already."""
    result = Result(1, "#3       timer:FAIL\n", 3.0, False)
    splats = scan("Linux version 7.3.4\nBUG: KASAN: use-after-free in f+0x1\n").splats
    plain, patched = (
        verdicts_of("timer", result, s, alone=False) for s in ([], splats)
    )
    rows = compare(plain, patched)
    why = "KASAN: BUG: KASAN: use-after-free in f+0x1"
    assert notes_of(rows) == [f"worse:   timer: {why}"]
    rows = compare(patched, patched)
    assert notes_of(rows) == [f"on both: timer: {why}"]
    assert "0 worse, 0 not run, 0 better, 1 failed on both" in summary_of(rows)


def test_order() -> None:
    """Each test before its subtests, which programs print first."""
    rows = compare(
        {"a/x": PASSED, "a": PASSED, "b": PASSED}, {"a": PASSED, "c": PASSED}
    )
    assert [row.name for row in rows] == ["a", "a/x", "b", "c"]
    assert rows[0] == Row("a", PASSED, PASSED)
