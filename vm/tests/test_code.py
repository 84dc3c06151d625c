"""Tests of vm/code.py, with what compilers write behind a call."""

from __future__ import annotations

import pytest

from vm.code import instructions, result_is_used


def used(text: str) -> bool:
    """Whether the result of the call at 0 is, which these instructions follow.

    They are one byte long each.
    """
    lines = ["call   ffff <hook>", *text.split("; ")]
    code = instructions(f"{n:16x}:\t{line}" for n, line in enumerate(lines))
    return result_is_used(code, 0)


@pytest.mark.parametrize(
    "text",
    [
        "test   %eax,%eax; je     9 <f+0x9>",
        "mov    0x10(%rsp),%rcx; xchg   %ax,%ax; test   %eax,%eax",
        "movslq %eax,%r12; xor    %eax,%eax",
        "cltq; call   5 <g>",
        "cmp    $0xfffff001,%eax",
        "add    $0x1,%eax; ud2",
        "mov    %rbx,(%rdi,%rax,8); ud2",
        "mov    $0x1,(%rax); ud2",
        "ret",
        "jmp    3 <f+0x3>; ud2; test   %eax,%eax",
        "jne    3 <f+0x3>; mov    $0x0,%eax; test   %eax,%eax",
        "jmp    ffff <__x86_return_thunk>",
        "mov    %rbx,%rdi",
    ],
)
def test_result_that_is_read(text: str) -> None:
    """By any of the ways on, or maybe where we cannot see it."""
    assert used(text)


@pytest.mark.parametrize(
    "text",
    [
        "xor    %eax,%eax; ret",
        "mov    $0x0,%eax; ret",
        "mov    0x8(%rsp),%rax        # 30 <%rax>; test   %eax,%eax",
        "lea    0x8(%rbx),%rax; ret",
        "pop    %rax; ret",
        "call   5 <g>; test   %eax,%eax",
        "nopl   0x0(%rax,%rax,1); xor    %eax,%eax; ret",
        "data16 cs nopw 0x0(%rax,%rax,1); call   5 <g>",
        "xchg   %ax,%ax; call   5 <g>",
        "ud2; test   %eax,%eax",
        "jmp    3 <f+0x3>; test   %eax,%eax; xor    %eax,%eax; ret",
        "jne    4 <f+0x4>; xor    %eax,%eax; ret; mov    $0x1,%eax; ret",
        "mov    %rbx,%rdi; jmp    1 <f+0x1>",
    ],
)
def test_result_that_is_lost(text: str) -> None:
    assert not used(text)


def test_call_at_the_end_of_a_function() -> None:
    assert result_is_used(instructions(["0:\tjmp    ffff <hook>", "1:\tret"]), 0)
