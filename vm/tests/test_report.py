"""report.py: the page of a run."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vm.errors import GuestError, HarnessError
from vm.report import Outcome, Room, write_report
from vm.results import TestResult
from vm.stopwatch import Stage
from vm.tests.project import Project

_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of the page: its text, what it refers to, its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"
        self.text = "".join(self._texts)

    def handle_starttag(
        self, tag: str, attrs: Sequence[tuple[str, str | None]]
    ) -> None:
        assert tag != "script"
        given = dict(attrs)
        self.refers += [v for k in ("href", "src") if (v := given.get(k)) is not None]
        self.ids += [v for k, v in attrs if k == "id" and v]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        if self._open[-1:] in (["h1"], ["h2"]):
            self.headings.append(data)


def outcome(
    *results: TestResult,
    error: HarnessError | None = None,
    ended: str = "",
    others: int = 0,
) -> Outcome:
    """A run with these results."""
    summary = ["source:  linux-7.3.4, all patches", "kernel:  7.3.4, tcg: KVM is not"]
    words = "./run_tests.py -k '<b>'"
    stages = {"boot": Stage(4.2, 5.1)}
    return Outcome(words, results, error, ended, others, stages, summary)


def written(folder: Path, run: Outcome) -> Page:
    """The page of a run."""
    write_report(folder, run)
    return Page((folder / "report.html").read_text())


def result(name: str, how: str = "passed", **more: object) -> TestResult:
    """A test of the program "veto"."""
    return TestResult("veto", name, how, more.pop("reason", ""), **more)  # type: ignore[arg-type]


# Its first line


@pytest.mark.parametrize(
    ("run", "title", "good"),
    [
        (outcome(result("a")), "1 test, none failed", True),
        (outcome(result("a"), result("b", "failed")), "1 of 2 tests failed", False),
        (outcome(result("a"), others=2), "2 of 3 tests failed", False),
        (outcome(result("a"), ended="interrupted"), "1 test, none failed, i", False),
        (outcome(error=HarnessError("x", hint="y")), "error", False),
        (
            outcome(result("b", "failed"), error=GuestError("x", hint="y")),
            "1 of 1 tests failed, guest lost",
            False,
        ),
    ],
)
def test_title(tmp_path: Path, run: Outcome, title: str, good: bool) -> None:
    page = written(tmp_path, run)
    assert page.headings[0].startswith(title)
    assert run.good == good


# What is in it


def test_failures_come_first(tmp_path: Path) -> None:
    trace = ("veto.c:1:x:Expected 0 == err", "", " map_update+0x1 map.c:7")
    tests = [result(f"f.a.t{n}", output=f"printed by {n}") for n in range(30)]
    tests.append(
        result("f.b.bad", "failed", reason="no way", diagnostics=trace, state=("idle",))
    )
    page = written(tmp_path, outcome(*tests))
    assert page.headings[1:4] == ["Failed tests", "All tests", "Machine"]
    head = page.text[: page.text.index("All tests\n")]
    for text in ("f.b.bad", "no way", *trace, "idle", "30 passed", "1 failed"):
        assert text in re.sub(r"\s+", " ", head) or text in head, text
    assert page.text.count("printed by 7") == 1
    assert "#veto.f.b.bad" in page.refers and page.ids.count("veto.f.b.bad") == 1


def test_nothing_is_markup_but_its_own(tmp_path: Path) -> None:
    bad = "</pre><script>alert(1)</script>\x1b[31m\x00 &amp;"
    (tmp_path / "console.log").write_text(bad)
    (tmp_path / "a<b>&.svg").write_text("<svg/>")
    test = result(bad, "failed", reason=bad, diagnostics=(bad,), output=bad)
    page = written(tmp_path, outcome(test, result("x", output=bad)))
    shown = "</pre><script>alert(1)</script>\N{SYMBOL FOR NULL} &amp;"
    assert page.text.count(shown) == 4, "trace, outputs, console"
    assert "./run_tests.py -k '<b>'" in page.text
    assert "a<b>&.svg" in page.refers


def test_needs_nothing_but_itself(tmp_path: Path) -> None:
    for name in ("console-gw0.log", "upgrade.load.svg", "results.ktap"):
        (tmp_path / name).write_text(name)
    page = written(tmp_path, outcome(result("a")))
    plots = [name for name in page.refers if name.startswith("data:image/svg+xml")]
    assert len(plots) == 1
    files = {name for name in page.refers if not re.match(r"data:|#", name)}
    assert files == {"console-gw0.log", "upgrade.load.svg", "results.ktap"}
    assert {n[1:] for n in page.refers if n[0] == "#"} <= {*page.ids}


def test_reports_on_consoles_are_marked(tmp_path: Path) -> None:
    lines = ["Linux version 7.3.4", "[    1.0] BUG: KASAN: use-after-free in f", "x"]
    (tmp_path / "console-2.log").write_text("\n".join(lines))
    write_report(tmp_path, outcome(result("a")))
    assert f"<mark>{lines[1]}</mark>" in (tmp_path / "report.html").read_text()


# Its size


def test_files_that_are_kept(tmp_path: Path) -> None:
    """Sockets are not, and may be gone at any moment."""
    (tmp_path / "build.log").touch()
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.bind(f"{tmp_path}/console.monitor")
        page = written(tmp_path, outcome(result("f.passes")))
    assert "build.log" in page.refers and "console.monitor" not in page.text


def test_page_stays_small(tmp_path: Path) -> None:
    """What matters more is not left out for what matters less."""
    long = "0123456789abcdef" * 4096
    tests = [result(f"t{n}", output=long) for n in range(400)]
    tests += [
        result(f"bad{n}", "failed", diagnostics=(f"{n} is why", long), output=long)
        for n in range(20)
    ]
    for number in range(20):
        console = tmp_path / f"console-{number}.log"
        console.write_text("first\n" + long * 8 + "\nlast")
    page = written(tmp_path, outcome(*tests))
    assert (tmp_path / "report.html").stat().st_size < 5 << 20
    assert all(f"{number} is why" in page.text for number in range(20))
    assert "first\n" in page.text and "\nlast" in page.text
    assert "bytes are left out here" in page.text


def test_text_that_is_cut(tmp_path: Path) -> None:
    room = Room(100)
    assert room.text("short", 50) == "short"
    cut = "01234\n[… 10 bytes are left out here …]\n56789"
    assert room.text("01234" + "x" * 10 + "56789", 10) == cut
    (tmp_path / "log").write_text("01234" + "x" * 10 + "56789")
    assert room.file(tmp_path / "log", 10) == cut
    assert room.left == 75
    room.text("x" * 75, 99)
    assert room.text("more", 99) == "\n[… 4 bytes are left out here …]\n"
    (tmp_path / "plot.svg").write_text("<svg/>")
    assert room.plot(tmp_path / "plot.svg") == ""


# Whole runs


def report(project: Project) -> Page:
    """The page of the last run."""
    return Page((project.logs / "report.html").read_text())


def test_run_that_fails(project: Project) -> None:
    project.tests("f.hash.passes f.hash.fails f.hash.panics", "f.array.skips")
    ended = project.run("-v")
    assert f"report:  {project.logs}/report.html\n" in ended.output
    page = report(project)
    assert page.headings[0] == "2 of 4 tests failed, guest lost"
    assert "./run_tests.py " in page.text and " -v\n" in page.text
    for text in ("Kernel panic - not syncing: no way out\n map.c:1", "no map of type"):
        assert text in page.text
    for fact in ("linux-7.3.4 (of the tests), all patches", "pahole 1.24"):
        assert fact in page.text
    assert "console-2.log" in page.refers


def test_run_with_workers(project: Project) -> None:
    """The results of one are not taken for another's."""
    project.plugins = True
    names = [f"f.v{n}.passes" for n in range(9)]
    project.tests(" ".join(names[:8]), f"{names[8]} f.v9.fails")
    assert project.run("-n", "2").status == 1
    page = report(project)
    assert page.headings[0] == "1 of 10 tests failed"
    for name in names:
        assert page.text.count(f"ok 1 {name}\n") == 1
    assert {"console-gw0.log", "console-gw1.log"} <= {*page.refers}


def test_run_that_is_interrupted(project: Project) -> None:
    project.tests("f.hash.passes f.hash.interrupts f.array.passes")
    project.run()
    assert report(project).headings[0] == "1 test, none failed, interrupted"


@pytest.mark.parametrize("words", [[], ["-n", "2"]])
def test_kernel_that_does_not_build(project: Project, words: list[str]) -> None:
    project.plugins = True
    fragment = project.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    ended = project.run(*words, how="no build")
    assert f"report:  {project.logs}/report.html\n" in ended.output
    page = report(project)
    assert page.headings[0] == "build failed"
    assert "the kernel does not build: map.c:3: error: no" in page.text
    assert "build.log" in page.refers


def test_page_that_cannot_be_written(project: Project) -> None:
    project.tests("f.hash.waits f.hash.passes")
    project.set("")
    process = project.start()
    project.wait_for("one f.hash.waits")
    (project.logs / "report.html").mkdir()
    (project.path / "guest" / "go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert "3 passed" in output and "Traceback" not in output
    assert f"cannot write {project.logs}/report.html: Is a directory\n" in output
    assert list(project.logs.glob("*.part")) == []


def test_harness_tests_have_no_page(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): assert False\n")
    ended = project.run("test_other.py")
    assert (ended.status, project.runs) == (1, 0)


def test_failed_test_that_is_no_c_test(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): assert False\n")
    assert project.run("selftests/one.c", "test_other.py").status == 1
    page = Page((project.logs / "report.html").read_text())
    assert "1 of 3 tests failed" in page.text
