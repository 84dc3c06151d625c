"""Tests of vm/tools.py: apt-get and sudo are programs that only say they ran."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vm import tools
from vm.tools import Tool

APT_GET = """#!/bin/sh
echo "apt-get $* ($DEBIAN_FRONTEND)" >> "$CALLS"
case " $* " in *" $FAILS "*) exit 100 ;; esac
"""
SUDO = '#!/bin/sh\necho sudo >> "$CALLS"\nexec "$@"\n'


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fakes are the first on PATH; the file in which they say that they ran."""
    for name, text in {"apt-get": APT_GET, "sudo": SUDO}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAILS", "nothing")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path / "calls"


def test_missing_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").touch(mode=0o755)
    (tmp_path / "no-program").touch(mode=0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = [Tool(name, "p") for name in ("here", "no-program", "no-such-tool")]
    assert tools.missing(wanted) == wanted[1:]


def test_missing_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {Path("/usr/include/a.h"), Path("/usr/include/b/c.h")}
    monkeypatch.setattr(Path, "is_file", lambda path: path in there)
    wanted = [Tool(name, "p") for name in ("/a.h", "/b/c.h", "/c.h")]
    assert tools.missing(wanted) == wanted[2:]


def test_install_as_root(calls: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert tools.install_deps() == 0
    update, install = calls.read_text().splitlines()
    assert update == "apt-get -q update (noninteractive)"
    assert install.startswith("apt-get -q install -y --no-install-recommends bc ")
    packages = install.partition(" (")[0].split()[5:]
    every = (*tools.HARNESS, *tools.KERNEL, *tools.WELCOME)
    assert packages == sorted({tool.package for tool in every})
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "$ env DEBIAN_FRONTEND=noninteractive apt-get -q update"


def test_install_through_sudo(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert tools.install_deps() == 0
    said = [line.split()[0] for line in calls.read_text().splitlines()]
    assert said == ["sudo", "apt-get"] * 2


@pytest.mark.parametrize(("fails", "status"), [("update", 0), ("install", 100)])
def test_install_that_fails(
    calls: Path, monkeypatch: pytest.MonkeyPatch, fails: str, status: int
) -> None:
    monkeypatch.setenv("FAILS", fails)
    assert tools.install_deps() == status
    assert len(calls.read_text().splitlines()) == 2
