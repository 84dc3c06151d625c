"""Whether the linked kernel calls the hooks where the series does, no more, no less.

The compiler may drop a call, the check of its result, or the hook itself, and a call
may have no test. So the machine code is checked before a guest boots.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vm.build import Image
from vm.code import Code, instructions, result_is_used
from vm.errors import BuildError, reading
from vm.process import output_of
from vm.terminal import Log

HOOKS = (
    "bpf_map_trace_update_elem",
    "bpf_map_trace_delete_elem",
    "bpf_map_trace_updated",
    "bpf_map_trace_deleted",
    "bpf_map_trace_evicted",
)
_NAMES = "|".join(HOOKS)
# From objdump's output, the hooks themselves and the functions that call them. It ends
# with the number of lines read, to tell that nothing was found from nothing was read.
_FILTER = (
    rf"/^[0-9a-f]+ <.*>:$/ {{ n = 0; keep = /<({_NAMES})>:$/ }} {{ line[n++] = $0 }} "
    rf"/\t(call|jmp)q? .*<({_NAMES})>/ {{ keep = 1 }} "
    "/^$/ { flush() } END { flush(); print NR } "
    "function flush(  i) { for (i = 0; keep && i < n; i++) print line[i]; n = 0 }"
)
_CALL = re.compile(rf"(?:call|jmp)q? .*<({_NAMES})>")
_BODY = re.compile(rf"[0-9a-f]+ <({_NAMES})>:")
# What ftrace patches: a call, or what objtool has made of it.
_ENTRY = re.compile(r"callq? .*<__fentry__>|nopl +0x0\(%rax,%rax,1\)")
# That of binutils 2.40 does not see what clang has inlined.
_ADDR2LINE = "llvm-addr2line"
# The wrappers that every call goes through are inlined from here.
_HEADER = "/map_trace.h"


@dataclass(frozen=True)
class Call:
    """A line of the source from which a hook is called."""

    hook: str
    function: str
    line: str


@dataclass
class Expected:
    """How many lines of each function call each hook, and which ignore the result."""

    lines: Counter[tuple[str, str]] = field(default_factory=Counter)
    ignoring: set[tuple[str, str]] = field(default_factory=set)


def load_calls(file: Path, patches: int) -> Expected:
    """What the table says of the calls after so many patches.

    HarnessError if a row is wrong.
    """
    expected = Expected()
    with reading(file):
        for row in tomllib.loads(file.read_text())["calls"]:
            if row["patch"] <= patches < row.get("until", math.inf):
                result = row.get("result", "tested")
                if result not in ("tested", "ignored"):
                    raise ValueError(f"result = {result!r}")
                for function, lines in row["functions"].items():
                    expected.lines[row["hook"], function] += int(lines)
                    if result == "ignored":
                        expected.ignoring.add((row["hook"], function))
    return expected


def audit(image: Image, patches: Path, upto: int, *, exact: bool, log: Log) -> None:
    """Compare the calls in the image with `patches`/calls.toml, once for each image.

    `upto` is the number of patches that were applied. BuildError tells all that
    differs; unless `exact`, only the log does.
    """
    table = patches / "calls.toml"
    stamp = image.build / "audited.json"
    stat = image.vmlinux.stat()
    seen = [table.read_text() if table.is_file() else "", upto, stat.st_mtime_ns]
    if stamp.is_file() and stamp.read_text() == json.dumps(seen):
        return
    wrong = differences(
        image.vmlinux,
        image.build / "selftests" / "bpftool" / "bootstrap" / "bpftool",
        load_calls(table, upto),
        log,
    )
    if not wrong:
        stamp.write_text(json.dumps(seen))
    elif exact:
        raise BuildError(
            f"{image.vmlinux} does not call the hooks as the series does",
            detail="\n".join(wrong),
            hint=f"{table} lists the calls: did the compiler drop one, or is the list "
            "out of date?",
        )
    else:
        log.say(f"calls of the hooks that differ from {table}: " + "; ".join(wrong))


def differences(
    vmlinux: Path, bpftool: Path, expected: Expected, log: Log
) -> list[str]:
    """What is wrong with the hooks and their calls. BuildError if that is unknown."""
    words = ["objdump", "-d", "--no-show-raw-insn", f"{vmlinux}"]
    lines = _filtered(words, _FILTER, log, f"cannot disassemble {vmlinux}")
    if not lines[-1].isdigit() or lines[-1] == "0":
        raise BuildError(
            f"objdump finds no code in {vmlinux}",
            command=["objdump", "-d", str(vmlinux)],
            detail="\n".join(lines),
            hint="remove it, so that it is linked again",
        )
    code = instructions(lines)
    calls = _calls(vmlinux, code, log)
    wrong = list(_miscounted(expected.lines, set(calls.values())))
    for address, call in calls.items():
        ignoring = (call.hook, call.function) in expected.ignoring
        if not ignoring and not result_is_used(code, address):
            where = f"{call.hook} at {call.line}"
            wrong.append(f"{call.function} ignores the result of {where}")
    called = {hook for hook, _ in expected.lines}
    if hooks := [hook for hook in HOOKS if hook in called]:
        wrong += _unattachable(vmlinux, bpftool, hooks, lines, log)
    return wrong


def _calls(vmlinux: Path, code: Code, log: Log) -> dict[int, Call]:
    """The calls by their addresses, with the lines that the debug information gives."""
    matches = {at: _CALL.match(text) for at, (text, _) in code.items()}
    found = {at: match[1] for at, match in matches.items() if match}
    if not found:
        return {}
    addresses = [f"{at:x}" for at in found]
    lines = output_of([_ADDR2LINE, "-aif", "-e", vmlinux, *addresses], log)
    calls: dict[int, Call] = {}
    address = 0
    # An address, then function and place of each function that is inlined into the
    # next. The first that is not one of the wrappers is the caller.
    for one, other in zip(lines, [*lines[1:], ""], strict=True):
        if one.startswith("0x"):
            address = int(one, 16)
        elif ":" in other and address not in calls and _HEADER not in other:
            # The compiler's copies of a function have a suffix.
            function = one.partition(".")[0]
            calls[address] = Call(found[address], function, other.partition(" ")[0])
    return calls


def _miscounted(
    expected: Counter[tuple[str, str]], calls: Iterable[Call]
) -> Iterator[str]:
    seen = Counter((call.hook, call.function) for call in calls)
    for hook, function in sorted({*expected, *seen}):
        want, have = expected[hook, function], seen[hook, function]
        if want != have:
            yield f"{function} calls {hook} from {have} lines instead of {want}"


def _unattachable(
    vmlinux: Path, bpftool: Path, hooks: Sequence[str], lines: Sequence[str], log: Log
) -> Iterator[str]:
    """Those of the hooks to which no program can attach, and why."""
    bodies = {match[1]: n for n, match in enumerate(map(_BODY.match, lines)) if match}
    # At the very beginning, or after endbr64.
    entry = {
        hook
        for hook, n in bodies.items()
        if any(map(_ENTRY.search, lines[n + 1 : n + 3]))
    }
    words = [f"{bpftool}", "btf", "dump", "file", f"{vmlinux}"]
    names = f"/ FUNC '({_NAMES})' /"
    btf = " ".join(_filtered(words, names, log, f"cannot read the BTF of {vmlinux}"))
    for hook in hooks:
        if hook not in entry:
            yield f"{hook} is not there, or ftrace cannot patch it"
        if f"'{hook}'" not in btf:
            yield f"{hook} is not in the BTF"


def _filtered(command: Sequence[str], program: str, log: Log, what: str) -> list[str]:
    """What awk's `program` leaves of a command's output. BuildError if either fails."""
    words = ["bash", "-o", "pipefail", "-c", '"${@:2}" | awk "$1"', "audit", program]
    return output_of([*words, *command], log, what=what)
