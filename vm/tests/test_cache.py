"""Tests of vm/cache.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vm.cache import (
    cache_folder,
    last_option,
    lock,
    locked,
    refuse_space,
    safe_name,
    sha256_file,
    write_state,
)
from vm.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


# Where it is


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("", None),
        ("-x selftests", None),
        ("--cache a", "a"),
        ("--cache=a", "a"),
        ("--cache a --cache=b -x", "b"),
        ("--cache=a --cache b", "b"),
        ("--cache", None),
        ("--cached a", None),
        ("--shell -- ls --cache a", None),
        ("--cache a --shell -- ls --cache=b", "a"),
    ],
)
def test_option(line: str, named: str | None) -> None:
    assert last_option(line.split(), "--cache") == named


def test_folder_without_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(None) == tmp_path / "xdg" / "bpf-map-tracing"
    assert (tmp_path / "xdg" / "bpf-map-tracing").is_dir()
    at_home = tmp_path / "home" / ".cache" / "bpf-map-tracing"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder(None) == at_home
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("") == at_home
    assert list(at_home.iterdir()) == []


def test_folder_of_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cache_folder("a/../b") == tmp_path / "b"
    assert cache_folder(Path("~/c")) == tmp_path / "c"
    assert cache_folder("~no-such-user/d") == tmp_path / "~no-such-user" / "d"


def test_folder_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write to the cache folder") as raised:
        cache_folder(tmp_path / "file" / "cache")
    assert raised.value.hint == "choose another folder with --cache"
    with pytest.raises(UsageError, match="space or colon") as raised:
        cache_folder(tmp_path / "my cache")
    assert raised.value.hint == "choose another folder with --cache"
    assert not (tmp_path / "my cache").exists()


def test_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is there, but another user's."""

    def touch(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(UsageError, match=f"{tmp_path}: Permission denied"):
        cache_folder(tmp_path)


@pytest.mark.parametrize("path", ["/a b/c", "/a/b:c", "/a/b\tc", "/a\nb"])
def test_space_is_refused(path: str) -> None:
    with pytest.raises(UsageError) as raised:
        refuse_space(Path(path), "checkout", "move it")
    assert raised.value.what == f"space or colon in the path of the checkout {path}"
    assert raised.value.hint == "move it"


def test_other_characters_are_fine() -> None:
    refuse_space(Path("/a-b_c/d.e+f/ä"), "checkout", "move it")


# Who is using it


def test_second_run_waits_for_the_first(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vm.cache import locked\n"
        "note = lambda line: print('note:', line, flush=True)\n"
        "with locked(Path(sys.argv[1]), note):\n"
        "    print((Path(sys.argv[1]) / 'done').exists(), flush=True)\n"
    )
    notes: list[str] = []
    with locked(tmp_path, notes.append):
        second = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        note = second.stdout.readline()
        assert note == f"note: waiting for another run that uses {tmp_path}\n"
        time.sleep(0.1)
        (tmp_path / "done").touch()
    rest, _ = second.communicate(timeout=10)
    assert (rest, second.returncode, notes) == ("True\n", 0, [])


def test_lock_of_a_folder(tmp_path: Path) -> None:
    folder, other = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    other.mkdir()
    held = lock(folder, wait=False)
    assert held is not None
    assert lock(folder, wait=False) is None
    free = lock(other, wait=True)
    assert free is not None
    os.close(free)
    assert not os.get_inheritable(held), "no command of ours keeps it"
    os.close(held)
    again = lock(folder, wait=False)
    assert again is not None
    os.close(again)
    assert list(folder.iterdir()) == []


def test_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path, print):
        raise KeyboardInterrupt
    notes: list[str] = []
    with locked(tmp_path, notes.append):
        pass
    assert notes == []


# Names and contents


def test_safe_name() -> None:
    assert safe_name("7.3.4-1~bpo13+1/ä b") == "7.3.4-1_bpo13_1___b"


def test_state_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content is on the disk before it replaces the old one."""
    file = tmp_path / "state.json"
    steps = []

    def fsync(descriptor: int) -> None:
        part = Path(f"/proc/self/fd/{descriptor}")
        steps.append((part.read_text(), file.read_text()))

    write_state(file, [1])
    monkeypatch.setattr(os, "fsync", fsync)
    write_state(file, [2])
    assert steps == [("[2]\n", "[1]\n")]
    assert file.read_text() == "[2]\n"


def test_sha256_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "file") == digest
