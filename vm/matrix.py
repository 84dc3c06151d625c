"""The jobs of CI: the kernels that each base is tested as, and what else is run.

Standard library only: this needs neither a kernel nor a virtual environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from vm.bases import DEFAULT, TABLE, base_names
from vm.errors import UsageError

# The options of a job, by its name. These are for each base …
_OF_EACH_BASE = {
    "": "",
    "debug": "--debug-kernel",
    # The first of its runs is that of the plain kernel.
    "each-patch": "--each-patch",
    "bench": "--bench",
    "clang": "--compiler clang",
    "thin-lto": "--compiler clang --lto thin",
    "full-lto": "--compiler clang --lto full",
    "distro": "--config distro",
}
# … and these for one: most are of the harness and the library rather than the kernel.
_OF_ONE = {
    "distro-clang": "--config distro --compiler clang",
    "faults": "--faults",
    "upstream": "--upstream",
    "stress": "--debug-kernel --stress 600",
}


@dataclass(frozen=True)
class Job:
    """A run of run_tests.py: what it is called, the base, the options for a shell."""

    name: str
    base: str
    arguments: str


def jobs() -> Iterator[Job]:
    """All of them. UsageError if the table of bases cannot be used."""
    for base in base_names(TABLE):
        for name, options in _OF_EACH_BASE.items():
            yield _job(base, name, options)
    for name, options in _OF_ONE.items():
        yield _job(DEFAULT, name, options)


def matrix(arguments: Sequence[str]) -> str:
    """The matrix for a workflow's fromJSON(), on one line. UsageError."""
    if len(arguments) > 1:
        raise UsageError("--list-matrix takes no other option", hint="give it alone")
    return json.dumps({"include": [asdict(job) for job in jobs()]})


def _job(base: str, name: str, options: str) -> Job:
    return Job(f"{base} {name}".strip(), base, f"--base {base} {options}".strip())
