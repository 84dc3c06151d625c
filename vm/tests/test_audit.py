"""audit.py, on what objdump, llvm-addr2line and bpftool print about a real kernel."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from vm.audit import Expected, differences, load_calls
from vm.errors import BuildError, HarnessError
from vm.terminal import Log
from vm.tests.project import BASE, ROOT, Project

UPDATE, DELETE = "bpf_map_trace_update_elem", "bpf_map_trace_delete_elem"
ENTRY = """\
ffffffff811a0000 <{hook}>:
ffffffff811a0000:\tendbr64
ffffffff811a0004:\tcall   ffffffff81044570 <__fentry__>
ffffffff811a0009:\txor    %eax,%eax
"""
CODE = (
    ENTRY.format(hook=UPDATE)
    + "\n"
    + ENTRY.format(hook=DELETE)
    + f"""
ffffffff811a0100 <array_map_update_elem>:
ffffffff811a0110:\tjmp    ffffffff811a0180 <array_map_update_elem+0x80>
ffffffff811a0180:\tcall   ffffffff811a0000 <{UPDATE}>
ffffffff811a0185:\ttest   %eax,%eax
ffffffff811a0190:\tcall   ffffffff811a0000 <{UPDATE}>
ffffffff811a0195:\ttest   %eax,%eax

ffffffff811a0200 <htab_map_delete_elem.constprop.0>:
ffffffff811a0210:\tcallq  ffffffff811a0010 <{DELETE}>
ffffffff811a0215:\tmov    %eax,%ebx
"""
)
# The first two calls are from one line, in two copies.
PLACES = """\
0xffffffff811a0180
bpf_map_trace_update
/k/kernel/bpf/map_trace.h:45
array_map_update_elem
/k/kernel/bpf/arraymap.c:419 (discriminator 2)
0xffffffff811a0190
bpf_map_trace_update
/k/kernel/bpf/map_trace.h:45
array_map_update_elem
/k/kernel/bpf/arraymap.c:419
0xffffffff811a0210
bpf_map_trace_delete
/k/kernel/bpf/map_trace.h:70
__htab_map_delete_elem
/k/kernel/bpf/hashtab.c:1570
htab_map_delete_elem
/k/kernel/bpf/hashtab.c:1600
"""
BTF = f"[1] FUNC '{UPDATE}' type_id=2\n[3] FUNC '{DELETE}' type_id=4\n"
CALLS = Expected(
    Counter(
        {(UPDATE, "array_map_update_elem"): 1, (DELETE, "__htab_map_delete_elem"): 1}
    )
)


class Binutils:
    """Programs that print what the test says."""

    def __init__(self, folder: Path, log: Log) -> None:
        self._folder, self._log = folder, log
        self.bpftool = folder / "bpftool"
        self.says("objdump", CODE)
        self.says("llvm-addr2line", PLACES)
        self.says("bpftool", BTF)

    def says(self, name: str, text: str, status: int = 0) -> None:
        """Have the program `name` print `text` and end with `status`."""
        (self._folder / f"{name}.text").write_text(text)
        file = self._folder / name
        file.write_text(f"#!/bin/sh\ncat {self._folder}/{name}.text\nexit {status}\n")
        file.chmod(0o755)

    def find(self, expected: Expected = CALLS) -> list[str]:
        """The differences."""
        vmlinux = self._folder / "vmlinux"
        return differences(vmlinux, self.bpftool, expected, self._log)


@pytest.fixture
def binutils(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> Binutils:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Binutils(folder, log)


def test_as_expected(binutils: Binutils) -> None:
    assert binutils.find() == []


@pytest.mark.parametrize("lines", [0, 2])
def test_miscounted_call(binutils: Binutils, lines: int) -> None:
    expected = Expected(Counter(CALLS.lines))
    expected.lines[UPDATE, "array_map_update_elem"] = lines
    where = f"from 1 lines instead of {lines}"
    assert binutils.find(expected) == [f"array_map_update_elem calls {UPDATE} {where}"]


def test_call_that_was_dropped(binutils: Binutils) -> None:
    binutils.says("objdump", CODE.replace("callq  ffffffff811a0010", "nop"))
    binutils.says("llvm-addr2line", PLACES.partition("0xffffffff811a0210")[0])
    wrong = binutils.find()
    assert wrong == [f"__htab_map_delete_elem calls {DELETE} from 0 lines instead of 1"]


def test_result_that_is_ignored(binutils: Binutils) -> None:
    """In one of the copies of a line."""
    code, _, end = CODE.rpartition("test   %eax,%eax")
    binutils.says("objdump", f"{code}mov    $0x0,%eax{end}")
    where = "/k/kernel/bpf/arraymap.c:419"
    wrong = f"array_map_update_elem ignores the result of {UPDATE} at {where}"
    assert binutils.find() == [wrong]
    caller = (UPDATE, "array_map_update_elem")
    assert binutils.find(Expected(CALLS.lines, {caller})) == []


def test_copy_by_the_compiler(binutils: Binutils) -> None:
    """ThinLTO renames functions that it exports from their file."""
    binutils.says("llvm-addr2line", PLACES.replace("_elem\n", "_elem.llvm.123\n"))
    assert binutils.find() == []


def test_nop_that_aligns_is_no_entry(binutils: Binutils) -> None:
    nop = "ret\nffffffff811a000b:\tnopl   0x0(%rax,%rax,1)"
    entry = "call   ffffffff81044570 <__fentry__>"
    binutils.says("objdump", CODE.replace(entry, "mov %edi,%edi\n1:\t" + nop))
    assert binutils.find() == [
        f"{hook} is not there, or ftrace cannot patch it" for hook in (UPDATE, DELETE)
    ]


def test_hook_that_nothing_can_attach_to(binutils: Binutils) -> None:
    binutils.says(
        "objdump", CODE.replace("call   ffffffff81044570 <__fentry__>", "nop")
    )
    binutils.says("bpftool", BTF.replace(f"'{DELETE}'", "'another'"))
    assert binutils.find() == [
        f"{UPDATE} is not there, or ftrace cannot patch it",
        f"{DELETE} is not there, or ftrace cannot patch it",
        f"{DELETE} is not in the BTF",
    ]


def test_entry_that_objtool_made_a_nop(binutils: Binutils) -> None:
    entry = "call   ffffffff81044570 <__fentry__>"
    binutils.says("objdump", CODE.replace(entry, "nopl   0x0(%rax,%rax,1)"))
    assert binutils.find() == []


@pytest.mark.parametrize("program", ["objdump", "llvm-addr2line", "bpftool"])
def test_program_that_fails(binutils: Binutils, program: str) -> None:
    """A check that cannot be made is no check passed."""
    binutils.says(program, "no such file", status=1)
    with pytest.raises(BuildError, match=r"cannot|exit status 1"):
        binutils.find()


def test_no_code(binutils: Binutils) -> None:
    binutils.says("objdump", "")
    with pytest.raises(BuildError, match="finds no code"):
        binutils.find(Expected())


def test_table_of_the_series(tmp_path: Path) -> None:
    file = ROOT / "patches" / BASE / "calls.toml"
    assert load_calls(file, 1) == Expected()
    assert load_calls(file, 2).lines[UPDATE, "array_map_update_elem"] == 3
    batch = (DELETE, "__htab_map_lookup_and_delete_batch")
    assert load_calls(file, 3).ignoring == {batch}
    assert load_calls(file, 9).lines[UPDATE, "array_map_update_elem"] == 0
    assert load_calls(file, 9).lines[UPDATE, "array_map_update_elem_traced"] == 1
    row = '[[calls]]\nhook = "x"\npatch = 1\nfunctions = {}\n'
    for wrong in ('[[calls]]\nhook = "x"\n', row + 'result = "dropped"\n'):
        (tmp_path / "calls.toml").write_text(wrong)
        with pytest.raises(HarnessError, match="cannot use"):
            load_calls(tmp_path / "calls.toml", 1)
    with pytest.raises(HarnessError, match="cannot use"):
        load_calls(tmp_path / "missing.toml", 1)


def test_nothing_boots(project: Project) -> None:
    """Unless the user's tree has a series of its own: then the run only says so."""
    rows = (
        f'[[calls]]\nhook = "{UPDATE}"\npatch = 2\nfunctions = {{ map_update = 1 }}\n'
    )
    (project.path / "patches" / BASE / "calls.toml").write_text(rows)
    what = f"map_update calls {UPDATE} from 0 lines instead of 1"
    ended = project.run()
    assert (ended.status, project.vng) == (6, [])
    assert what in ended.output
    tree = project.path / "linux-7.3.4"
    ended = project.run("--kernel-tree", str(tree), "--patched")
    assert ended.status == 0, ended.output
    assert what in ended.output
    ended = project.run("--upto", "1")
    assert ended.status == 0, ended.output
