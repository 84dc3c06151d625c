"""What a run tells GitHub Actions: an annotation for each failed test, and a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from vm.ktap import EXPECTED
from vm.report import Outcome, Room
from vm.results import OUTCOMES, TestResult

_SHOWN = 20  # failed tests with their output on the page
# How many bytes the page takes of one failure and of all: GitHub drops what is longer
# than a MiB, to which --each-patch adds several pages.
_FAILURE = 8 << 10
_PAGE = 96 << 10


def error_commands(results: Sequence[TestResult]) -> Iterator[str]:
    """A workflow command for each failed test, with the place of the check."""
    for result in results:
        if result.outcome == "failed":
            checks = filter(None, map(EXPECTED.match, result.diagnostics))
            check = next(checks, None)
            where = f"file=selftests/{check[1]},line={check[2]}," if check else ""
            title = _escape(f"{result.program} {result.name}", ",:")
            yield f"::error {where}title={title}::{_escape(result.reason)}"


def page(run: Outcome) -> str:
    """Markdown: how it ended, the failed tests, the counts of each program."""
    room = Room(_PAGE)
    text = [f"## {'✅' if run.good else '❌'} {run.title}", "", *_quoted(run.words)]
    for result in run.failed[:_SHOWN]:
        text += ["", f"### ❌ `{result.program}` `{result.name}`", ""]
        text += _quoted(room.text(str(result), _FAILURE))
    if len(run.failed) > _SHOWN:
        text += ["", f"and {len(run.failed) - _SHOWN} more"]
    if run.error:
        text += ["", f"### {run.error.title}", ""]
        text += _quoted(room.text(str(run.error), _FAILURE))
    if run.results:
        text += ["", "### All tests", "", *_table(run.results)]
    return "\n".join([*text, "", *_quoted("\n".join(run.summary)), "", ""])


def _table(results: Sequence[TestResult]) -> list[str]:
    """The number of tests with each outcome, by program."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        counts.setdefault(result.program, Counter())[result.outcome] += 1
    total: Counter[str] = sum(counts.values(), Counter())
    text = [f"| program | {' | '.join(OUTCOMES)} |", "|---" + "|--:" * 4 + "|"]
    for program, count in (*counts.items(), ("all", total)):
        numbers = " | ".join(str(count[outcome]) for outcome in OUTCOMES)
        text.append(f"| {program} | {numbers} |")
    return text


def _quoted(text: str) -> list[str]:
    """As it is: with four spaces, nothing in it can end it."""
    return [f"    {line}" for line in text.splitlines()]


def write_page(file: Path, text: str) -> None:
    """Add to the page, which has those of other runs. OSError if that fails."""
    with file.open("a", encoding="utf-8", errors="replace") as out:
        out.write(text)


def _escape(text: str, more: str = "") -> str:
    """For a workflow command: one line, and in a property no separators."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
