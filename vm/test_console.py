"""What a console's text says, on recorded logs (each names its origin)."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.console import classify, splats

DATA = Path(__file__).with_name("testdata")


def log(name: str) -> str:
    """A console log of the test data, with a terminal's line ends."""
    return (DATA / f"console_{name}.log").read_text().replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("name", "kind", "fatal", "headline"),
    [
        (
            "oops",
            "oops",
            True,
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
        ),
        ("panic", "panic", True, "Kernel panic - not syncing: Requested init "),
        ("kvm_error", "KVM internal error", True, "KVM internal error. Suberror: 1"),
        ("rcu_stall", "hang", False, "rcu: INFO: rcu_preempt self-detected stall"),
        ("kasan", "BUG", False, "BUG: KASAN: slab-use-after-free in htab_map_del"),
        ("bug", "BUG", False, "BUG: scheduling while atomic: swapper/0/0/0x00000001"),
        ("warning", "WARNING", False, "WARNING: lib/refcount.c:28 at refcount_warn"),
    ],
)
def test_classify(name: str, kind: str, fatal: bool, headline: str) -> None:
    verdict = classify(log(name))
    assert verdict is not None
    assert (verdict.kind, verdict.fatal) == (kind, fatal)
    assert verdict.headline.startswith(headline)
    assert verdict.trace[0].endswith(verdict.headline)
    assert splats(log(name)) == ([] if fatal else [verdict.headline])


@pytest.mark.parametrize("name", ["clean", "kvm_ends"])
def test_nothing_to_report(name: str) -> None:
    assert classify(log(name)) is None
    assert splats(log(name)) == []


def test_trace() -> None:
    verdict = classify(log("oops"))
    assert verdict is not None
    assert " default_idle+0x9/0x10" in verdict.trace
    assert verdict.trace[-1].startswith("---[ end trace")
    verdict = classify(log("panic"))
    assert verdict is not None
    assert verdict.trace[-1] == "Kernel Offset: disabled"


def test_lockdep_and_hung_task() -> None:
    assert splats(log("lockdep")) == [
        "WARNING: possible circular locking dependency detected",
        "[ BUG: Invalid wait context ]",
        "INFO: task hash:77 blocked for more than 122 seconds.",
    ]
    verdict = classify(log("lockdep"))
    assert verdict is not None and verdict.kind == "hang"


@pytest.mark.parametrize(
    "line",
    [
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on!",
        "Kernel command line: oops=panic panic=-1",
        "x86/fpu: BUG-free since 1991",
    ],
)
def test_no_headline(line: str) -> None:
    assert classify(f"Linux version 7.3.4\n{line}\n") is None
