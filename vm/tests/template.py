"""The one project of a session that its tests use, one after another."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

from vm.tests.project import Project, make_project


class Template:
    """A project with everything built once, and the copy of it that tests use.

    To undo what one test has changed takes less time than to copy it for the next.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        made = make_project(path)
        ended = made.run()
        assert ended.status == 0, ended.output
        shutil.rmtree(made.cache / "runs")
        (path / "vngs").write_text("")
        self._original = made.move(path.with_name("template")).path
        self._wanted = _stamps(self._original)
        self._stamps: dict[str, _Stamp] = {}

    def fresh(self) -> Project:
        """The copy, as if nothing had happened to it.

        It is where the original was made, so that the fork server knows its harness.
        """
        now, then = _stamps(self._path), self._stamps
        for name in reversed([name for name in now if now[name] != then.get(name)]):
            if not now[name].is_folder:
                (self._path / name).unlink()
            elif name not in then or not then[name].is_folder:
                (self._path / name).rmdir()
        self._path.mkdir(exist_ok=True)
        changed = [name for name in self._wanted if now.get(name) != then.get(name, 0)]
        for name in changed:
            if self._wanted[name].is_folder:
                (self._path / name).mkdir(exist_ok=True)
            else:
                shutil.copy2(
                    self._original / name, self._path / name, follow_symlinks=False
                )
        for name in reversed(changed):
            shutil.copystat(
                self._original / name, self._path / name, follow_symlinks=False
            )
        self._stamps = _stamps(self._path)
        return Project(self._path)


class _Stamp(NamedTuple):
    """What is different after any change of a file or folder."""

    mode: int
    inode: int
    mtime: int
    ctime: int

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


def _stamps(folder: Path) -> dict[str, _Stamp]:
    """Those of all that is in a folder, by name: each folder before what it has."""
    found: dict[str, _Stamp] = {}
    todo = [""] if folder.exists() else []
    while todo:
        below = todo.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                s = entry.stat(follow_symlinks=False)
                name = f"{below}{entry.name}"
                found[name] = _Stamp(s.st_mode, s.st_ino, s.st_mtime_ns, s.st_ctime_ns)
                if found[name].is_folder:
                    todo.append(f"{name}/")
    return found
