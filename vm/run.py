"""A run: prepare a kernel, boot a guest, run tests in it, close it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from vm.cache import cache_folder, locked
from vm.errors import GuestError, HarnessError, UsageError
from vm.guest import Guest
from vm.kvm import choose_accel
from vm.logs import RunLogs
from vm.machine import Accel, Machine, free_gdb_port, qemu_version
from vm.options import Options
from vm.prepare import Prepared, prepare
from vm.results import TestResult, judge, write_ktap
from vm.stopwatch import Stage
from vm.terminal import Terminal
from vm.timeline import draw, read

TEST_TIMEOUT = 300.0  # seconds; tests set their own, by default of 30
SHELL_SOCKET = "shell.sock"  # in the run's folder


class Run:
    """What a run has so far; each part is made when first needed.

    `error` is what ended the run early; `results` are those of the tests that ran.
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
        self._splats = 0

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
            append=options.append,
            qemu_opts=options.qemu_opts,
            gdb=free_gdb_port() if options.gdb else None,
            qemu=qemu_version(self.logs.log("console")),
        )
        self.logs.keep()
        self.terminal.say(f"booting {image.release} under {self.machine.accel.name}")
        if self.machine.gdb is not None:
            target = f"target remote 127.0.0.1:{self.machine.gdb}"
            command = shlex.join(["gdb", "-ex", target, str(image.vmlinux)])
            self.terminal.say(f"waiting for a debugger: {command}")
        guest = Guest(
            *(self.machine, image.bzimage, self.logs.log("console")),
            shares=[self.prepared.programs.folder] if self.prepared else (),
            shell=_short(self.logs.folder(), self._stack) + f"/{SHELL_SOCKET}",
        )
        guest.__enter__()
        self._guest = guest
        if guest.splats:
            raise GuestError(
                "the kernel complained during boot",
                detail="\n".join(guest.splats),
                hint=f"see the console's log in {self.logs.path}",
            )
        self.release = guest.release
        self.stages["boot"] = Stage(wall=guest.boot_seconds)
        return guest

    @property
    def ready(self) -> bool:
        """Whether run_test() can be called."""
        return self._guest is not None

    def boot_for_tests(self) -> None:
        """Boot the guest and copy the test programs into it. Raises HarnessError."""
        guest = self.boot()
        assert self.prepared is not None
        guest.copy(self.prepared.programs.files())
        self.stages["tests"] = Stage()

    def run_test(self, program: str, name: str) -> TestResult:
        """Run one test in the booted guest. GuestError if the guest is lost."""
        assert self._guest is not None
        command = [str(self._guest.folder / program), "-r", name]
        try:
            done = self._guest.run(command, timeout=TEST_TIMEOUT)
        except GuestError as error:
            self.results.append(TestResult(program, name, "failed", error.what))
            raise
        splats = self._guest.splats[self._splats :]
        self._splats += len(splats)
        result = judge(program, name, done, splats)
        self.results.append(result)
        self.stages["tests"].wall += result.seconds
        return result

    def close(self, *, orderly: bool = True) -> None:
        """End the guest, by powering it off if `orderly`; write the results."""
        guest, self._guest = self._guest, None
        try:
            if guest is not None:
                guest.__exit__(None if orderly else KeyboardInterrupt, None, None)
                if late := guest.splats[self._splats :]:
                    raise GuestError(
                        "the kernel complained after the last test",
                        detail="\n".join(late),
                        hint=f"see the console's log in {self.logs.path}",
                    )
        except GuestError as error:
            self.error = self.error or error
        finally:
            self._stack.close()
            self.terminal.finish()
        # QEMU leaves it if it was killed.
        (self.logs.path / SHELL_SOCKET).unlink(missing_ok=True)
        if self.results:
            write_ktap(self.logs.folder() / "results.ktap", self.results)
        for result in self.results:
            if timeline := read(result.output):
                draw(timeline, self.logs.folder(), f"{result.program}.{result.name}")
        self.logs.close(failed=self.error is not None)

    def summary(self) -> list[str]:
        """What was tested, how long it took and where the logs are, line by line."""
        if self.prepared is None:
            return [f"logs:    {self.logs.path}"] if self.error else []
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
