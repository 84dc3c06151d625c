"""Tests of vm/errors.py."""

from __future__ import annotations

import pytest

from vm.errors import BuildError, GuestError, HarnessError, UsageError


def test_text_of_an_error() -> None:
    error = BuildError(
        "it broke",
        command=["make", "CC=ccache gcc"],
        detail="first line\n  second line\n\n",
        hint="fix it",
    )
    assert str(error).splitlines() == [
        "build failed: it broke",
        "    first line",
        "      second line",
        "command: make 'CC=ccache gcc'",
        "next:    fix it",
    ]


def test_text_without_command_and_detail() -> None:
    error = UsageError("no such base", hint="choose one")
    assert str(error) == "usage error: no such base\nnext:    choose one"


@pytest.mark.parametrize(
    ("error", "title", "status"),
    [
        (HarnessError, "error", 3),
        (UsageError, "usage error", 4),
        (BuildError, "build failed", 6),
        (GuestError, "guest lost", 7),
    ],
)
def test_title_and_exit_status(
    error: type[HarnessError], title: str, status: int
) -> None:
    assert str(error("x", hint="y")).startswith(f"{title}: x\n")
    assert error.exit_status == status


def test_command_is_a_list_of_its_own() -> None:
    words = ["make", "x"]
    error = BuildError("x", hint="y", command=words)
    words.append("z")
    assert error.command == ["make", "x"]
    assert UsageError("x", hint="y").command == []
