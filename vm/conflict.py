"""Why a patch does not apply: the hunk, and what is in its place."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SHOWN = 24  # lines of a hunk


@dataclass(frozen=True)
class Hunk:
    """A hunk of a patch: its head, first line, and the lines that it expects."""

    head: str
    line: int
    expected: list[str]


def explain(
    patch: Path, folder: Path, output: Sequence[str], *, reverse: bool = False
) -> tuple[str, Sequence[str]]:
    """Where it fails in the `folder`, and the lines there, after git's `output`.

    ("", output) if git found something else wrong with it.
    """
    found = [re.fullmatch(r"error: patch failed: (.+):(\d+)", line) for line in output]
    failed = next((match for match in found if match), None)
    if failed is None:
        return "", output
    name, line = failed[1], int(failed[2])
    hunks = hunks_of(patch, name, reverse=reverse)
    number = next((n for n, hunk in enumerate(hunks, 1) if hunk.line == line), 0)
    if not number:
        return f" at {name}:{line}", output
    hunk = hunks[number - 1]
    place = f": hunk {number} of {len(hunks)} of {name}"
    lines = (folder / name).read_text(errors="replace").splitlines()
    at = _nearest(hunk, lines)
    here = lines[at : at + len(hunk.expected)]
    shown = list(difflib.ndiff(hunk.expected, here))
    shown = [text.rstrip() for text in shown if not text.startswith("?")]
    head = [hunk.head, f"{name}:{at + 1}: - the patch expects, + the tree has"]
    return place, head + shown[:_SHOWN]


def hunks_of(patch: Path, name: str, *, reverse: bool = False) -> list[Hunk]:
    """The hunks of a patch, or of its reverse, that concern the file `name`."""
    side, removed = (r"@@ \S+ \+(\d+)", "+") if reverse else (r"@@ -(\d+)", "-")
    hunks: list[Hunk] = []
    inside = False
    lines = patch.read_text(errors="replace").splitlines()
    for text, following in itertools.pairwise([*lines, ""]):
        if text.startswith("--- ") and following.startswith("+++ "):
            inside = f"b/{name}" in (following[4:], f"b/{text[6:]}")
        elif inside and (head := re.match(side, text)):
            hunks.append(Hunk(text, int(head[1]), []))
        elif inside and hunks and text[:1] in (" ", removed):
            hunks[-1].expected.append(text[1:])
    return hunks


def _nearest(hunk: Hunk, lines: Sequence[str]) -> int:
    """Where in `lines` the most of a hunk is, as an index."""

    def likeness(at: int) -> tuple[int, int]:
        pairs = zip(hunk.expected, lines[at:], strict=False)
        return sum(one == other for one, other in pairs), -abs(at + 1 - hunk.line)

    return max(range(len(lines) or 1), key=likeness)
