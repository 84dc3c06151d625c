"""Tests of all that is drawn: it is complete, and the same each time.

They are together because matplotlib takes a second to import.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from vm import sizes, timeline

PANELS = {
    "left": {"first": {"hash": 3.0, "array": 1.0}, "second": {"hash": -2.0}},
    "right": {"first": {"hash": 4.0}},
}
OUTPUT = """\
# sample 0 0 0 0 1
# sample 20 100 7 3 1
# switch 25
# sample 40 400 2 9 2
"""
ROOT = Path(__file__).resolve().parents[2]
SIZES = """\
# size 100000 345711 1623746 637 2076 2048 16597
# size 1000 156892 351742 631 2076 256 1763
# size 1 2
"""
SVG = "{http://www.w3.org/2000/svg}"
DRAW = """
import sys
from pathlib import Path
from vm.tests.test_chart import PANELS, draw
draw(Path(sys.argv[1]), PANELS)
"""

Panels = Mapping[str, Mapping[str, Mapping[str, float]]]


def draw(file: Path, panels: Panels) -> None:
    """Draw a chart with a title and a unit."""
    from vm import chart  # takes a second

    chart.dots(file, "Title", "unit", panels)


def markers(file: Path) -> int:
    """How many dots a chart has, its legend's among them."""
    groups = ET.parse(file).iter(f"{SVG}g")
    lines = [g for g in groups if g.get("id", "").startswith("line2d_")]
    return sum(len(list(line.iter(f"{SVG}use"))) for line in lines)


def test_content(tmp_path: Path) -> None:
    file = tmp_path / "chart.svg"
    draw(file, PANELS)
    texts = ["".join(text.itertext()) for text in ET.parse(file).iter(f"{SVG}text")]
    for text in ("Title", "unit", "left", "right", "first", "second", "hash", "array"):
        assert text in texts
    more = {**PANELS, "right": {"first": {"hash": 4.0, "array": 2.0}}}
    draw(tmp_path / "more.svg", more)
    assert markers(tmp_path / "more.svg") == markers(file) + 1


def test_first_row_is_on_top(tmp_path: Path) -> None:
    file = tmp_path / "chart.svg"
    draw(file, PANELS)
    texts = ET.parse(file).iter(f"{SVG}text")
    height = {"".join(t.itertext()): float(t.get("y", "")) for t in texts}
    assert height["Title"] < height["hash"] < height["array"] < height["unit"]


def test_number_below_zero_is_inside(tmp_path: Path) -> None:
    """Its dot is left of that for zero, and both are right of the axis."""
    file = tmp_path / "chart.svg"
    draw(file, {"": {"only": {"a": -2.0, "b": 0.0, "c": 5.0}}})
    root = ET.parse(file).getroot()
    (clip,) = root.iter(f"{SVG}clipPath")
    left = float(clip[0].get("x", ""))
    groups = [g for g in root.iter(f"{SVG}g") if "clip-path" in g.attrib]
    uses = [use for g in groups for use in g.iter(f"{SVG}use")]
    below, zero, above = (float(use.get("x", "")) for use in uses)
    assert left < below < zero < above


def test_same_data_same_bytes_without_a_display(tmp_path: Path) -> None:
    """In another process, whose hashes are seeded otherwise, and at another time."""
    files = [tmp_path / "1.svg", tmp_path / "2.svg"]
    draw(files[0], PANELS)
    seed = {"PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "1"}
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | seed
    command = [sys.executable, "-c", DRAW, str(files[1])]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b"<dc:date>" not in files[0].read_bytes()


def test_timeline(tmp_path: Path) -> None:
    course = timeline.read(OUTPUT)
    assert course is not None
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        timeline.draw(course, tmp_path / folder, "upgrade.hash")
    svg = (tmp_path / "a" / "upgrade.hash.svg").read_text()
    for text in (
        *("upgrade.hash", "operations per second", "keys dirty", "keys copied"),
        *("switch", "milliseconds"),
    ):
        assert text in svg
    assert svg == (tmp_path / "b" / "upgrade.hash.svg").read_text()
    png = (tmp_path / "a" / "upgrade.hash.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_sizes(tmp_path: Path) -> None:
    found = sizes.read(SIZES)
    assert found == [
        (1000, 156892, 351742, 631, 2076, 256, 1763),
        (100000, 345711, 1623746, 637, 2076, 2048, 16597),
    ]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        sizes.draw(found, tmp_path / folder)
    svg = (tmp_path / "a" / "upgrade_sizes.svg").read_text()
    for text in ("milliseconds", "writers are held", "owners of keys", "MiB", "keys"):
        assert text in svg
    assert svg == (tmp_path / "b" / "upgrade_sizes.svg").read_text()
