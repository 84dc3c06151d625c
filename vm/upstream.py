"""--upstream: the kernel's own tests of BPF, on the plain and the patched kernel.

upstream.toml lists those that concern what the patches change. The patched tree's tests
are built once and run on both kernels, so that what differs is the kernel. Only a test
that gets worse is an error: some need what the guest lacks, and fail on both. Those
that the patches add must not fail.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from vm.cache import write_whole
from vm.compiler import choose_compiler
from vm.ctest import check_spoilt
from vm.errors import GuestError, UsageError, reading
from vm.guest import Guest
from vm.prepare import ROOT, Prepared
from vm.run import Run
from vm.series import series
from vm.stopwatch import Stage, timed
from vm.upstream_build import PROGRAMS, Copy, clang_suffix, tests_in
from vm.verdicts import (
    ERRORS,
    Verdict,
    compare,
    notes_of,
    rows_table,
    summary_of,
    verdicts_of,
)

TABLE = Path(__file__).with_name("upstream.toml")
TEST_TIMEOUT = 900.0  # seconds; test_maps takes minutes in an emulated guest
# test_progs ends itself after 2 minutes without progress, which emulation may need.
_WATCHDOG = 600  # seconds
# What the tests need in a guest: they connect to themselves.
_SETUP = "ip link set lo up"


@dataclass(frozen=True)
class Listed:
    """upstream.toml, which documents the tables: names, and why."""

    programs: Mapping[str, str]
    added: Mapping[str, str]
    files: Mapping[str, str]  # of test_progs, those of `added` as well
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Kernel:
    """One of the two kernels, and its modules."""

    name: str
    prepared: Prepared
    modules: Sequence[Path]


def load(path: Path = TABLE) -> Listed:
    """The list. HarnessError if it is wrong."""
    with reading(path):
        tables = tomllib.loads(path.read_text())
        added, others = tables["added"], tables["test_progs"]
        left_out = tables["left_out"]
        found = Listed(tables["programs"], added, {**added, **others}, left_out)
        both = set(found.left_out) & {*found.programs, *found.files}
        both |= set(added) & set(others)
        if both or not set(found.programs) <= set(PROGRAMS[1:]):
            raise ValueError(f"listed twice: {both}; programs are {PROGRAMS[1:]}")
        return found


def upstream(run: Run, chosen: Sequence[str]) -> int:
    """Run all tests of the list, or those `chosen`, on both kernels; the exit status.

    Raises HarnessError, and writes upstream.json into the run's folder.
    """
    listed = _select(load(), chosen)
    options = run.options
    if not series(ROOT / "patches" / options.base, options.upto):
        raise UsageError(
            "--upstream compares with the plain kernel, which --upto 0 is, too",
            hint="leave --upto out, or give the number of a patch",
        )
    console = Console(emoji=False)
    with run.closing():
        kernels, copy, files = _build(run, listed)
        tests = [*listed.programs, *(test for file in files.values() for test in file)]
        run.logs.keep()
        verdicts: dict[str, dict[str, Verdict]] = {}
        for kernel in kernels:
            verdicts[kernel.name] = {}
            for found in _Tests(run, kernel, copy, listed).run(tests):
                verdicts[kernel.name] |= found
                _save(run, verdicts)
        added = [test for file in listed.added for test in files.get(file, ())]
        rows = compare(verdicts["plain"], verdicts["patched"], added)
        console.print(rows_table(rows), "", highlight=False)
        _print(console, notes_of(rows))
    lines = run.summary()
    if absent := [file for file, tests in files.items() if not tests]:
        lines.append(f"not in this tree: {', '.join(absent)}")
    _print(console, [*lines, summary_of(rows)])
    if any(row.patched.word == "lost" for row in rows):
        return GuestError.exit_status
    if {row.change for row in rows} & {*ERRORS}:
        return 1
    passed = any(row.patched.word == "passed" for row in rows)
    return 0 if passed else pytest.ExitCode.NO_TESTS_COLLECTED


def _save(run: Run, verdicts: Mapping[str, Mapping[str, Verdict]]) -> None:
    """Write what is known so far: the rest may never be."""
    told = {
        kernel: {test: asdict(verdict) for test, verdict in found.items()}
        for kernel, found in verdicts.items()
    }
    file = run.logs.folder() / "upstream.json"
    with run.saving(file):
        write_whole(file, json.dumps(told, indent=1) + "\n")


def _print(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _select(listed: Listed, chosen: Sequence[str]) -> Listed:
    """Only what is `chosen`, if anything is."""
    if not chosen:
        return listed
    unknown = set(chosen).difference(listed.programs, listed.files)
    if unknown:
        reasons = [f"{n}: {listed.left_out[n]}" for n in unknown & {*listed.left_out}]
        raise UsageError(
            f"no test is named {' or '.join(sorted(unknown))}",
            detail="\n".join(sorted(reasons)),
            hint=f"see {TABLE}",
        )
    programs = {n: why for n, why in listed.programs.items() if n in chosen}
    files = {n: why for n, why in listed.files.items() if n in chosen}
    return replace(listed, programs=programs, files=files)


def _build(run: Run, listed: Listed) -> tuple[list[Kernel], Copy, dict[str, list[str]]]:
    """Build the plain kernel, the patched one in its place, and the tests of each file.

    So what boots the plain kernel is kept beside the copy. A default run needs the
    patched tree: it is what is left.
    """
    log = run.logs.log("upstream")
    clang_suffix(log)  # before the kernels are built
    options = run.options
    kernels = []
    for name, upto in (("plain", 0), ("patched", options.upto)):
        prepared = run.prepare(upto, ["init"])
        image = prepared.image
        copy = Copy(image.build / "upstream", log)
        compiler = choose_compiler(options.compiler, options.lto, log)
        stage = run.stages.setdefault("the kernel's tests", Stage())
        with timed(stage):
            run.terminal.say(f"building the modules of the tests for the {name} kernel")
            copy.update(image.tree.path, listed.files)
            modules = copy.build_modules(image, compiler, options.jobs)
            kept = copy.home / name
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir()
            modules = [Path(shutil.copy(file, kept)) for file in modules]
            bzimage = Path(shutil.copy(image.bzimage, kept))
            # With its time: the tests are made from the last one.
            vmlinux = Path(shutil.copy2(image.vmlinux, kept))
        image = replace(image, bzimage=bzimage, vmlinux=vmlinux)
        prepared = replace(prepared, image=image)
        kernels.append(Kernel(name, prepared, modules))
    with timed(stage):
        run.terminal.say("building the kernel's tests of BPF")
        tests = {file: tests_in(image.tree.path, file) for file in listed.files}
        files = {f: [t for t in tests[f] if t not in listed.left_out] for f in tests}
        built = [file for file in files if files[file]]
        programs = [*listed.programs, *["test_progs"] * bool(built)]
        copy.build_programs(image, built, programs, options.jobs)
    return kernels, copy, files


class _Tests:
    """The tests on one kernel."""

    def __init__(self, run: Run, kernel: Kernel, copy: Copy, listed: Listed) -> None:
        self._run, self._kernel, self._copy = run, kernel, copy
        self._programs = listed.programs
        self._guest: Guest | None = None  # the one that is set up
        self._output = run.logs.folder() / f"tests-{kernel.name}.log"

    def run(self, tests: Sequence[str]) -> Iterator[dict[str, Verdict]]:
        """Run them all. GuestError if a guest does not boot, or too many are lost.

        Yields the verdicts on each test and its subtests.
        """
        run, kernel = self._run, self._kernel
        run.terminal.say(f"testing the {kernel.name} kernel")
        self._copy.install(kernel.modules)
        if run.has_guest:
            run.drop_guest()
        run.prepared, run.spoilt = kernel.prepared, 0
        run.consoles = f"console-{kernel.name}"
        for number, test in enumerate(tests):
            found = self._verdicts(test)
            if found[test].word not in ("passed", "skipped"):
                words = f"{found[test].word}: {found[test].why}"
                run.terminal.say(f"{test}, {kernel.name} kernel: {words}")
            run.terminal.progress("tests", number + 1, len(tests))
            yield found
        run.terminal.finish()

    def _verdicts(self, test: str) -> dict[str, Verdict]:
        """Run one, in a fresh guest if there is none or the last one is spoilt."""
        check_spoilt(self._run)
        guest = self._ready()
        alone = test in self._programs
        words = [f"./{test}"]
        if not alone:
            words = ["./test_progs", "-w", f"{_WATCHDOG}", "-a", test]
        folder = shlex.quote(f"{self._copy.folder}")
        command = ["sh", "-c", f"cd {folder} && exec {shlex.join(words)}"]
        try:
            done = guest.run(command, timeout=TEST_TIMEOUT)
        except GuestError as error:
            self._run.drop_guest()
            return {test: Verdict("lost", error.what)}
        self._run.stages["tests"].wall += done.seconds
        with self._output.open("a", encoding="utf-8", errors="replace") as output:
            output.write(f"== {test}: exit status {done.status}\n{done.output}\n")
        splats = list(guest.splats)
        if splats:
            self._run.drop_guest()  # some are reported only once per boot
        return verdicts_of(test, done, splats, alone=alone)

    def _ready(self) -> Guest:
        """The guest, set up for the tests."""
        guest = self._run.guest()
        if guest is self._guest:
            return guest
        command = _SETUP.split()
        done = guest.run(command, timeout=60.0)
        if done.status or done.timed_out:
            raise GuestError(
                "the guest cannot be set up for the kernel's tests",
                command=command,
                detail=done.output,
                hint=f"the console's log is {guest.console.log}",
            )
        self._guest = guest
        return guest
