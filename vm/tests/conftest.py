"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vm import limits, machine
from vm.guest import Guest
from vm.machine import Machine
from vm.terminal import Log
from vm.tests import quick_vng
from vm.tests.copying import Copying
from vm.tests.kernel import Kernel
from vm.tests.makefile import BPFTOOL, LIBBPF, Selftests
from vm.tests.project import Project
from vm.tests.said import Said
from vm.tests.template import Template

# What a script starts in the background ignores SIGINT, and SIGHUP under nohup, and so
# would the harness that the tests start from there.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.getbasetemp() / "project")


@pytest.fixture
def project(
    template: Template, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Project]:
    """A project with everything built once; see project.py."""
    failed = request.session.testsfailed
    project = template.fresh()
    yield project
    if request.session.testsfailed > failed:
        project.move(tmp_path / "project")  # to look at


@pytest.fixture
def make(
    project: Project, log: Log, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Guest]:
    """Makes a guest that behaves in the given way, given up `soon` if it hangs."""
    monkeypatch.setattr(machine, "VNG", project.path / "vm" / "vng.py")
    monkeypatch.setattr(os, "execvpe", quick_vng.execvpe)
    monkeypatch.setattr("vm.process._TERM_GRACE", 0.4)

    def call(
        how: str = "", deadline: float = 60.0, *, soon: bool = False, sockets: str = ""
    ) -> Guest:
        project.set(how)
        (project.path / "asked").touch()
        if soon:
            for name in ("ANSWER_MARGIN", "POWER_OFF_DEADLINE", "CONSOLE_DEADLINE"):
                monkeypatch.setattr(limits, name, 0.5)
        return Guest(
            *(Machine(), Path("/boot/bzImage"), log),
            boot_deadline=deadline,
            sockets=sockets,
            vmlinux=Path("vmlinux"),
        )

    return call


@pytest.fixture
def kernel(
    tmp_path: Path, log: Log, said: Said, monkeypatch: pytest.MonkeyPatch
) -> Kernel:
    return Kernel(tmp_path, log, said, monkeypatch)


@pytest.fixture
def copying(tmp_path: Path, log: Log) -> Copying:
    return Copying(tmp_path, log)


@pytest.fixture(params=["plain", "git"])
def tree(request: pytest.FixtureRequest, copying: Copying) -> Copying:
    """Aged and prepared once."""
    if request.param == "git":
        commit(copying.user)
    copying.prepare()
    copying.age()
    return copying


Make = Callable[..., Guest]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Fail if the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def commit(folder: Path) -> None:
    """Make a git checkout of the folder."""
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e"]
    for words in ("init -q", "add .", "commit -q --no-gpg-sign -m m"):
        subprocess.run([*git, *words.split()], check=True)


@pytest.fixture
def selftests(tmp_path: Path) -> Selftests:
    selftests = Selftests(tmp_path)
    assert selftests.make(LIBBPF, BPFTOOL) == [LIBBPF, BPFTOOL]
    selftests.age()
    assert selftests.make(LIBBPF, BPFTOOL) == []
    return selftests
