"""A small kernel tree of the user's, which is copied by prepare_tree()."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from vm.mirror import Mirror
from vm.series import series
from vm.terminal import Log
from vm.tests.diffs import LINES, NEW_FILE, OLD, diff, edited
from vm.tree import Tree, prepare_tree
from vm.user_tree import user_source

IGNORED = "*.o\n.config\n/include/generated/\n"


class Copying:
    """A small kernel tree of the user's, a series for it and a cache."""

    def __init__(self, tmp_path: Path, log: Log) -> None:
        self.tmp_path, self.log = tmp_path, log
        self.cache, self.patches = tmp_path / "cache", tmp_path / "7.3"
        self.patches.mkdir()
        patch = diff("a.c", LINES, edited(10, "first")) + NEW_FILE
        (self.patches / "0001-title.patch").write_text(patch)
        self.user = self.make("user")

    def make(self, name: str) -> Path:
        folder = self.tmp_path / name
        (folder / "kernel").mkdir(parents=True)
        (folder / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\n")
        (folder / ".gitignore").write_text(IGNORED)
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "link").symlink_to("Makefile")
        (folder / "kernel" / "Kconfig").write_text("config A\n")
        (folder / "kernel" / "b.c").write_text("int b;\n")
        (folder / "a.c").write_text("\n".join(LINES) + "\n")
        return folder

    def prepare(self, user: Path | None = None, *, patched: bool = False) -> Tree:
        source = user_source(user or self.user, True, self.cache, self.log)
        patches = [] if patched else series(self.patches)
        return prepare_tree(source, patches, self.cache, self.log)

    @property
    def copy(self) -> Path:
        (path,) = self.cache.glob("trees/tree-user-*/linux")
        return path

    def age(self) -> None:
        """Give every file of the copy an old mtime."""
        for file in files_of(self.copy):
            os.utime(file, ns=(OLD, OLD), follow_symlinks=False)

    def changed(self) -> list[str]:
        """The files that make would take for newer than when they were aged."""
        return [
            str(file.relative_to(self.copy))
            for file in files_of(self.copy)
            if file.lstat().st_mtime_ns != OLD
        ]


def files_of(folder: Path) -> list[Path]:
    """The files and links below a folder."""
    return sorted(f for f in folder.rglob("*") if f.is_symlink() or f.is_file())


def killed_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the run be killed when it is about to copy or remove this file."""
    real = Mirror.put

    def put(self: Mirror, file: str, original: Path) -> None:
        if file == name:
            raise KeyboardInterrupt
        real(self, file, original)

    monkeypatch.setattr(Mirror, "put", put)


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below a folder, .git included: its mtime and content."""
    return {
        str(file.relative_to(folder)): (
            file.lstat().st_mtime_ns,
            hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "",
        )
        for file in folder.rglob("*")
    }
