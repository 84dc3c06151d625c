"""Fixtures that several test modules share."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from vm.terminal import Log, Terminal
from vm.tests.project import Project, make_project


class Said(Terminal):
    """A terminal that keeps what the user is told, and how far stages came."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.lines: list[str] = []
        self.steps: list[tuple[int, int | None]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, what: str, done: int, total: int | None) -> None:
        self.steps.append((done, total))


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def log(tmp_path: Path, said: Said) -> Log:
    """The log of a stage: the file `log`; what is said goes to `said`."""
    return Log(tmp_path / "log", said)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's proxy is not asked for 127.0.0.1."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with everything built once, to copy."""
    project = make_project(tmp_path_factory.mktemp("template") / "project")
    ended = project.run()
    assert ended.status == 0, ended.output
    shutil.rmtree(project.cache / "runs")
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    """A project of the test's own; see project.py."""
    return template.copy(tmp_path / "project")


def executable(file: Path, text: str) -> None:
    """Write a program, and its folder if that is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def commit(folder: Path) -> None:
    """Make a git checkout of the folder."""
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e"]
    for words in ("init -q", "add .", "commit -q --no-gpg-sign -m m"):
        subprocess.run([*git, *words.split()], check=True)
