"""Tests of run_tests.py: Python, pip, apt-get and pytest are fakes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import run_tests
from vm import tools

# Stands in for the Python that makes the environment and for the one in it.
PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
*"$FAILS"*) echo "it failed, and why" >&2; exit 1 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
esac
"""


class Bench:
    """Runs of main() with fakes, up to where it becomes pytest."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self.cache = folder / "cache"
        self.requirements = folder / "requirements.txt"
        self.requirements.write_text("pytest==9\n")
        self.calls = folder / "calls"
        self.pytest: list[str] = []
        self._patch, self._capfd = monkeypatch, capfd
        python = folder / "python3"
        python.write_text(PYTHON)
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(run_tests, "REQUIREMENTS", self.requirements)
        monkeypatch.setattr(os, "execv", lambda _, words: self.pytest.extend(words))
        monkeypatch.setenv("CALLS", str(self.calls))
        monkeypatch.setenv("FAILS", "nothing")
        monkeypatch.setenv("PYTHONPATH", "")

    def run(self, *arguments: str) -> list[str]:
        """What the Pythons were called with; pytest's command is in `pytest`."""
        self.calls.write_text("")
        self.pytest.clear()
        words = [f"--cache={self.cache}", *arguments]
        self._patch.setattr(sys, "argv", ["run_tests.py", *words])
        run_tests.main()
        return self.calls.read_text().splitlines()

    def fails(self, *arguments: str) -> str:
        """The error with which the run ends."""
        with pytest.raises(SystemExit) as raised:
            self.run(*arguments)
        assert (raised.value.code, self.pytest) == (4, [])
        error = self._capfd.readouterr().err
        assert error.count("usage error: ") == error.count("\nnext:    ") == 1
        return error

    @property
    def venvs(self) -> list[Path]:
        """The virtual environments."""
        return sorted(self.cache.glob("venv-*"))


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Bench:
    return Bench(tmp_path, monkeypatch, capfd)


def test_first_run_and_second(bench: Bench) -> None:
    make, install = bench.run("-k", "hash")
    (venv,) = bench.venvs
    assert make == f"-m venv {venv}"
    assert install.startswith("-m pip install -q --no-deps ")
    assert install.endswith(f" -r {bench.requirements}")
    python, *words = bench.pytest
    assert python == str(venv / "bin" / "python")
    assert words[:4] == ["-m", "pytest", "-p", "vm.plugin"]
    assert words[-3:] == [f"--cache={bench.cache}", "-k", "hash"]
    assert os.environ["PYTHONPATH"] == str(run_tests.ROOT)
    assert bench.run() == [] and bench.pytest[0] == python


def test_environment_follows_the_requirements(bench: Bench) -> None:
    bench.run()
    bench.requirements.write_text("pytest==10\n")
    assert len(bench.run()) == 2
    assert len(bench.venvs) == 2
    bench.requirements.write_text("pytest==9\n")
    assert bench.run() == []


def test_half_made_environment_is_remade(bench: Bench) -> None:
    bench.run()
    (venv,) = bench.venvs
    (venv / "ready").unlink()
    (venv / "rest").touch()
    assert len(bench.run()) == 2
    assert bench.venvs == [venv] and not (venv / "rest").exists()


@pytest.mark.parametrize("step", ["-m venv", "-m pip"])
def test_no_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """As where python3-venv is not installed, or no package can be had."""
    monkeypatch.setenv("FAILS", step)
    error = bench.fails()
    assert "it failed, and why\nusage error: no virtual environment\n" in error
    assert f"{step} " in error.partition("\ncommand: ")[2]
    assert "\nnext:    ./run_tests.py --install-deps" in error
    assert bench.venvs == []
    monkeypatch.setenv("FAILS", "nothing")
    assert len(bench.run()) == 2


def test_missing_tools(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "missing", list)
    error = bench.fails()
    assert error == (
        "usage error: not installed: git, python3-venv\n"
        "next:    ./run_tests.py --install-deps\n"
    )


def test_install_deps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = [0, 100]
    monkeypatch.setattr(tools, "install_deps", lambda: statuses.pop(0))
    bench.run("--install-deps", "-x")
    assert bench.pytest[-1] == "-x" and "--install-deps" not in bench.pytest
    assert "apt-get ended with exit status 100\n" in bench.fails("--install-deps")
    bench.run("-x")
    assert statuses == []


def test_install_deps_without_sudo(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert bench.fails("--install-deps") == (
        "usage error: cannot run sudo: No such file or directory\n"
        "next:    run this as root\n"
    )


@pytest.mark.parametrize("end", ["", "/cache"])
def test_cache_that_cannot_be_written(bench: Bench, end: str) -> None:
    named = f"{bench.requirements}{end}"
    error = bench.fails("--cache", named)
    assert error.startswith(f"usage error: cannot write {named}: ")
    assert error.endswith("\nnext:    name a folder with --cache\n")


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_tests.cache_folder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder([]) == tmp_path / "bpf-map-tracing"
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert folder(["--cache"]) == Path("/home/x/.cache/bpf-map-tracing")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert folder(["-x"]) == Path("/xdg/bpf-map-tracing")
    monkeypatch.chdir(tmp_path)
    assert folder(["--cache", "a", "--cache=b"]) == tmp_path / "b"
    assert folder(["--cache=~/c"]) == Path("/home/x/c")
    assert folder(["--cache", "~no-such-user/c"]) == tmp_path / "~no-such-user" / "c"
