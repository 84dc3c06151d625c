"""A run as one HTML page, report.html: results, traces, plots, consoles, machine.

The page needs nothing but itself: it may be sent, or kept by a CI.
"""

from __future__ import annotations

import datetime
import io
import os
import platform
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vm.cache import write_whole
from vm.errors import HarnessError
from vm.logs import REPORT
from vm.results import OUTCOMES, TestResult
from vm.splats import scan
from vm.stopwatch import Stage

_TEMPLATE = "report.jinja"
# How many bytes the page takes of one console, of what a test says and prints, and of
# all together.
_CONSOLE = 256 << 10
_FAILURE = 64 << 10
_OUTPUT = 8 << 10
_ALL = 4 << 20
_SLOWEST = 10
_FACTS = ("source", "kernel", "tools")  # of the summary
# Control characters are not allowed in HTML, and would be invisible.
_CONTROL = {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
_ESCAPES = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\r(?=\n)")


@dataclass(frozen=True)
class Outcome:
    """What a run was and how it ended.

    `words` is its command; `ended` says what kept it from its end, such as
    "interrupted"; `others` is the number of failed tests that are not among `results`;
    `summary` are its last lines on the terminal.
    """

    words: str
    results: Sequence[TestResult]
    error: HarnessError | None
    ended: str
    others: int
    stages: Mapping[str, Stage]
    summary: Sequence[str]

    @property
    def facts(self) -> dict[str, str]:
        """What was tested, and on what: the first lines of the summary."""
        pairs = (line.partition(":") for line in self.summary)
        facts = {name: fact.strip() for name, _, fact in pairs}
        return {name: facts[name] for name in _FACTS if name in facts}

    @property
    def failed(self) -> list[TestResult]:
        """The failed tests."""
        return [result for result in self.results if result.outcome == "failed"]

    @property
    def good(self) -> bool:
        """Whether nothing went wrong."""
        bad = self.error or self.ended or self.others or self.failed
        return not bad and any(r.outcome != "skipped" for r in self.results)

    @property
    def title(self) -> str:
        """The one line that everybody reads."""
        number, failed = len(self.results), len(self.failed) + self.others
        said = []
        if failed:
            said.append(f"{failed} of {number + self.others} tests failed")
        elif number:
            skipped = all(result.outcome == "skipped" for result in self.results)
            how = "all skipped" if skipped else "none failed"
            said.append(f"{number} test{'s' * (number > 1)}, {how}")
        said += [self.error.title] if self.error else []
        said += [self.ended] if self.ended else []
        return ", ".join(said)


class Room:
    """How many bytes the page still has room for."""

    def __init__(self, left: int = _ALL) -> None:
        self.left = left

    def text(self, text: str, most: int) -> str:
        """The text, without its middle if it is too long, and as HTML can have it."""
        data = text.encode(errors="replace")
        return self._ends(io.BytesIO(data), len(data), most)

    def file(self, path: Path, most: int) -> str:
        """The same of what a file has. OSError if it cannot be read."""
        with path.open("rb") as file:
            return self._ends(file, path.stat().st_size, most)

    def plot(self, path: Path) -> str:
        """A plot as a URL; "" if it is too large. OSError if it cannot be read."""
        if path.stat().st_size * 4 // 3 > self.left:
            return ""
        data = b64encode(path.read_bytes()).decode()
        self.left -= len(data)
        return f"data:image/svg+xml;base64,{data}"

    def _ends(self, file: BinaryIO, size: int, most: int) -> str:
        most = min(most, self.left)
        self.left -= min(most, size)
        if size <= most:
            return _readable(file.read())
        head = file.read(most // 2)
        file.seek(size - most // 2)
        gap = f"\n[… {size - most // 2 * 2} bytes are left out here …]\n"
        return _readable(head) + gap + _readable(file.read(most // 2))


def _readable(data: bytes) -> str:
    return _ESCAPES.sub("", data.decode(errors="replace")).translate(_CONTROL)


@dataclass(frozen=True)
class Shown:
    """A test as the page shows it: its result, its trace, and what it printed."""

    result: TestResult
    trace: str
    output: str


@dataclass(frozen=True)
class Console:
    """A console's log as the page shows it, with the lines that are reports."""

    path: Path
    lines: Sequence[str]
    reported: Sequence[str]


@dataclass(frozen=True)
class Program:
    """The tests of a program, counted."""

    name: str
    tests: Sequence[Shown]
    counts: Counter[str]
    seconds: float


def write_report(folder: Path, run: Outcome) -> None:
    """Write the page of a run to its folder of logs. OSError if that fails."""
    # Here, because a run that boots nothing writes no page.
    import jinja2

    # To compile the template takes longer than to use it.
    compiled = str(Path(__file__).with_name("__pycache__"))
    writable = os.access(compiled, os.W_OK)
    environment = jinja2.Environment(
        bytecode_cache=jinja2.FileSystemBytecodeCache(compiled) if writable else None,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # What matters more comes first, should there not be room for all.
    room = Room()
    failed = [_shown(result, room, _FAILURE) for result in run.failed]
    # Sockets go when the guests of workers that were interrupted end.
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != REPORT)
    plots = {path: room.plot(path) for path in files if path.suffix == ".svg"}
    names = [path for path in files if path.match("console*.log")]
    consoles = [_console(path, room) for path in names]
    programs = _programs(
        run.results, {id(shown.result): shown for shown in failed}, room
    )
    counts = Counter(result.outcome for result in run.results)
    text = environment.get_template(_TEMPLATE).render(
        run=run,
        now=datetime.datetime.now().astimezone(),
        outcomes=[name for name in OUTCOMES if name != "xfailed" or counts[name]],
        counts=counts,
        seconds=sum(result.seconds for result in run.results),
        failed=failed,
        slowest=sorted(run.results, key=lambda r: -r.seconds)[:_SLOWEST],
        programs=programs,
        plots=plots,
        consoles=consoles,
        files=files,
        machine=_machine(),
    )
    write_whole(folder / REPORT, text)


def _shown(result: TestResult, room: Room, most: int) -> Shown:
    trace = "\n".join([*result.diagnostics, *result.state])
    return Shown(result, room.text(trace, most), room.text(result.output, most))


def _console(path: Path, room: Room) -> Console:
    text = room.file(path, _CONSOLE)
    reported = [line for splat in scan(text).splats for line in splat.trace[:1]]
    return Console(path, text.splitlines(), reported)


def _programs(
    results: Sequence[TestResult], failed: Mapping[int, Shown], room: Room
) -> list[Program]:
    """By program, in the order in which they ran; tests in order of their names."""
    tests: dict[str, list[Shown]] = {}
    for result in results:
        shown = failed.get(id(result)) or _shown(result, room, _OUTPUT)
        tests.setdefault(result.program, []).append(shown)
    return [
        Program(
            name,
            sorted(shown, key=lambda s: s.result.name),
            Counter(s.result.outcome for s in shown),
            sum(s.result.seconds for s in shown),
        )
        for name, shown in tests.items()
    ]


def _machine() -> dict[str, str]:
    """What this machine is."""
    cpu = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal: +(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "?")
    return {
        "CPU": f"{cpu[1] if cpu else '?'}, {len(os.sched_getaffinity(0))} CPUs",
        "memory": f"{int(memory[1]) / (1 << 20):.1f} GiB" if memory else "?",
        "system": f"{system}, Linux {platform.release()}",
        "Python": platform.python_version(),
    }


def _read(name: str) -> str:
    return Path(name).read_text(errors="replace")
