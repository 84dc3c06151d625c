"""run_tests.py up to where it becomes pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import run_tests
from vm import tools
from vm.cache import lock
from vm.errors import UsageError

# Stands in for the Python that makes the environment and for the one in it.
PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
*"$FAILS"*) echo "it failed, and why" >&2; exit 1 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
esac
"""


class Start:
    """Runs of main() with fakes of Python, up to where it becomes pytest."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = folder / "cache"
        self.requirements = folder / "requirements.txt"
        self.requirements.write_text("pytest==9\n")
        self.calls = folder / "calls"
        self.became: list[str] = []
        self._patch = monkeypatch
        python = folder / "python3"
        python.write_text(PYTHON)
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(run_tests, "REQUIREMENTS", self.requirements)
        monkeypatch.setattr(os, "execv", lambda _, words: self.became.extend(words))
        # main() clears the rest of the environment.
        monkeypatch.setattr(os, "environ", os.environ.copy())
        self.fails_at = "nothing"

    def run(self, *arguments: str) -> list[str]:
        """What the Pythons were called with; pytest's command is in `became`."""
        self.calls.write_text("")
        self.became.clear()
        really_run = subprocess.run

        def run(command: list[str], **words: object) -> object:
            env = {**os.environ, "CALLS": str(self.calls), "FAILS": self.fails_at}
            return really_run(command, env=env, **words)  # type: ignore[call-overload]

        with self._patch.context() as patch:
            patch.setattr(subprocess, "run", run)
            run_tests.main([f"--cache={self.cache}", *arguments])
        return self.calls.read_text().splitlines()

    def fails(self, *arguments: str) -> str:
        """The error with which the run ends."""
        with pytest.raises(UsageError) as raised:
            self.run(*arguments)
        assert self.became == []
        return str(raised.value)

    @property
    def venvs(self) -> list[Path]:
        """The virtual environments."""
        return sorted(self.cache.glob("venv-*"))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    return Start(tmp_path, monkeypatch)


def test_first_run_and_second(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    make, install = start.run("-k", "hash")
    (venv,) = start.venvs
    assert make == f"-m venv {venv}"
    assert install.startswith("-m pip install -q --no-deps ")
    assert install.endswith(f" -r {start.requirements}")
    python, *words = start.became
    assert python == str(venv / "bin" / "python")
    assert words[:2] == ["-I", str(run_tests.ROOT / "vm" / "__main__.py")]
    assert words[2:] == [f"--cache={start.cache}", "-k", "hash"]
    said = capfd.readouterr().err
    assert f"$ {python} -m pip install " in said, "each command before it runs"
    assert start.run() == [] and start.became[0] == python


def test_environment_follows_the_requirements(start: Start) -> None:
    start.run()
    start.requirements.write_text("pytest==10\n")
    assert len(start.run()) == 2
    assert len(start.venvs) == 2
    start.requirements.write_text("pytest==9\n")
    assert start.run() == []


def test_environment_follows_the_python(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start.run()
    for name in ("version", "prefix"):
        monkeypatch.setattr(sys, name, "another")
        assert len(start.run()) == 2
    assert len(start.venvs) == 3


def test_environment_that_another_run_is_making(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    start.cache.mkdir()
    held = lock(start.cache, wait=False)
    assert held is not None

    def finish() -> None:
        assert start.venvs == []
        venv = run_tests.venv_folder(start.cache)
        venv.mkdir()
        (venv / "ready").touch()
        os.close(held)

    other = threading.Timer(0.5, finish)
    other.start()
    assert start.run() == [] and start.became
    other.join()
    assert "waiting for another run" in capfd.readouterr().err


def test_half_made_environment_is_remade(start: Start) -> None:
    start.run()
    (venv,) = start.venvs
    (venv / "ready").unlink()
    (venv / "rest").touch()
    assert len(start.run()) == 2
    assert start.venvs == [venv] and not (venv / "rest").exists()


@pytest.mark.parametrize("step", ["-m venv", "-m pip"])
def test_no_environment(
    start: Start, capfd: pytest.CaptureFixture[str], step: str
) -> None:
    """As if python3-venv is not installed, or a package cannot be downloaded."""
    start.fails_at = step
    error = start.fails()
    assert capfd.readouterr().err.endswith("it failed, and why\n")
    assert error.startswith("usage error: cannot make a virtual environment\n")
    assert f"{step} " in error.partition("\ncommand: ")[2]
    assert "\nnext:    ./run_tests.py --install-deps" in error
    assert start.venvs == []
    start.fails_at = "nothing"
    assert len(start.run()) == 2


def test_missing_tools(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "missing", list)
    assert start.fails() == (
        "usage error: not installed: git (package git), "
        "python3 (package python3-venv)\n"
        "next:    ./run_tests.py --install-deps"
    )


def test_install_deps(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[object] = []
    monkeypatch.setattr(tools, "install_deps", installed.append)
    start.run("--install-deps", "-x")
    assert start.became[-1] == "-x" and "--install-deps" not in start.became
    start.run("-x")
    start.run("--install-deps", "--compiler", "gcc")
    start.run("--install-deps", "--compiler", "clang")
    start.run("--install-deps", "--upstream")
    both = (*tools.CLANG, *tools.UPSTREAM)
    assert installed == [(), (), tools.CLANG, both]


def test_run_beside_another_one(start: Start) -> None:
    """A run that has the cache's lock for an hour does not keep another from pytest."""
    start.run()
    held = lock(start.cache, wait=False)
    assert held is not None
    assert start.run("vm") == [] and start.became
    os.close(held)


# What is refused before anything is made


def test_cache_with_a_space(start: Start) -> None:
    folder = start.cache / "a b"
    error = start.fails("--cache", str(folder))
    assert error.startswith("usage error: space or colon in the path of the cache ")
    assert error.endswith("\nnext:    choose another folder with --cache")
    assert not start.cache.exists()


def test_cache_that_cannot_be_written(start: Start) -> None:
    named = f"{start.requirements}/cache"
    error = start.fails("--cache", named)
    assert error.startswith(f"usage error: cannot write to the cache folder {named}: ")


def test_checkout_with_a_space(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tests, "ROOT", Path("/a checkout"))
    error = start.fails()
    assert error.startswith("usage error: space or colon in the path of the checkout ")
    assert not start.cache.exists()


def test_cross_compiler(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    os.environ["CROSS_COMPILE"] = "arm-"
    assert start.fails().startswith("usage error: CROSS_COMPILE=arm- is set in the ")
    assert not start.cache.exists()


def test_what_is_cleared_is_said(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    os.environ.update(CFLAGS="-O0", MAKEFLAGS="-k", PYTHONOPTIMIZE="1", CC="gcc-12")
    start.run()
    said = capfd.readouterr().err
    assert said.startswith("ignored from the environment: CFLAGS, MAKEFLAGS\n")
    assert not {"CFLAGS", "MAKEFLAGS", "PYTHONOPTIMIZE"} & os.environ.keys()
    assert os.environ["CC"] == "gcc-12"


def test_command_of_the_user(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[object] = []
    monkeypatch.setattr(tools, "install_deps", installed.append)
    start.run("--shell", "--", "sh", "-c", "echo 'a b'", "--", "-x")
    assert start.became[-2:] == [
        *("--shell", """--command=sh -c 'echo '"'"'a b'"'"'' -- -x"""),
    ]
    start.run("--shell", "--", "sudo", "apt-get", "--install-deps")
    assert start.became[-1] == "--command=sudo apt-get --install-deps"
    assert installed == []
    start.run("--", "selftests")
    assert start.became[-1] == "--command=selftests"
