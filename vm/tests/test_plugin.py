"""Whole runs: their exit status, what they say and what they leave."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from vm.cache import lock
from vm.process import session_members
from vm.tests.project import Project

LOST = "guest lost: panic during `"

# The outcome of the tests


def test_all_pass(project: Project) -> None:
    ended = project.run()
    assert ended.status == 0, ended.output
    assert "3 passed" in ended.output
    assert re.search(r"^all +3 +0 +0 +\d+\.\d$", ended.output, re.MULTILINE)
    assert re.search(
        r"^kernel:  \S+, accelerator: tcg \(TCG: there is no .*\), "
        r"QEMU emulator version 7\.2\.22, one thread for all CPUs$",
        ended.output,
        re.MULTILINE,
    )
    assert "source:  linux-7.3.4 (of the tests), all patches\n" in ended.output
    assert project.ran == [
        "one f.hash.passes",
        "one f.array.passes",
        "two f.percpu.passes",
        "power off",
    ]
    assert project.ktap[-1] == "ok 2 two"
    assert (project.logs / "junit.xml").exists()
    assert (
        f"logs:    {project.logs}: build.log, console.log, junit.xml, " in ended.output
    )


def test_failure(project: Project) -> None:
    project.tests("f.hash.fails f.hash.passes f.hash.skips", "f.hash.crashes")
    ended = project.run("--tb=short", "-rN", "--show-capture=no")
    assert ended.status == 1
    assert "2 failed, 1 passed, 1 skipped" in ended.output
    said = "s.c:12:fails:Expected 0 (0) == self->fd (3)"
    assert f"f.hash.fails: Test failed\n{said}\n" in ended.output
    assert "unexpectedly by signal 11" in ended.output
    assert project.ktap[5:7] == ["# Test failed", f"# {said}"]
    assert "ok 3 f.hash.skips # SKIP no map of type 1 # here" in project.ktap
    assert project.ran[-1] == "power off"


def test_all_skipped(project: Project) -> None:
    project.tests("f.hash.skips", "f.array.skips")
    ended = project.run()
    assert (ended.status, "2 skipped" in ended.output) == (5, True)


def test_no_test_selected(project: Project) -> None:
    ended = project.run("-k", "nothing")
    assert (ended.status, project.vng, project.runs) == (5, [], 0)
    assert "xml file" not in ended.output


def test_splats_fail_the_test_they_came_with(project: Project) -> None:
    """It is run once more, alone in a fresh guest; so are those that follow."""
    project.tests("f.hash.passes f.hash.splats f.array.passes")
    ended = project.run("--show-capture=no")
    assert ended.status == 1
    assert "1 failed, 3 passed" in ended.output
    reason = "BUG: BUG: sleeping function (again when run alone: failed)"
    assert f"f.hash.splats: {reason}\n\nWARNING: at map.c\n map.c:1\n" in ended.output
    assert "not ok 2 f.hash.splats" in project.ktap
    assert project.ran == [
        *("one f.hash.passes", "one f.hash.splats", "one f.hash.splats"),
        *("one f.array.passes", "two f.percpu.passes", "power off"),
    ]
    consoles = sorted(path.name for path in project.logs.glob("console*"))
    assert consoles == ["console-2.log", "console-3.log", "console.log"]


def test_splat_that_the_console_does_not_show(project: Project) -> None:
    """The kernel's taint tells; that of before does not count."""
    project.tests("f.hash.passes f.hash.taints")
    ended = project.run()
    assert (ended.status, "1 failed, 2 passed" in ended.output) == (1, True)
    reason = "taint: the kernel set W: warning; the console shows no report"
    assert f"f.hash.taints: {reason} (again when run alone: failed)" in ended.output


def test_trace_that_cannot_be_decoded(project: Project) -> None:
    for script in project.cache.rglob("decode_stacktrace.sh"):
        script.write_text("exit 3\n")
    project.tests("f.hash.splats")
    ended = project.run()
    assert " map+0x1/0x2\n" in ended.output
    assert "(not decoded: bash (exit status 3))\n" in ended.output


def test_late_splat_fails_the_run(project: Project) -> None:
    ended = project.run(how="warns at power-off")
    assert ended.status == 7
    assert "3 passed" in ended.output
    assert ended.output.count("the kernel complained outside a test") == 1
    assert "    lockdep: WARNING: suspicious RCU usage\n" in ended.output


def test_splat_during_boot_is_no_tests_fault(project: Project) -> None:
    ended = project.run(how="warns at boot")
    assert (ended.status, project.ran) == (7, [])
    assert ended.output.count("complained during boot\n    lockdep: WARNING: ") == 1


# Runs that cannot continue


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("no build", "build failed: the kernel does not build: map.c:3: error: no\n"),
        ("no selftests", "build failed: the selftests do not build (exit status 2)\n"),
        ("lost option", "CONFIG_NR_CPUS: base.config wants 8, got n\n"),
    ],
)
def test_build_that_fails(project: Project, how: str, text: str) -> None:
    # As after an edit: otherwise the template's kernel would do.
    fragment = project.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    ended = project.run(how=how)
    assert (ended.status, project.vng) == (6, [])
    assert ended.output.count(text) == 1
    assert f"logs:    {project.logs}\n" in ended.output or "logs: " in ended.output
    assert (project.logs / "build.log").exists()


def test_program_that_lists_no_tests(project: Project) -> None:
    project.tests("")
    ended = project.run()
    assert ended.status == 6
    assert ended.output.count("one lists no tests\ncommand: ") == 1


def test_lost_guest(project: Project) -> None:
    """The run goes on in a fresh one, but its verdict stays."""
    project.tests("f.hash.passes f.hash.panics f.array.passes")
    ended = project.run()
    assert ended.status == 7
    assert ended.output.count(LOST) == 1
    assert "not syncing: no way out (again when run alone: failed)\n" in ended.output
    assert "1 failed, 3 passed" in ended.output
    assert project.ran == [
        *("one f.hash.passes", "one f.hash.panics", "one f.hash.panics"),
        *("one f.array.passes", "two f.percpu.passes", "power off"),
    ]
    (bad,) = [line for line in project.ktap if line.startswith("not ok 2 ")]
    assert bad == "not ok 2 f.hash.panics"
    suite = ET.parse(project.logs / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")


def test_guest_lost_once(project: Project) -> None:
    project.tests("f.hash.once")
    ended = project.run()
    assert ended.status == 7
    assert "1 failed, 1 passed" in ended.output
    assert "not syncing: once (not again when run alone: passed)\n" in ended.output
    ran = ["one f.hash.once", "one f.hash.once", "two f.percpu.passes", "power off"]
    assert project.ran == ran, "the guest of the second try is good for the rest"


def test_too_many_lost_guests(project: Project) -> None:
    file = project.path / "vm" / "run.py"
    text = file.read_text()
    assert "SPOILT_GUESTS = 10" in text
    file.write_text(text.replace("SPOILT_GUESTS = 10", "SPOILT_GUESTS = 2"))
    project.tests("f.a.panics f.b.panics f.c.panics")
    ended = project.run()
    assert ended.status == 7
    assert ended.output.count("guest lost: 3 guests were lost or reported ") == 1
    assert project.ran == ["one f.a.panics", "one f.a.panics", "one f.b.panics"]
    assert [line for line in project.ktap if line.startswith("not ok")] == [
        *("not ok 1 f.a.panics", "not ok 2 f.b.panics", "not ok 1 one"),
    ]


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("panics at boot", "guest lost: panic during boot: Kernel panic - not"),
        ("vanishes at boot", "guest lost: vanished: QEMU ended during boot\n"),
        ("panics at power-off", "guest lost: oops at power-off: BUG: kernel NULL"),
    ],
)
def test_guest_lost_before_or_after_the_tests(
    project: Project, how: str, text: str
) -> None:
    ended = project.run(how=how)
    assert ended.status == 7
    assert ended.output.count(text) == 1


def test_programs_that_cannot_be_copied(project: Project) -> None:
    ended = project.run(how="no copy")
    assert ended.status == 7
    lost = "guest lost: copying one into the guest failed\n    /no/such/file: No such "
    assert lost in ended.output


def test_guest_without_room(project: Project) -> None:
    """What an earlier test filled does not keep later ones from running."""
    project.tests("f.hash.fills", "f.array.passes")
    ended = project.run()
    assert (ended.status, "2 passed" in ended.output) == (0, True), ended.output
    assert "copying two into the guest failed: " in ended.output
    assert len(project.vng) == 2 and project.ran[-1] == "power off"


# Interrupts


def test_interrupt(project: Project) -> None:
    project.tests("f.hash.passes f.hash.interrupts f.array.passes")
    ended = project.run()
    assert ended.status == 2
    assert "KeyboardInterrupt" in ended.output
    assert project.ran == ["one f.hash.passes", "one f.hash.interrupts"]
    assert "ok 1 f.hash.passes" in project.ktap


@pytest.mark.parametrize("option", ["--shell", "--bench", "--collect-only", "-x"])
def test_interrupt_of_the_build(project: Project, option: str) -> None:
    fragment = project.path / "kconfig" / "base.config"
    fragment.write_text(fragment.read_text() + "# edited\n")
    ended = project.run(option, how="interrupted")
    assert (ended.status, project.vng) == (2, [])


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_a_killed_harness(
    project: Project, sig: signal.Signals
) -> None:
    project.tests("f.hash.waits")
    project.set("")
    process = project.start()
    project.wait_for("one f.hash.waits")
    (child,) = [pid for pid in children(process.pid) if session_members(pid)]
    process.send_signal(sig)
    process.communicate(timeout=90)
    deadline = time.monotonic() + 90
    while session_members(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    """The child processes of a process."""
    path = f"/proc/{parent}/task/{parent}/children"
    with open(path) as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]


# What a run leaves


def test_run_that_boots_nothing_leaves_nothing(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): pass\n")
    for arguments in (["test_other.py"], ["--collect-only", "-q"], ["--help"]):
        ended = project.run(*arguments)
        assert (ended.status, project.vng, project.runs) == (0, [], 0), arguments
        assert "xml file" not in ended.output


# --lf


def test_last_failed(project: Project) -> None:
    project.tests("f.hash.fails f.hash.passes")
    assert project.run().status == 1
    project.run("--lf")
    assert project.ran == ["one f.hash.fails", "power off"]
    project.run("--ff")
    assert project.ran[0] == "one f.hash.fails" and len(project.ran) == 4
    assert not list(project.path.glob(".pytest_cache"))


# Output that cannot be written


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


# What the rest of the harness is told


def test_stages(project: Project) -> None:
    """All of them, in the order in which they were done, with the time they took."""
    program = project.path / "fakes" / "program.sh"
    program.write_text(program.read_text().replace("exit $status", "sleep 0.3; exit 0"))
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
        assert float(match[1]) > 0 and float(match[2]) >= 0.9, "3 tests of 0.3 s"
        assert "\nbooting 7.3.4-fake under tcg\n" in output


def test_selftests_are_built_for_the_kernel(project: Project) -> None:
    project.run("-k", "percpu")
    (build,) = project.cache.glob("trees/*/build-base-vm")
    (line,) = [line for line in project.asked if " OUT=" in line]
    told = dict(word.split("=") for word in line.split() if "=" in word)
    assert told == {
        "KERNEL": str(build.parent / "linux"),
        "BUILD": str(build),
        "OUT": str(build / "selftests"),
        "PATCHES": str(project.path / "patches" / "7.3"),
    }
    words = shlex.split(project.vng[0])
    assert words[words.index("--rodir") + 1] == str(build / "selftests")


def test_patches_are_those_of_the_base(project: Project) -> None:
    file = project.path / "patches" / "bases.toml"
    row = file.read_text().partition('["7.3"]')[2]
    file.write_text(f'{file.read_text()}\n["9.9"]{row}')
    ended = project.run("--base", "9.9")
    assert ended.status == 4, ended.output
    assert f"{project.path}/patches/9.9" in ended.output


def test_tree_of_another_kernel(project: Project) -> None:
    """Whether it is right depends on the base that was chosen."""
    file = project.path / "patches" / "bases.toml"
    row = file.read_text().partition('["7.3"]')[2]
    file.write_text(f'{file.read_text()}\n["9.9"]{row}')
    (project.path / "patches" / "7.3").rename(project.path / "patches" / "9.9")
    tree = project.path / "linux-7.3.4"
    ended = project.run("--base", "9.9", "--kernel-tree", str(tree))
    assert (ended.status, project.vng) == (4, [])
    assert f"{tree} is Linux 7.3.4; the patches are for 9.9\n" in ended.output


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
        ("patch", "git apply --whitespace=nowarn --reverse"),
        ("build", "bzImage"),
        ("selftests", "OUT="),
        ("console", "--run"),
    ):
        assert text in (project.logs / f"{name}.log").read_text(), name


def test_shell_has_the_patches_of_the_options(project: Project) -> None:
    assert project.run("--shell", "--command=true", "--upto", "1").status == 0
    (tree,) = project.cache.glob("trees/*/linux")
    assert (tree / "map.c").read_text() == "line 1\nfirst\n"


def test_late_splat_fails_a_shell(project: Project) -> None:
    ended = project.run("--shell", "--command=true", how="warns at power-off")
    assert ended.status == 7
    assert ended.output.count("the kernel complained outside a test") == 1


def test_program_that_crashes_instead_of_listing_its_tests(project: Project) -> None:
    program = project.path / "fakes" / "program.sh"
    program.write_text(program.read_text().replace("exit 4", "exit 1"))
    ended = project.run()
    assert ended.status == 6
    assert "/one does not list its tests" in ended.output


def test_missing_header(project: Project) -> None:
    header = next(file for file in project.path.glob("include/**/*") if file.is_file())
    header.unlink()
    ended = project.run()
    assert (ended.status, project.vng) == (4, [])
    assert "usage error: not installed: " in ended.output
    assert str(header.relative_to(project.path / "include")) in ended.output


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


# Results that cannot be written


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
    """Here a limit on the size of files; the guest is watched all the same."""
    project.tests("f.hash.passes f.hash.splats")
    project.set("")
    script = 'ulimit -f 24; exec "$@"'  # of 512 bytes
    main = [sys.executable, "-I", str(project.path / "vm" / "__main__.py")]
    process = project.start(program=["sh", "-c", script, "sh", *main])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert "1 failed, 2 passed" in output and "Traceback" not in output
    missing = f"error: cannot write {project.logs}/console.log: File too large\n"
    assert output.count(missing) == 1
    assert "not ok 2 f.hash.splats" in project.ktap


def test_full_disk_before_the_boot(project: Project) -> None:
    folder = next((project.cache / "trees").iterdir())
    shutil.rmtree(folder)
    folder.symlink_to("/dev/full")
    ended = project.run()
    assert (ended.status, project.vng) == (3, [])
    assert re.search(r"^error: \S+: .*\nnext:    a run needs 8 GB", ended.output, re.M)


def test_results_of_a_run_that_is_killed(project: Project) -> None:
    project.tests("f.hash.passes f.hash.waits")
    project.set("")
    process = project.start()
    project.wait_for("one f.hash.waits")
    process.kill()
    process.communicate(timeout=60)
    assert "ok 1 f.hash.passes" in project.ktap
    suite = ET.parse(project.logs / "junit.xml").getroot()[0]
    assert [case.get("name") for case in suite] == ["f.hash.passes"]
    assert project.run("-k", "percpu").status == 0


# What a run says of its tests


def test_tests_of_another_folder_are_not_run(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): assert False\n")
    ended = project.run()
    assert (ended.status, "3 passed" in ended.output) == (0, True)


def test_some_are_skipped(project: Project) -> None:
    project.tests("f.hash.skips")
    assert project.run().status == 0


def test_reports(project: Project) -> None:
    """Where a test stands, which program it is of, and what it said."""
    project.tests("f.hash.passes\nf.hash.fails\n")
    words = ["-o", "junit_family=xunit1", "--junitxml", "junit.xml"]
    ended = project.run(*words)
    assert "Captured output call" in ended.output
    assert "# Starting 1 tests from 1 test cases.\n" in ended.output
    cases = ET.parse(project.path / "junit.xml").getroot()[0]
    found = [
        (
            case.get("file"),
            case.get("line"),
            case.findall(".//property")[0].get("value"),
        )
        for case in cases
    ]
    assert found == [
        ("selftests/one.c", "0", "one"),
        ("selftests/one.c", "1", "one"),
        ("selftests/two.c", "0", "two"),
    ]


def test_timeline_of_an_upgrade(project: Project) -> None:
    text = "".join(f"# sample {ms} {ms * 5} 1 2 1\n" for ms in (0, 20, 40))
    file = project.path / "data" / "ktap_passes.txt"
    file.write_text(file.read_text() + text)
    assert project.run("-k", "percpu").status == 0
    for kind in ("svg", "png"):
        assert (project.logs / f"two.f.percpu.passes.{kind}").exists()


@pytest.mark.parametrize("words", [["-k", "percpu"], ["--shell", "--command=true"]])
def test_guest_is_powered_off(project: Project, words: list[str]) -> None:
    """Not just ended, so that what the kernel says at the end is seen."""
    assert project.run(*words).status == 0
    assert project.asked[-2:] == ["power off", "end of the agent"]


def test_socket_of_the_shell_is_removed(project: Project) -> None:
    for ended in (project.run("-k", "percpu"), project.run("--shell", "--command=ls")):
        assert ended.status == 0
        assert not (project.logs / "console.shell").exists()


# The harness's own tests


def test_own_tests_are_spread_over_the_cpus(project: Project) -> None:
    folder = project.path / "vm" / "tests"
    folder.mkdir()
    (folder / "test_own.py").write_text("def test_own(): pass\n")
    project.plugins = True
    ended = project.run("vm")
    assert (ended.status, project.vng) == (0, [])
    assert f"{len(os.sched_getaffinity(0)) + 1} workers" in ended.output
    for words in (["vm", "--collect-only"], ["vm", "--pdb"], ["vm/tests/test_own.py"]):
        ended = project.run(*words)
        assert ended.status == 0 and "workers" not in ended.output


def test_settings_of_another_folder_do_not_apply(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    project.set("")
    script = f'cd {tmp_path} && exec "$@"'
    main = [sys.executable, "-I", str(project.path / "vm" / "__main__.py")]
    process = project.start(
        "--collect-only", "-q", program=["sh", "-c", script, "sh", *main]
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
