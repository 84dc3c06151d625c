"""The harness's own code is clean; a check that cannot run fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("run_tests.py", "vm", "selftests")


@pytest.mark.parametrize(
    "check",
    [
        "ruff check --no-cache",
        "ruff format --no-cache --diff",
        "mypy --strict --cache-dir",
    ],
)
def test_code(check: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", *check.split(), *CODE]
    if check.startswith("mypy"):
        words.insert(-len(CODE), str(tmp_path))
    result = subprocess.run(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        pytest.fail(f"$ {check}\n{result.stdout}", pytrace=False)
