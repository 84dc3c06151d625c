"""Whole runs of pytest with the plugin: its exit status and what it says.

Kernel and guest are those of testdata/fake_run.py; the rest is real.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NO_BUILD = """\
build failed: the kernel does not build: map.c:3: error: no
    map.c:3: error: no
command: make bzImage
next:    the whole output is in """
GUEST_LOST = "guest lost: panic: no way out\n    last words\nnext:    look\n"


class Bench:
    """A folder with selftests for the fakes, and runs of pytest in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.status = -1
        self.output = ""
        tests = folder / "selftests"
        tests.mkdir()
        shutil.copy(ROOT / "selftests" / "conftest.py", tests)
        shutil.copy(ROOT / "pyproject.toml", folder)
        (tests / "Makefile").write_text("TESTS := one \\\n\ttwo\n")
        (tests / "helper.c").write_text("f.helper.fails")
        self.tests("f.hash.passes f.array.passes", "f.percpu.passes")

    def tests(self, one: str, two: str = "") -> None:
        """Name the tests of one.c and two.c."""
        (self.folder / "selftests" / "one.c").write_text(one)
        (self.folder / "selftests" / "two.c").write_text(two)

    def run(self, *arguments: str, how: str = "", typed: str = "") -> str:
        """Run pytest as run_tests.py does; its output, in which nothing crashed."""
        paths = [ROOT, ROOT / "vm" / "testdata"]
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "FAKE_RUN": how,
        }
        for old in self.folder.glob("guest"):
            old.unlink()
        command = [sys.executable, "-m", "pytest", "-p", "vm.plugin", "-p", "fake_run"]
        command += ["-c", "pyproject.toml", "--rootdir", ".", f"--cache={self.cache}"]
        result = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env=environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.status, self.output = result.returncode, result.stdout
        for word in ("Traceback (most", "INTERNALERROR", "plugin.py:"):
            assert word not in self.output, self.output
        return self.output

    @property
    def guest(self) -> list[str]:
        """What the guest was asked for: enter, the tests that ran, exit."""
        file = self.folder / "guest"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.replace("run /run/selftests/", "") for line in lines]

    @property
    def logs(self) -> Path:
        """The folder of the last run."""
        return max((self.cache / "runs").iterdir(), key=lambda f: f.stat().st_ctime_ns)

    @property
    def ktap(self) -> list[str]:
        """The KTAP file of the last run."""
        lines = (self.logs / "results.ktap").read_text().splitlines()
        return [line.strip() for line in lines]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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


# Options


def test_no_path_is_the_selftests(bench: Bench) -> None:
    (bench.folder / "test_other.py").write_text("def test_other(): pass\n")
    assert "3 passed" in bench.run()
    assert "1 passed" in bench.run("test_other.py")
    assert (bench.status, bench.guest) == (0, [])


def test_choice_of_tests(bench: Bench) -> None:
    assert "1 passed, 2 deselected" in bench.run("-k", "percpu")
    assert bench.guest[1:-1] == ["two -r f.percpu.passes"]
    assert "2 passed" in bench.run("selftests/one.c")
    assert "1 passed" in bench.run("selftests/one.c::f.array.passes")
    assert bench.status == 0
    assert "1 passed" in bench.run("-k", "percpu", "--upto", "0")
    assert "Linux" not in bench.output and ", the first 0 patches\n" in bench.output


def test_first_failure_is_the_last_test(bench: Bench) -> None:
    bench.tests("f.hash.fails f.array.passes")
    assert "1 failed" in bench.run("-x")
    assert (bench.status, len(bench.guest)) == (1, 3)
    assert bench.guest[-1] == "exit None"


def test_collect_only(bench: Bench) -> None:
    output = bench.run("--collect-only", "-q")
    assert output.startswith("building\nselftests/one.c::f.hash.passes\n")
    assert "3 tests collected" in output
    assert (bench.status, bench.guest) == (0, [])
    assert not (bench.logs / "junit.xml").exists()


def test_junit_file_of_the_user(bench: Bench) -> None:
    bench.run("--junitxml", "results.xml")
    cases = ET.parse(bench.folder / "results.xml").getroot().iter("testcase")
    names = [case.get("name") for case in cases]
    assert names == ["f.hash.passes", "f.array.passes", "f.percpu.passes"]
    assert not (bench.logs / "junit.xml").exists()


def test_shell(bench: Bench) -> None:
    assert bench.run("--shell", typed="3\n") == "building\n"
    assert bench.status == 3


def test_bench(bench: Bench) -> None:
    """Two kernels built for it, no test run, and all that it writes is named."""
    output = bench.run("--bench")
    assert bench.status == 0
    assert bench.guest == []
    lines = output.splitlines()
    assert [line for line in lines if line.startswith("building")] == [
        *("building bench", "building bench"),
    ]
    assert lines.index("building bench") < lines.index(
        "measuring the plain kernel: boot 1 of 3"
    )
    assert "kernel:  7.3.4-fake, accelerator: tcg (TCG: of the fakes)" in lines
    assert lines[-1] == f"logs:    {bench.logs}: bench.json, bench.svg"
    assert ", all patches\n" in output
    assert "test session starts" not in output


def test_bench_against_an_earlier_one(bench: Bench) -> None:
    bench.run("--bench")
    earlier = bench.logs / "bench.json"
    output = bench.run("--bench", "--against", str(earlier))
    assert bench.status == 0
    assert "0 worse, 0 gone, 0 better, 0 added" in output
    output = bench.run("--bench", "--against", str(earlier), how="slow hook")
    assert bench.status == 1
    assert "\nworse:   hit hash update syscall: 1210.0 -> 1215.0, +5.0\n" in output
    assert (bench.logs / "bench.json").exists()


def test_bench_that_fails(bench: Bench) -> None:
    output = bench.run("--bench", how="no hook")
    assert bench.status == 1
    assert output.count("bench failed: hit: no hook\n") == 1
    bench.run("--bench", how="no build")
    assert bench.status == 6
    assert NO_BUILD in bench.output


def test_help_leaves_nothing_behind(bench: Bench) -> None:
    assert "--kernel-tree=DIR" in bench.run("--help")
    assert (bench.status, bench.cache.exists()) == (0, False)


def test_logs_of_old_runs_are_removed(bench: Bench) -> None:
    old = [bench.cache / "runs" / f"2000010{n}-000000-1" for n in range(9)]
    for folder in (*old, bench.cache / "runs" / "20000109-000000-1"):
        folder.mkdir(parents=True)
    bench.run("--collect-only", "-q")
    assert not old[0].exists() and old[1].exists()
