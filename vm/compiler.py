"""The compiler of the kernel: what an option, the environment or neither asks for."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from vm.errors import UsageError
from vm.process import output_of
from vm.terminal import Log
from vm.tools import CLANG, missing

_VERSION = re.compile(r"\d+(?:\.\d+)+")
_PAHOLE = re.compile(r"^pahole\s+([\d.]+)", re.MULTILINE)
# What kbuild calls for LLVM=, with the suffix of clang's name.
_WITH_CLANG = ("ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-readelf")
_PACKAGES = " ".join(tool.package for tool in CLANG)
_HINT = f"./run_tests.py --install-deps --compiler clang installs {_PACKAGES}"


@dataclass(frozen=True)
class Compiler:
    """How to call it, what it reports about itself, and what is passed to make."""

    name: str
    said: str
    llvm: str
    variables: dict[str, str]

    @property
    def clang(self) -> bool:
        """Whether it is clang, whatever its name."""
        return "clang" in self.said

    @property
    def version(self) -> str:
        """Such as 12.2.0."""
        match = _VERSION.search(self.said)
        return match[0] if match else "0"

    @property
    def suffix(self) -> str:
        """What sets the build folder apart from other compilers'."""
        name = re.sub(r"[^\w.-]", "_", self.name)
        return "" if name == "gcc" else f"-{name}"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def choose_compiler(wanted: str | None, lto: str | None, log: Log) -> Compiler:
    """The compiler `wanted`, gcc or clang, which LLVM and CC may say more about.

    For clang, the newest that has its linker and tools, unless they name one.
    UsageError if they contradict, or for `lto` with what cannot do that.
    """
    llvm, cc = os.environ.get("LLVM", ""), os.environ.get("CC", "")
    variable = f"LLVM={llvm}" if llvm else f"CC={cc}" if cc else ""
    if wanted == "clang" and not variable:
        llvm = newest_clang(log)
    name = _clang(llvm) if llvm else cc or "gcc"
    ccache = "ccache " if shutil.which("ccache") else ""
    host = os.environ.get("HOSTCC") or f"{ccache}{name if llvm else 'gcc'}"
    found = Compiler(
        name,
        _says(name, log),
        llvm,
        {
            **({"LLVM": llvm} if llvm else {}),
            "CC": cc if cc and not llvm else f"{ccache}{name}",
            "HOSTCC": host,
        },
    )
    if wanted and variable and found.clang != (wanted == "clang"):
        raise UsageError(
            f"--compiler {wanted} was given, but {variable} in the environment "
            f"chooses {found}",
            hint=f"unset {variable.partition('=')[0]}, or leave --compiler out",
        )
    if lto and not (found.clang and llvm):
        raise UsageError(
            f"--lto {lto} needs clang and LLVM's linker, but this is {found}"
            + " and GNU ld" * found.clang,
            hint="add --compiler clang, and unset CC" if cc else "add --compiler clang",
        )
    return found


def check_version(compiler: Compiler, tree: Path, log: Log) -> None:
    """UsageError if the compiler is too old for the kernel in `tree`."""
    script = tree / "scripts" / "min-tool-version.sh"
    what = "llvm" if compiler.clang else "gcc"
    least = output_of(["sh", script, what], log)[-1]
    if _number(compiler.version) < _number(least):
        kind = "clang" if compiler.clang else "gcc"
        raise UsageError(
            f"this kernel needs {kind} {least} or newer, but {compiler.name} is "
            f"{compiler.version}",
            hint=_HINT if compiler.clang else "set CC to a newer one",
        )


def pahole(tree: Path, said: str) -> str:
    """pahole and the version it `said`, with a warning if the kernel asks for more."""
    version = said.removeprefix("v")
    rule = Path("Documentation") / "process" / "changes.rst"
    try:
        text = (tree / rule).read_text()
    except OSError:
        text = ""
    asked = _PAHOLE.search(text)
    if asked is None:
        return f"pahole {version} (no version is asked for in {rule})"
    if _number(version) < _number(asked[1]):
        return f"pahole {version} (warning: {rule} asks for {asked[1]})"
    return f"pahole {version}"


def _clang(llvm: str) -> str:
    """The compiler that kbuild takes for this value of LLVM."""
    if llvm.endswith("/"):
        return f"{llvm}clang"
    return f"clang{llvm if llvm.startswith('-') else ''}"


def newest_clang(log: Log) -> str:
    """The value of LLVM for the newest clang that is installed as a whole."""
    names = {
        file.name
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        for file in Path(folder).glob("clang*")
        if re.fullmatch(r"clang(-\d+)?", file.name)
    }
    whole = {}
    for name in sorted(names):
        suffix = name.removeprefix("clang")
        if all(shutil.which(f"{tool}{suffix}") for tool in ("clang", *_WITH_CLANG)):
            version = _VERSION.search(_says(name, log))
            whole[suffix or "1"] = _number(version[0]) if version else []
    if not whole:
        found = ", ".join(sorted(names)) or "no clang at all"
        lacking = ", ".join(tool.name for tool in missing(CLANG))
        raise UsageError(
            f"no clang is installed with its linker and tools: found {found}; "
            f"not installed: {lacking}",
            hint=_HINT,
        )
    return max(whole, key=lambda llvm: whole[llvm])


def _says(name: str, log: Log) -> str:
    """The first line of what the compiler says of itself. UsageError if it cannot."""
    hint = "see CC and LLVM in the environment"
    try:
        words = shlex.split(name)
    except ValueError as reason:
        raise UsageError(
            f"cannot use the compiler {name}: {reason}", hint=hint
        ) from None
    return output_of([*words, "--version"], log, error=UsageError, hint=hint)[0]


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
