"""A run: prepare a kernel, boot guests for its tests, close it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vm.boot import boot, machine_of
from vm.cache import cache_folder, locked
from vm.errors import NO_ROOM, GuestError, HarnessError
from vm.guest import Guest
from vm.kvm import choose_accel
from vm.logs import RunLogs, WorkersLogs, short_path
from vm.machine import Accel
from vm.options import Options
from vm.ports import SOCKETS
from vm.prepare import Prepared, prepare
from vm.results import TestResult
from vm.splats import listed
from vm.stopwatch import Stage
from vm.summary import describe, skipped, summary
from vm.terminal import Terminal
from vm.workers import Share, Told, Workers


class Run:
    """What a run has so far; each part is made when first needed.

    `error` is what ended the run or the first guest that was lost; `results` are those
    of the tests that ran; `spoilt` guests were lost or reported something; `kernel`
    describes the guest, for the summary; `consoles` is what their logs' names begin
    with. A worker's run has a `share` of another's, which has `workers`.
    """

    def __init__(
        self, options: Options, terminal: Terminal, share: Share | None = None
    ) -> None:
        self.options = options
        self.terminal = terminal
        self.cache = cache_folder(options.cache)
        self.logs = RunLogs(self.cache, terminal)
        if share is not None:
            self.logs = WorkersLogs(share.folder, terminal)
        self.error: HarnessError | None = None
        self.results: list[TestResult] = []
        self.prepared = share.prepared if share else None
        self.workers: Workers | None = None
        self.kernel = ""
        # Of all kernels of the run; objects is None if none was built.
        self.stages: dict[str, Stage] = {}
        self.objects: int | None = None
        self._accel = share.accel if share else None
        self.consoles = f"console-{share.worker}" if share else "console"
        self._sockets: list[Path] = []
        self._guest: Guest | None = None
        self._copied: set[str] = set()  # the programs that this guest has
        self._stack = ExitStack()
        self._locked = share is not None
        self.spoilt = 0
        self.stress: float | None = None  # seconds of load in each test of --stress

    def prepare(self, upto: int | None = None, targets: Sequence[str] = ()) -> Prepared:
        """Build what is to be tested; see prepare.prepare(). Raises HarnessError."""
        if not self._locked:
            self._stack.enter_context(locked(self.cache, self.terminal.say))
            self._locked = True
        try:
            self.prepared = prepare(
                *(self.options, self.cache, self.logs.log), upto=upto, targets=targets
            )
        except OSError as error:
            file, trees = Path(error.filename or self.cache), self.cache / "trees"
            hint = "make it usable"
            if error.errno in NO_ROOM:
                hint = "a run needs 8 GB for its cache, which --cache puts elsewhere"
            elif not error.filename or file.is_relative_to(trees):
                hint = f"remove {trees}, which is made anew"
            elif file.is_relative_to(self.cache):
                hint += ", or choose another --cache"
            raise HarnessError(
                f"{file}: {error.strerror or error}", hint=hint
            ) from None
        finally:
            self.terminal.finish()
        for name, stage in self.prepared.stages.items():
            self.stages.setdefault(name, Stage()).add(stage)
        if self.prepared.image.built:
            self.objects = (self.objects or 0) + self.prepared.image.objects
        return self.prepared

    def tests_of(self, source: Path) -> list[str]:
        """The tests of a C file; builds everything when first called."""
        prepared = self.prepared or self.prepare(self.options.upto)
        return prepared.programs.tests_of(source, self.logs.log("selftests"))

    def accel(self) -> Accel:
        """KVM or TCG. UsageError if KVM is required and does not work."""
        assert self.prepared is not None
        if self._accel is None:
            self._accel = choose_accel(
                self.prepared.image.bzimage,
                self.prepared.programs.init,
                self.cache,
                self.logs.log("kvm-probe"),
                require_kvm=self.options.require_kvm,
                no_kvm=self.options.no_kvm,
            )
        return self._accel

    def boot(self) -> Guest:
        """The guest, booted by the first call. Raises HarnessError."""
        if self._guest is not None:
            return self._guest
        prepared = self.prepared or self.prepare(self.options.upto)
        machine = machine_of(prepared, self.accel(), self.options, self.logs)
        self.logs.keep()
        name = self.console
        self._sockets += [self.logs.folder() / f"{name}.{s}" for s in SOCKETS]
        sockets = f"{short_path(self.logs.folder(), self._stack)}/{name}"
        guest = boot(machine, prepared, self.logs.log(name), sockets)
        self._guest = guest
        if guest.splats:
            self.drop_guest()
            raise self._complained(guest, "during boot")
        self.kernel = describe(machine, guest.release, self.options)
        self.stages.setdefault("boot", Stage()).wall += guest.boot_seconds
        return guest

    def _complained(self, guest: Guest, when: str = "outside a test") -> GuestError:
        return GuestError(
            f"the kernel complained {when}",
            detail=listed(guest.splats),
            hint=f"see the console's log in {self.logs.path}",
        )

    @property
    def has_guest(self) -> bool:
        """Whether there is one to run the next test in."""
        return self._guest is not None

    @property
    def console(self) -> str:
        """The name of the guest's console log, or the next one's."""
        return f"{self.consoles}-{self.spoilt + 1}" if self.spoilt else self.consoles

    @contextmanager
    def saving(self, file: Path) -> Iterator[None]:
        """A file that cannot be written does not end the run, but fails it."""
        try:
            yield
        except OSError as error:
            self._lost_file(file, error)

    def _lost_file(self, file: Path, error: OSError | None) -> None:
        if error is not None:
            self.error = self.error or HarnessError(
                f"cannot write {file}: {error.strerror}",
                hint="the results above are right, but not all of them are there; "
                "make room, and run again",
            )

    def copy(self, program: str) -> Guest:
        """The guest with this test program, copied if need be. Raises GuestError.

        A guest that earlier tests left without room for it is replaced.
        """
        assert self.prepared is not None
        guest, used = self.guest(), bool(self._copied)
        if program in self._copied:
            return guest
        file = self.prepared.programs.folder / program
        try:
            guest.copy([file])
        except GuestError as error:
            if not used or not guest.alive:
                raise
            self.terminal.say(f"{error.what}: {error.detail.strip()}; a fresh guest")
            self.drop_guest()
            if guest.splats:
                self.error = self.error or self._complained(guest)
            guest = self.guest()
            guest.copy([file])
        self._copied.add(program)
        return guest

    def guest(self) -> Guest:
        """The guest with the test programs, booted if need be. Raises HarnessError.

        One that has reported something since its last test is replaced.
        """
        if self._guest is not None:
            if not self._guest.splats:
                return self._guest
            self.error = self.error or self._complained(self._guest)
            self.drop_guest()
        guest = self.boot()
        assert self.prepared is not None
        self._copied = set()
        self.stages.setdefault("tests", Stage())
        return guest

    def drop_guest(self) -> None:
        """End a guest at once, so that the next test gets a fresh one."""
        if self._guest is not None:
            self._guest.__exit__(KeyboardInterrupt, None, None)
            self._lost_file(self._guest.console.log, self._guest.console.log_error)
            self._guest = None
        self.spoilt += 1

    def close(self, *, orderly: bool = True) -> None:
        """End the guest, by powering it off if `orderly`."""
        guest, self._guest = self._guest, None
        try:
            if guest is not None:
                guest.__exit__(None if orderly else KeyboardInterrupt, None, None)
                self._lost_file(guest.console.log, guest.console.log_error)
                if guest.splats:
                    raise self._complained(guest)
        except GuestError as error:
            self.error = self.error or error
        finally:
            self._stack.close()
            self.terminal.finish()
        for socket in self._sockets:  # which QEMU leaves if it was killed
            socket.unlink(missing_ok=True)
        for told in self.workers.told.values() if self.workers else ():
            self.error = self.error or told.error
            self.kernel = told.kernel or self.kernel
            for stage, seconds in told.stages.items():
                self.stages.setdefault(stage, Stage()).wall += seconds
        self.logs.close(failed=self.error is not None)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close the run after a block, and raise what went wrong until then."""
        try:
            yield
        except BaseException:
            self.close(orderly=False)
            raise
        self.close()
        if self.error is not None:
            raise self.error

    def told(self) -> Told:
        """What a worker tells of its guests."""
        return Told(
            self.kernel,
            {name: stage.wall for name, stage in self.stages.items()},
            self.error,
        )

    def summary(self) -> list[str]:
        """The last lines of the run, see summary.py."""
        image = self.prepared.image if self.prepared else None
        guests = f"; {len(self.workers.told)} guests" if self.workers else ""
        kernel = f"{self.kernel}{guests}" if self.kernel else ""
        made = (self.stages, self.objects)
        lines = summary(image, kernel, *made, self.options, self.logs)
        return [*skipped(self.results), *lines]
