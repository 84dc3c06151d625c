"""Tests of vm/debian.py, with fake apt commands."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from vm import debian
from vm.archives import Record
from vm.bases import Base
from vm.debian import OTHER_WAY, debian_source
from vm.errors import BuildError, UsageError
from vm.terminal import Log
from vm.tests.project import executable
from vm.tests.said import Said

VERSION = "7.3.4-1~bpo13+1"
DIGEST = hashlib.sha256(b"content\n").hexdigest()
BASE = Base(
    *("7.3", "7.3.4", "", "trixie-backports", "linux-source-7.3", VERSION, DIGEST),
    *([], 9, ""),
)

DEB822 = """\
# a comment
Types: deb deb-src
# another
URIs: http://mirror.example/debian http://second.example/debian/
Suites: bookworm
# and one between the lines of a field
  bookworm-updates
Components: main
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""
ONE_LINE = """\
# deb http://comment.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/d.gpg] http://mirror.example/debian bookworm main # x
deb http://plain.example/debian bookworm main contrib
"""

# What the fake apt knows depends on whether it was given a configuration.
APT_CACHE = """#!/bin/sh
echo "apt-cache $*" >> "$CALLS"
case "$*" in
*" -c "*|"-c "*) test -e "$STATE/updated" && echo "  Candidate: 7.3.4-1~bpo13+1" ;;
*) cat "$STATE/policy" ;;
esac
true
"""
APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$CALLS"
case "$*" in
*update*) touch "$STATE/updated" ;;
*download*) echo deb > "linux-source-7.3_x_all.deb" ;;
esac
"""
DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/src"
echo content > "$3/usr/src/linux-source-7.3.tar.xz"
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake apt commands on PATH; the folder of their state."""
    state = tmp_path / "apt-state"
    tools = tmp_path / "tools"
    etc = tmp_path / "etc-apt"
    for folder in (state, etc / "sources.list.d", tmp_path / "archives"):
        folder.mkdir(parents=True)
    commands = {"apt-cache": APT_CACHE, "apt-get": APT_GET, "dpkg-deb": DPKG_DEB}
    for name, text in commands.items():
        executable(tools / name, text)
    (state / "policy").write_text("linux-source-7.3:\n  Candidate: (none)\n")
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(state / "calls"))
    monkeypatch.setenv("STATE", str(state))
    monkeypatch.setattr(debian, "APT_FOLDER", etc)
    monkeypatch.setattr(debian, "OS_RELEASE", tmp_path / "os-release")
    return state


def test_private_apt(tmp_path: Path, log: Log, said: Said, apt: Path) -> None:
    archives = tmp_path / "archives"
    archive, record = debian_source(BASE, archives, log)
    assert archive == archives / "linux-source-7.3-7.3.4-1_bpo13_1.tar.xz"
    assert archive.read_text() == "content\n"
    digest = hashlib.sha256(b"content\n").hexdigest()
    describe = "linux-source-7.3 7.3.4-1~bpo13+1 (Debian)"
    words = ("debian", "7.3", "7.3.4-1~bpo13+1", digest, describe)
    assert record == Record(*words, BASE.package_sha256)
    assert said.lines == [
        "reading the index of trixie-backports from this machine's Debian mirror",
        "downloading linux-source-7.3 7.3.4-1~bpo13+1 with apt, about 170 MB",
    ]
    folder = archives / "apt"
    sources = (folder / "mirror.sources").read_text()
    assert "URIs: http://mirror.example/debian\n" in sources
    assert "Suites: trixie-backports\n" in sources
    assert "Signed-By: /keys/debian.gpg\n" in sources
    assert (folder / "mirror.sources").stat().st_mode & 0o077 == 0
    assert f'Dir::State "{folder}/state";' in (folder / "apt.conf").read_text()
    calls = (apt / "calls").read_text().splitlines()
    assert [line for line in calls if "-c" not in line.split()] == calls[:1]
    assert not (archives / "deb").exists()


def test_pinned_archive(tmp_path: Path, log: Log, said: Said, apt: Path) -> None:
    """What is pinned has to match; a newer version is apt's word alone."""
    archives = tmp_path / "archives"
    with pytest.raises(BuildError, match="has the wrong checksum") as raised:
        debian_source(replace(BASE, package_sha256="0" * 64), archives, log)
    assert raised.value.detail.splitlines() == [
        *(f"downloaded: SHA-256 {DIGEST}", f"patches/bases.toml: {'0' * 64}"),
    ]
    assert not list(archives.glob("*.tar.xz")) and not (archives / "deb").exists()
    newer = replace(BASE, package_version="7.3.3-1", package_sha256="0" * 64)
    debian_source(newer, archives, log)
    assert said.lines[-1] == (
        f"patches/bases.toml does not pin {VERSION}: relying on apt's checks"
    )


def test_suite_and_package_are_those_of_the_base(
    tmp_path: Path, log: Log, apt: Path
) -> None:
    base = replace(BASE, suite="forky", package="linux-source-7.9")
    with pytest.raises(BuildError, match=r"has no usr/src/linux-source-7\.9\.tar\.xz"):
        debian_source(base, tmp_path / "archives", log)
    sources = (tmp_path / "archives" / "apt" / "mirror.sources").read_text()
    assert "Suites: forky\n" in sources
    assert "download linux-source-7.9=7.3.4-1~bpo13+1" in (apt / "calls").read_text()


def test_machine_that_has_the_package_needs_no_private_apt(
    tmp_path: Path, log: Log, apt: Path
) -> None:
    (apt / "policy").write_text("linux-source-7.3:\n  Candidate: 7.3.9-1\n")
    _, record = debian_source(BASE, tmp_path / "archives", log)
    assert record.describe == "linux-source-7.3 7.3.9-1 (Debian)"
    calls = (apt / "calls").read_text()
    assert "download linux-source-7.3=7.3.9-1" in calls
    assert "update" not in calls


@pytest.mark.parametrize(("user", "sandbox"), [(0, True), (1000, False)])
def test_root_downloads_as_root(
    tmp_path: Path,
    log: Log,
    apt: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    sandbox: bool,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    debian_source(BASE, tmp_path / "archives", log)
    calls = (apt / "calls").read_text().splitlines()
    assert {"APT::Sandbox::User=root" in line for line in calls} == {sandbox}


def test_no_mirror_names_the_other_way(tmp_path: Path, log: Log, apt: Path) -> None:
    sources = debian.APT_FOLDER / "sources.list.d" / "debian.sources"
    sources.write_text(DEB822.replace("/debian", "/ubuntu"))
    debian.OS_RELEASE.write_text("ID=ubuntu\nVERSION_CODENAME=bookworm\n")
    with pytest.raises(UsageError, match="has no Debian mirror") as raised:
        debian_source(BASE, tmp_path / "archives", log)
    assert "--kernel-tree" in raised.value.hint


def test_mirror_without_the_suite(tmp_path: Path, log: Log, apt: Path) -> None:
    executable(tmp_path / "tools" / "apt-get", "#!/bin/sh\necho no Release; exit 100\n")
    with pytest.raises(BuildError, match="no Release"):
        debian_source(BASE, tmp_path / "archives", log)


def test_suite_without_the_package(tmp_path: Path, log: Log, apt: Path) -> None:
    executable(tmp_path / "tools" / "apt-get", "#!/bin/sh\n")
    with pytest.raises(
        BuildError, match=r"trixie-backports .* has no linux-source-7\.3"
    ) as raised:
        debian_source(BASE, tmp_path / "archives", log)
    assert "--kernel-tree" in raised.value.hint


def test_machine_without_apt(
    tmp_path: Path, log: Log, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="cannot run apt-cache") as raised:
        debian_source(BASE, tmp_path / "archives", log)
    assert raised.value.hint == OTHER_WAY


def test_both_formats_of_apt_sources(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d" / "d.sources").write_text(DEB822)
    entries = debian.apt_entries(tmp_path)
    assert [entry["uris"] for entry in entries] == [
        "http://mirror.example/debian",
        "http://plain.example/debian",
        "http://mirror.example/debian",
        "http://second.example/debian/",
        "http://inline.example/debian",
    ]
    assert entries[0]["signed-by"] == "/keys/d.gpg"
    assert "signed-by" not in entries[1]
    assert entries[1]["components"].split() == ["main", "contrib"]
    assert entries[2]["suites"].split() == ["bookworm", "bookworm-updates"]
    assert entries[4]["signed-by"].startswith("\n -----BEGIN PGP")
    assert entries[4]["signed-by"].endswith("\n abc")


@pytest.mark.parametrize(
    ("system", "uris", "expected"),
    [
        ("debian", ["x/vendor", "x/debian"], "x/debian"),
        ("debian", ["x/proxy"], "x/proxy"),
        ("ubuntu", ["x/ubuntu"], None),
        ("ubuntu", ["x/ubuntu", "x/debian/"], "x/debian/"),
        ("debian", [], None),
    ],
)
def test_choice_of_the_mirror(
    apt: Path, system: str, uris: list[str], expected: str | None
) -> None:
    debian.OS_RELEASE.write_text(f"ID={system}\nVERSION_CODENAME=bookworm\n")
    common = {"suites": "bookworm", "components": "main"}
    foreign = {"uris": "x/docker/debian", "suites": "bookworm", "components": "stable"}
    mirror = debian.debian_mirror([foreign, *({"uris": uri} | common for uri in uris)])
    assert (mirror["uris"] if mirror else None) == expected


def test_name_of_the_mirror_counts_more_than_its_suites(apt: Path) -> None:
    vendor = {"uris": "x/vendor", "suites": "bookworm", "components": "main"}
    named = {"uris": "x/debian", "suites": "trixie", "components": "main"}
    assert debian.debian_mirror([vendor, named]) == named
