"""The harness's own code is clean; a check that cannot run fails."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("run_tests.py", "vm", "selftests")
MODULES = {f"vm.{file.stem}": file for file in (ROOT / "vm").glob("*.py")}
# These run in the guest, with the machine's own Python.
IN_GUEST = {"vm.agent", "vm.guest_shell"}


@pytest.mark.parametrize(
    "check", ["ruff check --no-cache", "ruff format --no-cache --diff", "mypy --strict"]
)
def test_code(check: str, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    words = [sys.executable, "-m", *check.split()]
    if check.startswith("mypy"):
        # It is ten times faster the second time.
        cache = getattr(pytestconfig, "cache", None)
        folder = cache.mkdir("mypy") if cache is not None else tmp_path
        words += ["--cache-dir", str(folder)]
    result = subprocess.run(
        [*words, *CODE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        pytest.fail(f"$ {check}\n{result.stdout}", pytrace=False)


# Imports, wherever they are: also those in functions and for type checkers


def imports(text: str) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "relative"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if name in MODULES]
            yield from modules or [node.module]


def others(found: set[str]) -> set[str]:
    """Those of the modules that neither we nor Python have."""
    return {
        name
        for name in found
        if name not in MODULES and name.split(".")[0] not in sys.stdlib_module_names
    }


def reached(start: set[str]) -> set[str]:
    """These modules and all that they import, directly or not."""
    found: set[str] = set()
    new = start
    while new:
        found |= new
        ours = [MODULES[name].read_text() for name in new if name in MODULES]
        new = {name for text in ours for name in imports(text)} - found
    return found


def test_imports_of_a_file() -> None:
    text = (
        "import os.path, vm.tree\n"
        "from vm import cache, errors\n"
        "from vm.ktap import parse\n"
        "if TYPE_CHECKING:\n    from vm.run import Run\n"
        "def f():\n    from rich.table import Table\n"
    )
    assert list(imports(text)) == [
        *("os.path", "vm.tree", "vm.cache", "vm.errors", "vm.ktap"),
        *("vm.run", "rich.table"),
    ]
    assert others(set(imports(text))) == {"rich.table"}


def test_no_import_circle() -> None:
    graph = {name: set(imports(file.read_text())) for name, file in MODULES.items()}
    assert "vm.errors" in graph["vm.cache"], "they are found"
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])), pytrace=False)


def test_standard_library_only() -> None:
    """For modules that say so, with all that they import of ours."""
    saying = {
        name
        for name, file in MODULES.items()
        if re.search(r"standard\s+library\s+only", file.read_text(), re.IGNORECASE)
    }
    assert {"vm.cache", "vm.environment", "vm.output", "vm.tools"} <= saying
    assert others(reached(saying | IN_GUEST)) == set()


def test_nothing_else_is_needed_before_the_virtual_environment() -> None:
    needed = set(imports((ROOT / "run_tests.py").read_text()))
    assert "vm.environment" in needed
    assert others(reached(needed)) == set()
