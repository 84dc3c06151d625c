"""Tests of vm/stopwatch.py."""

from __future__ import annotations

import subprocess

import pytest

from vm.stopwatch import Stage, timed


def burn() -> None:
    """Use some CPU time in a child process."""
    script = "i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done"
    subprocess.run(["sh", "-c", script], check=True)


def test_times_add_up_even_of_a_stage_that_fails() -> None:
    stage = Stage()
    with timed(stage):
        burn()
    first = Stage(stage.wall, stage.cpu)
    assert first.wall > 0 and first.cpu > 0
    with pytest.raises(KeyboardInterrupt), timed(stage):
        raise KeyboardInterrupt
    assert stage.wall > first.wall
    assert stage.cpu == first.cpu
    stage.add(first)
    assert stage.wall > 2 * first.wall
    assert stage.cpu == 2 * first.cpu


def test_own_cpu_time_is_not_that_of_a_child() -> None:
    burn()
    stage = Stage()
    with timed(stage):
        sum(range(1_000_000))
    assert stage.wall > 0
    assert stage.cpu == 0
