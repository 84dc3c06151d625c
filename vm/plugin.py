"""The pytest plugin: options, one prepared kernel and one guest for a run."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from vm.accel import Accel, choose_accel
from vm.cache import cache_dir, locked
from vm.errors import GuestError, HarnessError
from vm.guest import Guest, shell
from vm.image import Stage
from vm.ktap import parse
from vm.prepare import ROOT, Prepared, prepare
from vm.report import Reporter, TestReport, variants_table, write_ktap

PROGRAMS = "/run/selftests"  # in the guest, where /run is a tmpfs
TEST_TIMEOUT = 60.0  # seconds; kselftest_harness.h gives a test 30
RUNS_KEPT = 10  # folders of logs
_NO_SUCCESS = 5  # pytest's status for a run without tests
_KEY = pytest.StashKey["Run"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options beside pytest's own."""
    group = parser.getgroup("kernel and guest")
    add = group.addoption
    add("--base", default="7.3", help="kernel version: a folder below patches/")
    add("--upto", type=int, metavar="N", help="apply only the first N patches")
    add("--kernel-tree", type=Path, metavar="DIR", help="take the source from DIR")
    add("--allow-dirty", action="store_true", help="DIR may have uncommitted changes")
    add("--cache", type=Path, metavar="DIR", help="where sources and builds are kept")
    add("--require-kvm", action="store_true", help="fail where KVM does not work")
    add("--no-kvm", action="store_true", help="emulate the guest's CPUs, ask no more")
    add("--shell", action="store_true", help="open a shell in the guest, run no test")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Run the selftests where no path is given; keep a JUnit file of each run."""
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = [str(ROOT / "selftests")]
    run = config.stash[_KEY] = Run(config)
    if not config.option.collectonly and not config.option.xmlpath:
        config.option.xmlpath = run.junit_path


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """--shell: no pytest run at all."""
    if not config.option.shell:
        return None
    run = Run.of(config)
    try:
        run.prepare()
        return shell(run.prepared.image.bzimage, run.choose_accel())
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    finally:
        run.close(None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the guest; the exit status says what pytest's own cannot."""
    run = Run.of(session.config)
    interrupted = session.exitstatus == pytest.ExitCode.INTERRUPTED
    run.close(KeyboardInterrupt if interrupted else None)
    if run.error is not None:
        session.exitstatus = run.error.exit_status
    elif (
        session.exitstatus == pytest.ExitCode.OK
        and run.reports
        and all(report.outcome == "skipped" for report in run.reports)
    ):
        session.exitstatus = _NO_SUCCESS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of variants, what was tested, how long it took, where the logs lie."""
    config = terminalreporter.config
    run = Run.of(config)
    if run.error is not None:
        terminalreporter.section(run.error.title, red=True)
        terminalreporter.write_line(str(run.error))
    if run.reports:
        terminalreporter.section("selftests")
        console = Console(file=terminalreporter._tw._file, width=100)
        console.print(variants_table(run.reports))
    for line in run.summary():
        terminalreporter.write_line(line)


class Run:
    """What one run has prepared so far; made lazily, ended by close()."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.error: HarnessError | None = None
        self.reports: list[TestReport] = []
        self.accel: Accel | None = None
        self.release = ""
        self._prepared: Prepared | None = None
        self._guest: Guest | None = None
        self._stack = ExitStack()
        self._stages: dict[str, Stage] = {}
        self._splats = 0
        self._reporter = Reporter(Console(stderr=True))
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        self._name = f"{now}-{os.getpid()}"

    @staticmethod
    def of(config: pytest.Config) -> Run:
        """The run that belongs to pytest's configuration."""
        return config.stash[_KEY]

    @property
    def cache(self) -> Path:
        """The cache folder; UsageError if it cannot be used."""
        return cache_dir(self.config.option.cache)

    @property
    def logs(self) -> Path:
        """The folder of this run's logs and results, made when first asked for."""
        folder = self.cache / "runs" / self._name
        if not folder.exists():
            folder.mkdir(parents=True)
            for old in sorted(folder.parent.iterdir())[:-RUNS_KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        return folder

    @property
    def junit_path(self) -> str:
        """Where the JUnit file goes unless the user says where."""
        return str(self.logs / "junit.xml")

    @property
    def prepared(self) -> Prepared:
        """The built kernel and tests; only after prepare()."""
        assert self._prepared is not None
        return self._prepared

    def prepare(self) -> None:
        """Build what is to be tested. Raises HarnessError."""
        option = self.config.option
        self._stack.enter_context(locked(self.cache, self._reporter.say))
        try:
            self._prepared = prepare(
                base=option.base,
                upto=option.upto,
                kernel_tree=option.kernel_tree,
                allow_dirty=option.allow_dirty,
                cache=self.cache,
                logs=self.logs,
                say=self._reporter.say,
                progress=self._reporter.progress,
            )
        finally:
            self._reporter.finish()
        self._stages |= self._prepared.stages

    def choose_accel(self) -> Accel:
        """KVM or TCG, probed once. Raises UsageError where KVM is required."""
        if self.accel is None:
            self.accel = choose_accel(
                self.prepared.image.bzimage,
                self.cache,
                self.logs / "kvm-probe.log",
                self._reporter.say,
                require_kvm=self.config.option.require_kvm,
                no_kvm=self.config.option.no_kvm,
            )
        return self.accel

    def tests_of(self, source: Path, session: pytest.Session) -> list[str]:
        """The tests of a C file; builds everything when first asked.

        None, and the end of the session, if that fails.
        """
        try:
            if self._prepared is None:
                self._aloud(self.prepare)
            return self.prepared.tests_of(source)
        except HarnessError as error:
            self.error = error
            session.shouldstop = error.title
            return []

    def run_test(self, item: pytest.Item) -> None:
        """Run one test in the guest, booting it first; AssertionError if it fails."""
        if self._guest is None:
            try:
                self._aloud(self._boot)
            except HarnessError as error:
                self.error = error
                pytest.exit(error.title)
        assert self._guest is not None
        command = [f"{PROGRAMS}/{item.path.stem}", "-r", item.name]
        try:
            result = self._guest.run(command, timeout=TEST_TIMEOUT)
        except GuestError as error:
            self.error = error
            item.session.shouldstop = error.title
            notes = tuple(str(error).splitlines())
            self._report(item, "failed", error.what, notes, 0.0)
            raise
        item.add_report_section("call", "output", result.output)
        ktap = parse(result.output, result.status)
        outcome = {"ok": "passed", "skip": "skipped"}.get(ktap.outcome, "failed")
        notes, reason = ktap.diagnostics, ktap.reason
        if result.timed_out:
            outcome, reason = "failed", f"no end after {TEST_TIMEOUT:.0f} s"
        splats = self._guest.splats[self._splats :]
        self._splats += len(splats)
        if splats:
            outcome, reason = "failed", "the kernel complained"
            notes += tuple(splats)
        self._report(item, outcome, reason, notes, result.seconds)
        if outcome == "skipped":
            pytest.skip(reason)
        if outcome == "failed":
            raise AssertionError("\n".join([f"{item.name}: {reason}", *notes]))

    @staticmethod
    def repr_error(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        """An error of ours as it is; a traceback for what must not happen."""
        if isinstance(excinfo.value, HarnessError | pytest.fail.Exception):
            return str(excinfo.value)
        return "".join(traceback.format_exception(excinfo.value))

    def close(self, reason: type[BaseException] | None) -> None:
        """End the guest, in order unless there is a `reason`; write the KTAP file."""
        guest, self._guest = self._guest, None
        try:
            if guest is not None:
                guest.__exit__(reason, None, None)
        except GuestError as error:
            self.error = self.error or error
        finally:
            self._stack.close()
        if self.reports:
            write_ktap(self.logs / "results.ktap", self.reports)

    def summary(self) -> list[str]:
        """Lines that say what was tested, what it took and where the logs lie."""
        if self._prepared is None:
            return [f"logs: {self.logs}"] if self.error else []
        image = self.prepared.image
        lines = [f"source:  {image.tree.source.describe}, {self._series()}"]
        if self.release:
            lines.append(f"kernel:  {self.release}, accelerator: {self.accel_name()}")
        made = f"{image.objects} objects" if image.built else "nothing to build"
        took = (
            f"{name} {stage.wall:.1f} s (CPU {stage.cpu:.1f})"
            for name, stage in self._stages.items()
        )
        lines.append(f"stages:  {', '.join(took)}; {made}")
        files = sorted(path.name for path in self.logs.iterdir())
        lines.append(f"logs:    {self.logs}: {', '.join(files)}")
        return lines

    def accel_name(self) -> str:
        """The accelerator and why it was chosen."""
        return f"{self.accel.name} ({self.accel.why})" if self.accel else "none"

    def _series(self) -> str:
        number = self.config.option.upto
        return "all patches" if number is None else f"the first {number} patches"

    def _boot(self) -> None:
        accel = self.choose_accel()
        image = self.prepared.image
        self._reporter.say(f"booting {image.release} under {accel.name}")
        programs = self.prepared.programs
        guest = Guest(image.bzimage, accel, self.logs, shares=[programs])
        guest.__enter__()
        self._guest = guest
        self.release = guest.release
        # Over 9p each start of a program would read all of it anew.
        script = f'mkdir {PROGRAMS} && find "$1" -maxdepth 1 -type f -perm /111 '
        script += f"-exec cp -t {PROGRAMS} {{}} +"
        copied = guest.run(["sh", "-c", script, "sh", str(programs)], timeout=60)
        if copied.status:
            raise GuestError(
                f"the guest cannot read {programs}",
                detail=copied.output,
                hint="is the folder readable by you and not below /run or /proc?",
            )
        self._stages["boot"] = Stage(wall=guest.boot_seconds)
        self._stages["tests"] = Stage()

    def _report(
        self,
        item: pytest.Item,
        outcome: str,
        reason: str,
        notes: tuple[str, ...],
        seconds: float,
    ) -> None:
        report = TestReport(item.path.stem, item.name, outcome, reason, notes, seconds)
        self.reports.append(report)
        self._stages["tests"].wall += seconds

    def _aloud(self, step: Callable[[], None]) -> None:
        """Take a step that talks, with pytest's capturing suspended."""
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            step()
