"""Tests of vm/timeline.py."""

from pathlib import Path

from vm.timeline import Sample, draw, read

OUTPUT = """\
TAP version 13
# sample 0 0 0 0 1
# sample 20 100 7 3 1
# not a sample 1 2 3 4 5
# switch 25
# sample 40 400 2 9 2
ok 1 upgrade.hash.nothing_lost
"""


def test_read() -> None:
    timeline = read(OUTPUT)
    assert timeline is not None
    assert timeline.samples == (
        Sample(0, 0, 0, 0, 1),
        Sample(20, 100, 7, 3, 1),
        Sample(40, 400, 2, 9, 2),
    )
    assert timeline.switches == (25,)


def test_samples_are_in_the_order_of_their_times() -> None:
    timeline = read("# sample 40 4 0 0 2\n# sample 0 0 0 0 1\n# sample 20 1 0 0 1\n")
    assert timeline is not None
    assert [sample.ms for sample in timeline.samples] == [0, 20, 40]


def test_rates_leave_out_samples_of_the_same_time() -> None:
    timeline = read(OUTPUT + "# sample 40 500 0 9 2\n")
    assert timeline is not None
    assert timeline.rates() == [(10.0, 5000.0), (30.0, 15000.0)]


def test_most_tests_have_no_timeline() -> None:
    assert read("ok 1 update.hash.any\n") is None
    assert read("# sample 0 0 0 0 1\n") is None


def test_draw(tmp_path: Path) -> None:
    timeline = read(OUTPUT)
    assert timeline is not None
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        draw(timeline, tmp_path / folder, "upgrade.hash")
    svg = (tmp_path / "a" / "upgrade.hash.svg").read_text()
    for text in (
        *("upgrade.hash", "operations per second", "keys dirty", "keys copied"),
        *("switch", "milliseconds"),
    ):
        assert text in svg
    assert svg == (tmp_path / "b" / "upgrade.hash.svg").read_text()
    png = (tmp_path / "a" / "upgrade.hash.png").read_bytes()
    assert png.startswith(b"\x89PNG")
