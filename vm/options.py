"""The options beside pytest's own."""

from __future__ import annotations

import os
import re
import shlex
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vm.bases import ALL, DEFAULT, TABLE, nearest_base
from vm.errors import UsageError
from vm.user_tree import tree_path, version_of

CPUS = 2
MEMORY = "1G"
# What --each-patch, --git-tree and --base all cannot be combined with.
NOT_EACH = (
    "unpatched",
    "upto",
    "patched",
    "stress",
    "faults",
    "prove_kvm",
    "shell",
    "attach",
    "bench",
    "upstream",
    "gdb",
    "xmlpath",
)
NOT_GIT = ("each_patch", "kernel_tree", *NOT_EACH[2:])
NOT_ALL = ("git_tree", "each_patch", "kernel_tree", *NOT_EACH)


# What --prove-kvm cannot be combined with: other kernels, hosts and modes.
NOT_PROVE_KVM = (
    *("debug_kernel", "require_kvm", "no_kvm", "cpus", "memory", "unpatched", "upto"),
    *("patched", "stress", "faults", "shell", "attach", "bench", "gdb"),
    *("upstream", "base", "compiler", "lto", "config", "kernel_tree", "kconfig"),
)

# What --upstream cannot be combined with: another kernel alone, and other modes.
NOT_UPSTREAM = (
    *("unpatched", "patched", "stress", "faults", "shell", "attach", "bench", "gdb"),
)

# What runs something else than the tests, and what then would have no effect.
NO_TESTS = ("shell", "attach", "bench", "faults", "upstream", "prove_kvm", "git_tree")
OF_TESTS = {
    "keyword": "-k",
    "markexpr": "-m",
    "deselect": "--deselect",
    "collectonly": "--collect-only",
    "ignore": "--ignore",
    "ignore_glob": "--ignore-glob",
    "lf": "--last-failed",
    "xmlpath": "--junitxml",
    "splits": "--splits",
    "group": "--group",
}

# What --mttcg cannot be combined with: KVM, and modes that choose the patches.
NOT_MTTCG = (
    *("require_kvm", "unpatched", "upto", "each_patch", "bench", "upstream"),
    *("prove_kvm", "git_tree"),
)


class _Group(Protocol):
    """pytest's OptionGroup; `_addoption` also takes lower-case letters."""

    def addoption(self, *names: str, **attributes: Any) -> None: ...
    def _addoption(self, *names: str, **attributes: Any) -> None: ...


def add_options(kernel: _Group, guest: _Group, instead: _Group) -> None:
    """Add ours to three groups of pytest's help."""
    add = kernel.addoption
    text = "first install missing packages with apt-get"
    add("--install-deps", action="store_true", help=text)
    text = f"a base from patches/bases.toml, or {ALL} (default: {DEFAULT}, or the "
    text += "one nearest to --kernel-tree)"
    add("--base", "--kernel", metavar="VERSION", help=text)
    add("--upto", type=int, metavar="N", help="apply only the first N patches")
    text = "test the plain kernel: every test of the patches must fail"
    add("--unpatched", action="store_true", help=text)
    text = "the kernel's compiler (default: as set by CC or LLVM, else gcc)"
    add("--compiler", choices=("gcc", "clang"), help=text)
    text = "optimize the kernel at link time (with clang)"
    add("--lto", choices=("thin", "full"), help=text)
    text = "configure the kernel as distributions do"
    add("--config", choices=("distro",), help=text)
    add("--debug-kernel", action="store_true", help="build with lockdep, KASAN, UBSAN")
    add("--kernel-tree", type=Path, metavar="DIR", help="test the tree in DIR")
    add("--allow-dirty", action="store_true", help="allow uncommitted changes in DIR")
    text = "DIR has its own version of the patches: apply none"
    add("--patched", action="store_true", help=text)
    text = "add a configuration fragment (repeatable)"
    add("--kconfig", type=Path, action="append", metavar="FILE", help=text)
    text = "number of make jobs (default: one for each CPU)"
    kernel._addoption("-j", "--jobs", type=int, metavar="N", help=text)
    add("--cache", type=Path, metavar="DIR", help="folder for sources, builds and logs")

    add = guest.addoption
    add("--require-kvm", action="store_true", help="fail if KVM does not work")
    add("--no-kvm", action="store_true", help="use TCG without probing KVM")
    add("--cpus", type=int, metavar="N", help=f"CPUs of the guest (default: {CPUS})")
    text = f"memory of the guest, such as 512M or 4G (default: {MEMORY})"
    add("--memory", metavar="SIZE", help=text)
    text = "use TCG with a thread for each CPU, on a kernel patched for that"
    add("--mttcg", action="store_true", help=text)
    text = "add to the kernel command line (repeatable)"
    add("--append", action="append", metavar="WORDS", help=text)
    text = "add to QEMU's options (repeatable)"
    add("--qemu-opts", action="append", metavar="WORDS", help=text)
    text = "wait for a debugger before the kernel starts; no timeouts"
    add("--gdb", action="store_true", help=text)

    add = instead.addoption
    text = "run `-- CMD…` or a root shell in a new guest"
    add("--shell", action="store_true", help=text)
    text = "run `-- CMD…` or a root shell in the guest of a run in progress"
    add("--attach", action="store_true", help=text)
    add("--command", metavar="CMD", help="the words after --, as one string")
    text = "test the plain kernel, then the kernel after each patch"
    add("--each-patch", action="store_true", help=text)
    text = "make a git repository of the base and a commit for each patch"
    add("--git-tree", type=Path, metavar="DIR", help=text)
    text = "run only the stress tests, for that long in total"
    add("--stress", type=float, metavar="SECONDS", help=text)
    add("--bench", action="store_true", help="measure what map operations cost")
    text = "inject known faults, and check that each is reported correctly"
    add("--faults", action="store_true", help=text)
    text = "compare the kernel's own tests of BPF on the plain and the patched kernel"
    add("--upstream", action="store_true", help=text)
    text = "run the harness under KVM, on an emulated host"
    add("--prove-kvm", action="store_true", help=text)
    text = "print the jobs of CI as JSON, for the matrix of a workflow"
    add("--list-matrix", action="store_true", help=text)
    text = "compare with an earlier bench.json"
    add("--against", type=Path, metavar="FILE", help=text)


@dataclass(frozen=True)
class Options:
    """The options of a run, checked; the fields are documented in the help."""

    base: str
    upto: int | None
    compiler: str | None
    lto: str | None
    config: str | None
    debug_kernel: bool
    faults: bool
    upstream: bool
    prove_kvm: bool
    kernel_tree: Path | None
    allow_dirty: bool
    patched: bool
    kconfig: tuple[Path, ...]
    jobs: int
    cache: Path | None
    require_kvm: bool
    no_kvm: bool
    mttcg: bool
    cpus: int
    memory: str
    append: tuple[str, ...]
    qemu_opts: tuple[str, ...]
    gdb: bool
    stress: float | None
    command: tuple[str, ...]
    verbose: bool

    @classmethod
    def of(cls, option: Namespace) -> Options:
        """The options that pytest parsed. UsageError for what cannot be done."""
        _check(option)
        return cls(
            base=_base(option),
            upto=0 if option.unpatched else option.upto,
            compiler=option.compiler,
            lto=option.lto,
            config=option.config,
            debug_kernel=option.debug_kernel,
            faults=option.faults,
            upstream=option.upstream,
            prove_kvm=option.prove_kvm,
            kernel_tree=option.kernel_tree,
            allow_dirty=option.allow_dirty,
            patched=option.patched,
            kconfig=tuple(option.kconfig or ()),
            jobs=option.jobs or len(os.sched_getaffinity(0)),
            cache=option.cache,
            require_kvm=option.require_kvm,
            no_kvm=option.no_kvm or option.mttcg,
            mttcg=option.mttcg,
            cpus=option.cpus or CPUS,
            memory=option.memory or MEMORY,
            append=_words("--append", option.append),
            qemu_opts=_words("--qemu-opts", option.qemu_opts),
            gdb=option.gdb,
            stress=option.stress,
            command=_words("--command", [option.command or ""]),
            verbose=option.verbose > 0,
        )


def _base(option: Namespace) -> str:
    """The base that the user named, or the one closest to the user's tree."""
    if option.base or not option.kernel_tree:
        return option.base or DEFAULT
    return nearest_base(TABLE, version_of(tree_path(option.kernel_tree)))


def _words(name: str, given: list[str] | None) -> tuple[str, ...]:
    try:
        return tuple(word for text in given or () for word in shlex.split(text))
    except ValueError as reason:
        raise UsageError(
            f"{name} {given}: {reason}", hint="quote the words as for a shell"
        ) from None


def _check(option: Namespace) -> None:
    """UsageError for values and combinations that make no sense."""
    for plugin, name in (("terminal", "verbose"), ("junitxml", "xmlpath")):
        if not hasattr(option, name):
            what = f"-p no:{plugin} blocks what the harness tells its results with"
            raise UsageError(what, hint="leave it out")
    if getattr(option, "looponfail", False):
        what = "--looponfail would start a session for each change"
        raise UsageError(what, hint="use --last-failed")
    for name, least in (("cpus", 1), ("jobs", 1), ("upto", 0)):
        value = getattr(option, name)
        if value is not None and value < least:
            hint = f"give at least {least}"
            raise UsageError(f"--{name} {value} is too small", hint=hint)
    if option.stress is not None and not 1 <= option.stress < float("inf"):
        hint = "give at least 1 second"
        raise UsageError(f"--stress {option.stress:g} is not a duration", hint=hint)
    if option.memory and not re.fullmatch(r"[1-9]\d*[MG]", option.memory):
        hint = "give a number with M or G, such as 4G"
        raise UsageError(f"--memory {option.memory} is not a size", hint=hint)
    for one, other in (
        ("no_kvm", "require_kvm"),
        *(("mttcg", other) for other in NOT_MTTCG),
        ("shell", "attach"),
        ("shell", "bench"),
        ("attach", "bench"),
        ("stress", "bench"),
        ("stress", "shell"),
        ("stress", "attach"),
        ("stress", "faults"),
        ("shell", "faults"),
        ("attach", "faults"),
        ("bench", "faults"),
        ("gdb", "bench"),
        ("gdb", "attach"),
        ("gdb", "faults"),
        ("debug_kernel", "bench"),
        ("debug_kernel", "faults"),
        ("cpus", "bench"),
        ("unpatched", "bench"),
        ("unpatched", "upto"),
        ("patched", "upto"),
        ("patched", "unpatched"),
        ("patched", "bench"),
        *(("each_patch", other) for other in NOT_EACH),
        *(("git_tree", other) for other in NOT_GIT),
        *(("base", other) for other in NOT_ALL if option.base == ALL),
        # Some faults need another CPU, but not each of those that are named.
        *((("cpus", "faults"),) if not option.command else ()),
        *(("upstream", other) for other in NOT_UPSTREAM),
        *(
            ("prove_kvm", other)
            for other in NOT_PROVE_KVM
            if other != "base" or option.base != DEFAULT
        ),
    ):
        given = [getattr(option, name) for name in (one, other)]
        if all(value is not None and value is not False for value in given):
            names = [f"--{name.replace('_', '-')}" for name in (one, other)]
            names = [name.replace("xmlpath", "junitxml") for name in names]
            names = [name.replace("--base", f"--base {option.base}") for name in names]
            raise UsageError(
                f"{names[0]} and {names[1]} are mutually exclusive",
                hint="give only one of them",
            )
    for mode in filter(lambda name: getattr(option, name), NO_TESTS):
        paths = getattr(option, "file_or_dir", None) or []
        others = [word for name, word in OF_TESTS.items() if getattr(option, name, "")]
        for other in [*others, *paths]:
            what = f"--{mode.replace('_', '-')} runs no tests, so {other} has no effect"
            raise UsageError(what, hint="give only one of them")
    if option.list_matrix:  # run_tests.py deals with it, unless PYTEST_ADDOPTS has it
        what = "--list-matrix has to be given to run_tests.py"
        raise UsageError(what, hint="not in PYTEST_ADDOPTS")
    for name in ("allow_dirty", "patched"):
        if getattr(option, name) and not option.kernel_tree:
            word = f"--{name.replace('_', '-')}"
            raise UsageError(f"{word} needs --kernel-tree", hint="give both")
    if option.against and not option.bench:
        raise UsageError("--against needs --bench", hint="give both")
    if option.command is not None and not (
        option.shell or option.attach or option.faults or option.upstream
    ):
        raise UsageError(
            "words after -- need --shell, --attach, --faults or --upstream",
            hint="give one of them",
        )
