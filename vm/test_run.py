"""Whole runs with the options that decide what a run does; see test_plugin.py."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from vm.conftest import NO_BUILD, Bench


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


def test_debug_kernel(bench: Bench) -> None:
    bench.run("--debug-kernel")
    assert "\nbuilding debug\n" in bench.output
    assert "\nkernel:  7.3.4-fake, debug, accelerator: tcg" in bench.output
    assert bench.status == 0


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
