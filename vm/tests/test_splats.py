"""Tests of vm/splats.py, on recorded consoles (each names its origin)."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.splats import classify, lines_of, splats

DATA = Path(__file__).with_name("data")


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


BANNER = "Linux version 7.3.4\n"


@pytest.mark.parametrize("prefix", ["[   12.345678] ", "[  1.5] [  T42] ", "[ C0] "])
def test_prefixes_of_a_line(prefix: str) -> None:
    text = f"{BANNER}{prefix}BUG: KASAN: x\n{prefix}at y\n"
    verdict = classify(text)
    assert verdict is not None and verdict.headline == "BUG: KASAN: x"
    assert verdict.trace == (f"{prefix}BUG: KASAN: x", f"{prefix}at y")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("BUG: unable to handle page fault for address: ffff", "oops"),
        ("kernel BUG at kernel/bpf/hashtab.c:12!", "oops"),
        ("Oops: invalid opcode: 0000 [#1] SMP", "oops"),
        ("general protection fault, maybe for address 0x1: 0000 [#1]", "oops"),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", "hang"),
        ("watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1", "hang"),
        ("BUG: workqueue lockup - pool cpus=0", "hang"),
        ("rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks:", "hang"),
        ("UBSAN: array-index-out-of-bounds in x.c:1:2", "BUG"),
        ("INFO: trying to register non-static key.", "WARNING"),
        ("error: kvm run failed Bad address", "KVM internal error"),
    ],
)
def test_kind_of_a_line(line: str, kind: str) -> None:
    verdict = classify(f"{BANNER}{line}\n")
    assert verdict is not None
    assert (verdict.kind, verdict.headline) == (kind, line)


def test_before_the_kernel_only_kvm_counts() -> None:
    """QEMU and vng print there, and vng warns, too."""
    assert classify("WARNING: no such folder\n") is None
    assert splats("WARNING: no such folder\n" + BANNER) == []
    verdict = classify("KVM internal error. Suberror: 1\n")
    assert verdict is not None and verdict.fatal


def test_worst_event_is_the_verdict() -> None:
    """The first one of the worst kind: what follows an oops is due to it."""
    lines = ["WARNING: a", "Kernel panic - not syncing: x", "Oops: 1", "Oops: 2"]
    verdict = classify(BANNER + "\n".join(lines))
    assert verdict is not None and verdict.headline == "Oops: 1"
    assert splats(BANNER + "\n".join(lines)) == ["WARNING: a"]


def test_trace_has_an_end() -> None:
    text = f"{BANNER}Oops: 1\n" + "at x\n" * 200
    verdict = classify(text)
    assert verdict is not None and len(verdict.trace) == 80


def test_lines_without_escapes() -> None:
    text = "\x1b[2J\x1b[1;31mred\x1b[0m\r\r\n\x1bcplain\r\n\x1b[?7l"
    assert lines_of(text) == ["red", "plain"]
