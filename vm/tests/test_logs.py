"""Tests of vm/logs.py. flock() tells the runs of one process apart, too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from vm.cache import lock
from vm.logs import RUNS_KEPT, RunLogs, runs_in_use
from vm.tests.said import Said

ROOT = Path(__file__).resolve().parents[2]


class Runs:
    """Runs with one cache, each younger than the one before."""

    def __init__(self, cache: Path, said: Said, stack: ExitStack) -> None:
        self.cache, self.said, self.stack = cache, said, stack
        self.count = 0

    def run(self) -> RunLogs:
        """A run that is going on."""
        logs = RunLogs(self.cache, self.said)
        self.count += 1
        logs.path = self.cache / "runs" / f"20250101-0000{self.count:02}-1"
        self.stack.callback(logs.close, failed=True)
        return logs

    def ended(self) -> Path:
        """The folder of a run that kept its logs, and is over."""
        logs = self.run()
        logs.folder()
        logs.keep()
        logs.close(failed=False)
        return logs.path

    def folders(self) -> list[Path]:
        return sorted((self.cache / "runs").iterdir())


@pytest.fixture
def runs(tmp_path: Path, said: Said) -> Iterator[Runs]:
    with ExitStack() as stack:
        yield Runs(tmp_path, said, stack)


def is_free(folder: Path) -> bool:
    """Whether no run uses the folder."""
    held = lock(folder, wait=False)
    if held is not None:
        os.close(held)
    return held is not None


# One run


def test_folder_is_made_when_it_is_needed(tmp_path: Path, said: Said) -> None:
    logs = RunLogs(tmp_path, said)
    assert not (tmp_path / "runs").exists()
    assert logs.path.name.endswith(f"-{os.getpid()}")
    assert logs.folder() == logs.folder() == logs.path
    assert logs.path.parent == tmp_path / "runs"
    assert logs.path.is_dir()
    assert not is_free(logs.path)
    logs.log("build").say("no")
    logs.close(failed=True)
    assert is_free(logs.path)


def test_failed_run_that_says_nothing_leaves_nothing(runs: Runs) -> None:
    logs = runs.run()
    logs.folder()
    logs.close(failed=True)
    assert not logs.path.exists()


def test_log_of_a_stage(runs: Runs, said: Said) -> None:
    logs = runs.run()
    logs.log("build").say("building")
    assert (logs.path / "build.log").read_text() == "building\n"
    assert said.lines == ["building"]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("failed", [False, True])
def test_folder_is_left_if_it_was_kept_or_the_run_failed(
    runs: Runs, kept: bool, failed: bool
) -> None:
    logs = runs.run()
    (logs.folder() / "build.log").touch()
    if kept:
        logs.keep()
    logs.close(failed=failed)
    assert (logs.path / "build.log").exists() == (kept or failed)


def test_run_that_logged_nothing_leaves_nothing(tmp_path: Path, said: Said) -> None:
    for failed in (False, True):
        RunLogs(tmp_path, said).close(failed=failed)
    assert list(tmp_path.iterdir()) == []


# Several runs


def test_oldest_are_removed(runs: Runs) -> None:
    folders = [runs.ended() for _ in range(RUNS_KEPT)]
    before = sorted(Path("/proc/self/fd").iterdir())
    folders += [runs.ended() for _ in range(3)]
    assert runs.folders() == folders[3:]
    assert sorted(Path("/proc/self/fd").iterdir()) == before, "all are closed"


def test_files_of_the_user(runs: Runs) -> None:
    """Neither what was put there, nor what a folder given with --cache had before."""
    theirs = [
        runs.cache / "runs" / name for name in ("2024", "copy of 20250101-000001")
    ]
    for folder in theirs:
        (folder / "old.tmp").mkdir(parents=True)
    theirs.append(theirs[0].with_name("notes"))
    theirs[-1].touch()
    ended = [runs.ended() for _ in range(RUNS_KEPT + 1)]
    assert runs.folders() == sorted([*theirs, *ended[1:]])
    assert all((folder / "old.tmp").is_dir() for folder in theirs[:-1])


def test_only_a_run_that_is_kept_removes_others(runs: Runs) -> None:
    folders = [runs.ended() for _ in range(RUNS_KEPT)]
    logs = runs.run()
    logs.folder()
    logs.close(failed=False)
    assert runs.folders() == folders


def test_folder_in_use_is_never_removed(runs: Runs) -> None:
    first, second = runs.run(), runs.run()
    first.folder()
    second.folder()
    younger = [runs.ended() for _ in range(RUNS_KEPT + 1)]
    assert runs.folders() == [first.path, second.path, *younger[1:]]
    first.close(failed=True)
    younger.append(runs.ended())
    assert runs.folders() == [second.path, *younger[2:]]


def test_run_does_not_remove_its_own_folder(runs: Runs) -> None:
    """Its name is the oldest if the clock was set back."""
    logs = runs.run()
    younger = [runs.ended() for _ in range(RUNS_KEPT)]
    logs.keep()
    assert runs.folders() == [logs.path, *younger]


def test_killed_run_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from vm.logs import RunLogs; from vm.terminal import Terminal\n"
        "logs = RunLogs(Path(sys.argv[1]), Terminal(Console()))\n"
        "print(logs.folder(), flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().strip())
        assert runs_in_use(tmp_path) == [folder]
        other.kill()
    assert runs_in_use(tmp_path) == []
    assert folder.is_dir()


def test_runs_in_use(runs: Runs) -> None:
    assert runs_in_use(runs.cache) == [], "no run was ever"
    first, _, third = runs.run(), runs.ended(), runs.run()
    first.folder()
    third.folder()
    assert runs_in_use(runs.cache) == [third.path, first.path]
    first.close(failed=True)
    assert runs_in_use(runs.cache) == [third.path]


def test_folder_that_goes_away_meanwhile(runs: Runs) -> None:
    """Its run removes it, after the folders were listed. Here it is a dead link."""
    folders = [runs.ended() for _ in range(RUNS_KEPT)]
    gone = runs.cache / "runs" / "20240101-000000-1"
    gone.symlink_to("nowhere")
    assert runs_in_use(runs.cache) == []
    folders.append(runs.ended())
    assert runs.folders() == [gone, *folders[1:]]
