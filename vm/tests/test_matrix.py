"""The jobs of CI, and the workflow that runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vm.bases import TABLE, base_names
from vm.errors import UsageError
from vm.matrix import Job, jobs
from vm.options import Options

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = (ROOT / ".github" / "workflows" / "tests.yml").read_text()


@pytest.mark.parametrize("job", list(jobs()), ids=lambda job: job.name)
def test_arguments(job: Job, pytestconfig: pytest.Config) -> None:
    """The workflow adds more, and leaves the splitting to the shell."""
    words = ["--require-kvm", *job.arguments.split()]
    option = pytestconfig._parser.parse(words)
    assert option.file_or_dir == []
    assert Options.of(option).base == job.base
    assert not re.search(r"[^\w .=-]", job.arguments)


def test_names() -> None:
    """Each is also that of an artifact."""
    names = [job.name for job in jobs()]
    assert len(set(names)) == len(names)
    assert not re.search(r"[^\w .-]", "".join(names))


def test_every_base_is_tested() -> None:
    plain = [job.base for job in jobs() if job.name == job.base]
    assert plain == base_names(TABLE)


def test_workflow_uses_what_there_is() -> None:
    used = set(re.findall(r"\bmatrix\.(\w+)", WORKFLOW.replace("outputs.matrix", "")))
    assert used == set(Job.__annotations__)


def list_matrix(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """No git, no virtual environment, no cache: `home` is not made."""
    shutil.copy(ROOT / "run_tests.py", folder)
    for name in ("vm", "patches"):
        (folder / name).symlink_to(ROOT / name)
    program = [sys.executable, "-IB", str(folder / "run_tests.py"), "--list-matrix"]
    result = subprocess.run(
        [*program, *options],
        env={"PATH": "", "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (folder / "home").exists()
    return result


def test_list_on_a_bare_machine(tmp_path: Path) -> None:
    result = list_matrix(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"include": [vars(job) for job in jobs()]}
    assert result.stdout.count("\n") == 1, "for $GITHUB_OUTPUT"


def test_list_with_other_options(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    result = list_matrix(tmp_path, "--no-kvm")
    assert (result.returncode, result.stdout) == (4, "")
    assert "--list-matrix takes no other option\n" in result.stderr
    option = pytestconfig._parser.parse(["--list-matrix"])
    with pytest.raises(UsageError, match="--list-matrix has to be given"):
        Options.of(option)
