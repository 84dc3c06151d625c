"""The course of a run: one prepared kernel, one guest, and what came of it."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from vm import bench
from vm.accel import Accel, choose_accel
from vm.cache import cache_dir, locked
from vm.errors import GuestError, HarnessError, UsageError
from vm.figures import load
from vm.guest import Guest, one_thread, shell
from vm.image import Stage
from vm.prepare import Prepared, prepare
from vm.report import Reporter, TestReport, judge, write_ktap
from vm.timeline import Timeline, draw, read

PROGRAMS = "/run/selftests"  # in the guest, where /run is a tmpfs
TEST_TIMEOUT = 300.0  # seconds; tests set their own, by default of 30
RUNS_KEPT = 10  # folders of logs
_KEY = pytest.StashKey["Run"]()


class Run:
    """What one run has prepared so far; made lazily, ended by close()."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        config.stash[_KEY] = self
        self.error: HarnessError | None = None
        self.reports: list[TestReport] = []
        self.timelines: dict[str, Timeline] = {}
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
    def prepared(self) -> Prepared:
        """The built kernel and tests; only after prepare()."""
        assert self._prepared is not None
        return self._prepared

    def prepare(self) -> None:
        """Build what is to be tested. Raises HarnessError."""
        self._prepare(self.config.option.upto)

    def _prepare(self, upto: int | None, *targets: str) -> Prepared:
        option = self.config.option
        if self._prepared is None:
            self._stack.enter_context(locked(self.cache, self._reporter.say))
        try:
            self._prepared = prepare(
                base=option.base,
                upto=upto,
                debug=option.debug_kernel,
                kernel_tree=option.kernel_tree,
                allow_dirty=option.allow_dirty,
                cache=self.cache,
                logs=self.logs,
                say=self._reporter.say,
                progress=self._reporter.progress,
                targets=targets,
            )
        finally:
            self._reporter.finish()
        self._stages |= self._prepared.stages
        return self._prepared

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

    def shell(self) -> int:
        """An interactive shell in the guest; its exit status. Raises HarnessError."""
        self._release_terminal()
        try:
            self.prepare()
            return shell(self.prepared.image.bzimage, self.choose_accel())
        finally:
            self.close(None)

    def bench(self) -> int:
        """Measure the plain and the patched kernel; the exit status.

        Raises HarnessError.
        """
        option = self.config.option
        if option.against and not option.bench:
            raise UsageError("--against is for --bench", hint="give both")
        if option.debug_kernel:
            raise UsageError(
                "--bench measures the kernel as it is, without checks of itself",
                hint="leave --debug-kernel out",
            )
        self._release_terminal()
        old = load(option.against, option.base) if option.against else None
        console = Console()
        try:
            results = bench.run(
                lambda upto: self._prepare(upto, "bench"),
                self.choose_accel,
                base=option.base,
                upto=option.upto,
                logs=self.logs,
                say=self._reporter.say,
            )
            self.release = results.release
            status = bench.show(results, old, self.logs, console)
        finally:
            self.close(None)
        for line in self.summary():
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        return status

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
            self._report(TestReport(item.path.stem, item.name, "failed", error.what))
            return
        item.add_report_section("call", "output", result.output)
        if timeline := read(result.output):
            self.timelines[f"{item.path.stem}.{item.name}"] = timeline
        splats = self._guest.splats[self._splats :]
        self._splats += len(splats)
        self._report(judge(item.path.stem, item.name, result, splats))

    def close(self, reason: type[BaseException] | None) -> None:
        """End the guest, in order unless there is a `reason`; write the KTAP file."""
        guest, self._guest = self._guest, None
        try:
            if guest is not None:
                guest.__exit__(reason, None, None)
                if late := guest.splats[self._splats :]:
                    raise GuestError(
                        "the kernel complained after the last test",
                        detail="\n".join(late),
                        hint=f"see the console's log in {self.logs}",
                    )
        except GuestError as error:
            self.error = self.error or error
        finally:
            self._stack.close()
        if self.reports:
            write_ktap(self.logs / "results.ktap", self.reports)
        for name, timeline in self.timelines.items():
            draw(timeline, self.logs, name)

    def summary(self) -> list[str]:
        """Lines that say what was tested, what it took and where the logs lie."""
        if self._prepared is None:
            return [f"logs:    {self.logs}"] if self.error else []
        image = self.prepared.image
        upto = self.config.option.upto
        series = "all patches" if upto is None else f"the first {upto} patches"
        lines = [f"source:  {image.tree.source.describe}, {series}"]
        if self.release:
            why = f"{self.accel.name} ({self.accel.why})" if self.accel else "none"
            if self.accel and self.accel.name == "tcg" and one_thread():
                why += ", one thread for all CPUs as QEMU is older than 8.1"
            kernel = self.release + ", debug" * self.config.option.debug_kernel
            lines.append(f"kernel:  {kernel}, accelerator: {why}")
        made = f"{image.objects} objects" if image.built else "nothing to build"
        took = (
            f"{name} {stage.wall:.1f} s (CPU {stage.cpu:.1f})"
            for name, stage in self._stages.items()
        )
        lines.append(f"stages:  {', '.join(took)}; {made}")
        files = sorted(path.name for path in self.logs.iterdir())
        lines.append(f"logs:    {self.logs}: {', '.join(files)}")
        return lines

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

    def _release_terminal(self) -> None:
        """Let what follows read and write past pytest's capturing."""
        capture = self.config.pluginmanager.getplugin("capturemanager")
        if capture:
            capture.suspend_global_capture(in_=True)

    def _report(self, report: TestReport) -> None:
        """Keep the result of a test and tell it to pytest."""
        self.reports.append(report)
        self._stages["tests"].wall += report.seconds
        if report.outcome == "skipped":
            pytest.skip(report.reason)
        if report.outcome == "failed":
            first = f"{report.name}: {report.reason}"
            raise AssertionError("\n".join([first, *report.diagnostics]))

    def _aloud(self, step: Callable[[], None]) -> None:
        """Take a step that talks, with pytest's capturing suspended."""
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            step()
