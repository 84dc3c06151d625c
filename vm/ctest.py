"""One C test: run it in the guest of a run, and judge how it went."""

from __future__ import annotations

from dataclasses import replace

from vm.decode import decoded
from vm.errors import GuestError, HarnessError
from vm.expected import (
    as_expected,
    load_needs,
    load_skips,
    patches_needed,
    why_skipped,
)
from vm.prepare import ROOT
from vm.results import TestResult, judge
from vm.run import Run
from vm.series import series
from vm.splats import Splat

TEST_TIMEOUT = 300.0  # seconds; tests set their own, by default of 30
SPOILT_GUESTS = 10  # after which a run gives up


def run_test(run: Run, program: str, name: str) -> TestResult:
    """Run one test, in a fresh guest if there is none or the last one is spoilt.

    A test that spoils its guest is run once more, alone in a fresh one, to tell
    whether it was to blame; it has failed in any case. One that the base, or the
    configuration, cannot pass is not run. Raises HarnessError if a guest does not
    boot, or too many were spoilt.
    """
    assert run.prepared is not None
    folder = ROOT / "patches" / run.options.base
    skips = [
        *load_skips(folder / "skips.toml"),
        *load_skips(ROOT / "selftests" / "skips.toml"),
    ]
    if why := why_skipped(skips, run.prepared.image.options, program, name):
        return TestResult(program, name, "skipped", why)
    check_spoilt(run)
    result = run_once(run, program, name)
    if not run.has_guest:
        try:
            check_spoilt(run)
            alone = run_once(run, program, name)
            word = "not again" if run.has_guest else "again"
            note = f"{word} when run alone: {alone.outcome}"
        except HarnessError as error:
            run.error = run.error or error
            note = f"not run again: {error.what}"
        result = replace(result, reason=f"{result.reason} ({note})")
    if run.options.upto is not None:
        needs = load_needs(ROOT / "selftests" / "needs.toml")
        needed = patches_needed(needs, series(folder), program, name)
        result = as_expected(result, needed, run.options.upto)
    return result


def run_once(run: Run, program: str, name: str) -> TestResult:
    """Run one test. Afterwards the run has no guest if the test spoilt it."""
    guest = run.guest()
    before = len(guest.splats)
    try:
        if (fresh := run.copy(program)) is not guest:
            guest, before = fresh, 0
        command = [str(guest.folder / program), "-r", name]
        if run.stress:
            command = ["env", f"STRESS_SECONDS={run.stress:.3f}", *command]
        done = guest.run(command, timeout=TEST_TIMEOUT + (run.stress or 0))
    except GuestError as error:
        if guest.alive:
            raise  # the program cannot be copied
        run.error = run.error or error
        run.drop_guest()
        worst = guest.worst
        notes = _decoded(run, worst) if worst else error.detail.splitlines()
        return TestResult(
            *(program, name, "failed", error.what, tuple(notes)),
            state=tuple(guest.state),
        )
    splats = guest.splats[before:]
    if splats:
        # KASAN, lockdep and WARN_ON_ONCE() may report only once per boot.
        run.drop_guest()
        splats = [replace(s, trace=_decoded(run, s)) for s in splats]
    result = judge(program, name, done, splats)
    run.stages["tests"].wall += result.seconds
    return result


def _decoded(run: Run, splat: Splat) -> list[str]:
    assert run.prepared is not None
    return decoded(splat.trace, run.prepared.image, run.logs.log("decode"))


def check_spoilt(run: Run) -> None:
    """GuestError if too many guests were spoilt for another one."""
    if not run.has_guest and run.spoilt > SPOILT_GUESTS:
        raise GuestError(
            f"{run.spoilt} guests were lost or reported something",
            hint=f"see the consoles in {run.logs.path}",
        )
