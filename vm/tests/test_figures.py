"""Tests of vm/figures.py: figures are read, judged and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vm.errors import UsageError
from vm.figures import (
    BenchError,
    Figure,
    Figures,
    Results,
    Row,
    compare,
    load,
    merge,
    parse,
    ratios,
    save,
)

HIT = Row("hit", "hash", "update", "program")
SYSCALL = Row("hit", "hash", "update", "syscall")
KPROBE = Row("kprobe_map_fn", "hash", "update", "syscall")
FENTRY = Row("fentry_map_fn", "hash", "update", "syscall")
OUTPUT = """\
figure hit hash update program 531.453
figure hit hash update syscall 2208.453
skipped kprobe_map_fn hash update syscall
unavailable fentry_map_fn hash update syscall
done
"""
FIGURES = {
    HIT: Figure("figure", 531.453),
    SYSCALL: Figure("figure", 2208.453),
    KPROBE: Figure("skipped"),
    FENTRY: Figure("unavailable"),
}


def costs(*numbers: float) -> list[Figures]:
    """Repeats of one figure."""
    return [{HIT: Figure("figure", number)} for number in numbers]


def test_parse() -> None:
    assert parse(OUTPUT) == FIGURES
    assert parse("figure hit hash update program -0.125\ndone")[HIT].cost == -0.125


@pytest.mark.parametrize(
    ("output", "what"),
    [
        ("", "the benchmark did not finish"),
        ("done\n", "the benchmark did not finish"),
        (OUTPUT.removesuffix("done\n"), "the benchmark did not finish"),
        (OUTPUT.replace("done", "Killed"), "the benchmark did not finish"),
        ("noise\n" + OUTPUT, "the benchmark printed 'noise'"),
        (OUTPUT.replace(" 531.453", ""), "printed 'figure hit hash update program'"),
        (OUTPUT.replace("531.453", "nan"), "update program nan'"),
        (OUTPUT.replace("skipped", "figure"), "printed 'figure kprobe_map_fn"),
        (OUTPUT.replace("figure hit", "skipped hit"), "program 531.453'"),
        (OUTPUT.replace("syscall 2", "program 2"), "hit hash update program: .* twice"),
        ("error: hit hash: no hook\n", "^benchmark failed: hit hash: no hook\n"),
        (
            OUTPUT.replace("done", "error: hit: 3 failed"),
            "^benchmark failed: hit: 3 failed\n",
        ),
    ],
)
def test_parse_refuses(output: str, what: str) -> None:
    with pytest.raises(BenchError, match=what) as raised:
        parse(output)
    assert raised.value.exit_status == 1


def test_what_libbpf_said_is_shown() -> None:
    output = f"{OUTPUT}libbpf: no such program\nerror: hit: 1\n".replace("done\n", "")
    with pytest.raises(BenchError) as raised:
        parse(output)
    assert raised.value.detail == "libbpf: no such program"


def test_merge() -> None:
    merged = merge(costs(200.0, 201.0, 200.5))
    assert merged == {HIT: Figure("figure", 200.5, 1.0)}
    merged = merge(costs(-200.0, -200.5))
    assert merged == {HIT: Figure("figure", -200.25, 0.5)}
    assert merge([FIGURES, FIGURES])[KPROBE] == Figure("skipped")
    assert merge(costs(0.0, 0.0)) == {HIT: Figure("figure", 0.0, 0.0)}


@pytest.mark.parametrize(
    ("repeats", "said"),
    [
        (costs(200.0, 201.1, 200.5), "200.0, 201.1, 200.5"),
        (costs(0.0, 0.1), "0.0, 0.1"),
        (costs(-200.0, -201.1), "-200.0, -201.1"),
        ([*costs(200.0), {HIT: Figure("skipped")}], "200.0, skipped"),
        ([*costs(200.0), {KPROBE: Figure("skipped")}], "200.0, missing"),
    ],
)
def test_figures_that_vary_are_named(repeats: list[Figures], said: str) -> None:
    with pytest.raises(BenchError, match=r"differ by more than 0\.5% between") as e:
        merge(repeats)
    assert f"hit hash update program: {said}" in e.value.detail.splitlines()
    assert e.value.exit_status == 1


def test_ratios() -> None:
    base = Figure("figure", 200.0)
    figures = {HIT.under("unattached"): base, HIT: Figure("figure", 250.0), **FIGURES}
    figures[HIT] = Figure("figure", 250.0)
    assert ratios(figures, "unattached") == {HIT: 1.25}


def test_file(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    figures = merge([FIGURES])
    save(Results("7.3", 3, "7.3.4", figures, {HIT: 1.25}), file)
    assert load(file, "7.3") == Results("7.3", 3, "7.3.4", figures)
    content = json.loads(file.read_text())
    assert content["schema"] == "bpf-map-tracing-bench 1"
    where = {"setup": "hit", "type": "hash", "operation": "update", "path": "program"}
    said = {"status": "figure", "cost": 531.453, "spread": 0.0}
    assert content["figures"][0] == where | said
    assert content["figures"][2]["cost"] is content["figures"][2]["spread"] is None
    assert content["kvm_ratios"] == [where | {"ratio": 1.25}]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda c: c.update(schema="other 1"), "its schema is not "),
        (lambda c: c.pop("schema"), "its schema is not "),
        (lambda c: c.update(base="6.12"), r"its base is 6\.12, not 7\.3"),
        (lambda c: c.pop("figures"), "do not match the schema"),
        (lambda c: c.update(figures=[1]), "do not match the schema"),
        (lambda c: c.update(figures=[]), "do not match the schema"),
        (lambda c: c["figures"].append(c["figures"][0]), "do not match the schema"),
        (lambda c: c["figures"][0].pop("setup"), "do not match the schema"),
        (lambda c: c["figures"][0].update(cost=None), "do not match the schema"),
        (lambda c: c["figures"][0].update(cost="many"), "do not match the schema"),
        (lambda c: c["figures"][2].update(cost=1.0), "do not match the schema"),
        (
            lambda c: c["figures"][2].update(status="odd"),
            "do not match the schema",
        ),
    ],
)
def test_file_of_another_kind(
    tmp_path: Path, change: Callable[[Any], object], what: str
) -> None:
    file = tmp_path / "bench.json"
    save(Results("7.3", 3, "7.3.4", merge([FIGURES])), file)
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=what) as raised:
        load(file, "7.3")
    assert str(raised.value).startswith(f"usage error: --against {file}: ")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "No such file or directory"),
        ("figure hit", "this is not JSON"),
        (b"\xff\xfe", "this is not JSON"),
        ("[]", "its schema is not"),
    ],
)
def test_file_that_is_not_one(
    tmp_path: Path, text: str | bytes | None, what: str
) -> None:
    file = tmp_path / "bench.json"
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError, match=what):
        load(file, "7.3")


@pytest.mark.parametrize("row", [HIT, SYSCALL])
def test_five_instructions_more_are_found(row: Row) -> None:
    """By a program, and by the system call that costs thousands."""
    cost = FIGURES[row].cost
    assert cost is not None
    more = FIGURES | {row: Figure("figure", cost + 5)}
    found = compare(FIGURES, more)
    assert found.worse == [f"{row}: {cost:.1f} -> {cost + 5:.1f}, +5.0"]
    assert found.failed and not (found.gone or found.better or found.added)
    back = compare(more, FIGURES)
    assert back.better == [f"{row}: {cost + 5:.1f} -> {cost:.1f}, -5.0"]
    assert not back.failed


@pytest.mark.parametrize("more", [0.0, 2.0, -2.0])
def test_noise_is_no_difference(more: float) -> None:
    old = {HIT: Figure("figure", 500.0)}
    found = compare(old, {HIT: Figure("figure", 500.0 + more)})
    assert not (found.worse or found.gone or found.better or found.added)


def test_figures_of_one_side_are_named() -> None:
    one = {HIT: FIGURES[HIT], KPROBE: FIGURES[KPROBE]}
    found = compare(FIGURES, one)
    assert found.gone == ["hit hash update syscall: 2208.5 -> missing"]
    assert found.failed
    found = compare(one, FIGURES)
    assert not found.failed
    assert found.added == [
        "hit hash update syscall: missing -> 2208.5",
        "fentry_map_fn hash update syscall: missing -> unavailable",
    ]
    skipped = compare(FIGURES, FIGURES | {HIT: Figure("skipped")})
    assert skipped.gone == ["hit hash update program: 531.5 -> skipped"]
