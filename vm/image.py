"""Configure and build the kernel of a tree, in a folder beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vm.errors import BuildError
from vm.process import output_of, run_logged
from vm.tree import Tree, touched

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]

# An object of the kernel's; kbuild names those of its own tools by full path.
_OBJECT = re.compile(r"\s+(?:CC|AS)\s+(?:\[M\]\s+)?[^/\s]\S*\.o$")
_WARNING = re.compile(r"(\S+?):\d+:\d+: warning: ")
_ERROR = re.compile(r"(^|\s)(fatal )?error: |\*\*\* |undefined reference")


@dataclass
class Stage:
    """What a step took: seconds of wall time, and of CPU time in its children."""

    wall: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True)
class Image:
    """A kernel ready to boot.

    `build` is its O= folder, `release` what `uname -r` will say, `objects` how
    many of the kernel's were compiled by this call and `built` whether make
    ran. `stages` has "configure" and "build".
    """

    bzimage: Path
    build: Path
    tree: Tree
    release: str
    objects: int
    built: bool
    stages: dict[str, Stage]


def build_image(
    tree: Tree, fragments: list[Path], log: Path, say: Say, progress: Progress
) -> Image:
    """Build `tree` with the configuration `fragments`; nothing if that was done.

    `progress(done, total)` counts objects; the total is known where a whole
    build was finished before. BuildError if an option of a fragment is lost or
    make fails.
    """
    build = tree.path.parent / ("build-" + "-".join(f.stem for f in fragments))
    bzimage = build / "arch" / "x86" / "boot" / "bzImage"
    stamp = build / "built.json"
    stages = {"configure": Stage(), "build": Stage()}
    compiler = _compiler()
    inputs = _inputs(tree, fragments, compiler, log)
    wanted = {"inputs": inputs, "bzimage": _identity(bzimage)}
    objects = 0
    built = _load(stamp) != wanted
    if built:
        # Before make is started: an old image never passes for a new one.
        stamp.unlink(missing_ok=True)
        with timed(stages["configure"]):
            whole = _configure(tree, build, fragments, compiler, inputs, log, say)
        with timed(stages["build"]):
            objects = _make(tree, build, compiler, whole, log, say, progress)
        wanted["bzimage"] = _identity(bzimage)
        stamp.write_text(json.dumps(wanted))
    release = (build / "include" / "config" / "kernel.release").read_text().strip()
    return Image(bzimage, build, tree, release, objects, built, stages)


def check_config(config: Path, fragments: list[Path]) -> None:
    """BuildError unless `config` has every option as the last fragment has it."""
    final = _options(config)
    wanted = {
        option: (value, fragment)
        for fragment in fragments
        for option, value in _options(fragment).items()
    }
    lost = [
        f"{option}: {fragment.name} wants {value}, got {final.get(option, 'n')}"
        for option, (value, fragment) in wanted.items()
        if final.get(option, "n") != value
    ]
    if lost:
        raise BuildError(
            f"{len(lost)} option(s) of the fragments are lost in {config}",
            detail="\n".join(lost),
            hint="add what they depend on to the fragment, or drop them from it",
        )


def _options(config: Path) -> dict[str, str]:
    """CONFIG_X to its value; "n" for "# CONFIG_X is not set"."""
    text = config.read_text()
    pairs = re.findall(
        r"^(?:(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set)$", text, re.MULTILINE
    )
    return {name or unset: value or "n" for name, value, unset in pairs}


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Add the wall and CPU seconds of the block to `stage`."""

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    wall, before = time.monotonic(), cpu()
    try:
        yield
    finally:
        stage.wall += time.monotonic() - wall
        stage.cpu += cpu() - before


def _compiler() -> dict[str, str]:
    """make's variables for the compilers; the user's own choice goes first."""
    if "LLVM" in os.environ:
        return {}
    ccache = "ccache " if shutil.which("ccache") else ""
    return {name: os.environ.get(name) or f"{ccache}gcc" for name in ("CC", "HOSTCC")}


def _inputs(
    tree: Tree, fragments: list[Path], compiler: Mapping[str, str], log: Path
) -> str:
    """A hash of all that decides what the image will be."""
    digest = hashlib.sha256(f"{tree.source.key} {tree.applied}".encode())
    for fragment in fragments:
        digest.update(hashlib.sha256(fragment.read_bytes()).digest())
    command = compiler.get("CC", "clang")
    for tool in ([*shlex.split(command), "--version"], ["pahole", "--version"]):
        digest.update(f"{command}: {output_of(tool, log)[0]}\n".encode())
    return digest.hexdigest()


def _identity(file: Path) -> str:
    if not file.is_file():
        return ""
    stat = file.stat()
    return f"{stat.st_size} bytes of {stat.st_mtime_ns}"


def _load(file: Path) -> object:
    """The content of a JSON file; None where it is missing or cut short."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def _run_make(
    tree: Tree,
    build: Path,
    compiler: Mapping[str, str],
    words: list[str],
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> None:
    variables = [f"{name}={value}" for name, value in compiler.items()]
    run_logged(
        ["make", f"O={build}", *variables, *words],
        log,
        cwd=tree.path,
        # In every object that has a banner: the time would defeat ccache.
        env={"KBUILD_BUILD_TIMESTAMP": "1970-01-01", "LC_ALL": "C"},
        on_line=on_line,
        hint=f"the whole output is in {log}",
    )


def _configure(
    tree: Tree,
    build: Path,
    fragments: list[Path],
    compiler: Mapping[str, str],
    inputs: str,
    log: Path,
    say: Say,
) -> bool:
    """Make .config where it may be outdated; True if all must be compiled."""
    config, stamp = build / ".config", build / "configured.json"
    if config.is_file() and _load(stamp) == [inputs, _identity(config)]:
        return False
    say("configuring " + ", ".join(fragment.name for fragment in fragments))
    stamp.unlink(missing_ok=True)
    build.mkdir(exist_ok=True)
    before = config.read_bytes() if config.is_file() else b""
    mtime = config.stat().st_mtime_ns if before else 0
    _run_make(tree, build, compiler, ["tinyconfig"], log)
    merge = ["scripts/kconfig/merge_config.sh", "-m", "-O", f"{build}", f"{config}"]
    run_logged([*merge, *(f"{f.resolve()}" for f in fragments)], log, cwd=tree.path)
    _run_make(tree, build, compiler, ["olddefconfig"], log)
    check_config(config, fragments)
    same = config.read_bytes() == before
    if same:
        os.utime(config, ns=(mtime, mtime))
    stamp.write_text(json.dumps([inputs, _identity(config)]))
    return not same


def _make(
    tree: Tree,
    build: Path,
    compiler: Mapping[str, str],
    whole: bool,
    log: Path,
    say: Say,
    progress: Progress,
) -> int:
    """Build bzImage; the number of objects that were compiled."""
    memory = build / "objects.json"
    known = _load(memory)
    total = known if whole and isinstance(known, int) else None
    ours = touched(tree.path)
    objects = 0
    warnings: set[str] = set()
    first_error = ""

    def read(line: str) -> None:
        nonlocal objects, first_error
        warning = _WARNING.match(line)
        if _OBJECT.match(line):
            objects += 1
            progress(objects, total)
        elif warning and any(f"/{warning[1]}".endswith(f"/{name}") for name in ours):
            warnings.add(line)
        elif not first_error and _ERROR.search(line):
            first_error = line.strip()

    jobs = f"-j{len(os.sched_getaffinity(0))}"
    say(f"building bzImage with {jobs}")
    try:
        _run_make(tree, build, compiler, [jobs, "bzImage"], log, read)
    except BuildError as failed:
        raise BuildError(
            f"the kernel does not build: {first_error or failed.what}",
            command=failed.command,
            detail=failed.detail,
            hint=f"the whole output is in {log}",
        ) from None
    if objects > (known if isinstance(known, int) else 0):
        memory.write_text(json.dumps(objects))
    if warnings:
        say(f"{len(warnings)} compiler warning(s) in patched files: see {log}")
    return objects
