"""Tests of vm/series.py and vm/conflict.py, on trees with parts of the series."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.errors import BuildError, UsageError
from vm.series import Patched, apply_series, series
from vm.terminal import Log
from vm.tests.diffs import LINES, NEW_FILE, diff, edited
from vm.tests.said import Said

NAMES = ["0001-one.patch", "0002-two.patch", "0003-three.patch"]
TWO = edited(20, "second")
THREE = edited(10, "third", edited(10, "first"))


class Series:
    """Three patches: of a.c, of b.c and a new file, and of a.c again; and a tree."""

    def __init__(self, tmp_path: Path, log: Log) -> None:
        self.path, self.tree, self.log = tmp_path / "7.3", tmp_path / "k", log
        self.path.mkdir()
        self.tree.mkdir()
        first = edited(10, "first")
        self.patch(0, diff("a.c", LINES, first))
        self.patch(1, diff("b.c", LINES, TWO) + NEW_FILE)
        self.patch(2, diff("a.c", first, THREE))
        self.write("a.c", LINES)
        self.write("b.c", LINES)

    def patch(self, number: int, text: str) -> None:
        (self.path / NAMES[number]).write_text(f"Subject: x\n\n---\n\n{text}")

    def write(self, name: str, lines: list[str]) -> None:
        (self.tree / name).write_text("\n".join(lines) + "\n")

    def has(self, *numbers: int) -> None:
        """Give the tree these patches."""
        for number in numbers:
            lines = {1: edited(10, "first"), 2: TWO, 3: THREE}[number]
            self.write("b.c" if number == 2 else "a.c", lines)
            if number == 2:
                (self.tree / "new.c").write_text("int n;\n")

    def apply(self, upto: int | None = None) -> Patched:
        return apply_series(
            *(series(self.path), upto, self.tree.joinpath, self.tree),
            *(self.tree.parent / "patching", self.log),
        )

    def refused(self) -> BuildError:
        with pytest.raises(BuildError) as raised:
            self.apply()
        return raised.value


@pytest.fixture
def patches(tmp_path: Path, log: Log) -> Series:
    return Series(tmp_path, log)


# Which patches there are


def test_series_in_order_and_cut(patches: Series) -> None:
    (patches.path / "cover-letter.txt").touch()
    assert [patch.name for patch in series(patches.path)] == NAMES
    assert series(patches.path, 1) == series(patches.path)[:1]
    assert series(patches.path, 0) == []


@pytest.mark.parametrize("name", ["0005-gap", "0002-twice", "0000-cover", "unnumbered"])
def test_series_that_is_not_contiguous(patches: Series, name: str) -> None:
    (patches.path / f"{name}.patch").touch()
    with pytest.raises(UsageError, match="is where patch 000"):
        series(patches.path)


@pytest.mark.parametrize("upto", [4, -1])
def test_series_that_is_too_short(patches: Series, upto: int) -> None:
    with pytest.raises(UsageError, match=f"no patch {upto} in"):
        series(patches.path, upto)


def test_series_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no patches"):
        series(tmp_path / "9.9")


# What the tree has of them


@pytest.mark.parametrize(
    "there", [(), (1,), (2,), (1, 2), (1, 3), (1, 2, 3)], ids=lambda there: f"{there}"
)
def test_patches_that_are_there(
    patches: Series, said: Said, there: tuple[int, ...]
) -> None:
    """Wherever each comes from, the result is the same."""
    patches.has(*there)
    before = {file: file.read_text() for file in patches.tree.iterdir()}
    done = patches.apply()
    assert [patch.name for patch in done.there] == [NAMES[n - 1] for n in there]
    assert done.names == {"a.c", "b.c", "new.c"}
    lines = {"a.c": THREE, "b.c": TWO, "new.c": ["int n;"]}
    for name, text in lines.items():
        assert (done.folder / name).read_text().splitlines() == text
    assert {file: file.read_text() for file in patches.tree.iterdir()} == before
    missing = ", ".join(f"000{n}" for n in (1, 2, 3) if n not in there)
    words = ["patch" if len(missing) == 4 else "patches", missing]
    line = f"{patches.tree} already has {'patch' if len(there) == 1 else 'patches'} "
    line += ", ".join(f"000{n}" for n in there)
    line += f"; applying {' '.join(words)}" * bool(missing)
    assert said.lines == [line] * bool(there)


def test_patch_that_takes_back_another(patches: Series, said: Said) -> None:
    """Without the other, the tree looks as if this one had been applied."""
    ten, both = edited(10, "first"), edited(25, "more", edited(10, "first"))
    hunk = diff("a.c", ten, both).split("\n", 3)[3]
    patches.patch(0, diff("a.c", LINES, ten) + hunk)
    patches.patch(2, diff("a.c", both, edited(25, "more")))
    done = patches.apply()
    assert (done.there, said.lines) == ((), [])
    for folder, lines in ("with", edited(25, "more")), ("without", LINES):
        text = (done.folder.with_name(folder) / "a.c").read_text()
        assert text.splitlines() == lines


def test_lines_that_have_moved(patches: Series) -> None:
    patches.has(1)
    lines = (patches.tree / "a.c").read_text().splitlines()
    patches.write("a.c", ["new"] * 40 + lines)
    done = patches.apply()
    assert [patch.name for patch in done.there] == [NAMES[0]]
    assert (done.folder / "a.c").read_text().splitlines() == ["new"] * 40 + THREE


@pytest.mark.parametrize(("upto", "more"), [(0, "es 0001, 0002"), (1, " 0002")])
def test_more_than_upto_is_there(patches: Series, upto: int, more: str) -> None:
    patches.has(1, 2)
    with pytest.raises(UsageError) as raised:
        patches.apply(upto)
    assert raised.value.what == (
        f"{patches.tree} already has patch{more}, not only the first {upto} patches"
    )
    assert "leave out --upto" in raised.value.hint
    assert [patch.name for patch in patches.apply(2).there] == NAMES[:2]


# What does not apply


def test_conflict(patches: Series) -> None:
    """The hunk, what it expects, and what is there instead."""
    patches.patch(
        1,
        diff("b.c", LINES, edited(5, "x")) + diff("a.c", LINES, edited(20, "y")),
    )
    patches.write("a.c", ["moved"] * 3 + edited(19, "mine"))
    error = patches.refused()
    assert error.what == (
        f"{patches.path / NAMES[1]} does not apply to {patches.tree}: "
        "hunk 1 of 1 of a.c"
    )
    assert error.detail.splitlines() == [
        "@@ -17,7 +17,7 @@",
        "a.c:20: - the patch expects, + the tree has",
        "  line 17",
        "  line 18",
        "- line 19",
        "+ mine",
        "  line 20",
        "  line 21",
        "  line 22",
        "  line 23",
    ]
    assert "--patched" in error.hint and "--base" in error.hint
    assert error.command[:4] == [
        "git",
        "-C",
        str(patches.tree.parent / "patching" / "with"),
        "apply",
    ]


def test_own_version_of_a_patch(patches: Series) -> None:
    """It is the one to blame, not the first that does not apply."""
    patches.patch(2, diff("c.c", LINES, edited(10, "third")))
    patches.write("a.c", edited(10, "first"))
    patches.write("b.c", edited(20, "Second"))
    patches.write("c.c", edited(10, "third"))
    error = patches.refused()
    patch = patches.path / NAMES[1]
    what = f"{patches.tree} has its own version of {patch}: hunk 1 of 1 of b.c"
    assert error.what == what
    assert "- second\n+ Second\n" in error.detail
    assert "--patched" in error.hint and "--reverse" in error.command


def test_second_hunk_of_a_file(patches: Series) -> None:
    long = [f"line {number}" for number in range(1, 61)]
    one, two = edited(10, "x", long), edited(50, "y", long)
    hunk = diff("b.c", long, two).split("\n", 3)[3]
    patches.patch(1, diff("b.c", long, one) + hunk)
    patches.write("b.c", edited(49, "mine", long))
    error = patches.refused()
    assert error.what.endswith(": hunk 2 of 2 of b.c")
    assert "- line 49\n+ mine\n" in error.detail


def test_patch_that_is_there_in_part(patches: Series) -> None:
    patches.write("b.c", TWO)
    error = patches.refused()
    assert error.what.endswith(": hunk 1 of 1 of b.c")
    assert "- line 20\n+ second\n" in error.detail


def test_file_that_is_there_already(patches: Series) -> None:
    (patches.tree / "new.c").write_text("int other;\n")
    error = patches.refused()
    assert error.what == f"{patches.path / NAMES[1]} does not apply to {patches.tree}"
    assert error.detail == "error: new.c: already exists in working directory"


def test_file_that_is_missing(patches: Series) -> None:
    (patches.tree / "a.c").unlink()
    error = patches.refused()
    assert error.detail == "error: a.c: No such file or directory"


def test_patch_that_is_cut_short(patches: Series) -> None:
    file = patches.path / NAMES[0]
    file.write_text(file.read_text()[:-20])
    assert "corrupt patch at " in patches.refused().detail


def test_patch_without_lines(patches: Series) -> None:
    """A renamed file, a mode and an empty file."""
    patches.patch(
        2,
        "diff --git a/a.c b/c.c\nsimilarity index 100%\n"
        "rename from a.c\nrename to c.c\n"
        "diff --git a/b.c b/b.c\nold mode 100644\nnew mode 100755\n"
        "diff --git a/empty.c b/empty.c\nnew file mode 100644\n"
        f"index {40 * '0'}..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n",
    )
    patched = patches.apply()
    assert patched.names == {"a.c", "b.c", "c.c", "empty.c", "new.c"}
    left = {file.name for file in patched.folder.iterdir()}
    assert left == patched.names - {"a.c"}
    assert (patched.folder / "b.c").stat().st_mode & 0o111


# Once more


def applied(patches: Series, upto: int | None = None) -> bool:
    """Apply them; whether git was asked for it."""
    log = patches.log.path
    before = log.read_text() if log.exists() else ""
    patches.apply(upto)
    return log.read_text() != before


def test_same_series_is_not_applied_twice(patches: Series) -> None:
    assert applied(patches) and not applied(patches)
    assert patches.apply() == patches.apply()
    assert applied(patches, 1) and not applied(patches, 1)
    patches.patch(0, diff("a.c", LINES, edited(10, "other")))
    assert applied(patches, 1)
    patches.write("b.c", edited(1, "other"))
    assert applied(patches, 1)
    (patches.tree / "new.c").write_text("int other;\n")
    assert applied(patches, 1) and not applied(patches, 1)


def test_series_that_failed_is_applied_again(
    patches: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one of which a part was removed before the run was killed."""
    before = patches.apply()

    def killed(folder: Path, **_: object) -> None:
        (folder / "with" / "a.c").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("vm.series.shutil.rmtree", killed)
        patches.apply(1)
    assert patches.apply() == before
    assert (before.folder / "a.c").read_text() == "\n".join(THREE) + "\n"
    patches.write("a.c", edited(9, "other"))
    assert patches.refused().what == patches.refused().what
