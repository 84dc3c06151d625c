"""The pytest plugin: the options, the exit status and the summary of a run."""

from __future__ import annotations

import gc
import math
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from vm import attach, bench, faults, upstream
from vm.bases import ALL
from vm.each import each_base, each_patch
from vm.errors import HarnessError, UsageError
from vm.git_tree import git_tree
from vm.github import error_commands
from vm.options import Options, add_options
from vm.prepare import ROOT
from vm.prove_kvm import prove_kvm
from vm.records import Results, junit_of
from vm.results import variants_table
from vm.run import Run
from vm.stress import stress_tables
from vm.terminal import Terminal
from vm.workers import Workers, guests_that_fit, share_of, tell

STRESS = ROOT / "selftests" / "stress"
_RUN = pytest.StashKey[Run]()
_RESULTS = pytest.StashKey[Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options beside pytest's own."""
    add_options(
        parser.getgroup("kernel"),
        parser.getgroup("guest"),
        parser.getgroup("instead of tests"),
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the selftests if no path is given; some options do not run pytest at all."""
    # pytest collects garbage five times when it ends: not in what is imported now.
    gc.freeze()
    option = config.option
    if option.help:
        return None
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = [str(STRESS if option.stress else ROOT / "selftests")]
    try:
        options = Options.of(option)
        _only_ours(config)
        if options.stress:
            _only_stress(config)
        share = share_of(config)
        if option.attach:
            _release_terminal(config)
            return attach.attach(options.cache, options.command)
        terminal = Terminal(Console(stderr=True), verbose=options.verbose)
        terminal.fresh_line = lambda: _fresh_line(config)
        run = config.stash[_RUN] = Run(options, terminal, share)
        if option.shell:
            _release_terminal(config)
            return attach.shell(run)
        if option.bench:
            _release_terminal(config)
            return bench.bench(run, option.against)
        if option.faults:
            _release_terminal(config)
            return faults.faults(run, options.command)
        if options.upstream:
            _release_terminal(config)
            return upstream.upstream(run, options.command)
        if options.prove_kvm:
            _release_terminal(config)
            return prove_kvm(run)
        if options.base == ALL:
            _release_terminal(config)
            return each_base(run, sys.argv[1:])
        if option.each_patch:
            _release_terminal(config)
            return each_patch(run, sys.argv[1:])
        if option.git_tree:
            _release_terminal(config)
            return git_tree(run, option.git_tree)
        if not hasattr(config, "workerinput"):
            results = config.stash[_RESULTS] = Results(config, run)
            _spread(config, run, results)
            config.pluginmanager.register(results)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return pytest.ExitCode.INTERRUPTED
    if not option.collectonly and not option.xmlpath:
        option.xmlpath = junit_of(run)
    return None


def _spread(config: pytest.Config, run: Run, results: Results) -> None:
    """Run tests at the same time: pytest-xdist's workers, each with a guest.

    By default those of folders: few tests are faster without. Raises HarnessError.
    """
    option = config.option
    paths = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    chosen = getattr(option, "numprocesses", None)
    if not hasattr(option, "tx"):
        return
    alone = option.collectonly or option.usepdb or option.gdb
    if alone or (chosen is None and not any(path.is_dir() for path in paths)):
        chosen = 0
    elif all(path.is_relative_to(ROOT / "vm") for path in paths):
        # More than CPUs, because many of them wait.
        chosen = len(os.sched_getaffinity(0)) + 3 if chosen is None else chosen
    else:
        try:
            prepared = run.prepared or run.prepare(run.options.upto)
            if chosen is None:
                chosen = guests_that_fit(run.options, run.accel())
            if chosen > 1:
                run.workers = Workers(run.logs.folder(), prepared, run.accel())
                run.logs.keep()
        except HarnessError as error:
            run.error = error
            run.close()
            results.write_pages()
            print(*run.summary(), sep="\n", file=sys.stderr)
            raise
    # pytest-xdist has looked at its -n already.
    option.tx = ["popen"] * chosen if chosen > 1 else []
    option.dist = "worksteal" if option.tx else "no"
    # Otherwise pytest-xdist would keep replacing one that fails at once.
    option.maxworkerrestart = str(chosen)
    if run.workers is not None:
        config.pluginmanager.register(run.workers)
        # With it, pytest-xdist makes a folder in TMPDIR that stays.
        config.pluginmanager.unregister(name="tmpdir")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send a C test's result along with pytest's report of it, and its own time.

    That of the first test would otherwise include booting.
    """
    report = yield
    result = getattr(item, "result", None)
    if call.when == "call" and result is not None:
        report.__dict__["selftest"] = asdict(result)
        report.duration = result.seconds
    return report


def _only_ours(config: pytest.Config) -> None:
    """UsageError for paths of another checkout: only this one is built and run."""
    for arg in config.args:
        path = Path(arg.partition("::")[0]).resolve()
        if path.exists() and not path.is_relative_to(ROOT):
            raise UsageError(
                f"{arg} is not in {ROOT}",
                hint="if it is in another checkout, start the run_tests.py there",
            )


def _only_stress(config: pytest.Config) -> None:
    """UsageError for paths of other tests."""
    for arg in config.args:
        if not Path(arg.partition("::")[0]).resolve().is_relative_to(STRESS):
            raise UsageError(
                f"--stress runs the tests in selftests/stress, not {arg}",
                hint="leave out the path, or select from those tests with -k",
            )


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """A test is not "not found" because what it is in could not be built.

    What pytest says of tests that do not exist, pytest-xdist would keep to itself.
    """
    run = run_of(session.config)
    try:
        return (yield)
    except pytest.UsageError as error:
        if run.error is None and share_of(session.config) is None:
            raise
        run.error = run.error or UsageError(
            "\n".join(map(str, error.args)),
            hint="./run_tests.py --collect-only -q lists the tests",
        )
        return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Share the time among the tests that are going to run."""
    gc.freeze()
    run = run_of(session.config)
    if run.options.stress and session.items:
        guests = getattr(session.config, "workerinput", {}).get("workercount", 1)
        run.stress = run.options.stress / math.ceil(len(session.items) / guests)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the guest; the exit status says what pytest's own cannot."""
    run = run_of(session.config)
    interrupted = session.exitstatus == pytest.ExitCode.INTERRUPTED
    enough = 0 < (session.config.option.maxfail or 0) <= session.testsfailed
    if interrupted and enough:
        # How pytest-xdist ends after -x.
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    try:
        run.close(orderly=not interrupted)
    except Exception as reason:
        hint = f"see the logs in {run.logs.path}"
        error = HarnessError(f"cannot end the guest: {reason!r}", hint=hint)
        run.error = run.error or error
    tell(session.config, run.told())
    if results := session.config.stash.get(_RESULTS, None):
        whole = session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
        )
        if whole and not enough and not session.config.option.collectonly:
            run.error = run.error or results.missing()
        number = session.testsfailed
        ended = f"stopped after {number} failure{'s' * (number > 1)}" * enough
        if session.exitstatus == pytest.ExitCode.INTERNAL_ERROR:
            ended = "an error in the harness"
        elif not ended and interrupted and run.error is None:
            ended = "interrupted"
        results.finish(ended)
    if run.error is not None:
        session.exitstatus = run.error.exit_status
    elif (
        session.exitstatus == pytest.ExitCode.OK
        and run.results
        and all(result.outcome == "skipped" for result in run.results)
    ):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of variants, what was tested, how long it took, where the logs are."""
    run = run_of(terminalreporter.config)
    if run.error is not None:
        terminalreporter.section(run.error.title, red=True)
        terminalreporter.write_line(str(run.error))
    if run.results:
        terminalreporter.section("selftests")
        console = Console(file=terminalreporter._tw._file, width=100)
        console.print(variants_table(run.results))
        if run.options.stress:
            for table in stress_tables(run.results):
                console.print(table)
    for line in run.summary():
        terminalreporter.write_line(line)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in error_commands(run.results):
            terminalreporter.write_line(line)


def run_of(config: pytest.Config) -> Run:
    """The run that belongs to pytest's configuration."""
    return config.stash[_RUN]


@contextmanager
def uncaptured(config: pytest.Config) -> Iterator[None]:
    """Let a step that takes a while show its progress."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        yield


def _fresh_line(config: pytest.Config) -> None:
    """End pytest's line: "collecting ... ", or a file's name and dots."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter and reporter._tw.width_of_current_line:
        reporter._tw.line()
        reporter._tw.flush()


def _release_terminal(config: pytest.Config) -> None:
    """Let what follows read and write past pytest's capturing."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
