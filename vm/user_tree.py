"""A kernel tree of the user's, given with --kernel-tree: it is only ever read."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from vm.cache import safe_name
from vm.errors import UsageError
from vm.process import tied
from vm.source import Source
from vm.terminal import Log

_OTHER = "or choose another --kernel-tree"
_HINT = f"git must be able to read this checkout; {_OTHER}"

# kbuild refuses a separate folder for its output if these are in the source.
_BUILT = (".config", "include/config/", "include/generated/")
_BUILT_FOR = re.compile(r"arch/\w+/include/generated/")

# What make leaves at the top of a tree. The rest is what the .gitignore files of the
# kernel say; but Debian's ignores everything at the top.
_PRODUCTS = (
    *("/.*.cmd", "/.config*", "/.tmp*", "/.vmlinux*", "/*.[ao]", "/*.symvers"),
    *("/System.map", "/modules.*", "/vmlinux*"),
)


def user_source(path: Path, allow_dirty: bool, cache: Path, log: Log) -> Source:
    """The source in the folder `path`, a git checkout or a plain tree.

    UsageError if it is not a kernel tree, or has changes that are not allowed.
    """
    path = tree_path(path)
    describe = f"Linux {version_of(path)} in {path}"
    real = path.resolve()
    if cache.resolve().is_relative_to(real):
        raise UsageError(
            f"the cache folder {cache} is in the kernel tree {path}",
            hint="choose another folder with --cache",
        )
    if (path / ".git").exists():
        names, note = _git_checkout(path, allow_dirty, log)
        describe += f" ({note})"
    else:
        names = _plain_tree(path, cache, log)
    if (path / ".config").exists():
        log.say(
            f"{path}/.config is not used: the configuration is made from kconfig/, "
            "and --kconfig FILE adds to it"
        )
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()
    key = f"tree-{safe_name(real.name)}-{digest[:12]}"
    names = sorted(
        name
        for name in names
        if not name.startswith(_BUILT) and not _BUILT_FOR.match(name)
    )
    return Source("tree", path, key, describe, tuple(names))


def tree_path(path: Path) -> Path:
    """As a shell would take it."""
    # No symbolic link is followed, and an unknown ~user is no RuntimeError.
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111


def version_of(path: Path) -> str:
    """VERSION.PATCHLEVEL[.SUBLEVEL][-rc] of a kernel tree's Makefile."""
    try:
        head = (path / "Makefile").read_text(errors="replace")[:4096]
    except OSError:
        head = ""
    fields: dict[str, str] = dict(
        re.findall(r"^(\w+) *= *(\S+) *$", head, re.MULTILINE)
    )
    numbers = [fields.get(name, "") for name in ("VERSION", "PATCHLEVEL")]
    if not all(number.isdecimal() for number in numbers):
        raise UsageError(
            f"{path} is not a kernel tree: no Makefile there sets VERSION and "
            "PATCHLEVEL",
            hint="give the top folder of a kernel source tree with --kernel-tree",
        )
    if (third := fields.get("SUBLEVEL", "0")) != "0":
        numbers.append(third)
    return ".".join(numbers) + fields.get("EXTRAVERSION", "")


def _git_checkout(path: Path, allow_dirty: bool, log: Log) -> tuple[list[str], str]:
    """The files that git knows or would add, and a note on what they are."""
    # Neither the index nor a daemon of git's is to be written or started.
    git = ["git", "--no-optional-locks", "-C", os.fspath(path)]
    git += ["-c", "core.fsmonitor=false"]
    head = [*git, "rev-parse", "--short=12", "HEAD", "--show-prefix"]
    commit, *inside = _output(head, log).split()
    if inside:
        raise UsageError(
            f"{path}/.git is not a repository, but {path} is inside another one",
            command=head,
            hint=_HINT,
        )
    status = [*git, "status", "--porcelain", "--untracked-files=all", "-z"]
    # A rename would be two names.
    changes = _split(_output([*status, "--no-renames"], log))
    if changes and not allow_dirty:
        raise UsageError(
            f"{path} has uncommitted changes",
            command=status[:-1],
            detail="\n".join(changes[:10]),
            hint="commit or stash them, or add --allow-dirty to test them as they are",
        )
    tagged = _split(_output([*git, "ls-files", "-v", "-z", "--cached"], log))
    names = [line[2:] for line in tagged]
    names += [change[3:] for change in changes if change.startswith("??")]
    note = f"commit {commit}" + ", with uncommitted changes" * bool(changes)
    # Lower case for assume-unchanged, S for skip-worktree: `changes` has none of these.
    unseen = [line[2:] for line in tagged if line[0].islower() or line[0] == "S"]
    if unseen := [name for name in unseen if os.path.lexists(path / name)]:
        note += (
            f", including files that git does not check for changes: {_some(unseen)}"
        )
    return list(_files(path, names)), note


def _some(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def _plain_tree(path: Path, cache: Path, log: Log) -> list[str]:
    """The files that git would add to a new repository: not what make has built."""
    built = next((sign for sign in _BUILT if (path / sign).exists()), None)
    if built and not (path / ".gitignore").exists():
        raise UsageError(
            f"{path} was built in place (it has {built}), and has no .gitignore that "
            "tells its sources from what was built",
            hint=f"run `make mrproper` in it, {_OTHER}",
        )
    empty = cache / "sources" / "empty.git"
    _output(["git", "init", "-q", "--bare", os.fspath(empty)], log)
    git = ["git", f"--git-dir={empty}", f"--work-tree={path}", "-C", os.fspath(path)]
    # The last one that matches wins, and these win over those of files.
    ignored = [f"--exclude={pattern}" for pattern in ("!/*", *_PRODUCTS)]
    others = ["ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]
    return list(_files(path, _split(_output([*git, *others, *ignored], log))))


def _files(path: Path, names: Sequence[str]) -> Iterable[str]:
    """The names, with the files of a repository in the tree for its own name."""
    for name in dict.fromkeys(names):
        inner = path / name
        if not (name.endswith("/") or (inner.is_dir() and not inner.is_symlink())):
            yield name
            continue
        for folder, folders, files in os.walk(inner):
            folders[:] = [name for name in folders if name != ".git"]
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for file in files + links:
                if file != ".git":
                    yield os.path.relpath(f"{folder}/{file}", path)


def _split(output: str) -> list[str]:
    return output.rstrip("\0").split("\0") if output else []


def _output(command: Sequence[str], log: Log) -> str:
    """What a command prints, which is too long for the log. UsageError if it fails."""
    log.command(command)
    done = subprocess.run(tied(command), capture_output=True, check=False)
    # It only warns of folders that it cannot read.
    if done.returncode or b"could not open directory" in done.stderr:
        raise UsageError(
            f"git cannot read the tree (exit status {done.returncode})",
            command=command,
            detail=os.fsdecode(done.stderr),
            hint=_HINT,
        )
    return os.fsdecode(done.stdout)
