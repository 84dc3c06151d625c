"""What a run tells GitHub Actions: an annotation for each failed test, and a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from vm.results import OUTCOMES, TestResult

# The first failed check of a test: "hooks/veto.c:59:syscall_update:Expected 0 == ..."
_CHECK = re.compile(r"^(?:# )?(\S+\.[ch]):(\d+):\w+:")
_SHOWN = 20  # failed tests with their output on the page


def error_commands(results: Sequence[TestResult]) -> Iterator[str]:
    """A workflow command for each failed test, with the place of the check."""
    for result in results:
        if result.outcome == "failed":
            checks = filter(None, map(_CHECK.match, result.diagnostics))
            check = next(checks, None)
            where = f"file=selftests/{check[1]},line={check[2]}," if check else ""
            title = _escape(f"{result.program} {result.name}", ",:")
            yield f"::error {where}title={title}::{_escape(result.reason)}"


def page(title: str, results: Sequence[TestResult], lines: Sequence[str]) -> str:
    """Markdown: the counts of each program, the failed tests, and the run's `lines`."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        counts.setdefault(result.program, Counter())[result.outcome] += 1
    total: Counter[str] = sum(counts.values(), Counter())
    text = [f"## {title}", ""]
    text += [f"| program | {' | '.join(OUTCOMES)} |", "|---" + "|--:" * 4 + "|"]
    for program, count in (*counts.items(), ("all", total)):
        numbers = " | ".join(str(count[outcome]) for outcome in OUTCOMES)
        text.append(f"| {program} | {numbers} |")
    failed = [result for result in results if result.outcome == "failed"]
    for result in failed[:_SHOWN]:
        body = "\n".join(f"    {line}" for line in str(result).splitlines())
        text += ["", f"### {result.program} {result.name}", "", body]
    if len(failed) > _SHOWN:
        text += ["", f"and {len(failed) - _SHOWN} more"]
    return "\n".join([*text, "", *(f"    {line}" for line in lines), "", ""])


def write_page(file: Path, text: str) -> None:
    """Add to the page, which has those of other runs. OSError if that fails."""
    with file.open("a", encoding="utf-8", errors="replace") as out:
        out.write(text)


def _escape(text: str, more: str = "") -> str:
    """For a workflow command: one line, and in a property no separators."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
