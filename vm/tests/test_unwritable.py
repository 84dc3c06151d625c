"""Whole runs whose output or results cannot be written."""

from __future__ import annotations

import errno
import os
import re
import shutil

import pytest

from vm.tests.project import Project

# Output


@pytest.mark.parametrize("words", [[], ["--version"], ["--collect-only", "-q"]])
def test_full_disk_behind_stdout(project: Project, words: list[str]) -> None:
    """Also if only the last flush finds out."""
    project.set("")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = project.start(*words, stdout=full)
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 3
    message = "error: cannot write to stdout: No space left on device\nnext:    "
    assert errors.count(message) == 1 and "Traceback" not in errors


def test_pipe_that_nobody_reads(project: Project) -> None:
    project.set("")
    read, write = os.pipe()
    process = project.start(stdout=write)
    os.close(write)
    os.close(read)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 3
    assert "cannot write to stdout: Broken pipe\n" in errors
    assert "Traceback" not in errors and "Exception ignored" not in errors


# Results


def test_folder_of_logs_that_is_gone(project: Project) -> None:
    project.tests("f.hash.waits f.hash.passes")
    project.set("")
    process = project.start()
    project.wait_for("one f.hash.waits")
    logs = project.logs
    shutil.rmtree(logs)
    (project.path / "guest" / "go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert "3 passed" in output and "Traceback" not in output
    missing = f"error: cannot write {logs}/results.ktap: No such file or directory\n"
    assert output.count(missing) == 1


def test_full_disk(project: Project) -> None:
    """The guest is watched all the same."""
    project.tests("f.hash.passes f.hash.splats")
    project.set("")
    project.limit_files()
    process = project.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert "1 failed, 2 passed" in output and "Traceback" not in output
    missing = f"error: cannot write {project.logs}/console.log: File too large\n"
    assert output.count(missing) == 1
    assert "not ok 2 f.hash.splats" in project.ktap


def test_junit_file_on_a_full_disk(project: Project) -> None:
    """What is written there by then is left, and the run ends as any other."""
    file = project.path / "junit.xml"
    records = project.path / "vm" / "records.py"
    text = records.read_text().replace(
        "        self._draw()\n",
        f"        Path('{file}').replace('{file}.written')\n"
        f"        Path('{file}').symlink_to('/dev/full')\n"
        "        self._draw()\n",
    )
    records.write_text(text)
    ended = project.run("--junitxml", str(file))
    assert (ended.status, "3 passed" in ended.output) == (0, True), ended.output
    assert file.with_name("junit.xml.written").read_text().count("<testcase ") == 3


def test_cache_that_cannot_be_used(project: Project) -> None:
    folder = next((project.cache / "trees").iterdir())
    shutil.rmtree(folder)
    folder.symlink_to("/dev/full")
    ended = project.run()
    assert (ended.status, project.vng) == (3, [])
    hint = r"^error: \S+: .*symbolic link\nnext:    remove \S+, which is made anew$"
    assert re.search(hint, ended.output, re.M)


@pytest.mark.parametrize(
    ("number", "folder", "hint"),
    [
        (errno.ENOSPC, "trees", "a run needs 8 GB for its cache, which "),
        (errno.ENOTDIR, "trees", "remove "),
        (errno.EACCES, "sources", "make it usable, or choose another --cache"),
    ],
)
def test_hint_when_the_cache_cannot_be_used(
    project: Project, number: int, folder: str, hint: str
) -> None:
    """Builds are only to be removed if that helps."""
    run = project.path / "vm" / "run.py"
    file = str(project.cache / folder / "file")
    text = run.read_text().replace(
        "            self.prepared = prepare(\n",
        f"            raise OSError({number}, 'why', {file!r})\n"
        "            self.prepared = prepare(\n",
    )
    run.write_text(text)
    ended = project.run()
    assert (ended.status, project.vng) == (3, [])
    assert f"error: {file}: why\nnext:    {hint}" in ended.output
