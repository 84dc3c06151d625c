"""What the kernel's own tests of BPF say of themselves, on two kernels.

test_progs prints a line for each test and subtest, such as "#7/2 name/sub:OK"; the
programs beside it, one for most of what passed, such as "test_x:PASS".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.table import Table
from rich.text import Text

from vm.channel import Result
from vm.splats import Splat

# The guest was lost, or the kernel complained; what only failed may have before.
WORST_FIRST = ("lost", "complained", "failed", "skipped", "passed")
_BAD = WORST_FIRST[:3]
NOT_RUN = "not run"
ERRORS = ("worse", NOT_RUN)  # what fails the run

_WORDS = {"OK": "passed", "PASS": "passed", "SKIP": "skipped", "FAIL": "failed"}
_TEST = re.compile(r"#\d+(?:/\d+)? +(\S.*):(OK|SKIP|FAIL)\b")
_PART = re.compile(r"(\w+(?: \(.*\))?): ?(pass|skip)\b", re.IGNORECASE)
_FAILED = re.compile(r":FAIL:|\bFAIL(?:ED)?: |assert", re.IGNORECASE)
# How test_progs ends if it runs no test: none was chosen, or something is missing.
_NO_TEST = (2, 3, 255)


@dataclass(frozen=True)
class Verdict:
    """How a test went: one of WORST_FIRST or NOT_RUN, and why if it did not pass."""

    word: str
    why: str = ""

    @property
    def rank(self) -> int:
        """The worst is 0."""
        return WORST_FIRST.index(self.word) if self.word in WORST_FIRST else 0


Verdicts = Mapping[str, Verdict]


def verdicts_of(
    name: str, done: Result, splats: Sequence[Splat], *, alone: bool
) -> dict[str, Verdict]:
    """The verdict on a test, and on its subtests as "name/subtest".

    `alone` is for a program that is one test; otherwise it is a test of test_progs.
    """
    found = _programs_parts(name, done) if alone else _tests(done.output)
    lines = [line.strip() for line in done.output.splitlines()]
    lines = [line for line in lines if line and not _TEST.match(line)]
    failed = next((line for line in lines if _FAILED.search(line)), "")
    last = failed or (lines[-1] if lines else "no output")
    if splats:
        worst = min(splats, key=lambda splat: splat.kind.rank)
        found[name] = Verdict("complained", str(worst))
    elif done.timed_out:
        found[name] = Verdict("failed", f"timed out after {done.seconds:.0f} s")
    elif name not in found and not alone and done.status in _NO_TEST:
        found[name] = Verdict(NOT_RUN, last)
    elif name not in found:
        found[name] = Verdict("failed", f"exit status {done.status}: {last}")
    elif done.status and found[name].word != "failed":
        why = f"said {found[name].word}, then exit status {done.status}"
        found[name] = Verdict("failed", why)
    elif found[name].word == "failed" and not found[name].why:
        found[name] = Verdict("failed", last)
    return found


def _tests(output: str) -> dict[str, Verdict]:
    """What test_progs says; it repeats what failed at its end."""
    found: dict[str, Verdict] = {}
    said = ""
    for line in output.splitlines():
        if match := _TEST.match(line):
            word = _WORDS[match[2]]
            if match[1] not in found:
                found[match[1]] = Verdict(word, said if word == "failed" else "")
            said = ""
        elif not said and _FAILED.search(line):
            said = line.strip()
    return found


def _programs_parts(name: str, done: Result) -> dict[str, Verdict]:
    """What a program says that is one test: its exit status is the verdict."""
    found: dict[str, Verdict] = {}
    for line in done.output.splitlines():
        match = _PART.match(line)
        if match and match[1] != name:
            found[f"{name}/{match[1]}"] = Verdict(_WORDS[match[2].upper()[:4]])
    if not done.status:
        found[name] = Verdict("passed")
    return found


@dataclass(frozen=True)
class Row:
    """A test or subtest on both kernels.

    `whole` is for a subtest that one of them did not get to, and that does as its test;
    `added`, for a test that the patches add.
    """

    name: str
    plain: Verdict
    patched: Verdict
    whole: bool = False
    added: bool = False

    @property
    def change(self) -> str:
        """ "worse", "better", NOT_RUN, or what it is on both kernels."""
        if NOT_RUN in (self.plain.word, self.patched.word):
            return NOT_RUN
        if self.added and self.patched.word in _BAD:
            return "worse"
        change = self.patched.rank - self.plain.rank
        if change:
            return "worse" if change < 0 else "better"
        return self.plain.word

    @property
    def told(self) -> bool:
        """Whether there is more to say of it than that it passed or was skipped."""
        return self.change not in ("passed", "skipped") and not self.whole

    @property
    def test(self) -> str:
        """The test that this is, or is part of."""
        return self.name.partition("/")[0]

    @property
    def why(self) -> str:
        """Why it did not pass, or did not before."""
        ours = self.change == "worse" or self.plain.word == "passed"
        verdict = self.patched if ours else self.plain
        return verdict.why


def compare(
    plain: Verdicts, patched: Verdicts, added: Collection[str] = ()
) -> list[Row]:
    """All tests and subtests, each test before its subtests.

    A test that fails or is skipped may not get to its subtests: they do as a whole.
    Tests that the patches have `added` must not fail on the patched kernel.
    """
    names = dict.fromkeys([*plain, *patched])
    tests = list(dict.fromkeys(name.partition("/")[0] for name in names))
    of: dict[str, list[str]] = {test: [test] for test in tests}
    for name in names:
        if "/" in name:
            of[name.partition("/")[0]].append(name)
    return [
        replace(_row(plain, patched, name, test), added=test in added)
        for test in tests
        for name in of[test]
    ]


def _row(plain: Verdicts, patched: Verdicts, name: str, test: str) -> Row:
    found, whole = [], False
    for verdicts in (plain, patched):
        verdict = verdicts.get(name)
        if verdict is None and name != test and test in verdicts:
            verdict = verdicts[test]
            if verdict.word == "passed":
                verdict = Verdict(NOT_RUN)
            whole = whole or verdict.word != NOT_RUN
        found.append(verdict or Verdict(NOT_RUN))
    row = Row(name, found[0], found[1])
    # Otherwise it says more than its test does.
    whole = whole and row.change == _row(plain, patched, test, test).change
    return replace(row, whole=whole)


def rows_table(rows: Sequence[Row]) -> Table:
    """A row for each test, and for each subtest that differs or fails."""
    table = Table("test", "plain", "patched", box=None, pad_edge=False)
    for row in rows:
        cells = [row.plain.word, row.patched.word]
        if parts := [part for part in rows if part.name.startswith(f"{row.name}/")]:
            plain = [part.plain.word for part in parts]
            patched = [part.patched.word for part in parts]
            cells = [_counted(cells[0], plain), _counted(cells[1], patched)]
        if row.name == row.test or row.told:
            style = "red" if row.change in ERRORS else ""
            table.add_row(Text(row.name), *(Text(cell, style) for cell in cells))
    return table


def notes_of(rows: Sequence[Row]) -> list[str]:
    """What differs between the kernels or fails on both, and why, line by line."""
    kinds = dict.fromkeys(_BAD, "on both")
    return [
        f"{kinds.get(row.change, row.change) + ':':8} {row.name}{': ' * bool(row.why)}"
        f"{row.why}"
        for row in rows
        if row.told
    ]


def _counted(cell: str, words: Sequence[str]) -> str:
    """The verdict on a test, and how many of its subtests have the same one."""
    same = words.count(cell)
    return f"{cell} ({same})" if same == len(words) else f"{cell} ({same}/{len(words)})"


def summary_of(rows: Sequence[Row]) -> str:
    """How many there are of each kind, in a line."""
    counts = Counter(row.change for row in rows)
    tests = len({row.test for row in rows})
    words = [f"{counts[word]} {word}" for word in (*ERRORS, "better")]
    both = sum(counts[word] for word in _BAD)
    words += [f"{both} failed on both", f"{counts['skipped']} skipped"]
    return f"{tests} tests, {len(rows) - tests} subtests: {', '.join(words)}"
