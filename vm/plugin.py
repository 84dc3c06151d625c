"""The pytest plugin: the options, the exit status and the summary of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from vm.errors import HarnessError
from vm.prepare import ROOT
from vm.report import variants_table
from vm.run import Run


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options beside pytest's own."""
    group = parser.getgroup("kernel and guest")
    add = group.addoption
    add("--base", default="7.3", help="kernel version: a folder below patches/")
    add("--upto", type=int, metavar="N", help="apply only the first N patches")
    add("--debug-kernel", action="store_true", help="the kernel checks itself: slow")
    add("--kernel-tree", type=Path, metavar="DIR", help="take the source from DIR")
    add("--allow-dirty", action="store_true", help="DIR may have uncommitted changes")
    add("--cache", type=Path, metavar="DIR", help="where sources and builds are kept")
    add("--require-kvm", action="store_true", help="fail where KVM does not work")
    add("--no-kvm", action="store_true", help="emulate the guest's CPUs, ask no more")
    add("--shell", action="store_true", help="open a shell in the guest, run no test")
    add("--bench", action="store_true", help="measure what map operations cost")
    add("--against", type=Path, metavar="FILE", help="compare with that bench.json")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the selftests where no path is given; --shell, --bench: no pytest run at all.

    What is wrong with the cache folder is said here, before it is needed.
    """
    option = config.option
    if option.help:
        return None
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = [str(ROOT / "selftests")]
    run = Run(config)
    try:
        if option.shell:
            return run.shell()
        if option.bench or option.against:
            return run.bench()
        if run.cache and not option.collectonly and not option.xmlpath:
            option.xmlpath = str(run.logs / "junit.xml")
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return pytest.ExitCode.INTERRUPTED
    return None


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
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


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
