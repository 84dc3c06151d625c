"""What a console shows, on recorded consoles (each names its origin)."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import splats
from vm.errors import HarnessError
from vm.splats import Kind, scan, table

DATA = Path(__file__).with_name("data")
BANNER = "Linux version 7.3.4\n"
KINDS, ALLOWED = table()


def log(name: str) -> str:
    """A console log of the test data, with a terminal's line ends."""
    return (DATA / f"console_{name}.log").read_text().replace("\n", "\r\n")


def headlines(text: str) -> list[str]:
    """The headlines of all reports."""
    return [splat.headline for splat in scan(text).splats]


# Recorded consoles


@pytest.mark.parametrize(
    ("name", "outcome", "end", "headline"),
    [
        (
            *("oops", "oops", "fatal"),
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
        ),
        ("panic", "panic", "fatal", "Kernel panic - not syncing: Requested init "),
        (*("kvm_error", "KVM internal error", "fatal"), "KVM internal error. Suberr"),
        ("rcu_stall", "RCU stall", "hang", "rcu: INFO: rcu_preempt self-detected stal"),
        ("kasan", "KASAN", "", "BUG: KASAN: slab-use-after-free in htab_map_del"),
        ("bug", "atomic context", "", "BUG: scheduling while atomic: swapper/0/0/0x00"),
        ("warning", "refcount", "", "refcount_t: "),
    ],
)
def test_worst(name: str, outcome: str, end: str, headline: str) -> None:
    worst = scan(log(name)).worst
    assert worst is not None
    assert (worst.kind.outcome, worst.kind.end) == (outcome, end)
    assert (worst.fatal, worst.hang) == (end == "fatal", end == "hang")
    assert worst.headline.startswith(headline)
    assert worst.trace[0].endswith(worst.headline)
    assert str(worst) == f"{outcome}: {worst.headline}"


@pytest.mark.parametrize("name", ["clean", "kvm_ends"])
def test_nothing_to_report(name: str) -> None:
    found = scan(log(name))
    assert (found.splats, found.worst) == ([], None)


def test_trace() -> None:
    worst = scan(log("oops")).worst
    assert worst is not None
    assert " default_idle+0x9/0x10" in worst.trace
    assert worst.trace[-1].startswith("---[ end trace")
    worst = scan(log("panic")).worst
    assert worst is not None and worst.trace[-1] == "Kernel Offset: disabled"


def test_lockdep_and_hung_task() -> None:
    found = scan(log("lockdep"))
    assert [splat.headline for splat in found.splats] == [
        "WARNING: possible circular locking dependency detected",
        "[ BUG: Invalid wait context ]",
        "INFO: task hash:77 blocked for more than 122 seconds.",
    ]
    assert found.worst is not None and found.worst.kind.outcome == "hung task"


# The table


@pytest.mark.parametrize("kind", KINDS, ids=[kind.outcome for kind in KINDS])
def test_row(kind: Kind) -> None:
    """The examples are found as the row's own, wherever they begin in a line."""
    begins = ("", "[    1.234567] ", "half a line of a test[    1.2] [  T7] ")
    for before, line in itertools.product(begins, kind.examples):
        found = scan(f"{BANNER}{before}{line}\n").splats
        assert [(splat.kind.rank, splat.headline) for splat in found] == [
            (kind.rank, line)
        ]
    assert kind.end in ("", "hang", "fatal") and ".c" in kind.source + ".c"


def reduced(pattern: str) -> Iterator[str]:
    """The pattern without each alternative, and with each `?` always and never."""
    tokens = re.findall(r"\\.|.", pattern)
    assert not {"[", "{"} & set(tokens), "write more of this test"
    groups, opened = [], [[-1]]  # of each group: where it begins, its bars, its end
    for at, token in enumerate([*tokens, ")"]):
        if token == "(":
            opened.append([at])
        elif token in "|)":
            opened[-1].append(at)
        if token == ")":
            groups.append(opened.pop())

    def cut(begin: int, end: int) -> str:
        return "".join(tokens[:begin] + tokens[end:])

    for begin, *bars, end in groups:
        if bars:
            yield cut(begin + 1, bars[0] + 1)
            for bar, following in itertools.pairwise([*bars, end]):
                yield cut(bar, following)
    begins = {end: begin for begin, *_, end in groups}
    for at, token in enumerate(tokens):
        if token == "?":
            yield cut(at, at + 1)
            yield cut(begins.get(at - 1, at - 1), at + 1)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.outcome for kind in KINDS])
def test_each_part_of_a_row_is_needed(kind: Kind) -> None:
    """Without it, one of the examples is not the row's any more."""
    for rest in reduced(kind.pattern):
        found = [re.fullmatch(rest, line) for line in kind.examples]
        assert None in found, f"no example for what is not in {rest}"


def test_parts_of_a_pattern() -> None:
    assert list(reduced(r"a(b|c)?\(|d")) == [
        *(r"a(c)?\(|d", r"a(b)?\(|d", "d", r"a(b|c)?\("),
        *(r"a(b|c)\(|d", r"a\(|d"),
    ]


def test_each_row_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, its examples go unnoticed or are called something else."""
    for kind in KINDS:
        rest = tuple(other for other in KINDS if other is not kind)
        with monkeypatch.context() as patch:
            patch.setattr(splats, "table", lambda rest=rest: (rest, ()))
            splats._headline.cache_clear()
            try:
                found = [scan(f"{BANNER}{line}\n").splats for line in kind.examples]
            finally:
                splats._headline.cache_clear()
        for reports in found:
            assert [splat.kind.outcome for splat in reports] != [kind.outcome]


@pytest.mark.parametrize(
    "line",
    [
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on!",
        "[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on!",
        "Kernel command line: oops=panic panic=-1",
        "x86/fpu: BUG-free since 1991",
        "ODEBUG: selftest passed",
        "kasan: KernelAddressSanitizer initialized (generic)",
        "a test prints BUG: by itself",
    ],
)
def test_no_headline(line: str) -> None:
    assert headlines(f"{BANNER}{line}\n") == []


def write(path: Path, extra: str) -> Path:
    """The real table with something more."""
    path.write_text(splats.TABLE.read_text() + extra)
    return path


def test_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = "[[allowed]]\npattern = 'WARNING: drivers/x.c:.*'\nreason = 'known'\n"
    file = write(tmp_path / "a.toml", f"\n{entry}expires = 2999-01-01\n")
    monkeypatch.setattr(splats, "table", lambda: table(file))
    splats._headline.cache_clear()
    try:
        text = "WARNING: drivers/x.c:7 at f\nWARNING: drivers/y.c:7 at f\n"
        assert headlines(BANNER + text) == ["WARNING: drivers/y.c:7 at f"]
    finally:
        splats._headline.cache_clear()
    today = datetime.date.today()
    yesterday = today - datetime.timedelta(days=1)
    table(write(tmp_path / "b.toml", f"\n{entry}expires = {today}\n"))
    with pytest.raises(HarnessError, match="have expired") as raised:
        table(write(tmp_path / "c.toml", f"\n{entry}expires = {yesterday}\n"))
    assert raised.value.detail.endswith(": WARNING: drivers/x.c:.*: known")


@pytest.mark.parametrize(
    "extra",
    [
        "\n[[splat]]\noutcome = 'x'\n",
        "\n[[allowed]]\npattern = 'x'\nexpires = 2999-01-01\n",
        "\n[[allowed]]\npattern = '('\nreason = 'x'\nexpires = 2999-01-01\n",
        "\n[[allowed",
    ],
)
def test_table_that_cannot_be_used(tmp_path: Path, extra: str) -> None:
    """A scan that cannot run must not look like one that found nothing."""
    with pytest.raises(HarnessError, match="cannot use "):
        table(write(tmp_path / "table.toml", extra))
    with pytest.raises(HarnessError, match=r"cannot use .*No such file"):
        table(tmp_path / "none.toml")


# Scanning


def test_pieces() -> None:
    """Whatever the pieces are in which the console's text comes."""
    text = log("oops") + log("warning")
    whole = scan(text)
    for size in (3, 64, 4096):
        found = splats.Scan()
        for start in range(0, len(text), size):
            found.feed(text[start : start + size])
        assert found.splats == whole.splats
        assert found.tail == whole.tail


@pytest.mark.parametrize("filler", ["x", "[    0.1] "])
def test_endless_line(filler: str) -> None:
    """It hides nothing, and is taken in parts: time grows with a part's square."""
    headline = "Oops: " + "1" * 300
    for size in range(20000, 24100, 150):
        garbage = (filler * size)[:size]
        found = scan(f"{BANNER}{garbage}[    1.5] {headline}\n{garbage}")
        assert [splat.headline for splat in found.splats] == [headline]
        assert max(map(len, found.last_lines(99))) < 7000


def test_half_a_line_before_what_has_no_time() -> None:
    """That messages are missing is told between them."""
    found = scan(f"{BANNER}half a line of a test** 12 printk messages dropped **\n")
    assert [splat.kind.outcome for splat in found.splats] == ["lost messages"]


def test_before_the_kernel_only_kvm_counts() -> None:
    """QEMU and vng print there, and vng warns, too."""
    assert headlines("WARNING: no such folder\n" + BANNER) == []
    assert headlines("WARNING: no such folder\n[    0.1] WARNING: a") == ["WARNING: a"]
    assert scan("KVM internal error. Suberror: 1\n").splats[0].fatal


def test_worst_is_the_cause() -> None:
    """The first one of the worst kind: what follows an oops is due to it."""
    lines = ["WARNING: a", "Kernel panic - not syncing: x", "Oops: 1", "Oops: 2"]
    found = scan(BANNER + "\n".join(lines))
    assert found.worst is not None and found.worst.headline == "Oops: 1"
    assert len(found.splats) == 4


def test_trace_has_an_end() -> None:
    (splat,) = scan(f"{BANNER}Oops: 1\n" + "at x\n" * 200).splats
    assert len(splat.trace) == 80


def test_marks() -> None:
    found = scan("[    1.5] bpf-map-tracing: begin 1\r\r\nx\nbpf-map-tracing: end 1\n")
    assert found.marks == ["begin 1", "end 1"]


def test_last_lines() -> None:
    text = "\x1b[2J\x1b[1;31mred\x1b[0m\r\r\n\x1bcplain\r\n\x1b[?7lhalf"
    found = splats.Scan()
    found.feed(text)
    assert found.last_lines(9) == ["red", "plain", "half"]
    assert found.last_lines(2) == ["plain", "half"]
    found.feed("\n" * 5000)
    assert len(found.last_lines(9999)) == 1000
