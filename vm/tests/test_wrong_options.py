"""Wrong options: each is one clear error."""

from __future__ import annotations

import re
import shlex

import pytest

from vm.errors import UsageError
from vm.options import Options
from vm.tests.project import Project


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--base 9.9 --collect-only", "base 9.9 is not in "),
        ("--upto 9", "there is no patch 9 in "),
        ("--shell --require-kvm", "--require-kvm was given, but there is no "),
        ("--bench --upto 0", "--bench compares with the plain kernel"),
        ("--upstream --upto 0", "--upstream compares with the plain kernel"),
        ("--upstream --command=none", "no test is named none"),
        ("--bench --against none", "--against none: No such file"),
        ("--attach", "no run that uses this cache has a guest now"),
        ("--kconfig none", "cannot read the configuration fragment .*/none: No such"),
        ("--lto thin", "--lto thin needs clang and LLVM's linker, but this is gcc"),
        ("--kernel-tree none", "none is not a kernel tree"),
        ("--git-tree selftests", "selftests exists already"),
        ("--git-tree run_tests.py/new", "cannot make .*/run_tests.py/new: Not a dir"),
        ("--stress 9 selftests/one.c", "in selftests/stress, not selftests/one.c"),
    ],
)
def test_usage_error(project: Project, arguments: str, text: str) -> None:
    ended = project.run(*shlex.split(arguments))
    assert (ended.status, project.vng) == (4, []), ended.output
    asked = ("--require-kvm", "--lto")  # something had to be run to know
    assert project.runs == 0 or any(word in arguments for word in asked)
    assert ended.output.count("next:    ") == 1, ended.output
    assert re.search(rf"^usage error: .*{text}", ended.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--upto=-1", "--upto -1 is too small"),
        ("--stress 0", "--stress 0 is not a duration"),
        ('--shell "--command=it\'s"', "--command .*: No closing quotation"),
        ("--stress inf", "--stress inf is not a duration"),
        ("--stress 9 --bench", "--stress and --bench are mutually exclusive"),
        ("--stress 9 --shell", "--stress and --shell are mutually exclusive"),
        ("--stress 9 --attach", "--stress and --attach are mutually exclusive"),
        ("--against none", "--against needs --bench"),
        ("--bench --debug-kernel", "--debug-kernel and --bench are mutually exclusive"),
        (
            "--faults --debug-kernel",
            "--debug-kernel and --faults are mutually exclusive",
        ),
        ("--bench --cpus 2", "--cpus and --bench are mutually exclusive"),
        ("--faults --cpus 1", "--cpus and --faults are mutually exclusive"),
        ("--mttcg --upto 1", "--mttcg and --upto are mutually exclusive"),
        ("--bench -k x", "--bench runs no tests, so -k has no effect"),
        (
            "--upstream --ignore x",
            "--upstream runs no tests, so --ignore has no effect",
        ),
        ("--shell --junitxml x", "--shell runs no tests, so --junitxml has no effect"),
        (
            "--upstream --collect-only",
            "--upstream runs no tests, so --collect-only has no effect",
        ),
        (
            "--faults selftests/one.c",
            "--faults runs no tests, so selftests/one.c has no effect",
        ),
        ("--bench --gdb", "--gdb and --bench are mutually exclusive"),
        ("--attach --gdb", "--gdb and --attach are mutually exclusive"),
        ("--attach --shell", "--shell and --attach are mutually exclusive"),
        ("--attach --bench", "--attach and --bench are mutually exclusive"),
        ("--shell --bench", "--shell and --bench are mutually exclusive"),
        ("--no-kvm --require-kvm", "--no-kvm and --require-kvm are mutually exclusive"),
        ("--patched", "--patched needs --kernel-tree"),
        ("--allow-dirty", "--allow-dirty needs --kernel-tree"),
        ("--unpatched --upto 1", "--unpatched and --upto are mutually exclusive"),
        ("--each-patch --upto 0", "--each-patch and --upto are mutually exclusive"),
        (
            "--each-patch --junitxml x",
            "--each-patch and --junitxml are mutually exclusive",
        ),
        ("--base all --upto 1", "--base all and --upto are mutually exclusive"),
        (
            "--base all --each-patch",
            "--base all and --each-patch are mutually exclusive",
        ),
        ("--base all --kernel-tree .", "--base all and --kernel-tree are mutually"),
        ("--prove-kvm --base 6.12", "--prove-kvm and --base 6.12 are mutually"),
        ("--prove-kvm --lto thin", "--prove-kvm and --lto are mutually exclusive"),
        ("--prove-kvm --kconfig x", "--prove-kvm and --kconfig are mutually"),
        ("--prove-kvm --kernel-tree .", "--prove-kvm and --kernel-tree are mutually"),
        ("--patched --upto 1", "--patched and --upto are mutually exclusive"),
        ("--patched --unpatched", "--patched and --unpatched are mutually exclusive"),
        ("--patched --bench", "--patched and --bench are mutually exclusive"),
        ("--upstream --bench", "--upstream and --bench are mutually exclusive"),
        ("--each-patch --upstream", "--each-patch and --upstream are mutually"),
        ("--git-tree x --bench", "--git-tree and --bench are mutually exclusive"),
        ("--git-tree x --kernel-tree y", "--git-tree and --kernel-tree are mutually"),
        (
            "--command=ls",
            "words after -- need --shell, --attach, --faults or --upstream",
        ),
        ("--cpus 0", "--cpus 0 is too small"),
        ("-j 0", "--jobs 0 is too small"),
        ("--memory 1000", "--memory 1000 is not a size"),
        ("--memory 0G", "--memory 0G is not a size"),
        ("--append '\"'", r"--append \['\"'\]: No closing quotation"),
        ("--qemu-opts '\"'", r"--qemu-opts \['\"'\]: No closing quotation"),
    ],
)
def test_options_that_make_no_sense(
    pytestconfig: pytest.Config, arguments: str, text: str
) -> None:
    option = pytestconfig._parser.parse(shlex.split(arguments))
    with pytest.raises(UsageError, match=text):
        Options.of(option)


@pytest.mark.parametrize(
    ("plugin", "lacks"), [("terminal", "verbose"), ("junitxml", "xmlpath")]
)
def test_plugin_of_pytest_that_is_blocked(
    pytestconfig: pytest.Config, plugin: str, lacks: str
) -> None:
    option = pytestconfig._parser.parse([])
    delattr(option, lacks)
    with pytest.raises(UsageError, match=f"-p no:{plugin} "):
        Options.of(option)


def test_looponfail(pytestconfig: pytest.Config) -> None:
    option = pytestconfig._parser.parse(["--looponfail"])
    with pytest.raises(UsageError, match="--looponfail would start a session"):
        Options.of(option)


def test_cache_that_cannot_be_written(project: Project) -> None:
    wrong = project.path / "pyproject.toml" / "x"
    ended = project.run(f"--cache={wrong}")
    assert ended.status == 4
    assert f"usage error: cannot write to the cache folder {wrong}: " in ended.output
