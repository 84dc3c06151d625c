"""Whole runs of pytest with the plugin: its exit status and what it says.

Kernel and guest are those of testdata/fake_run.py; the rest is real.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from vm.conftest import NO_BUILD, Bench

GUEST_LOST = "guest lost: panic: no way out\n    last words\nnext:    look\n"

# The outcome of the tests


def test_all_pass(bench: Bench) -> None:
    output = bench.run()
    assert bench.status == 0
    assert "3 passed" in output and "7.3.4-fake, accelerator: tcg" in output
    assert re.search(r"^all +3 +0 +0 +1\.5$", output, re.MULTILINE)
    assert bench.guest == [
        "enter",
        "one -r f.hash.passes",
        "one -r f.array.passes",
        "two -r f.percpu.passes",
        "exit None",
    ]
    assert bench.ktap[-1] == "ok 2 two"
    assert (bench.logs / "junit.xml").exists()


def test_failure(bench: Bench) -> None:
    bench.tests("f.hash.fails f.hash.passes f.hash.skips")
    output = bench.run("--tb=short", "-rN", "--show-capture=no")
    assert bench.status == 1
    assert "1 failed, 1 passed, 1 skipped" in output
    said = "s.c:12:fails:Expected 0 (0) == self->fd (3)"
    assert f"f.hash.fails: Test failed\n{said}\n" in output
    assert bench.ktap[5:7] == ["# Test failed", f"# {said}"]
    assert "ok 3 f.hash.skips # SKIP no map of type 1 # here" in bench.ktap
    assert bench.guest[-1] == "exit None"


@pytest.mark.parametrize("what", ["hangs", "crashes"])
def test_failure_without_a_word(bench: Bench, what: str) -> None:
    bench.tests(f"f.hash.{what}")
    why = {"hangs": "no end after 0 s", "crashes": "unexpectedly by signal 11"}[what]
    assert why in bench.run("--show-capture=no")
    assert bench.status == 1


def test_all_skipped(bench: Bench) -> None:
    bench.tests("f.hash.skips", "f.array.skips")
    assert "2 skipped" in bench.run()
    assert bench.status == 5
    bench.run("-k", "nothing")
    assert bench.status == 5


def test_splats_fail_the_test_that_they_came_with(bench: Bench) -> None:
    bench.tests("f.hash.passes f.hash.splats f.array.passes")
    output = bench.run("--show-capture=no")
    assert bench.status == 1
    assert "1 failed, 2 passed" in output
    assert "the kernel complained\nWARNING: at map.c\nBUG: sleeping" in output
    assert "not ok 2 f.hash.splats" in bench.ktap


def test_late_splats_fail_the_run(bench: Bench) -> None:
    output = bench.run(how="late splat")
    assert bench.status == 7
    assert "3 passed" in output
    assert output.count("the kernel complained after the last test") == 1
    assert "    WARNING: suspicious RCU usage\n" in output
    assert bench.guest[-1] == "exit None"
    bench.tests("f.hash.panics")
    output = bench.run(how="late splat")
    assert GUEST_LOST in output and "complained" not in output


# Runs that cannot go on


def test_build_that_fails(bench: Bench) -> None:
    output = bench.run(how="no build")
    assert bench.status == 6
    assert output.count(NO_BUILD) == output.count("does not build") == 1
    assert f"logs:    {bench.logs}\n" in output
    assert bench.guest == []


def test_program_that_lists_no_tests(bench: Bench) -> None:
    output = bench.run(how="no list")
    assert bench.status == 6
    assert output.count("lists no tests\nnext:    mend it\n") == 1


def test_guest_that_is_lost(bench: Bench) -> None:
    bench.tests("f.hash.passes f.hash.panics f.array.passes", "f.percpu.passes")
    output = bench.run()
    assert bench.status == 7
    assert output.count(GUEST_LOST) == output.count("last words") == 1
    assert "1 failed, 1 passed" in output
    ran = ["one -r f.hash.passes", "one -r f.hash.panics"]
    assert bench.guest == ["enter", *ran, "exit KeyboardInterrupt"]
    assert bench.ktap[6:8] == ["# panic: no way out", "not ok 2 f.hash.panics"]
    suite = ET.parse(bench.logs / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("no boot", "guest lost: hang during boot\n    last words\nnext: "),
        ("no copy", "    cp: no\nnext: "),
        ("late panic", "guest lost: panic at power-off\n    last words\nnext: "),
    ],
)
def test_guest_that_is_lost_before_or_after_the_tests(
    bench: Bench, how: str, text: str
) -> None:
    output = bench.run(how=how)
    assert bench.status == 7
    assert output.count(text) == 1
    left = {"no boot": [], "no copy": ["enter", "exit KeyboardInterrupt"]}
    assert bench.guest == left.get(how, bench.guest)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--base 9.9", "9.9 has no patches"),
        ("--upto 9", "there is no patch 9 in "),
        ("--upto 9 --collect-only", "there is no patch 9 in "),
        ("--require-kvm", "there is no KVM"),
        ("--shell --require-kvm", "there is no KVM"),
        ("--shell --base 9.9", "9.9 has no patches"),
        ("--bench --base 9.9", "9.9 has no patches"),
        ("--bench --upto 0", "--bench compares with the plain kernel"),
        ("--bench --upto 9", "there is no patch 9 in "),
        ("--bench --against none", "--against none: No such file"),
        ("--bench --against pyproject.toml", "pyproject.toml: this is no JSON"),
        ("--against none", "--against is for --bench"),
        ("--bench --debug-kernel", "--bench measures the kernel as it is, "),
        ("--cache FILE", "cannot write the cache folder "),
        ("--cache FILE --bench", "cannot write the cache folder "),
        ("--cache FILE --collect-only", "cannot write the cache folder "),
        ("--cache FILE --shell", "cannot write the cache folder "),
    ],
)
def test_usage_error(bench: Bench, arguments: str, text: str) -> None:
    words = arguments.replace("FILE", str(bench.folder / "pyproject.toml" / "x"))
    output = bench.run(*words.split())
    assert bench.status == 4
    assert output.count("next:    ") == output.count(text) == 1, output
    assert re.search(rf"^usage error: .*{text}", output, re.MULTILINE)
    assert bench.guest == []


def test_interrupt(bench: Bench) -> None:
    bench.tests("f.hash.passes f.hash.interrupts f.array.passes")
    assert "KeyboardInterrupt" in bench.run()
    assert bench.status == 2
    assert bench.guest[-2:] == ["one -r f.hash.interrupts", "exit KeyboardInterrupt"]
    assert "ok 1 f.hash.passes" in bench.ktap


@pytest.mark.parametrize("option", ["--shell", "--bench", "--collect-only", "-x"])
def test_interrupt_of_the_build(bench: Bench, option: str) -> None:
    bench.run(option, how="interrupted")
    assert (bench.status, bench.guest) == (2, [])
