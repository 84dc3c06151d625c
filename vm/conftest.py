"""Fakes that several test modules share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What FAKE_RUN="no build" has pytest say.
NO_BUILD = """\
build failed: the kernel does not build: map.c:3: error: no
    map.c:3: error: no
command: make bzImage
next:    the whole output is in """


class Said(list[str]):
    """Collects what the user is told."""

    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's proxy is not asked for 127.0.0.1."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Bench:
    """A folder with selftests for the fakes, and runs of pytest in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.status = -1
        self.output = ""
        tests = folder / "selftests"
        tests.mkdir()
        shutil.copy(ROOT / "selftests" / "conftest.py", tests)
        shutil.copy(ROOT / "pyproject.toml", folder)
        (tests / "Makefile").write_text("TESTS := one \\\n\ttwo\n")
        (tests / "helper.c").write_text("f.helper.fails")
        self.tests("f.hash.passes f.array.passes", "f.percpu.passes")

    def tests(self, one: str, two: str = "") -> None:
        """Name the tests of one.c and two.c."""
        (self.folder / "selftests" / "one.c").write_text(one)
        (self.folder / "selftests" / "two.c").write_text(two)

    def run(self, *arguments: str, how: str = "", typed: str = "") -> str:
        """Run pytest as run_tests.py does; its output, in which nothing crashed."""
        paths = [ROOT, ROOT / "vm" / "testdata"]
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "FAKE_RUN": how,
        }
        for old in self.folder.glob("guest"):
            old.unlink()
        command = [sys.executable, "-m", "pytest", "-p", "vm.plugin", "-p", "fake_run"]
        command += ["-c", "pyproject.toml", "--rootdir", ".", f"--cache={self.cache}"]
        result = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env=environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.status, self.output = result.returncode, result.stdout
        for word in ("Traceback (most", "INTERNALERROR", "plugin.py:", "vm/run.py:"):
            assert word not in self.output, self.output
        return self.output

    @property
    def guest(self) -> list[str]:
        """What the guest was asked for: enter, the tests that ran, exit."""
        file = self.folder / "guest"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.replace("run /run/selftests/", "") for line in lines]

    @property
    def logs(self) -> Path:
        """The folder of the last run."""
        return max((self.cache / "runs").iterdir(), key=lambda f: f.stat().st_ctime_ns)

    @property
    def ktap(self) -> list[str]:
        """The KTAP file of the last run."""
        lines = (self.logs / "results.ktap").read_text().splitlines()
        return [line.strip() for line in lines]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
