"""Makes one pytest item of each test of each C program in this folder."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vm.ctest import run_test
from vm.errors import HarnessError
from vm.plugin import run_of, uncaptured
from vm.results import TestResult

MAKEFILE = Path(__file__).with_name("Makefile")


@functools.cache
def sources() -> frozenset[Path]:
    """The files of the C tests: the one list of them is in the Makefile."""
    text = MAKEFILE.read_text().replace("\\\n", " ")
    match = re.search(r"^TESTS := (.*)$", text, re.MULTILINE)
    assert match, f"{MAKEFILE} has no line 'TESTS := ...'"
    folder = MAKEFILE.parent.resolve()
    return frozenset(folder / f"{path}.c" for path in match[1].split())


def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """Take the C files that are programs of the Makefile."""
    if file_path.suffix == ".c" and file_path.resolve() in sources():
        return Program.from_parent(parent, path=file_path)
    return None


class Program(pytest.File):
    """A C program on kselftest_harness.h."""

    def collect(self) -> Iterator[CTest]:
        """Build what is needed to ask the program for its tests."""
        run = run_of(self.config)
        try:
            with uncaptured(self.config):
                names = run.tests_of(self.path)
        except HarnessError as error:
            run.error = error
            self.session.shouldstop = error.title
            return
        lines = self.path.read_text().splitlines()
        for name in names:
            test = re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b")
            found = (n for n, line in enumerate(lines) if test.search(line))
            yield CTest.from_parent(self, name=name, line=next(found, None))


class Failure(Exception):
    """A C test failed: how, and what it said."""


class CTest(pytest.Item):
    """One test of a program; runs in the guest, in a process of its own."""

    def __init__(self, *, line: int | None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.line = line
        self.result: TestResult | None = None

    def runtest(self) -> None:
        """Run it in the guest; skip or fail as its result says."""
        self.user_properties.append(("program", self.path.stem))
        result = self._result()
        # Then pytest.xfail() does nothing.
        if result.outcome == "xfailed" and self.config.getoption("runxfail", True):
            result = replace(result, outcome="failed")
        self.result = result
        self.add_report_section("call", "output", result.output)
        if result.outcome == "skipped":
            pytest.skip(result.reason)
        if result.outcome == "xfailed":
            pytest.xfail(result.reason)
        if result.outcome == "failed":
            raise Failure(str(result))

    def _result(self) -> TestResult:
        run = run_of(self.config)
        try:
            with uncaptured(self.config):
                return run_test(run, self.path.stem, self.name)
        except HarnessError as error:
            run.error = error
            if hasattr(self.config, "workerinput"):
                # Of a worker that exits, pytest-xdist says that it crashed.
                self.session.shouldstop = error.title
                raise Failure(f"not run: {error.what}") from None
            pytest.exit(error.title)

    def repr_failure(
        self,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: object = None,
    ) -> Any:
        """What the test said; a traceback of the harness would say nothing."""
        if isinstance(excinfo.value, Failure):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the test stands in the C source."""
        return self.path, self.line, f"{self.path.stem}: {self.name}"
