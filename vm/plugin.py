"""The pytest plugin: the options, the exit status and the summary of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from _pytest.junitxml import xml_key
from rich.console import Console

from vm import attach, bench
from vm.errors import HarnessError, UsageError
from vm.options import Options, add_options
from vm.prepare import ROOT
from vm.results import variants_table
from vm.run import Run
from vm.terminal import Terminal

_RUN = pytest.StashKey[Run]()


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
    option = config.option
    if option.help:
        return None
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = [str(ROOT / "selftests")]
    try:
        options = Options.of(option)
        if not hasattr(config, "workerinput"):
            _spread(config)
        if option.attach:
            _release_terminal(config)
            return attach.attach(options.cache, options.command)
        terminal = Terminal(Console(stderr=True), verbose=options.verbose)
        terminal.fresh_line = lambda: _fresh_line(config)
        run = config.stash[_RUN] = Run(options, terminal)
        if option.shell:
            _release_terminal(config)
            return attach.shell(run)
        if option.bench:
            _release_terminal(config)
            return bench.bench(run, option.against)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return pytest.ExitCode.INTERRUPTED
    if not option.collectonly and not option.xmlpath:
        option.xmlpath = _junit(run)
    return None


def _spread(config: pytest.Config) -> None:
    """Run the harness's own tests on all CPUs with pytest-xdist; guests need them."""
    option = config.option
    chosen = getattr(option, "numprocesses", None)
    paths = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    if not all(path.is_relative_to(ROOT / "vm") for path in paths):
        if chosen:
            raise UsageError(
                f"-n {chosen} is only for the harness's own tests",
                hint="leave it out, or give vm as the path",
            )
    elif (
        chosen is None
        and hasattr(option, "tx")
        and any(path.is_dir() for path in paths)
        and not (option.usepdb or option.collectonly)
    ):
        # One more than CPUs, because many of them wait.
        option.tx = ["popen"] * (len(os.sched_getaffinity(0)) + 1)
        option.dist = "load"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the guest; the exit status says what pytest's own cannot."""
    run = run_of(session.config)
    interrupted = session.exitstatus == pytest.ExitCode.INTERRUPTED
    run.close(orderly=not interrupted)
    junit = session.config.stash.get(xml_key, None)
    if junit and not run.logs.path.exists() and junit.logfile == _junit(run):
        # Nothing was tested, so nothing is left behind or mentioned. The plugin is
        # called once more in this hook.
        junit.logfile = os.devnull
        del session.config.stash[xml_key]
        session.config.pluginmanager.unregister(junit)
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
    for line in run.summary():
        terminalreporter.write_line(line)


def run_of(config: pytest.Config) -> Run:
    """The run that belongs to pytest's configuration."""
    return config.stash[_RUN]


def _junit(run: Run) -> str:
    return str(run.logs.path / "junit.xml")


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
