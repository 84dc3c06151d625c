"""A run: prepare a kernel, boot a guest, run tests in it, close it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vm.cache import cache_folder, locked
from vm.decode import decoded
from vm.errors import GuestError, HarnessError, UsageError
from vm.guest import SOCKETS, Guest
from vm.kvm import choose_accel
from vm.logs import RunLogs
from vm.machine import Accel, Machine, free_gdb_port, qemu_version
from vm.options import Options
from vm.prepare import Prepared, prepare
from vm.results import TestResult, judge, write_ktap
from vm.splats import Splat
from vm.stopwatch import Stage
from vm.terminal import Terminal
from vm.timeline import draw, read

TEST_TIMEOUT = 300.0  # seconds; tests set their own, by default of 30
SPOILT_GUESTS = 10  # after which a run gives up


class Run:
    """What a run has so far; each part is made when first needed.

    `error` is what ended the run or the first guest that was lost; `results` are those
    of the tests that ran; `spoilt` guests were lost or reported something.
    """

    def __init__(self, options: Options, terminal: Terminal) -> None:
        self.options = options
        self.terminal = terminal
        self.cache = cache_folder(options.cache)
        self.logs = RunLogs(self.cache, terminal)
        self.error: HarnessError | None = None
        self.results: list[TestResult] = []
        self.prepared: Prepared | None = None
        self.machine: Machine | None = None
        self.release = ""
        self.stages: dict[str, Stage] = {}
        self._guest: Guest | None = None
        self._stack = ExitStack()
        self.spoilt = 0

    def prepare(self, upto: int | None = None, targets: Sequence[str] = ()) -> Prepared:
        """Build what is to be tested; see prepare.prepare(). Raises HarnessError."""
        if self.prepared is None:
            self._stack.enter_context(locked(self.cache, self.terminal.say))
        try:
            self.prepared = prepare(
                *(self.options, self.cache, self.logs.log), upto=upto, targets=targets
            )
        finally:
            self.terminal.finish()
        self.stages |= self.prepared.stages
        return self.prepared

    def tests_of(self, source: Path) -> list[str]:
        """The tests of a C file; builds everything when first called."""
        prepared = self.prepared or self.prepare(self.options.upto)
        return prepared.programs.tests_of(source)

    def accel(self) -> Accel:
        """KVM or TCG. UsageError if KVM is required and does not work."""
        assert self.prepared is not None
        return choose_accel(
            self.prepared.image.bzimage,
            self.cache,
            self.logs.log("kvm-probe"),
            require_kvm=self.options.require_kvm,
            no_kvm=self.options.no_kvm,
        )

    def boot(self) -> Guest:
        """The guest, booted by the first call. Raises HarnessError."""
        if self._guest is not None:
            return self._guest
        image = (self.prepared or self.prepare(self.options.upto)).image
        options = self.options
        if options.cpus > image.max_cpus:
            raise UsageError(
                f"the kernel is built for {image.max_cpus} CPUs, not {options.cpus}",
                hint="add CONFIG_NR_CPUS=… with --kconfig, or give fewer --cpus",
            )
        self.machine = Machine(
            *(self.accel(), options.cpus, options.memory),
            # Without it, KASAN reports once per boot.
            append=(*["kasan_multi_shot"] * options.debug_kernel, *options.append),
            qemu_opts=options.qemu_opts,
            gdb=free_gdb_port() if options.gdb else None,
            qemu=qemu_version(self.logs.log("build")),
        )
        self.logs.keep()
        self.terminal.say(f"booting {image.release} under {self.machine.accel.name}")
        if self.machine.gdb is not None:
            target = f"target remote 127.0.0.1:{self.machine.gdb}"
            command = shlex.join(["gdb", "-ex", target, str(image.vmlinux)])
            self.terminal.say(f"waiting for a debugger: {command}")
        name = self._console()
        guest = Guest(
            *(self.machine, image.bzimage, self.logs.log(name)),
            shares=[self.prepared.programs.folder] if self.prepared else (),
            sockets=f"{_short(self.logs.folder(), self._stack)}/{name}",
            vmlinux=image.vmlinux,
        )
        guest.__enter__()
        self._guest = guest
        if guest.splats:
            raise GuestError(
                "the kernel complained during boot",
                detail="\n".join(map(str, guest.splats)),
                hint=f"see the console's log in {self.logs.path}",
            )
        self.release = guest.release
        self.stages.setdefault("boot", Stage()).wall += guest.boot_seconds
        return guest

    def _console(self) -> str:
        """The name of the next guest's console log."""
        return f"console-{self.spoilt + 1}" if self.spoilt else "console"

    def run_test(self, program: str, name: str) -> TestResult:
        """Run one test, in a fresh guest if there is none or the last one is spoilt.

        A test that spoils its guest is run once more, alone in a fresh one, to tell
        whether it was to blame; it has failed in any case. Raises HarnessError if a
        guest does not boot, or too many were spoilt.
        """
        result = self._run_once(program, name)
        self._keep(result)
        if self._guest is None:
            if self.spoilt > SPOILT_GUESTS:
                raise GuestError(
                    f"{self.spoilt} guests were lost or reported something",
                    hint=f"see the consoles in {self.logs.path}",
                )
            alone = self._run_once(program, name)
            word = "again" if self._guest is None else "not again"
            reason = f"{result.reason} ({word} when run alone: {alone.outcome})"
            self.results.pop()
            result = replace(result, outcome="failed", reason=reason)
            self._keep(result)
        return result

    def _keep(self, result: TestResult) -> None:
        """From now on the result cannot be lost."""
        self.results.append(result)
        write_ktap(self.logs.folder() / "results.ktap", self.results)

    def _run_once(self, program: str, name: str) -> TestResult:
        """Run one test. Afterwards there is no guest if the test spoilt it."""
        guest = self._guest or self._boot_for_tests()
        before = len(guest.splats)
        command = [str(guest.folder / program), "-r", name]
        try:
            done = guest.run(command, timeout=TEST_TIMEOUT)
        except GuestError as error:
            self.error = self.error or error
            self._drop_guest()
            notes = self._decoded(guest.worst) if guest.worst else [error.detail]
            notes += guest.state
            return TestResult(program, name, "failed", error.what, tuple(notes))
        splats = guest.splats[before:]
        if splats:
            # KASAN, lockdep and WARN_ON_ONCE() may report only once per boot.
            self._drop_guest()
            splats = [replace(s, trace=self._decoded(s)) for s in splats]
        result = judge(program, name, done, splats)
        self.stages["tests"].wall += result.seconds
        return result

    def _decoded(self, splat: Splat) -> list[str]:
        assert self.prepared is not None
        return decoded(splat.trace, self.prepared.image, self.logs.log("decode"))

    def _boot_for_tests(self) -> Guest:
        """Boot the guest and copy the test programs into it. Raises HarnessError."""
        guest = self.boot()
        assert self.prepared is not None
        guest.copy(self.prepared.programs.files())
        self.stages.setdefault("tests", Stage())
        return guest

    def _drop_guest(self) -> None:
        """End a spoilt guest at once."""
        if self._guest is not None:
            self._guest.__exit__(KeyboardInterrupt, None, None)
            self._guest = None
        self.spoilt += 1

    def close(self, *, orderly: bool = True) -> None:
        """End the guest, by powering it off if `orderly`; write the results."""
        guest, self._guest = self._guest, None
        try:
            if guest is not None:
                guest.__exit__(None if orderly else KeyboardInterrupt, None, None)
                if late := guest.splats:
                    raise GuestError(
                        "the kernel complained outside a test",
                        detail="\n".join(map(str, late)),
                        hint=f"see the console's log in {self.logs.path}",
                    )
        except GuestError as error:
            self.error = self.error or error
        finally:
            self._stack.close()
            self.terminal.finish()
        # QEMU leaves them if it was killed.
        for socket in SOCKETS:
            for file in self.logs.path.glob(f"*.{socket}"):
                file.unlink()
        for result in self.results:
            if timeline := read(result.output):
                draw(timeline, self.logs.folder(), f"{result.program}.{result.name}")
        self.logs.close(failed=self.error is not None)

    def summary(self) -> list[str]:
        """What was tested, how long it took and where the logs are, line by line."""
        if self.prepared is None:
            return [f"logs:    {self.logs.path}"] if self.logs.path.exists() else []
        image = self.prepared.image
        upto = self.options.upto
        series = "all patches" if upto is None else f"the first {upto} patches"
        lines = [f"source:  {image.tree.source.describe}, {series}"]
        if self.machine is not None:
            accel = self.machine.accel
            words = [f"{accel.name} ({accel.why})", self.machine.qemu]
            words += ["one thread for all CPUs"] * self.machine.one_thread
            debug = ", debug" * self.options.debug_kernel
            why = ", ".join(filter(None, words))
            lines.append(f"kernel:  {self.release}{debug}, accelerator: {why}")
        made = f"{image.objects} objects" if image.built else "nothing to build"
        took = (
            f"{name} {stage.wall:.1f} s (CPU {stage.cpu:.1f})"
            for name, stage in self.stages.items()
        )
        lines.append(f"stages:  {', '.join(took)}; {made}")
        if self.logs.path.exists():
            files = sorted(path.name for path in self.logs.path.iterdir())
            lines.append(f"logs:    {self.logs.path}: {', '.join(files)}")
        return lines


def _short(folder: Path, stack: ExitStack) -> str:
    """A short path of a folder, good until `stack` is closed.

    That of a Unix socket must not exceed 107 bytes, however long the cache's is.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return f"/proc/{os.getpid()}/fd/{descriptor}"
