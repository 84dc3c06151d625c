"""github.py: what a run tells GitHub Actions."""

from __future__ import annotations

from pathlib import Path

from vm.errors import HarnessError
from vm.github import error_commands, page
from vm.report import Outcome
from vm.results import TestResult
from vm.tests.project import Project


def failed(*diagnostics: str, name: str = "f.hash.one") -> TestResult:
    """A failed test of the program "veto"."""
    return TestResult("veto", name, "failed", "Test failed", diagnostics)


def test_annotation_is_where_the_check_is() -> None:
    check = "hooks/veto.c:59:one:Expected 0 (0) == err (-1)"
    note = "hooks/total.h:70:one:4 changes"
    (line,) = error_commands([failed("TAP", note, check, check.replace("59", "60"))])
    assert line == (
        "::error file=selftests/hooks/veto.c,line=59,title=veto f.hash.one::Test failed"
    )


def test_annotation_without_a_check() -> None:
    result = TestResult("veto", "f.a,b.c", "failed", "100 %\nlost: x")
    (line,) = error_commands([result])
    assert line == "::error title=veto f.a%2Cb.c::100 %25%0Alost: x"


def test_nothing_to_annotate() -> None:
    results = [TestResult("veto", "f.a.b", how, "") for how in ("passed", "skipped")]
    assert list(error_commands([*results, TestResult("v", "n", "xfailed", "")])) == []


def test_page() -> None:
    results = [failed("why", name=f"f.hash.{number}") for number in range(22)]
    results.append(TestResult("update", "f.hash.ok", "passed", ""))
    summary = ["kernel:  7.3"]
    run = Outcome("./run_tests.py -x", results, None, "", 0, {}, summary)
    lines = page(run).splitlines()
    assert lines[0] == "## ❌ 22 of 23 tests failed"
    assert "    ./run_tests.py -x" in lines
    for row in ("| veto | 0 | 22 | 0 | 0 |", "| update | 1 | 0 | 0 | 0 |"):
        assert row in lines
    assert "| all | 1 | 22 | 0 | 0 |" in lines
    assert lines.count("    why") == 20
    assert "and 2 more" in lines
    assert "    kernel:  7.3" in lines


def test_page_of_a_run_without_results() -> None:
    error = HarnessError("no ``` compiler", hint="find one")
    lines = page(Outcome("words", [], error, "", 0, {}, [])).splitlines()
    assert lines[0] == "## ❌ error"
    assert lines[4] == "### error"
    assert lines[6:8] == ["    error: no ``` compiler", "    next:    find one"]
    assert "| program" not in "".join(lines)


def test_page_that_GitHub_takes() -> None:
    results = [failed("x" * 100_000, name=f"f.{n}") for n in range(30)]
    text = page(Outcome("words", results, None, "", 0, {}, []))
    assert len(text) < 128 << 10
    assert text.count("bytes are left out") == 20


def test_run_on_github(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    there = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(file)}
    project.tests("f.hash.fails f.hash.passes")
    project.set("")
    process = project.start("-q", environment=there)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    assert output.count("\n::error ") == 1
    text = file.read_text()
    assert text.startswith("before\n## ❌ 1 of 3 tests failed\n")
    assert "\n| all | 2 | 1 | 0 | 0 |\n" in text
    # A page that cannot be written is no reason to lose the results.
    process = project.start(environment=there | {"GITHUB_STEP_SUMMARY": "/no/such"})
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 3
    assert "cannot write /no/such: No such file or directory" in output
