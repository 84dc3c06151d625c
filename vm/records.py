"""What a run leaves: KTAP and JUnit files as its tests end, and pages at its end."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.junitxml import LogXML, xml_key

from vm import sizes, timeline
from vm.errors import HarnessError
from vm.github import page, write_page
from vm.logs import REPORT
from vm.report import Outcome, write_report
from vm.results import TestResult, write_ktap
from vm.run import Run

_NAMED = 10  # of the tests without a result


class Results:
    """The plugin that keeps each result as soon as it is there, a worker's as well."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self.config = config
        self.run = run
        self.others = 0  # failed tests that are not C tests
        self._planned: set[str] = set()  # the IDs of all tests that are to run
        self._per_program: Counter[str] = Counter()  # how many C tests are
        self._ended: set[str] = set()  # and of those that have a result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """The tests are about to run. With --fixtures, they are only collected."""
        self._plan(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """A worker knows the tests, which are the same for all."""
        self._plan(ids)

    def _plan(self, ids: Iterable[str]) -> None:
        self._planned = {*ids}
        files = (Path(test.partition("::")[0]) for test in self._planned)
        self._per_program = Counter(file.stem for file in files if file.suffix == ".c")

    def missing(self) -> HarnessError | None:
        """The error for tests that did not run, though nothing has ended the run.

        Of a worker in which a plugin fails, pytest-xdist only shows the traceback.
        """
        names = sorted(self._planned - self._ended)
        silent = self.run.workers.silent if self.run.workers else []
        if not (names or silent):
            return None
        what = f"tests without a result: {len(names)}"
        if silent:
            what += f"; {', '.join(silent)} did not report the state of the guest"
        return HarnessError(
            what,
            detail="\n".join(names[:_NAMED]),
            hint="see the error above, and run them again",
        )

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep it in the run's files."""
        file, _, name = report.nodeid.partition("::")
        if report.when not in ("setup", "teardown") or not report.passed:
            self._ended.add(report.nodeid)
        if result := getattr(report, "selftest", None):
            self._keep(TestResult(**result))
        elif report.failed and file.endswith(".c"):
            # A worker crashed, or could not run it; pytest-xdist puts a line before.
            lines = report.longreprtext.splitlines()
            reason = next(line for line in lines if not line.startswith("[gw"))
            self._keep(self._failed(Path(file).stem, name, reason))
        elif report.failed:
            self.others += 1
        junit = self.config.stash.get(xml_key, None)
        ended = self.run.results and report.when == "teardown"
        if junit is not None and ended and not _is_special(Path(junit.logfile)):
            with self.run.saving(Path(junit.logfile)):
                write_junit(junit)

    def _failed(self, program: str, name: str, reason: str) -> TestResult:
        """The result of a test that pytest itself says has failed.

        If that is because something failed after the test, it had a result before.
        """
        results = self.run.results
        for result in results:
            if (result.program, result.name) == (program, name):
                results.remove(result)
                return replace(result, outcome="failed", reason=reason)
        return TestResult(program, name, "failed", reason)

    def _keep(self, result: TestResult) -> None:
        """From now on the result cannot be lost."""
        self.run.results.append(result)
        ktap = self.run.logs.folder() / "results.ktap"
        with self.run.saving(ktap):
            write_ktap(ktap, self.run.results, self._per_program)

    def finish(self, ended: str) -> None:
        """The run is closed: write the last of its files; see Outcome for `ended`."""
        junit = self.config.stash.get(xml_key, None)
        if junit and not self.run.logs.path.exists() and self._is_ours(junit):
            # Nothing was tested, so nothing is left behind or mentioned.
            self._close(junit)
        elif junit and self.run.results:
            # pytest itself would end with a traceback if it cannot be written.
            with self.run.saving(Path(junit.logfile)):
                write_junit(junit)
            self._close(junit)
        self._draw()
        self.write_pages(ended)

    def write_pages(self, ended: str = "") -> None:
        """Write report.html, and GitHub's page, if there is something to say."""
        run = self.run
        if not run.results and run.error is None:
            return
        outcome = Outcome(
            shlex.join(["./run_tests.py", *sys.argv[1:]]),
            run.results,
            run.error,
            ended,
            self.others,
            run.stages,
            run.summary(),
        )
        if run.logs.path.exists():
            with run.saving(run.logs.path / REPORT):
                write_report(run.logs.path, outcome)
        if name := os.environ.get("GITHUB_STEP_SUMMARY"):
            with run.saving(Path(name)):
                write_page(Path(name), page(outcome))

    def _draw(self) -> None:
        """Draw the plots of what tests print for them."""
        folder, results = self.run.logs.path, self.run.results
        for result in results:
            if course := timeline.read(result.output):
                name = f"{result.program}.{result.name}"
                with self.run.saving(folder / name):
                    timeline.draw(course, folder, name)
        grown = sizes.read("\n".join(result.output for result in results))
        if len(grown) > 1:
            with self.run.saving(folder / sizes.NAME):
                sizes.draw(grown, folder)

    def _is_ours(self, junit: LogXML) -> bool:
        return bool(junit.logfile == junit_of(self.run))

    def _close(self, junit: LogXML) -> None:
        """It is written, and its part of the terminal's summary is ours."""
        # The plugin is called once more in this hook: it would empty the file first.
        junit.logfile = os.devnull
        del self.config.stash[xml_key]
        self.config.pluginmanager.unregister(junit)


def junit_of(run: Run) -> str:
    """The JUnit file of a run for which the user named no other."""
    return str(run.logs.path / "junit.xml")


def _is_special(path: Path) -> bool:
    """Whether this is a pipe or a device, which is not to be replaced."""
    return path.exists() and not path.is_file()


def write_junit(junit: LogXML) -> None:
    """Write what there is so far. OSError if that fails; then it is as before."""
    if _is_special(Path(junit.logfile)):
        junit.pytest_sessionfinish()
        return
    final = os.path.realpath(junit.logfile)
    junit.logfile = f"{final}.part"
    try:
        junit.pytest_sessionfinish()
        Path(junit.logfile).replace(final)
    except OSError:
        Path(junit.logfile).unlink(missing_ok=True)
        raise
    finally:
        junit.logfile = final
