"""--git-tree: a git repository of the base with a commit for each patch."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from vm.bases import TABLE, load_base
from vm.cache import locked
from vm.errors import UsageError
from vm.prepare import ROOT
from vm.process import run_logged
from vm.run import Run
from vm.series import series
from vm.source import fetch_source
from vm.user_tree import tree_path, version_of

# What makes the patches the same whatever writes them: neither a commit's hash nor
# git's version is in them, and no abbreviation that depends on the repository's size.
FORMAT = (
    *("format-patch", "-N", "--zero-commit", "--no-signature", "--full-index"),
    *("--no-to", "--no-cc", "--no-add-header", "--no-attach", "--no-notes"),
    "--filename-max-length=60",
)
# For FORMAT: whatever the user's own configuration says.
_CONFIG = {
    "diff.algorithm": "myers",
    "diff.context": "3",
    "diff.dstPrefix": "b/",
    "diff.interHunkContext": "0",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": os.devnull,
    "diff.renames": "true",
    "diff.srcPrefix": "a/",
    "diff.suppressBlankEmpty": "false",
    "format.coverLetter": "false",
    "format.encodeEmailHeaders": "true",
    "format.from": "false",
    "format.noprefix": "false",
    "format.signOff": "false",
    "format.subjectPrefix": "PATCH",
    "format.suffix": ".patch",
    "format.thread": "false",
    "format.useAutoBase": "false",
    "i18n.logOutputEncoding": "UTF-8",
}
_COMMITTER = ("BPF map tracing", "bpf-map-tracing@users.noreply.example")


def git_tree(run: Run, folder: Path) -> int:
    """Make the repository in the new `folder`, and say how to get the patches back.

    Raises HarnessError, with nothing left in `folder`.
    """
    folder = tree_path(folder)
    if os.path.lexists(folder):
        raise UsageError(f"{folder} exists already", hint="give a new folder")
    try:
        folder.mkdir(parents=True)
    except OSError as reason:
        raise UsageError(
            f"cannot make {folder}: {reason.strerror}",
            hint="give a new folder where you can write",
        ) from None
    with run.closing():
        try:
            tag = _make(run, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    base = ROOT / "patches" / run.options.base
    words = ["git", "-C", f"{folder}", *FORMAT, "-o", f"{base}", tag]
    print(f"{folder}: {tag} and a commit for each patch. To write the patches again:")
    print(shlex.join(words))
    return 0


def _make(run: Run, folder: Path) -> str:
    """The repository; the tag of the commit without patches."""
    base = load_base(TABLE, run.options.base)
    patches = series(ROOT / "patches" / base.name, run.options.upto)
    with locked(run.cache, run.terminal.say):
        source = fetch_source(base, run.cache, run.logs.log("fetch"))
    log = run.logs.log("git-tree")
    identity = [
        (f"GIT_{who}_{what}", value)
        for who in ("AUTHOR", "COMMITTER")
        for what, value in zip(("NAME", "EMAIL"), _COMMITTER, strict=True)
    ]
    # The user's configuration could alter, sign or refuse the commits.
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    environment = {**alone, **dict(identity)}

    def git(*words: str) -> None:
        command = ["git", "-C", f"{folder}", "-c", "gc.auto=0", *words]
        run_logged(command, log, env=environment)

    log.say(f"unpacking {source.describe} into {folder}")
    words = ["tar", "-x", "-C", f"{folder}", "--strip-components=1", "-f"]
    run_logged([*words, f"{source.path}"], log, hint=f"is there space in {folder}?")
    tag = f"v{version_of(folder)}"
    git("init", "-q")
    for name, value in _CONFIG.items():
        git("config", name, value)
    # Debian's .gitignore ignores everything at the top. Files that count as big go
    # into one pack, instead of 96,000 files.
    git("-c", "core.bigFileThreshold=1", "add", "--force", "--all")
    git("commit", "-q", "-m", source.describe)
    git("tag", tag)
    log.say(f"committing {len(patches)} patches")
    if patches:
        git("am", "-q", *map(str, patches))
    return tag
