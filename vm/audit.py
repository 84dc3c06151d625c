"""Whether the linked kernel calls the hooks where the series does, no more, no less.

A compiler that sees too much drops a call, or the hook itself, and the tests of what
nobody calls are easily forgotten. So the machine code is asked, before a guest boots.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.build import Image
from vm.errors import BuildError, reading
from vm.process import output_of
from vm.terminal import Log

HOOKS = ("bpf_map_trace_update_elem", "bpf_map_trace_delete_elem")
_NAMES = "|".join(HOOKS)
# The hooks themselves, and the calls of them, of all that objdump prints. At its end,
# so that nothing found is not taken for nothing looked at.
_FILTER = (
    rf"/^[0-9a-f]+ <({_NAMES})>:/ {{ body = 1 }} /^$/ {{ body = 0 }} "
    rf"body || /\t(call|jmp)q? .*<({_NAMES})>/ {{ print }} END {{ print NR }}"
)
_CALL = re.compile(rf"\s*([0-9a-f]+):\t(?:call|jmp)q? .*<({_NAMES})>")
_BODY = re.compile(rf"[0-9a-f]+ <({_NAMES})>:")
# What ftrace patches: a call, or what objtool has made of it.
_ENTRY = re.compile(r"\t(callq? .*<__fentry__>|nopl +0x0\(%rax,%rax,1\))")
# The wrappers that every call goes through are inlined from here.
_HEADER = "/map_trace.h"


@dataclass(frozen=True)
class Call:
    """A line of the source from which a hook is called."""

    hook: str
    function: str
    line: str


def load_calls(file: Path, patches: int) -> Counter[tuple[str, str]]:
    """How many lines of each function call each hook after so many patches.

    HarnessError if a row is wrong.
    """
    expected: Counter[tuple[str, str]] = Counter()
    with reading(file):
        for row in tomllib.loads(file.read_text())["calls"]:
            if row["patch"] <= patches:
                for function, lines in row["functions"].items():
                    expected[row["hook"], function] += int(lines)
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
            "not up to date?",
        )
    else:
        log.say(f"calls of the hooks that are not as in {table}: " + "; ".join(wrong))


def differences(
    vmlinux: Path, bpftool: Path, expected: Counter[tuple[str, str]], log: Log
) -> list[str]:
    """What is wrong with the hooks and their calls. BuildError if that is unknown."""
    words = ["objdump", "-d", "--no-show-raw-insn", f"{vmlinux}"]
    code = _filtered(words, _FILTER, log, f"cannot disassemble {vmlinux}")
    if not code[-1].isdigit() or code[-1] == "0":
        raise BuildError(
            f"objdump finds no code in {vmlinux}",
            command=["objdump", "-d", str(vmlinux)],
            detail="\n".join(code),
            hint="remove it, so that it is linked again",
        )
    wrong = list(_miscounted(expected, _calls(vmlinux, code, log)))
    if expected:
        wrong += _unattachable(vmlinux, bpftool, code, log)
    return wrong


def _calls(vmlinux: Path, code: Sequence[str], log: Log) -> set[Call]:
    """The calls, by the lines that the debug information gives for them."""
    found = {match[1]: match[2] for match in map(_CALL.match, code) if match}
    if not found:
        return set()
    lines = output_of(["addr2line", "-aif", "-e", vmlinux, *found], log)
    calls, address = {}, ""
    # An address, then function and place of each function that is inlined into the
    # next. The first that is not one of the wrappers is the caller.
    for one, other in zip(lines, [*lines[1:], ""], strict=True):
        if one.startswith("0x"):
            address = f"{int(one, 16):x}"
        elif ":" in other and address not in calls and _HEADER not in other:
            calls[address] = Call(found[address], one, other.partition(" ")[0])
    return set(calls.values())


def _miscounted(
    expected: Counter[tuple[str, str]], calls: Iterable[Call]
) -> Iterator[str]:
    seen = Counter((call.hook, call.function) for call in calls)
    for hook, function in sorted({*expected, *seen}):
        want, have = expected[hook, function], seen[hook, function]
        if want != have:
            yield f"{function} calls {hook} from {have} lines instead of {want}"


def _unattachable(
    vmlinux: Path, bpftool: Path, code: Sequence[str], log: Log
) -> Iterator[str]:
    """The hooks to which no program can attach, and why."""
    entry, hook = set(), ""
    for line in code:
        if body := _BODY.match(line):
            hook = body[1]
        elif _ENTRY.search(line) and hook:
            entry.add(hook)
    words = [f"{bpftool}", "btf", "dump", "file", f"{vmlinux}"]
    names = f"/ FUNC '({_NAMES})' /"
    btf = " ".join(_filtered(words, names, log, f"cannot read the BTF of {vmlinux}"))
    for hook in HOOKS:
        if hook not in entry:
            yield f"{hook} is not there, or ftrace cannot patch it"
        if f"'{hook}'" not in btf:
            yield f"{hook} is not in the BTF"


def _filtered(command: Sequence[str], program: str, log: Log, what: str) -> list[str]:
    """What awk's `program` leaves of a command's output. BuildError if either fails."""
    words = ["bash", "-o", "pipefail", "-c", '"${@:2}" | awk "$1"', "audit", program]
    return output_of([*words, *command], log, what=what)
