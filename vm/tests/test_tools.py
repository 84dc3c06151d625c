"""Tests of vm/tools.py: apt-get and sudo are programs that only say they ran."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vm import tools
from vm.errors import UsageError
from vm.tests.project import executable
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
        executable(tmp_path / "bin" / name, text)
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


def test_programs_of_administrators_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's PATH of a user has no sbin."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.missing([Tool("ldconfig", "libc-bin")]) == []
    monkeypatch.delenv("PATH")
    assert tools.missing([Tool("sh", "dash"), Tool("ldconfig", "libc-bin")]) == []


def test_missing_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {Path("/usr/include/a.h"), Path("/usr/include/b/c.h")}
    monkeypatch.setattr(Path, "is_file", lambda path: path in there)
    wanted = [Tool(name, "p") for name in ("/a.h", "/b/c.h", "/c.h")]
    assert tools.missing(wanted) == wanted[2:]


def test_missing_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a distribution has them."""
    there = {Path("/usr/lib/x86_64-linux-gnu/liba.a"), Path("/usr/lib64/libb.a")}
    monkeypatch.setattr(Path, "is_file", lambda path: path in there)
    wanted = [Tool(name, "p") for name in ("liba.a", "libb.a", "libc.a")]
    assert tools.missing(wanted) == wanted[2:]


@pytest.mark.parametrize(("libelf", "needed"), [(b"ZSTD_getError", 1), (b"zlib", 0)])
def test_library_that_another_one_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libelf: bytes, needed: int
) -> None:
    monkeypatch.setattr(tools, "_LIBRARIES", (str(tmp_path),))
    (tmp_path / "libelf.a").write_bytes(libelf)
    zstd = next(tool for tool in tools.KERNEL if tool.name == "libzstd.a")
    assert tools.missing([zstd]) == [zstd] * needed


def test_install_as_root(calls: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tools.install_deps()
    update, install = calls.read_text().splitlines()
    assert update == "apt-get -q update (noninteractive)"
    assert install.startswith("apt-get -q install -y --no-install-recommends bc ")
    packages = install.partition(" (")[0].split()[5:]
    every = (*tools.HARNESS, *tools.KERNEL, *tools.WELCOME)
    assert packages == sorted({tool.package for tool in every})
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "$ env DEBIAN_FRONTEND=noninteractive apt-get -q update"
    assert len(said) == 2


def test_install_more(calls: Path) -> None:
    tools.install_deps(tools.CLANG)
    install = calls.read_text().splitlines()[1].split()
    assert {"clang-19", "lld-19", "llvm-19"} < set(install)


def test_install_through_sudo(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    tools.install_deps()
    said = [line.split()[0] for line in calls.read_text().splitlines()]
    assert said == ["sudo", "apt-get"] * 2


def test_index_that_is_not_updated_is_no_failure(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "update")
    tools.install_deps()
    assert len(calls.read_text().splitlines()) == 2


def test_install_that_fails(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILS", "install")
    with pytest.raises(UsageError) as raised:
        tools.install_deps()
    assert raised.value.what == "apt-get failed (exit status 100)"
    assert raised.value.command[2:5] == ["apt-get", "-q", "install"]
    assert len(calls.read_text().splitlines()) == 2


def test_install_without_sudo(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (calls.parent / "bin" / "sudo").unlink()
    monkeypatch.setenv("PATH", str(calls.parent / "bin"))
    with pytest.raises(UsageError) as raised:
        tools.install_deps()
    assert raised.value.what == "cannot run sudo: No such file or directory"
    assert raised.value.hint == "run this as root"


# Without apt-get


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing; the folder of its programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_present", lambda name: (tmp_path / name).exists())
    return tmp_path


def test_names_of_other_distributions(elsewhere: Path) -> None:
    assert str(tools.not_installed(tools.KERNEL[4:9])) == (
        "usage error: not installed: flex, gcc, llvm-addr2line, llvm-strip, lz4\n"
        "    dnf install flex gcc llvm lz4\n"
        "    pacman -S flex gcc llvm lz4\n"
        "    zypper install flex gcc llvm lz4\n"
        "next:    install them, then run again; these package names are untested"
    )
    executable(elsewhere / "pacman", "")
    error = tools.not_installed([t for t in tools.KERNEL if t.name[0] == "/"])
    assert error.what.startswith("not installed: /usr/include/gelf.h, /usr/include/")
    assert error.detail == "pacman -S glibc libelf openssl zlib zstd"
    (elsewhere / "pacman").unlink()
    executable(elsewhere / "dnf", "")
    error = tools.not_installed([t for t in tools.KERNEL if t.name.endswith(".a")])
    assert error.what == "not installed: libc.a, libelf.a, libz.a, libzstd.a"
    assert error.detail == (
        "dnf install elfutils-libelf-devel-static glibc-static libzstd-static "
        "zlib-ng-compat-static"
    )


def test_install_without_apt_get(
    elsewhere: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "KERNEL", (Tool("bc", "bc"),))
    monkeypatch.setattr(tools, "HARNESS", (Tool("git", "git"),))
    executable(elsewhere / "git", "")
    executable(elsewhere / "dnf", "")
    with pytest.raises(UsageError) as raised:
        tools.install_deps()
    assert raised.value.what == "not installed: bc, ccache, gdb"
    assert raised.value.detail == "dnf install bc ccache gdb"
    executable(elsewhere / "bc", "")
    tools.install_deps()
    said = capfd.readouterr().out
    assert said == "optional:\n    dnf install ccache gdb\n"
    for name in ("ccache", "gdb"):
        executable(elsewhere / name, "")
    tools.install_deps()
    assert capfd.readouterr().out == ""
    executable(elsewhere / "clang", "")
    with pytest.raises(UsageError) as raised:
        tools.install_deps(tools.CLANG)
    assert raised.value.what == "not installed: ld.lld, llvm-ar"
    assert raised.value.detail == "dnf install lld llvm"


def test_other_names_are_those_of_packages() -> None:
    lists = (tools.HARNESS, tools.KERNEL, tools.CLANG, tools.WELCOME, tools.UPSTREAM)
    every = {name for wanted in lists for tool in wanted for name in tool}
    for called in tools._ELSEWHERE.values():
        assert called.keys() <= every


def test_each_tool_is_listed_once() -> None:
    every = (*tools.HARNESS, *tools.KERNEL, *tools.WELCOME, *tools.CLANG)
    assert len({tool.name for tool in every}) == len(every)
