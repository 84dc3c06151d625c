"""Several guests at a time: workers of pytest-xdist, each with a guest of its own.

The process that the user started builds everything and keeps the results; its
workers boot guests, run tests in them, and tell at the end what became of theirs.
"""

from __future__ import annotations

import os
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vm.errors import HarnessError
from vm.machine import Accel
from vm.options import Options
from vm.prepare import Prepared

_MEMINFO = Path("/proc/meminfo")
_OVERHEAD = 512 << 20  # bytes that QEMU and the harness need beside the guest's memory


@dataclass(frozen=True)
class Share:
    """What a worker is given: its name, the run's folder of logs, what to boot."""

    worker: str
    folder: Path
    prepared: Prepared
    accel: Accel


@dataclass(frozen=True)
class Told:
    """What a worker tells when it ends; see Run for the fields."""

    kernel: str
    stages: dict[str, float]
    error: HarnessError | None


def guests_that_fit(options: Options, accel: Accel) -> int:
    """How many guests the CPUs and the free memory of this machine are good for."""
    cpus = len(os.sched_getaffinity(0))
    # Emulated CPUs share a thread, unless --mttcg is given.
    threads = options.cpus if accel.name == "kvm" or options.mttcg else 1
    by_cpus = cpus // threads
    number, unit = int(options.memory[:-1]), options.memory[-1]
    need = number * {"M": 1 << 20, "G": 1 << 30}[unit] + _OVERHEAD
    free = re.search(r"^MemAvailable: +(\d+) kB$", _MEMINFO.read_text(), re.MULTILINE)
    by_memory = int(free[1]) * 1024 // need if free else 1
    return max(1, min(by_cpus, by_memory))


class Workers:
    """The plugin for the process that has workers: what they are given, what they told.

    `told` has an entry for each that has ended, by its name.
    """

    def __init__(self, folder: Path, prepared: Prepared, accel: Accel) -> None:
        self._share = folder, prepared, accel
        self.told: dict[str, Told] = {}
        self._started: list[str] = []

    @property
    def silent(self) -> list[str]:
        """The workers that have told nothing, not even that they crashed."""
        return [name for name in self._started if name not in self.told]

    def pytest_configure_node(self, node: Any) -> None:
        """A worker is about to start."""
        self._started.append(node.workerinput["workerid"])
        node.workerinput["share"] = pickle.dumps(
            Share(node.workerinput["workerid"], *self._share)
        )

    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended. What one that crashed knew of its guest is lost."""
        name = node.gateway.id
        if told := getattr(node, "workeroutput", {}).get("told"):
            self.told[name] = pickle.loads(told)
        else:
            error = HarnessError(
                f"worker {name} exited without reporting the state of its guest",
                hint=f"see {self._share[0]}/console-{name}*.log",
            )
            self.told.setdefault(name, Told("", {}, error))


def share_of(config: Any) -> Share | None:
    """What this worker was given; None if this is not a worker."""
    if not hasattr(config, "workerinput"):
        return None
    share: Share | None = pickle.loads(config.workerinput.get("share", b"N."))
    return share


def tell(config: Any, told: Told) -> None:
    """The worker's last words, if this is a worker."""
    if hasattr(config, "workeroutput"):
        config.workeroutput["told"] = pickle.dumps(told)
