"""Tests of vm/cache.py."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vm import cache as store
from vm.conftest import Said
from vm.errors import UsageError


def test_cache_dir_of_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.cache_dir(None) == tmp_path / "xdg" / "bpf-map-tracing"
    assert (tmp_path / "xdg" / "bpf-map-tracing").is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.cache_dir(None) == tmp_path / ".cache" / "bpf-map-tracing"


def test_cache_dir_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        store.cache_dir(tmp_path / "file" / "cache")
    with pytest.raises(UsageError, match="space or colon") as raised:
        store.cache_dir(tmp_path / "my cache")
    assert raised.value.hint == "name another folder with --cache"


def test_unreadable_record_is_removed(tmp_path: Path, said: Said) -> None:
    (tmp_path / "a.tar.xz.json").write_text(json.dumps({"kind": "release"}))
    assert store.recall(tmp_path, lambda _: True, said) is None
    assert "removed" in said[0]
    assert not list(tmp_path.iterdir())


def test_second_run_waits_for_the_first(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vm.cache import locked\n"
        "with locked(Path(sys.argv[1]), lambda line: print(line, flush=True)):\n"
        "    print((Path(sys.argv[1]) / 'done').exists(), flush=True)\n"
    )
    root = Path(store.__file__).parents[1]
    said = Said()
    with store.locked(tmp_path, said):
        second = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        note = second.stdout.readline()
        assert note == f"waiting for another run that uses {tmp_path}\n"
        time.sleep(0.3)
        (tmp_path / "done").touch()
    rest, _ = second.communicate(timeout=10)
    assert (rest, second.returncode, list(said)) == ("True\n", 0, [])
