"""Whole runs: what their parts are told, and what they leave."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from vm.cache import lock
from vm.options import Options
from vm.run import Run
from vm.terminal import Terminal
from vm.tests.project import Project


def test_run_that_boots_nothing_leaves_nothing(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): pass\n")
    for arguments in (["test_other.py"], ["--collect-only", "-q"], ["--help"]):
        ended = project.run(*arguments)
        assert (ended.status, project.vng, project.runs) == (0, [], 0), arguments
        assert "xml file" not in ended.output


def test_tests_that_are_only_collected(project: Project) -> None:
    """They are not missed."""
    project.set("")
    process = project.start("--fixtures")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "tests without a result" not in output


def test_stages(project: Project) -> None:
    """All of them, in the order in which they were done, with the time they took."""
    program = project.path / "fakes" / "program.sh"
    program.write_text(program.read_text().replace("exit $status", "sleep 0.3; exit 0"))
    vng = project.path / "vm" / "vng.py"
    slow = "import os\nimport time\n\ntime.sleep(0.1)\n"
    vng.write_text(vng.read_text().replace("import os\n", slow, 1))
    fragment = project.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    first, second = project.run().output, project.run().output
    names = ["fetch", "unpack and patch", "configure", "build", "selftests"]
    took = [rf"{name} \d+\.\d s \(CPU \d+\.\d\)" for name in names]
    took += [rf"{name} (\d+\.\d) s \(CPU \d+\.\d\)" for name in ("boot", "tests")]
    for output, made in ((first, "1 objects"), (second, "nothing to build")):
        line = rf"^stages:  {', '.join(took)}; {made}$"
        match = re.search(line, output, re.MULTILINE)
        assert match, output
        assert float(match[1]) >= 0.1 and float(match[2]) >= 0.9, "3 tests of 0.3 s"
        assert "\nbooting 7.3.4-fake under tcg\n" in output


def test_run_of_one_test(project: Project) -> None:
    """What is built for the kernel, how its guest ends, and what is left of that."""
    assert project.run("-k", "percpu").status == 0
    assert not (project.logs / "console.shell").exists()
    # Not just ended, so that what the kernel says at the end is seen.
    assert project.asked[-2:] == ["power off", "end of the agent"]
    (build,) = project.cache.glob("trees/*/build-base-vm")
    (line,) = [line for line in project.asked if " OUT=" in line]
    told = dict(word.split("=") for word in line.split() if "=" in word)
    assert told == {
        "KERNEL": str(build.parent / "linux"),
        "BUILD": str(build),
        "OUT": str(build / "selftests"),
        "PATCHES": str(project.path / "patches" / "7.3"),
    }
    assert f"init={build}/selftests/init\t--\t" in project.vng[0]


def test_one_test_of_what_does_not_build(project: Project) -> None:
    """It is not said to be missing; a name that is wrong is."""
    for words, how, status in (
        ("selftests/one.c::f.array.passes", "no build", 6),
        ("selftests/one.c::f.array.wrong", "", 4),
    ):
        for folder in project.cache.glob("trees/*/build-*"):
            (folder / "built.json").unlink(missing_ok=True)
        ended = project.run(words, how=how)
        assert (ended.status, project.vng) == (status, []), ended.output
        assert ("ERROR: not found: " in ended.output) == (status == 4)
        assert ("\nbuild failed: " in ended.output) == (status == 6)


def test_program_is_copied_when_first_needed(project: Project) -> None:
    """Once into each guest: few tests need few programs, and reading them is slow."""
    project.tests("f.hash.passes f.hash.panics f.array.passes")
    project.run("selftests/one.c")
    (build,) = project.cache.glob("trees/*/build-base-vm")
    copied = [line for line in project.asked if " :copy " in line]
    assert copied == [f"run 600 :copy {build}/selftests/one"] * 3


def test_log_for_each_stage(project: Project) -> None:
    project.run("-k", "percpu", "--upto", "1")
    for name, text in (
        ("patch", " apply --whitespace=nowarn --reverse"),
        ("build", "bzImage"),
        ("selftests", "OUT="),
        ("console", "--run"),
    ):
        assert text in (project.logs / f"{name}.log").read_text(), name


def test_shell(project: Project) -> None:
    """It has the patches of the options, and its guest ends like that of a test."""
    assert project.run("--shell", "--command=true", "--upto", "1").status == 0
    (tree,) = project.cache.glob("trees/*/linux")
    assert (tree / "map.c").read_text() == "line 1\nfirst\n"
    assert project.asked[-2:] == ["power off", "end of the agent"]
    assert not (project.logs / "console.shell").exists()


def test_run_does_not_wait_for_itself(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it comes to the next file after an error in the harness."""
    option = pytestconfig._parser.parse([f"--cache={tmp_path}"])
    run = Run(Options.of(option), Terminal(Console()))

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("vm.run.prepare", fail)
    monkeypatch.setattr(run.terminal, "say", pytest.fail)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run.prepare()
    run.close()


def test_runs_with_one_cache_wait_for_each_other(project: Project) -> None:
    held = lock(project.cache, wait=False)
    assert held is not None
    project.set("")
    process = project.start("-k", "percpu")
    assert process.stdout is not None
    said = [next(process.stdout)]
    while "waiting for another run" not in said[-1]:
        said.append(next(process.stdout))
    assert project.asked == []
    os.close(held)
    process.communicate(timeout=60)
    assert process.returncode == 0 and project.ran


# The harness's own tests


def test_own_tests_are_spread_over_the_cpus(project: Project) -> None:
    folder = project.path / "vm" / "tests"
    folder.mkdir()
    (folder / "test_own.py").write_text("def test_own(): pass\n")
    project.plugins = True
    ended = project.run("vm")
    assert (ended.status, project.vng) == (0, [])
    assert f"{len(os.sched_getaffinity(0)) + 3} workers" in ended.output
    for words in (["vm", "--collect-only"], ["vm", "--pdb"], ["vm/tests/test_own.py"]):
        ended = project.run(*words)
        assert ended.status == 0 and "workers" not in ended.output


def test_settings_of_another_folder_do_not_apply(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    project.set("")
    script = f'cd {tmp_path} && exec "$@"'
    python, main = project.path / "bin" / "python", project.path / "vm" / "__main__.py"
    process = project.start(
        *("--collect-only", "-q"),
        program=["sh", "-c", script, "sh", str(python), "-I", str(main)],
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
