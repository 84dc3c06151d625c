"""Whole runs of run_tests.py, which becomes pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import run_tests
from vm.tests.project import Project


@pytest.fixture
def whole(project: Project) -> Project:
    """A project whose virtual environment is there already."""
    source = (project.path / "run_tests.py").read_text()
    made = f"return Path({str(project.path / 'bin' / 'python')!r})\n"
    head = "def virtual_environment(cache: Path) -> Path:\n"
    assert head in source
    source = source.replace(head, f"{head}    {made}")
    (project.path / "run_tests.py").write_text(source)
    return project


def ended(
    project: Project, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """A whole run of run_tests.py: its exit status and output."""
    program = [sys.executable, str(project.path / "run_tests.py")]
    process = project.start(*arguments, program=program, environment=environment)
    output, _ = process.communicate("", timeout=120)
    return process.returncode, output


def test_whole_run_in_a_hostile_environment(whole: Project, tmp_path: Path) -> None:
    """As in a git hook of a user with settings of their own for everything."""
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", repository], check=True)
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm" / "__init__.py").write_text("raise SystemExit(99)")
    hostile = {
        "GIT_DIR": str(repository / ".git"),
        "GIT_WORK_TREE": str(repository),
        "GIT_INDEX_FILE": str(repository / "index"),
        "CFLAGS": "-Wno-error",
        "KCFLAGS": "-O0",
        "MAKEFLAGS": "-n",
        "KBUILD_OUTPUT": str(tmp_path),
        "KCONFIG_ALLCONFIG": "1",
        "PYTHONPATH": str(tmp_path),
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "ARCH": "x86_64",
    }
    (whole.path / "fakes" / "make").write_text(
        "#!/bin/sh\nexport -p | grep -E 'GIT_|FLAGS|KBUILD_|KCONFIG_|PYTHON|ARCH=' "
        f'>> "{tmp_path}/seen"\n'
        + (whole.path / "fakes" / "make").read_text().partition("\n")[2]
    )
    fragment = whole.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    status, output = ended(whole, "-k", "percpu", environment=hostile)
    assert status == 0, output
    assert output.startswith("ignored from the environment: CFLAGS, GIT_DIR, ")
    seen = (tmp_path / "seen").read_text().splitlines()
    assert {line.partition("=")[0].split()[-1] for line in seen} == {
        "KBUILD_BUILD_TIMESTAMP"
    }
    assert sorted(path.name for path in repository.iterdir()) == [".git"]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == []


def test_whole_shell_command(whole: Project) -> None:
    status, output = ended(whole, "--shell", "--", "sh", "-c", "echo 'a  b'; exit 5")
    assert status == 5
    assert output.endswith("a  b\n")


def test_whole_run_that_is_refused(whole: Project) -> None:
    """Before pytest: the status and the error are run_tests.py's own."""
    status, output = ended(whole, "--cache=/a b")
    assert status == 4
    assert output.startswith("usage error: space or colon in the path of the cache ")


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        ("2>/dev/full --cache='/a b'", "error: cannot write to stderr: No space left "),
        (">&-", "error: cannot write to stdout: it is closed\nnext:    "),
        ("2>&- 3>&1", "error: cannot write to stderr: it is closed\nnext:    "),
        (">/dev/full", "error: cannot write to stdout: No space left on device\n"),
        ("2>/dev/full --cpus 0", "error: cannot write to stderr: No space left on "),
        (">/dev/full 2>/dev/full", ""),
    ],
)
def test_streams_that_cannot_be_written(
    whole: Project, redirection: str, said: str
) -> None:
    """Exit status and one line; never a traceback, or as if tests had failed."""
    program = [sys.executable, str(whole.path / "run_tests.py")]
    script = f'"$@" {redirection}'
    command = ["sh", "-c", script, "sh", *program, f"--cache={whole.cache}", "-kpercpu"]
    path = f"{whole.path / 'bin'}:{os.environ['PATH']}"
    result = subprocess.run(
        command,
        env={"PATH": path, "HOME": str(whole.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 3, output
    assert output.count("error: ") == bool(said) and said in output
    assert "Traceback" not in output and "Exception ignored" not in output


def test_python_that_is_too_old(tmp_path: Path) -> None:
    source = run_tests.ROOT / "run_tests.py"
    program = f"""
import sys
sys.version_info = (3, 10)
exec(compile(open({str(source)!r}).read(), "run_tests.py", "exec"))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert re.match(r"usage error: Python \S+ is too old\nnext: ", result.stderr)
