"""Tests of vm/source.py: nothing beyond 127.0.0.1 is contacted."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import source
from vm.conftest import Said
from vm.errors import BuildError, UsageError

ARCHIVE = b"not really xz" * 1000


@pytest.fixture
def site(
    monkeypatch: pytest.MonkeyPatch, no_proxy: None
) -> Iterator[dict[str, tuple[int, bytes]]]:
    """A release site on 127.0.0.1: file name to status and content."""
    pages = {
        "sha256sums.asc": (
            200,
            b"-----BEGIN PGP SIGNED MESSAGE-----\n"
            + hashlib.sha256(ARCHIVE).hexdigest().encode()
            + b"  linux-7.3.4.tar.xz\n",
        ),
        "linux-7.3.4.tar.xz": (200, ARCHIVE),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = pages[Path(self.path).name]
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


def get(tmp_path: Path, said: Said, base: str = "7.3") -> source.Source:
    return source.get_source(base, tmp_path / "cache", tmp_path / "log", said)


# kernel.org


def test_release_is_fetched_once(
    tmp_path: Path, said: Said, site: dict[str, tuple[int, bytes]]
) -> None:
    steps: list[tuple[int, int | None]] = []
    cache = tmp_path / "cache"
    log = tmp_path / "log"
    first = source.get_source(
        "7.3", cache, log, said, progress=lambda *step: steps.append(step)
    )
    assert first.kind == "release"
    assert first.path.read_bytes() == ARCHIVE
    assert first.describe == "linux-7.3.4 (kernel.org)"
    assert steps[-1] == (len(ARCHIVE), len(ARCHIVE))
    site.clear()
    assert get(tmp_path, said) == first


def test_damaged_archive_is_fetched_anew(
    tmp_path: Path, said: Said, site: dict[str, tuple[int, bytes]]
) -> None:
    get(tmp_path, said).path.write_bytes(b"damaged")
    said.clear()
    assert get(tmp_path, said).path.read_bytes() == ARCHIVE
    assert "SHA-256 differs" in said[0]


def test_older_release_than_pinned_is_not_used(
    tmp_path: Path,
    said: Said,
    site: dict[str, tuple[int, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get(tmp_path, said)
    monkeypatch.setitem(source.PINNED, "7.3", "7.3.5")
    with pytest.raises(BuildError, match=r"no checksum for linux-7\.3\.5"):
        get(tmp_path, said)


def test_wrong_checksum_is_no_reason_to_go_elsewhere(
    tmp_path: Path, said: Said, site: dict[str, tuple[int, bytes]]
) -> None:
    site["linux-7.3.4.tar.xz"] = (200, b"something else")
    with pytest.raises(BuildError, match="wrong checksum"):
        get(tmp_path, said)
    assert not any("Debian" in line for line in said)
    assert not list((tmp_path / "cache").rglob("*.xz*"))


def test_cut_download_says_how_far_it_came(
    tmp_path: Path, said: Said, site: dict[str, tuple[int, bytes]]
) -> None:
    site["linux-7.3.4.tar.xz"] = (200, ARCHIVE[:-3] + b"CUT")
    with pytest.raises(BuildError, match=f"after 12997 of {len(ARCHIVE)} bytes"):
        get(tmp_path, said)
    assert not list((tmp_path / "cache").rglob("*.xz*"))


def test_unknown_base(tmp_path: Path, said: Said) -> None:
    with pytest.raises(UsageError, match=r"base 9\.9"):
        get(tmp_path, said, "9.9")


# The user's tree


def kernel(folder: Path, version: str = "7 3 2") -> Path:
    """A kernel tree, as far as its version goes."""
    (folder / "kernel").mkdir(parents=True)
    names = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    lines = (f"{n} = {v}\n" for n, v in zip(names, version.split(), strict=True))
    (folder / "Makefile").write_text("# SPDX\n" + "".join(lines) + "EXTRAVERSION =\n")
    (folder / "kernel" / "a.c").write_text("int a;\n")
    return folder


def checkout(folder: Path) -> Path:
    kernel(folder)
    (folder / ".gitignore").write_text("*.o\n")
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *words], check=True)
    return folder


def user(
    tmp_path: Path, tree: Path, *, base: str = "7.3", allow_dirty: bool = False
) -> source.Source:
    return source.get_source(
        base,
        tmp_path / "cache",
        tmp_path / "log",
        Said(),
        kernel_tree=tree,
        allow_dirty=allow_dirty,
    )


def test_plain_tree_has_a_new_key_for_new_content(tmp_path: Path) -> None:
    tree = kernel(tmp_path / "k")
    first = user(tmp_path, tree)
    assert (first.kind, first.path) == ("tree", tree)
    assert first.describe == f"Linux 7.3.2 in {tree}"
    assert user(tmp_path, tree) == first
    (tree / "kernel" / "a.c").write_text("int b;\n")
    assert user(tmp_path, tree).key != first.key


def test_tree_of_another_version(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"is Linux 7\.31\.2; the patches are for 7\.3"
    ):
        user(tmp_path, kernel(tmp_path / "k", "7 31 2"))


def test_folder_that_is_no_kernel(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no kernel tree"):
        user(tmp_path, tmp_path / "missing")


@pytest.mark.parametrize("sign", [".config", "include/config"])
def test_tree_built_in_place(tmp_path: Path, sign: str) -> None:
    tree = kernel(tmp_path / "k")
    (tree / sign).mkdir(parents=True)
    with pytest.raises(UsageError, match="make mrproper"):
        user(tmp_path, tree)


def test_git_checkout_is_known_by_its_tree(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "k")
    (tree / "kernel" / "a.o").write_text("ignored")
    (tree / ".config").write_text("ignored by git archive\n")
    (tree / ".git" / "info" / "exclude").write_text(".config\n")
    head = ["git", "-C", str(tree), "rev-parse", "HEAD^{tree}"]
    name = subprocess.check_output(head, text=True).strip()
    found = user(tmp_path, tree)
    assert (found.key, found.git_tree) == (f"tree-git-{name}", name)


def test_dirty_checkout_is_refused_unless_allowed(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "k")
    clean = user(tmp_path, tree)
    (tree / "kernel" / "a.c").write_text("int b;\n")
    with pytest.raises(UsageError) as raised:
        user(tmp_path, tree)
    assert "--allow-dirty" in raised.value.hint
    assert "kernel/a.c" in raised.value.detail
    dirty = user(tmp_path, tree, allow_dirty=True)
    assert dirty.key != clean.key
    assert "uncommitted" in dirty.describe
    (tree / "kernel" / "new.c").write_text("int n;\n")
    assert user(tmp_path, tree, allow_dirty=True).key != dirty.key
