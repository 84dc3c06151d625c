"""Tests of vm/debian.py, with fake apt commands and no release site."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vm import debian, source
from vm.conftest import Said
from vm.errors import BuildError, UsageError

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
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> Path:
    """Fake apt commands on PATH, no release site; the folder of their state."""
    state = tmp_path / "apt-state"
    tools = tmp_path / "tools"
    etc = tmp_path / "etc-apt"
    for folder in (state, tools, etc / "sources.list.d"):
        folder.mkdir(parents=True)
    commands = {"apt-cache": APT_CACHE, "apt-get": APT_GET, "dpkg-deb": DPKG_DEB}
    for name, text in commands.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (state / "policy").write_text("linux-source-7.3:\n  Candidate: (none)\n")
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(state / "calls"))
    monkeypatch.setenv("STATE", str(state))
    monkeypatch.setattr(debian, "APT_FOLDER", etc)
    monkeypatch.setattr(debian, "OS_RELEASE", tmp_path / "os-release")
    monkeypatch.setattr(source, "RELEASE_URL", "http://127.0.0.1:9/kernel")
    return state


def get(tmp_path: Path, said: Said) -> source.Source:
    return source.get_source("7.3", tmp_path / "cache", tmp_path / "log", said)


def test_unreachable_site_then_private_apt(
    tmp_path: Path, said: Said, apt: Path
) -> None:
    found = get(tmp_path, said)
    assert "not reachable" in said[0]
    assert (found.kind, found.path.read_text()) == ("debian", "content\n")
    assert found.describe == "linux-source-7.3 7.3.4-1~bpo13+1 (Debian)"
    assert found.key.startswith("debian-7.3.4-1_bpo13_1-")
    folder = tmp_path / "cache" / "sources" / "apt"
    sources = (folder / "mirror.sources").read_text()
    assert "URIs: http://mirror.example/debian\n" in sources
    assert "Suites: trixie-backports\n" in sources
    assert "Signed-By: /keys/debian.gpg\n" in sources
    assert f'Dir::State "{folder}/state";' in (folder / "apt.conf").read_text()
    calls = (apt / "calls").read_text().splitlines()
    assert [line for line in calls if "-c" not in line.split()] == calls[:1]
    (apt / "calls").unlink()
    assert get(tmp_path, said) == found
    assert not (apt / "calls").exists()


def test_machine_that_has_the_package_needs_no_private_apt(
    tmp_path: Path, said: Said, apt: Path
) -> None:
    (apt / "policy").write_text("linux-source-7.3:\n  Candidate: 7.3.9-1\n")
    assert get(tmp_path, said).describe == "linux-source-7.3 7.3.9-1 (Debian)"
    calls = (apt / "calls").read_text()
    assert "download linux-source-7.3=7.3.9-1" in calls
    assert "update" not in calls


def test_no_mirror_names_the_other_way(tmp_path: Path, said: Said, apt: Path) -> None:
    sources = debian.APT_FOLDER / "sources.list.d" / "debian.sources"
    sources.write_text(DEB822.replace("/debian", "/ubuntu"))
    debian.OS_RELEASE.write_text("ID=ubuntu\nVERSION_CODENAME=bookworm\n")
    with pytest.raises(UsageError) as raised:
        get(tmp_path, said)
    assert "--kernel-tree" in raised.value.hint


def test_mirror_without_the_suite(tmp_path: Path, said: Said, apt: Path) -> None:
    (tmp_path / "tools" / "apt-get").write_text("#!/bin/sh\necho no Release; exit 100")
    with pytest.raises(BuildError, match="no Release"):
        get(tmp_path, said)


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
