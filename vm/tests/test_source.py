"""Tests of vm/source.py: nothing beyond 127.0.0.1 is contacted."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vm import source
from vm.archives import Record
from vm.bases import Base
from vm.errors import BuildError, UsageError
from vm.source import Source, fetch_source
from vm.terminal import Log
from vm.tests.said import Said

ARCHIVE = b"not really xz" * 100_000
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()
NAME = "linux-7.3.4.tar.xz"
PACKAGE = ("linux-source-7.3", "7.3.4-1", "abc")
BASE = Base("7.3", "7.3.4", DIGEST, "trixie", *PACKAGE, [], 9, "")
UNPINNED = replace(BASE, sha256="")

Pages = dict[str, tuple[int, bytes]]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> Iterator[Pages]:
    """A release site on 127.0.0.1: file name to status and content."""
    pages = {
        "v7.x/sha256sums.asc": (
            200,
            b"-----BEGIN PGP SIGNED MESSAGE-----\n"
            + f"{'0' * 64}  linux-7.3.40.tar.xz\n{DIGEST}  {NAME}\n".encode(),
        ),
        f"v7.x/{NAME}": (200, ARCHIVE),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = pages[self.path.removeprefix("/kernel/")]
            self.send_response(status)
            cut = content.removesuffix(b"CUT")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(cut)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(
        source, "RELEASE_URL", f"http://127.0.0.1:{server.server_port}/kernel"
    )
    yield pages
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's package is requested but unavailable."""

    def refuse(base: Base, archives: Path, log: Log) -> None:
        raise UsageError(f"{base.package} in vain", hint="none")

    monkeypatch.setattr(source, "debian_source", refuse)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def kept(cache: Path) -> list[str]:
    """What the cache has of archives, whole or not."""
    return sorted(path.name for path in cache.rglob("*.xz*"))


def test_release_is_fetched_once(
    cache: Path, log: Log, said: Said, site: Pages
) -> None:
    first = fetch_source(BASE, cache, log)
    assert (first.kind, first.files) == ("release", ())
    assert first.path == cache / "sources" / NAME
    assert first.path.read_bytes() == ARCHIVE
    assert first.describe == "linux-7.3.4 (kernel.org)"
    assert first.key == f"release-7.3.4-{DIGEST[:12]}"
    assert said.steps[-1] == (1, 1), "megabytes"
    assert kept(cache) == [NAME, f"{NAME}.json"]
    site.clear()
    said.lines.clear()
    assert fetch_source(BASE, cache, log) == first
    assert said.lines == []


def test_what_is_said_is_in_the_log_as_well(
    cache: Path, log: Log, said: Said, site: Pages
) -> None:
    fetch_source(BASE, cache, log)
    url = f"{source.RELEASE_URL}/v7.x/{NAME}"
    assert said.lines == [f"downloading {url}"]
    assert log.path.read_text() == f"downloading {url}\n"


def test_damaged_archive_is_fetched_anew(
    cache: Path, log: Log, said: Said, site: Pages
) -> None:
    fetch_source(BASE, cache, log).path.write_bytes(b"damaged")
    said.lines.clear()
    assert fetch_source(BASE, cache, log).path.read_bytes() == ARCHIVE
    assert "SHA-256 differs" in said.lines[0]


# The checksum


def test_site_tells_the_checksum_if_none_is_pinned(
    cache: Path, log: Log, said: Said, site: Pages
) -> None:
    found = fetch_source(UNPINNED, cache, log)
    assert found.path.read_bytes() == ARCHIVE
    assert f"pins no checksum for {NAME}" in said.lines[0]
    assert fetch_source(BASE, cache, log) == found, "the one that is pinned now"


def test_older_release_than_that_of_the_base_is_not_used(
    cache: Path, log: Log, site: Pages
) -> None:
    fetch_source(UNPINNED, cache, log)
    with pytest.raises(BuildError, match=r"no checksum for linux-7\.3\.5"):
        fetch_source(replace(UNPINNED, release="7.3.5"), cache, log)


def test_archive_of_another_base_is_not_used(
    cache: Path, log: Log, site: Pages
) -> None:
    fetch_source(BASE, cache, log)
    site.clear()
    site["v7.x/sha256sums.asc"] = (200, b"")
    with pytest.raises(BuildError, match="no checksum"):
        fetch_source(replace(UNPINNED, name="7.2"), cache, log)


def test_archive_with_another_checksum_than_pinned_is_not_used(
    cache: Path, log: Log, site: Pages
) -> None:
    fetch_source(UNPINNED, cache, log)
    other = hashlib.sha256(b"another archive").hexdigest()
    site[f"v7.x/{NAME}"] = (200, b"another archive")
    found = fetch_source(replace(BASE, sha256=other), cache, log)
    assert found.path.read_bytes() == b"another archive"


@pytest.mark.parametrize(
    ("base", "origin"), [(BASE, "patches/bases.toml"), (UNPINNED, "sha256sums.asc")]
)
def test_wrong_checksum_never_leads_elsewhere(
    cache: Path, log: Log, said: Said, site: Pages, base: Base, origin: str
) -> None:
    site[f"v7.x/{NAME}"] = (200, b"something else")
    with pytest.raises(BuildError, match="wrong checksum") as raised:
        fetch_source(base, cache, log)
    got = hashlib.sha256(b"something else").hexdigest()
    assert raised.value.detail.splitlines() == [
        *(f"downloaded: SHA-256 {got}", f"{origin}: {DIGEST}"),
    ]
    assert "--kernel-tree" in raised.value.hint
    assert not any("Debian" in line for line in said.lines)
    assert kept(cache) == []


def test_pinned_checksum_beats_that_of_the_site(
    cache: Path, log: Log, site: Pages
) -> None:
    """Whoever changes the archive can change the site's list as well."""
    forged = b"forged"
    digest = hashlib.sha256(forged).hexdigest()
    site["v7.x/sha256sums.asc"] = (200, f"{digest}  {NAME}\n".encode())
    site[f"v7.x/{NAME}"] = (200, forged)
    with pytest.raises(BuildError, match="wrong checksum"):
        fetch_source(BASE, cache, log)
    assert fetch_source(UNPINNED, cache, log).path.read_bytes() == forged


# Sites that fail


def test_cut_download_says_how_far_it_came(cache: Path, log: Log, site: Pages) -> None:
    site[f"v7.x/{NAME}"] = (200, ARCHIVE[:-3] + b"CUT")
    with pytest.raises(
        BuildError, match=f"after {len(ARCHIVE) - 3} of {len(ARCHIVE)} bytes"
    ) as raised:
        fetch_source(BASE, cache, log)
    assert raised.value.hint.startswith("run again, or ")
    assert kept(cache) == []


def test_archive_that_is_not_there(cache: Path, log: Log, site: Pages) -> None:
    site[f"v7.x/{NAME}"] = (404, b"")
    with pytest.raises(BuildError, match=r"after 0 of \? bytes: .*404"):
        fetch_source(BASE, cache, log)


def test_site_without_the_list(
    cache: Path, log: Log, said: Said, site: Pages, no_debian: None
) -> None:
    site["v7.x/sha256sums.asc"] = (503, b"")
    with pytest.raises(UsageError, match=r"linux-source-7\.3 in vain"):
        fetch_source(BASE, cache, log)
    assert "cannot reach" in said.lines[0] and "Debian" in said.lines[0]


def test_site_out_of_reach(
    cache: Path,
    log: Log,
    said: Said,
    no_proxy: None,
    no_debian: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "RELEASE_URL", "http://127.0.0.1:9/kernel")
    with pytest.raises(UsageError, match=r"linux-source-7\.3 in vain"):
        fetch_source(BASE, cache, log)
    assert said.lines == [
        "cannot reach http://127.0.0.1:9/kernel/v7.x/sha256sums.asc "
        "([Errno 111] Connection refused): trying Debian's package"
    ]


def test_archive_of_debian_is_used_again(
    cache: Path,
    log: Log,
    said: Said,
    site: Pages,
    no_debian: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever its version: Debian may not have the one that is pinned."""
    site.clear()
    site["v7.x/sha256sums.asc"] = (503, b"")

    def debian(base: Base, archives: Path, log: Log) -> tuple[Path, Record]:
        archive = archives / "linux-source-7.3.tar.xz"
        archive.write_bytes(ARCHIVE)
        words = ("debian", base.name, "7.3.3-1", DIGEST, "Debian's")
        return archive, Record(*words, base.package_sha256)

    with monkeypatch.context() as patch:
        patch.setattr(source, "debian_source", debian)
        found = fetch_source(BASE, cache, log)
    path = cache / "sources" / "linux-source-7.3.tar.xz"
    assert found == Source("debian", path, f"debian-7.3.3-1-{DIGEST[:12]}", "Debian's")
    assert fetch_source(replace(BASE, sha256="0" * 64), cache, log) == found
    # The pin has moved on since: to another archive, or to this one.
    with pytest.raises(UsageError, match="in vain"):
        fetch_source(replace(BASE, package_sha256="def"), cache, log)
    assert fetch_source(replace(BASE, package_sha256=DIGEST), cache, log) == found
