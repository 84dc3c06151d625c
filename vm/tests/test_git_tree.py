"""Tests of vm/git_tree.py: the way from patches to commits and back."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from vm.git_tree import FORMAT
from vm.tests.project import ROOT, Project

PATCHES = sorted((ROOT / "patches").glob("*/*.patch"))


def git(folder: Path, *words: str) -> str:
    return subprocess.check_output(["git", "-C", str(folder), *words], text=True)


@pytest.fixture
def folder(project: Project) -> Path:
    """Where the repository is to be; the project's patches are those of commits."""
    work = project.path / "linux-7.3.4"
    patches = project.path / "patches" / "7.3"
    for patch in patches.iterdir():
        patch.unlink()
    (work / "lib.c").write_text("".join(f"int {c};\n" for c in "abcdefgh"))
    (work / ".gitattributes").write_text("*.[ch] diff=cpp\n")
    project.archive()
    git(work, "init", "-q")
    git(work, "config", "user.name", "c")
    git(work, "config", "user.email", "c")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "base")
    text = "A reason, with\n  indented lines.\n\nAnd a second one: Motörhead."
    for author, date, files in (
        ("Ann", "2026-11-23T05:45:35+0000", ("map.c", "new.c")),
        ("Böb", "2025-01-02T03:04:05-0700", ("lib.c", "map.c")),
    ):
        for file in files:
            with (work / file).open("a") as out:
                out.write(f"int {author[0]}_{file[0]};\n")
        git(work, "add", ".")
        subject = f"bpf: Change {files[0]}, and say so in a subject that is rather long"
        who = f"--author={author} <{author[0]}@example.org>"
        git(work, "commit", "-q", f"--date={date}", who, "-m", f"{subject}\n\n{text}")
    git(work, *FORMAT, "-o", str(patches), "HEAD~2")
    assert len(list(patches.iterdir())) == 2
    return project.path / "repository"


def test_round_trip(project: Project, folder: Path) -> None:
    """format-patch, as the run prints it, writes the patches byte for byte."""
    ended = project.run("--git-tree", str(folder))
    assert ended.status == 0, ended.output
    patches = project.path / "patches" / "7.3"
    before = {patch.name: patch.read_bytes() for patch in patches.iterdir()}
    for patch in patches.iterdir():
        patch.unlink()
    command = shlex.split(ended.output.splitlines()[-1])
    assert command[:3] == ["git", "-C", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert {patch.name: patch.read_bytes() for patch in patches.iterdir()} == before
    assert len(before) == 2


def test_commits(project: Project, folder: Path) -> None:
    project.run("--git-tree", str(folder))
    log = git(folder, "log", "--reverse", "--format=%an %aI %s").splitlines()
    assert log[0].endswith("linux-7.3.4 (of the tests)")
    assert log[1].startswith("Ann 2026-11-23T05:45:35+00:00 bpf: Change map.c")
    assert log[2].startswith("Böb 2025-01-02T03:04:05-07:00 bpf: Change lib.c")
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "rev-parse", "v7.3.4") == git(folder, "rev-parse", "HEAD~2")
    assert project.vng == []
    project.run("--git-tree", str(folder.with_name("one")), "--upto", "1")
    assert len(git(folder.with_name("one"), "log", "--oneline").splitlines()) == 2


@pytest.mark.parametrize(
    "config",
    [
        "[commit]\ngpgSign = true\n"
        "[core]\nautocrlf = true\nhooksPath = {hooks}\n"
        "[diff]\nnoprefix = true\nalgorithm = patience\ncontext = 9\n"
        "[format]\nfrom = true\nencodeEmailHeaders = false\nsuffix = .txt\n",
        "[diff]\nrenames = false\ninterHunkContext = 9\norderFile = {order}\n"
        "srcPrefix = x/\ndstPrefix = y/\n"
        "[i18n]\nlogOutputEncoding = latin1\n"
        "[format]\nsignOff = true\nthread = true\nsubjectPrefix = RFC\n",
        "[diff]\nsuppressBlankEmpty = true\n"
        "[format]\nto = a@b\ncc = c@d\nheaders = X-A: b\nattach = true\nnotes = true\n"
        "noprefix = true\n",
    ],
    ids=["1", "2", "3"],  # what one setting does must not hide what another does
)
def test_users_git_configuration(
    project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    hook = project.path / "hooks" / "commit-msg"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    file = project.path / "gitconfig"
    order = project.path / "order"
    order.write_text("new.c\nmap.c\n")
    file.write_text(config.format(hooks=hook.parent, order=order))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    test_round_trip(project, folder)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_folder_that_exists(project: Project, folder: Path, kind: str) -> None:
    if kind == "folder":
        folder.mkdir()
    elif kind == "file":
        folder.touch()
    else:
        folder.symlink_to("nowhere")
    ended = project.run("--git-tree", str(folder))
    assert ended.status == 4
    assert f"usage error: {folder} exists already\n" in ended.output
    assert project.runs == 0


def test_nothing_is_left_of_a_failure(project: Project, folder: Path) -> None:
    (patch, *_) = sorted((project.path / "patches" / "7.3").iterdir())
    patch.write_text(patch.read_text().replace("\n line 1\n", "\n line one\n"))
    ended = project.run("--git-tree", str(folder))
    assert ended.status == 6, ended.output
    assert ended.output.count("next:    ") == 1
    assert " am -q " in ended.output
    assert not folder.exists()


# The real patches


def test_command_is_documented() -> None:
    readme = (ROOT / "patches" / "README.md").read_text()
    assert f"    git {' '.join(FORMAT)} " in readme


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name[:4])
def test_patches_are_as_the_command_writes_them(patch: Path) -> None:
    """As far as that can be seen without the base's source."""
    text = patch.read_text()
    assert text.startswith(f"From {40 * '0'} Mon Sep 17 00:00:00 2001\nFrom: ")
    assert "\nSubject: [PATCH] " in text
    hashes = re.findall(r"^index (\S+)\.\.(\w+)( \d+)?$", text, re.MULTILINE)
    assert hashes and all(len(h) == 40 for pair in hashes for h in pair[:2])
    assert not re.search(r"^-- $", text, re.MULTILINE), "the signature"
