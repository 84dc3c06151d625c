"""Patches of small files."""

from __future__ import annotations

LINES = [f"line {number}" for number in range(1, 31)]
OLD = 1_000_000_000 * 10**9
"""An mtime, in ns, that no file gets by being written now."""


def diff(name: str, before: list[str], after: list[str]) -> str:
    """A git-style patch that turns `before` into `after`, by their one changed line."""
    (at,) = (n for n, (b, a) in enumerate(zip(before, after, strict=True)) if b != a)
    low, high = max(at - 3, 0), min(at + 4, len(before))
    body = [f" {line}" for line in before[low:at]]
    body += [f"-{before[at]}", f"+{after[at]}"]
    body += [f" {line}" for line in before[at + 1 : high]]
    count = f"{low + 1},{high - low}"
    head = [f"--- a/{name}", f"+++ b/{name}", f"@@ -{count} +{count} @@"]
    return "\n".join([f"diff --git a/{name} b/{name}", *head, *body]) + "\n"


def edited(number: int, text: str, lines: list[str] = LINES) -> list[str]:
    return [*lines[: number - 1], text, *lines[number:]]


NEW_FILE = """\
diff --git a/new.c b/new.c
new file mode 100644
--- /dev/null
+++ b/new.c
@@ -0,0 +1 @@
+int n;
"""
