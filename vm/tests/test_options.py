"""Every option of ours arrives at what it controls."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

from vm.tests.project import Project, executable

LLVM_TOOLS = ("ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-readelf")

# What is tested


def test_choice_of_tests(project: Project) -> None:
    assert "1 passed, 2 deselected" in project.run("-k", "percpu").output
    assert project.ran == ["two f.percpu.passes", "power off"]
    assert "2 passed" in project.run("selftests/one.c").output
    assert "1 passed" in project.run("selftests/one.c::f.array.passes").output
    project.tests("f.hash.fails f.array.passes")
    assert "1 failed" in project.run("-x").output
    assert project.ran == ["one f.hash.fails", "power off"]


def test_other_path(project: Project) -> None:
    (project.path / "test_other.py").write_text("def test_other(): pass\n")
    assert "1 passed" in project.run("test_other.py").output
    assert project.vng == []


def test_sources_of_another_checkout(project: Project, tmp_path: Path) -> None:
    """What is built and run is always of this one."""
    other = tmp_path / "other" / "selftests"
    shutil.copytree(project.path / "selftests", other)
    for test in (f"{other}/one.c", f"{other}/one.c::f.hash.passes"):
        ended = project.run("selftests/two.c", test)
        assert (ended.status, project.vng) == (4, []), ended.output
        assert f"usage error: {test} is not in {project.path}\n" in ended.output


def test_sources_that_are_not_built(project: Project) -> None:
    """A program of the same name is built from another file."""
    copy = project.path / "selftests" / "old" / "one.c"
    copy.parent.mkdir()
    copy.write_text("f.hash.fails")
    ended = project.run("selftests/old/one.c")
    assert (ended.status, project.vng) == (4, []), ended.output
    assert "3 passed" in project.run().output


def test_junit_file_of_the_user(project: Project) -> None:
    project.run("--junitxml", "results.xml")
    assert (project.path / "results.xml").exists()
    assert not (project.logs / "junit.xml").exists()


def test_junit_file_that_is_none(project: Project, tmp_path: Path) -> None:
    """A pipe is written to, once, and stays one; so does a link."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("file")
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        try:
            project.run("--junitxml", str(pipe))
            assert pipe.is_fifo()
            text, _ = reader.communicate(timeout=60)
        finally:
            reader.kill()
    assert text.count(b"<testcase ") == 3 and text.count(b"<?xml ") == 1
    project.run("--junitxml", str(link))
    assert "<testsuites" in project.run("--junitxml", "/dev/stdout").output
    assert link.is_symlink() and (tmp_path / "file").exists()


# The kernel


def test_upto(project: Project) -> None:
    ended = project.run("-k", "percpu", "--upto", "1")
    assert ", the first 1 patches\n" in ended.output
    (tree,) = project.cache.glob("trees/*/linux")
    assert (tree / "map.c").read_text() == "line 1\nfirst\n"
    project.run("-k", "percpu")
    assert (tree / "map.c").read_text() == "line 1\nfirst\nsecond\n"


def test_mttcg(project: Project) -> None:
    """Its patch is applied after the series, and only then."""
    (project.path / "vm" / "mttcg.patch").write_text(
        "--- a/map.c\n+++ b/map.c\n@@ -3 +3,2 @@\n second\n+third\n"
    )
    ended = project.run("-k", "percpu", "--mttcg")
    (tree,) = project.cache.glob("trees/*/linux")
    assert (tree / "map.c").read_text() == "line 1\nfirst\nsecond\nthird\n"
    assert "tcg,thread=multi" in project.vng[0]
    kernel = (
        r"^kernel: .* tcg \(TCG: without KVM, as asked\), .*, a thread for each CPU, "
    )
    assert re.search(f"{kernel}kernel with vm/mttcg.patch$", ended.output, re.MULTILINE)
    project.run("-k", "percpu", "--no-kvm")
    assert (tree / "map.c").read_text() == "line 1\nfirst\nsecond\n"
    assert "tcg,thread=single" in project.vng[-1]


def test_debug_kernel(project: Project) -> None:
    ended = project.run("-k", "percpu", "--debug-kernel")
    assert "configuring base.config, vm.config, debug.config\n" in ended.output
    assert re.search(r"^kernel:  \S+, debug, accel", ended.output, re.MULTILINE)
    assert "build-base-vm-debug/" in project.vng[0]
    assert " --append kasan_multi_shot " in project.vng[0]


def test_compiler(project: Project) -> None:
    """Each has its folder, and the summary says what it was."""
    text = "#!/bin/sh\necho clang version 99.1.0\n"
    for name in ("clang-99", *(f"{tool}-99" for tool in LLVM_TOOLS)):
        executable(project.path / "bin" / name, text)
    for words, folder in (
        ("--compiler clang", "build-base-vm-clang-99"),
        ("--compiler clang --lto thin", "build-base-vm-lto-thin-clang-99"),
        ("--compiler clang --lto full", "build-base-vm-lto-full-clang-99"),
        ("--compiler gcc", "build-base-vm"),
    ):
        ended = project.run("-k", "percpu", *words.split())
        assert ended.status == 0, ended.output
        assert f"/{folder}/" in project.vng[0]
        clang = "clang" in words
        made = [line for line in project.asked if line.endswith(" bzImage")]
        assert len(made) == clang, "the template is built by gcc"
        for line in made:
            assert ("LLVM=-99 CC=ccache clang-99 " in line) == clang
        tools = "clang-99 99.1.0" if clang else "gcc 12.2.0"
        assert f"\ntools:   {tools}, pahole 1.24" in ended.output
        lto = re.search(r"^kernel:  \S+, (\w+) LTO, acc", ended.output, re.MULTILINE)
        assert (lto[1] if lto else "") == (words.partition("--lto ")[2])


def test_config(project: Project) -> None:
    """With clang there is more of it, and it goes with --debug-kernel and --bench."""
    ended = project.run("-k", "percpu", "--config", "distro", "--debug-kernel")
    names = "base.config, vm.config, distro.config, debug.config"
    assert f"configuring {names}\n" in ended.output
    assert re.search(r"^kernel:  \S+, distro, debug, a", ended.output, re.MULTILINE)
    assert "build-base-vm-distro-debug/" in project.vng[0]
    text = "#!/bin/sh\necho clang version 99.1.0\n"
    for name in ("clang-99", *(f"{tool}-99" for tool in LLVM_TOOLS)):
        executable(project.path / "bin" / name, text)
    words = ["--config", "distro", "--compiler", "clang"]
    ended = project.run("-k", "percpu", *words)
    names = "base.config, vm.config, distro.config, distro-clang.config"
    assert f"configuring {names}\n" in ended.output


def test_kconfig(project: Project) -> None:
    for name, text in (
        ("a.config", "CONFIG_A=y\n"),
        ("b.config", "CONFIG_NR_CPUS=64\n"),
    ):
        (project.path / name).write_text(text)
    words = ["--kconfig", "a.config", "--kconfig", "b.config", "--cpus", "64"]
    ended = project.run("-k", "percpu", *words)
    assert ended.status == 0, ended.output
    assert "configuring base.config, vm.config, a.config, b.config\n" in ended.output
    (config,) = project.cache.glob("trees/*/build-base-vm-a-*/.config")
    assert config.read_text().endswith("CONFIG_A=y\nCONFIG_NR_CPUS=64\n")
    assert " --cpus 64 " in project.vng[0]


def test_jobs(project: Project) -> None:
    (project.path / "kconfig" / "base.config").write_text("CONFIG_NR_CPUS=4\n")
    ended = project.run("-k", "percpu", "-j7")
    assert "building bzImage with -j7, about " in ended.output
    made = [line for line in project.asked if line.startswith("make ")]
    assert [line for line in made if " -j7" in line] == [
        line for line in made if "bzImage" in line or "selftests" in line
    ]
    project.run("-k", "percpu")
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    assert all(jobs in line for line in project.asked if line.startswith("make "))


def test_cache(project: Project) -> None:
    """The later --cache counts, for the virtual environment as for the rest."""
    other = project.path / ("long" * 25)  # too long for the path of a socket
    (project.cache / "sources").rename(project.path / "sources")
    other.mkdir()
    (project.path / "sources").rename(other / "sources")
    assert project.run("-k", "percpu", f"--cache={other}").status == 0
    assert len(list(other.glob("runs/*"))) == 1
    assert project.runs == 0 and (other / "pytest").exists()


# The guest


def test_guest_by_default(project: Project) -> None:
    project.run("-k", "percpu")
    words = shlex.split(project.vng[0])
    for option, value in (("--cpus", "2"), ("--memory", "1G"), ("--user", "root")):
        assert words[words.index(option) + 1] == value
    assert words.count("--append") == 7 and "-S" not in words[-1].split()
    # A limit beyond that of any test's own, which is 240 s.
    (line,) = [line for line in project.asked if line.endswith("f.percpu.passes")]
    assert line.split()[:2] == ["run", "300"]


def test_knobs_of_the_guest(project: Project) -> None:
    ended = project.run(
        *("-k", "percpu", "--cpus", "3", "--memory", "4G"),
        *("--append", "a=b 'c d'", "--append", "quiet"),
        *("--qemu-opts=-device 'x,y=z w'", "--qemu-opts=-s"),
    )
    assert ended.status == 0, ended.output
    words = shlex.split(project.vng[0])
    for option, value in (("--cpus", "3"), ("--memory", "4G")):
        assert words[words.index(option) + 1] == value
    appended = [words[n + 1] for n, word in enumerate(words) if word == "--append"]
    assert appended[6:-1] == ["a=b", "'c d'", "quiet"]
    assert words[-1].endswith(" -device 'x,y=z w' -s")


def test_more_cpus_than_the_kernel_takes(project: Project) -> None:
    ended = project.run("--cpus", "9")
    assert (ended.status, project.vng) == (4, [])
    assert "the kernel is built for 8 CPUs, not 9\n" in ended.output
    assert "--kconfig" in ended.output


def test_gdb(project: Project) -> None:
    """The guest waits, the user is told for what, and nothing times out."""
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else has it: that will do
            busy.bind(("127.0.0.1", 1234))
        ended = project.run("-k", "percpu", "--gdb")
    assert ended.status == 0, ended.output
    match = re.search(
        r"^waiting for a debugger: gdb -ex 'target remote 127\.0\.0\.1:(\d+)' (\S+)$",
        ended.output,
        re.MULTILINE,
    )
    assert match and match[1] != "1234" and match[2].endswith("build-base-vm/vmlinux")
    words = shlex.split(project.vng[0])
    assert f"-gdb tcp:127.0.0.1:{match[1]} -S" in words[-1]
    assert "nokaslr" in words
    (line,) = [line for line in project.asked if line.endswith("f.percpu.passes")]
    assert line.split()[:2] == ["run", "inf"]


def test_kvm(project: Project) -> None:
    (project.path / "kvm").touch()
    ended = project.run("-k", "percpu")
    assert "accelerator: kvm (KVM: a guest reached user space in " in ended.output
    probe, guest = project.vng
    assert "--disable-kvm" not in probe + guest
    assert "-machine accel=kvm" in probe and "-machine accel=kvm" in guest
    assert (project.logs / "kvm-probe.log").exists()
    ended = project.run("-k", "percpu", "--no-kvm")
    assert "accelerator: tcg (TCG: without KVM, as asked)" in ended.output
    assert len(project.vng) == 1 and "--disable-kvm" in project.vng[0]
    assert project.run("-k", "percpu", "--require-kvm").status == 0


# Messages


def test_verbose(project: Project) -> None:
    """Each external command, before it runs."""
    (project.path / "kconfig" / "base.config").write_text("CONFIG_NR_CPUS=4\n")
    ended = project.run("-k", "percpu", "-v")
    commands = [line for line in ended.output.splitlines() if line.startswith("$ ")]
    for word in (
        "qemu-system-x86_64 --version",
        "gcc --version",
        "tinyconfig",
        "merge_config.sh",
        "bzImage",
        "-C ",
    ):
        assert any(word in line for line in commands), (word, ended.output)
    assert any("/vm/vng.py --run " in line for line in commands)
    assert any(re.search(r"/one -l$", line) for line in commands)
    quiet = project.run("-k", "percpu").output
    assert not [line for line in quiet.splitlines() if line.startswith("$ ")]
    logged = (project.logs / "console.log").read_text().splitlines()
    assert logged[0].startswith("$ ") and " --run " in logged[0]


def test_help(project: Project, tmp_path: Path) -> None:
    ended = project.run("--help", f"--cache={tmp_path / 'new'}")
    for option in ("--kernel-tree=DIR", "--kconfig=FILE", "-j N", "--gdb", "--attach"):
        assert option in ended.output
    assert ended.status == 0
