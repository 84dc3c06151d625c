"""Tests of vm/timeline.py; test_chart.py has that of what it draws."""

from vm.timeline import Sample, read

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
