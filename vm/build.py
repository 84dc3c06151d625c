"""Configure and build the kernel of a tree, in a folder beside it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.compiler import Compiler, check_version, pahole
from vm.errors import BuildError
from vm.kconfig import check_config, folder_name, options_of
from vm.process import output_of, run_logged
from vm.stopwatch import Stage, timed
from vm.terminal import Log
from vm.tree import Tree

# An object of the kernel; those of kbuild's own tools have a full path.
_OBJECT = re.compile(r"\s+(?:CC|AS)\s+(?:\[M\]\s+)?[^/\s]\S*\.o$")
_WARNING = re.compile(r"(\S+?):\d+:\d+: warning: ")
_ERROR = re.compile(r"(^|\s)(fatal )?error: |\*\*\* |undefined reference")


@dataclass(frozen=True)
class Image:
    """A kernel ready to boot.

    `vmlinux` has its symbols, `build` is its O= folder, `release` what `uname -r` will
    print, `objects` how many objects this call compiled and `built` whether make ran.
    `stages` has "configure" and "build"; `tools` tells what made it.
    """

    bzimage: Path
    vmlinux: Path
    build: Path
    tree: Tree
    release: str
    objects: int
    built: bool
    stages: dict[str, Stage]
    tools: str = ""

    @functools.cached_property
    def options(self) -> dict[str, str]:
        """Its configuration: CONFIG_X to its value."""
        return options_of(self.build / ".config")

    @property
    def max_cpus(self) -> int:
        """CONFIG_NR_CPUS: more than these are left unused."""
        return int(self.options.get("CONFIG_NR_CPUS", "1"))


def build_image(
    tree: Tree,
    fragments: Sequence[Path],
    compiler: Compiler,
    log: Log,
    *,
    jobs: int,
    objects: int,
) -> Image:
    """Build `tree` with the configuration `fragments`, unless that is done already.

    `jobs` is make's -j; `objects` is what a full build compiles, if it was never
    done here before. UsageError if the compiler is too old; BuildError if an option of
    a fragment is lost or make fails.
    """
    build = tree.path.parent / f"{folder_name(fragments)}{compiler.suffix}"
    bzimage = build / "arch" / "x86" / "boot" / "bzImage"
    vmlinux = build / "vmlinux"
    stamp = build / "built.json"
    stages = {"configure": Stage(), "build": Stage()}
    versions = _versions(compiler, log)
    tools = f"{compiler}, {pahole(tree.path, versions['pahole'])}"
    inputs = _inputs(tree, fragments, compiler, versions)
    images = {"bzimage": bzimage, "vmlinux": vmlinux}
    wanted: dict[str, object] = {"inputs": [tree.version, inputs]}
    wanted |= {name: _identity(file) for name, file in images.items()}
    compiled = 0
    built = _load(stamp) != wanted
    if built:
        check_version(compiler, tree.path, log)
        # Before make starts: an old image must never pass for a new one.
        stamp.unlink(missing_ok=True)
        _remove_future(build, log)
        remove_others(build, versions, log)
        with timed(stages["configure"]):
            make = Make.of(tree, build, compiler, log)
            whole = _configure(make, fragments, inputs)
        with timed(stages["build"]):
            compiled = _build(make, jobs, objects if whole else 0)
        wanted |= {name: _identity(file) for name, file in images.items()}
        stamp.write_text(json.dumps(wanted))
    release = (build / "include" / "config" / "kernel.release").read_text().strip()
    return Image(
        *(bzimage, vmlinux, build, tree, release, compiled, built, stages, tools)
    )


def _ccache_settings(log: Log) -> dict[str, str]:
    """ccache fails if it cannot write, as into a home that is mounted read-only."""
    if not shutil.which("ccache"):
        return {}
    folder = Path(output_of(["ccache", "--get-config", "cache_dir"], log)[0])
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return {} if os.access(existing, os.W_OK) else {"CCACHE_DISABLE": "1"}


def _inputs(
    tree: Tree, fragments: Sequence[Path], compiler: Compiler, versions: dict[str, str]
) -> str:
    """A hash of everything that determines the configuration."""
    said = [*versions.items(), *compiler.variables.items()]
    words = [tree.config, *map(str, said)]
    digest = hashlib.sha256("\n".join(words).encode())
    for fragment in fragments:
        digest.update(hashlib.sha256(fragment.read_bytes()).digest())
    return digest.hexdigest()


def _identity(file: Path) -> str:
    if not file.is_file():
        return ""
    stat = file.stat()
    return f"{stat.st_size} bytes of {stat.st_mtime_ns}"


def _remove_future(build: Path, log: Log) -> None:
    """Remove a build folder with files of the future: the clock was set back.

    make would take them for newer than what has been edited since.
    """
    if not build.is_dir():
        return
    probe = build / "now"  # the clock of the file system
    probe.touch()
    now = probe.stat().st_mtime_ns
    probe.unlink()
    for folder, _, names in os.walk(build):
        for name in names:
            file = Path(folder, name)
            if file.lstat().st_mtime_ns > now:
                log.say(f"{file} is from the future: removing {build}")
                shutil.rmtree(build)
                return


def _versions(compiler: Compiler, log: Log) -> dict[str, str]:
    """What the tools that make the kernel say of themselves."""
    # LLVM's own linker and assembler have the compiler's version.
    tools = ("pahole",) if compiler.llvm else ("pahole", "ld", "as")
    said = {tool: output_of([tool, "--version"], log)[0] for tool in tools}
    return {"compiler": compiler.said, **said}


def remove_others(build: Path, versions: dict[str, str], log: Log) -> None:
    """Make a build folder, anew if other versions of these tools may have made it.

    kbuild sees another compiler, but not what assembles, links and writes the BTF.
    """
    stamp = build / "tools.json"
    if build.exists() and _load(stamp) != versions:
        log.say(f"{build} is of other tools, or unfinished: removing it")
        shutil.rmtree(build)
    build.mkdir(exist_ok=True)
    stamp.write_text(json.dumps(versions))


def _load(file: Path) -> object:
    """The content of a JSON file; None if it is missing or cut short."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Make:
    """make for a tree in a build folder, and what it finds in its environment."""

    tree: Tree
    build: Path
    compiler: Compiler
    env: dict[str, str]
    log: Log

    @classmethod
    def of(cls, tree: Tree, build: Path, compiler: Compiler, log: Log) -> Make:
        """Asks ccache for its settings."""
        # Every object with a banner contains it: the time would defeat ccache.
        env = {"KBUILD_BUILD_TIMESTAMP": "1970-01-01", **_ccache_settings(log)}
        return cls(tree, build, compiler, env, log)

    def run(self, *words: str, on_line: Callable[[str], None] | None = None) -> None:
        """Make these targets. BuildError if that fails."""
        variables = [f"{name}={x}" for name, x in self.compiler.variables.items()]
        run_logged(
            ["make", f"O={self.build}", *variables, *words],
            self.log,
            cwd=self.tree.path,
            env=self.env,
            on_line=on_line,
        )


def _configure(make: Make, fragments: Sequence[Path], inputs: str) -> bool:
    """Make .config if it may be outdated; True if everything must be compiled."""
    build, log = make.build, make.log
    config, stamp = build / ".config", build / "configured.json"
    if config.is_file() and _load(stamp) == [inputs, _identity(config)]:
        return False
    log.say("configuring " + ", ".join(fragment.name for fragment in fragments))
    stamp.unlink(missing_ok=True)
    before = config.read_bytes() if config.is_file() else b""
    mtime = config.stat().st_mtime_ns if before else 0
    make.run("tinyconfig")
    merge = ["scripts/kconfig/merge_config.sh", "-m", "-O", f"{build}", f"{config}"]
    # The script splits the names at spaces, and the user's may have some.
    copies = [build / f"fragment-{n}.config" for n in range(len(fragments))]
    for fragment, copy in zip(fragments, copies, strict=True):
        shutil.copy(fragment, copy)
    run_logged([*merge, *map(str, copies)], log, cwd=make.tree.path)
    make.run("olddefconfig")
    check_config(config, fragments)
    same = config.read_bytes() == before
    if same:
        os.utime(config, ns=(mtime, mtime))
    stamp.write_text(json.dumps([inputs, _identity(config)]))
    return not same


def _build(make: Make, jobs: int, expected: int) -> int:
    """Build bzImage; how many objects were compiled.

    `expected` is the number to show before this folder has seen a full build; 0
    for an incremental build, whose size is unknown.
    """
    log = make.log
    memory = make.build / "objects.json"
    known = _load(memory)
    total = (known if isinstance(known, int) else expected) if expected else None
    objects = 0
    warnings: set[str] = set()
    first_error = ""

    def read(line: str) -> None:
        nonlocal objects, first_error
        warning = _WARNING.match(line)
        if _OBJECT.match(line):
            objects += 1
            log.terminal.progress("objects", objects, total)
        elif warning and any(
            f"/{warning[1]}".endswith(f"/{name}") for name in make.tree.names
        ):
            warnings.add(line)
        elif not first_error and _ERROR.search(line):
            first_error = line.strip()

    size = f", about {total} objects" if total else ""
    log.say(f"building bzImage with -j{jobs}{size}")
    try:
        make.run(f"-j{jobs}", "bzImage", on_line=read)
    except BuildError as failed:
        raise BuildError(
            f"the kernel does not build: {first_error or failed.what}",
            command=failed.command,
            detail=failed.detail,
            hint=f"the whole output is in {log.path}",
        ) from None
    finally:
        log.terminal.finish()
    if objects > (known if isinstance(known, int) else 0):
        memory.write_text(json.dumps(objects))
    if warnings:
        log.say(f"{len(warnings)} compiler warning(s) in patched files: {log.path}")
    return objects
