"""x86-64 machine code as objdump prints it: what becomes of a call's result."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Each instruction by its address, and the address of the next one.
Code = dict[int, tuple[str, int | None]]

_LINE = re.compile(r"\s*([0-9a-f]+):\t(.*)")
_RESULT = re.compile(r"%(?:rax|eax|ax|al)\b")
_JUMP = re.compile(r"j\w+(?:,p[nt])? +([0-9a-f]+) <")
# Also those that a static key or ftrace replaces: their operands mean nothing.
_NOP = re.compile(r"nop|data16 |cs nop|xchg +%ax,%ax")


def instructions(lines: Iterable[str]) -> Code:
    """The instructions among the lines of a disassembly."""
    found = [(int(m[1], 16), m[2].strip()) for m in map(_LINE.match, lines) if m]
    following = [*(address for address, _ in found[1:]), None]
    return {at: (text, n) for (at, text), n in zip(found, following, strict=False)}


def result_is_used(code: Code, call: int) -> bool:
    """Whether some way on from the call reads what it returned, before that is lost.

    A way that leaves `code` may do so where we cannot see it.
    """
    text, after = code[call]
    if not text.startswith("call"):
        return True  # the caller returns it
    todo, seen = [after], set()
    while todo:
        address = todo.pop()
        if address is None or address not in code:
            return True
        text, after = code[address]
        if address in seen or text.startswith(("ud2", "int3")):
            continue
        seen.add(address)
        if not _NOP.match(text):
            if text.startswith("ret") or _reads(text):
                return True
            if text.startswith("call") or _RESULT.search(text):
                continue  # now it is lost
        if jump := _JUMP.match(text):
            todo.append(int(jump[1], 16))
        if not text.startswith("jmp"):
            todo.append(after)
    return False


def _reads(text: str) -> bool:
    """Whether an instruction reads the result, rather than just overwrite it."""
    mnemonic, _, operands = text.partition(" ")
    # The last operand is the one that may be written.
    *others, last = operands.partition("#")[0].strip().rpartition(",")
    if _RESULT.search(others[0]):
        return mnemonic[:3] not in ("xor", "sub") or others[0] != last
    written = mnemonic.startswith(("mov", "lea", "set", "pop")) and last[-1:] != ")"
    return mnemonic == "cltq" or bool(_RESULT.search(last) and not written)
