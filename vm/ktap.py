"""What one run of one test on kselftest_harness.h says.

The program is started as `./prog -r fixture.variant.test`; it prints a plan of
one test, notes that start with `#`, and one result line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "not ok", "skip", "crashed"]

_RUN = re.compile(r"^#  RUN +(\S+) \.\.\.$", re.MULTILINE)
_PLAN = re.compile(r"^1\.\.(\d+)(?:\s.*)?$", re.MULTILINE)
_RESULT = r"^(not )?ok 1 {name}(?: # (\w+) ?(.*))?$"
_BAILED = re.compile(r"^Bail out! *(.*)$", re.MULTILINE)
# What the harness's own failed checks and TH_LOG() print: file:line:test:text.
_CHECK = r"# (\S+:\d+:{test}:.*)"
# How a failed check begins, with its file and line; TH_LOG() may print anything else.
EXPECTED = re.compile(r"^(\S+\.[ch]):(\d+):\w+:Expected .* (==|!=|<|<=|>|>=) ")
# What the harness says of how a test ended; of a check that failed, one of two things.
_FAILED = ("Test failed", "Test terminated by assertion")
_ENDED = r"# {test}: ((?:Test |unable |Failed ).*)"


@dataclass(frozen=True)
class KtapResult:
    """How a test ended, why, and what it had to say.

    `checked` says that it failed by a check of its own, not by a crash or a timeout.
    """

    outcome: Outcome
    reason: str
    diagnostics: tuple[str, ...]
    checked: bool = False


def parse(output: str, status: int = 0, asked: str = "") -> KtapResult:
    """Read the output of one test run; `status` is the program's exit status.

    `asked` is the test that was to run; any may be if it is empty.

    A test may print what looks like a result, so only the last result line
    that has the name of the test that ran counts. "crashed" is a program that
    gave no result, or whose plan, directive or exit status contradicts it.
    """
    run = _RUN.search(output)
    if run is None:
        plan = _PLAN.search(output)
        if plan and plan[1] == "0":
            return KtapResult("crashed", "the program has no such test", ())
        return KtapResult("crashed", f"no test started: {_ended(status)}", ())
    name = run[1]
    if asked not in ("", name):
        return KtapResult("crashed", f"another test started: {name}", ())
    test = re.escape(name.rpartition(".")[2])
    check = re.compile(_CHECK.format(test=test))
    ended = re.compile(_ENDED.format(test=test))
    lines = output[run.end() :].splitlines()
    notes = tuple(m[1] for line in lines if (m := check.fullmatch(line)))
    reason = next((m[1] for line in lines if (m := ended.fullmatch(line))), "")

    results = re.findall(
        _RESULT.format(name=re.escape(name)), output[run.end() :], re.MULTILINE
    )
    if bailed := _BAILED.search(output):
        return KtapResult("crashed", f"bailed out: {bailed[1]}", notes)
    if not results:
        return KtapResult("crashed", f"no result: {_ended(status)}", notes)
    failed, directive, text = results[-1]
    if failed:
        own = reason in _FAILED and any(EXPECTED.search(note) for note in notes)
        return KtapResult("not ok", reason, notes, checked=own)
    if status:
        return KtapResult("crashed", f"said ok, then {_ended(status)}", notes)
    plan = _PLAN.search(output[: run.start()])
    if plan is None or plan[1] != "1":
        what = f"said ok, but planned {plan[1] if plan else 'no'} tests"
        return KtapResult("crashed", what, notes)
    if directive not in ("", "SKIP"):
        return KtapResult("crashed", f"said ok, but {directive} {text}", notes)
    if directive == "SKIP":
        if any(EXPECTED.search(note) for note in notes):
            return KtapResult(
                "not ok", f"a check failed before the skip: {text}", notes
            )
        return KtapResult("skip", text, notes)
    return KtapResult("ok", text, notes)


def _ended(status: int) -> str:
    """The exit status in words; 128+n is signal n."""
    if status > 128:
        return f"ended by signal {status - 128}"
    return f"exit status {status}"


def list_tests(output: Sequence[str]) -> list[str]:
    """The names that `./prog -l` lists, in the order in which they run.

    The listing (with exit status 4) is a table for people to read: each
    fixture's variants and its tests stand side by side in columns 21 and 47,
    though they have nothing to do with each other. Every variant runs every
    test of its fixture.
    """
    names: list[str] = []
    fixture, variants, tests = "", list[str](), list[str]()

    def flush() -> None:
        for variant in variants or [""]:
            for test in tests:
                names.append(".".join(filter(None, (fixture, variant, test))))

    for line in output:
        if not line.strip() or line.startswith(("#", "---")):
            continue
        columns = line[21:]
        if not line.startswith(" "):
            flush()
            fixture, variants, tests = line.split()[0], [], []
            columns = line[max(21, len(fixture) + 1) :]
        cells = columns.split()
        if not columns[:1].isspace():
            variants.append(cells.pop(0))
        tests += cells
    flush()
    return names
