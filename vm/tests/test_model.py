"""Tests of upgrade/model: what is left out of the model can be left out of the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from vm.tests.project import ROOT

MODEL = ROOT / "upgrade" / "model"
PATCHES = sorted((MODEL / "mutants").glob("*.patch"))


def test_mutants() -> None:
    """Each mutant of the model has a row in the README, and if it can be, a patch."""
    check, readme = (
        (MODEL / "check").read_text(),
        (MODEL.parent / "README.md").read_text(),
    )
    lines = re.findall(r'^mutants="(?:\$mutants )?(.*)"$', check, re.MULTILINE)
    names = [patch.stem for patch in PATCHES]
    rows = dict(re.findall(r"^\| `([A-Z_]+)`: (.*)", readme, re.MULTILINE))
    assert sorted(" ".join(lines).split()) == sorted(rows)
    assert sorted(n for n in rows if "(only in the model: " not in rows[n]) == names


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_patch(patch: Path) -> None:
    """It applies, and names an existing test."""
    subprocess.run(["git", "apply", "--check", str(patch)], cwd=ROOT, check=True)
    fields = re.findall(
        r"^Caught by: (\S+)::(\S+)\nWith: Expected ", patch.read_text(), re.MULTILINE
    )
    [(file, name)] = fields
    fixture, *variant, test = name.split(".")
    text = (ROOT / file).read_text()
    assert re.search(rf"^TEST_F\w*\({fixture}, {test}\b", text, re.MULTILINE)
    for word in variant:
        assert f"FIXTURE_VARIANT_ADD({fixture}, {word})" in text
