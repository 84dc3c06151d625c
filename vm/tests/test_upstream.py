"""Whole runs of the kernel's own tests, on a fake guest; the real list."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from vm.tests.project import Ended, Project, executable
from vm.upstream import load
from vm.upstream_build import BPF, PROGRAMS

KERNELS = ("plain", "patched")
LLVM = ("ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-readelf")


def write_list(
    project: Project,
    *files: str,
    programs: str = "",
    added: str = "",
    left_out: str = "other",
) -> None:
    """The list, and a tree that has a test in each file: that of the same name."""
    tables = {
        "programs": programs.split(),
        "added": added.split(),
        "test_progs": files,
        "left_out": left_out.split(),
    }
    text = ""
    for table, names in tables.items():
        text += "\n".join([f"[{table}]", *(f'{n} = "because"' for n in names), ""])
    (project.path / "vm" / "upstream.toml").write_text(text)


@pytest.fixture
def upstream(project: Project) -> Project:
    """A project whose tree has BPF's tests, with what builds and runs them."""
    bpf = project.path / "linux-7.3.4" / BPF
    for name in ("prog_tests", "progs", "map_tests", "test_kmods"):
        (bpf / name).mkdir(parents=True)
    (bpf / "Makefile").write_text("BPF_STRICT_BUILD ?= 1\nLSKELS := named.c\n")
    script = (project.path / "fakes" / "upstream.sh").read_text()
    labels = re.findall(r"^([\w |]+)\)", script, re.MULTILINE)
    for name in " ".join(labels).replace("|", "").split():
        text = f'#include "{name}.skel.h"\nvoid serial_test_{name}(void)\n{{\n}}\n'
        (bpf / "prog_tests" / f"{name}.c").write_text(text)
    (bpf / "prog_tests" / "two.c").write_text(
        "void test_passes(void)\nvoid test_also_passes()\nstatic void test_no(void)\n"
    )
    for name in ("passes", "fails", "named", "inner", "unused"):
        (bpf / "progs" / f"{name}.c").write_text("")
    (bpf / "progs" / "passes.c").write_text('#include "inner.c"\n')
    (bpf / "progs" / "shared.h").write_text("")
    (bpf / "test_kmods" / "Makefile").write_text("")
    shutil.rmtree(project.cache / "sources")
    project.archive()
    executable(project.path / "bin" / "ip", "#!/bin/sh\n")
    executable(project.path / "bin" / "clang-99", "#!/bin/sh\necho clang 99.1.0\n")
    for tool in LLVM:
        executable(project.path / "bin" / f"{tool}-99", "#!/bin/sh\n")
    return project


def rows(ended: Ended) -> dict[str, list[str]]:
    """The table: what a line says after the test, in columns."""
    table = ended.output.partition("\ntest ")[2].partition("\n\n")[0]
    lines = [re.split(" {2,}", line.strip()) for line in table.splitlines()[1:]]
    return {name: columns for name, *columns in lines}


def notes(ended: Ended) -> dict[str, str]:
    """What is said of single tests below the table, by test."""
    kinds = "worse|not run|better|on both"
    lines = re.findall(rf"^({kinds}): +(\S+)(: .*)?$", ended.output, re.MULTILINE)
    return {test: f"{kind}{why}" for kind, test, why in lines}


def run_in_guests(project: Project) -> list[str]:
    """What was run in the guests."""
    lines = [line for line in project.asked if line.startswith("run 900 ")]
    return [line.rpartition(" ")[2].strip("'").removeprefix("./") for line in lines]


# Both kernels


def test_no_test_gets_worse(upstream: Project) -> None:
    """The table, what is built and run, and what is kept."""
    write_list(
        upstream,
        *("passes", "parts", "skips", "fails", "better"),
        programs="test_maps test_lru_map",
    )
    ended = upstream.run("--upstream")
    assert ended.status == 0, ended.output
    assert rows(ended) == {
        "test_maps": ["passed (1)", "passed (1)"],
        "test_lru_map": ["passed (2)", "passed (2)"],
        "passes": ["passed", "passed"],
        "parts": ["passed (1/2)", "passed (1/2)"],
        "skips": ["skipped", "skipped"],
        "fails": ["failed", "failed"],
        "better": ["failed (1)", "passed (1)"],
    }
    assert notes(ended) == {
        "fails": "on both: test_fails:FAIL:open unexpected error: -2 (errno 2)",
        "better": "better: libbpf: failed to load: -22",
    }
    assert ended.output.endswith(
        "7 tests, 6 subtests: 0 worse, 0 not run, 2 better, 1 failed on both, "
        "2 skipped\n"
    )
    tests = ["test_maps", "test_lru_map", "passes", "parts", "skips", "fails", "better"]
    assert run_in_guests(upstream) == tests * 2
    assert "configuring base.config, vm.config, upstream.config\n" in ended.output
    kernels = [
        f"upstream/{name}/bzImage" in line for name in KERNELS for line in upstream.vng
    ]
    assert kernels == [True, False, False, True]
    assert ", all patches\n" in ended.output
    names = {file.name for file in upstream.logs.iterdir()}
    assert names >= {"console-plain.log", "console-patched.log", "upstream.log"}
    assert "test_fails:FAIL:open" in (upstream.logs / "tests-plain.log").read_text()
    told = json.loads((upstream.logs / "upstream.json").read_text())
    assert told["patched"]["better/hook"] == {"word": "passed", "why": ""}
    (build,) = upstream.cache.glob("trees/*/build-*-upstream")
    for name in KERNELS:
        symbols = build / "upstream" / name / "vmlinux"
        assert symbols.exists(), "or its traces would be decoded with the other's"
    source = build.parent / "linux" / "map.c"
    assert "second" in source.read_text(), "ready for a default run"


@pytest.mark.parametrize(
    ("test", "word", "note"),
    [
        ("worse", "failed", "worse: no output"),
        ("gone", "not run", "not run: open: no"),
        ("panics", "lost", r"worse: panic during `.*`: Kernel panic - not .*"),
    ],
)
def test_worse(upstream: Project, test: str, word: str, note: str) -> None:
    """The tests that follow run nevertheless."""
    write_list(upstream, test, "passes")
    ended = upstream.run("--upstream")
    assert ended.status == (7 if word == "lost" else 1), ended.output
    assert rows(ended) == {test: ["passed", word], "passes": ["passed", "passed"]}
    assert re.fullmatch(note, notes(ended)[test])
    assert f"{test}, patched kernel: {word}: " in ended.output


def test_guest_lost_on_both_kernels(upstream: Project) -> None:
    """Then nothing is known of what the test would have done."""
    write_list(upstream, "panics_too", "passes")
    ended = upstream.run("--upstream")
    assert ended.status == 7, ended.output
    assert rows(ended)["panics_too"] == ["lost", "lost"]


def test_part_that_gets_worse(upstream: Project) -> None:
    write_list(upstream, "worse_part")
    ended = upstream.run("--upstream")
    assert ended.status == 1
    found = rows(ended)
    assert found.keys() == {"worse_part", "worse_part/two"}
    assert found["worse_part"] == ["passed (2)", "failed (1/2)"]
    assert "2 worse, 0 not run" in ended.output


def test_program_that_gets_worse(upstream: Project) -> None:
    """What it did not get to is worse, too."""
    write_list(upstream, programs="test_lru_map")
    (upstream.path / "worse").touch()
    ended = upstream.run("--upstream")
    assert ended.status == 1
    found = rows(ended)
    assert found == {"test_lru_map": ["passed (2)", "failed (1/2)"]}
    assert notes(ended)["test_lru_map"] == "worse: exit status 1: x.c(3):FAIL:no"
    assert "1 tests, 2 subtests: 2 worse, 0 not run" in ended.output


@pytest.mark.parametrize(
    ("test", "word", "why"),
    [
        ("crashes", "failed", "on both: exit status 139: Caught signal #11!"),
        ("lies", "failed", "on both: said passed, then exit status 1"),
        ("splats", "complained", "on both: WARNING: WARNING: at map.c"),
    ],
)
def test_bad_on_both(upstream: Project, test: str, word: str, why: str) -> None:
    write_list(upstream, test, "passes")
    ended = upstream.run("--upstream")
    assert ended.status == 0, ended.output
    assert rows(ended)[test] == [word, word]
    assert notes(ended)[test] == why
    assert len(upstream.vng) == (4 if test == "splats" else 2)


def test_added_by_the_patches(upstream: Project) -> None:
    """That it fails on the plain kernel is no excuse."""
    write_list(upstream, "passes", added="better")
    assert upstream.run("--upstream").status == 0
    write_list(upstream, "passes", added="fails")
    ended = upstream.run("--upstream")
    assert ended.status == 1
    assert notes(ended)["fails"].startswith("worse: test_fails:FAIL:open ")


@pytest.mark.parametrize("test", ["skips", "fails"])
def test_nothing_passed(upstream: Project, test: str) -> None:
    """Then nothing is shown."""
    write_list(upstream, test)
    assert upstream.run("--upstream").status == 5


def test_not_in_this_tree(upstream: Project) -> None:
    """As in an older one: it is said."""
    write_list(upstream, "newer", "passes")
    ended = upstream.run("--upstream")
    assert ended.status == 0
    assert "\nnot in this tree: newer\n" in ended.output
    write_list(upstream, "newer")
    ended = upstream.run("--upstream")
    assert ended.status == 5


def test_chosen_tests(upstream: Project) -> None:
    """A file may define several tests."""
    write_list(upstream, "two", "fails", programs="test_maps")
    ended = upstream.run("--upstream", "--command=two")
    assert ended.status == 0, ended.output
    assert run_in_guests(upstream) == ["passes", "also_passes"] * 2
    ended = upstream.run("--upstream", "--command=two other")
    assert ended.status == 4
    assert "no test is named other\n    other: because\n" in ended.output


def test_left_out_of_a_file(upstream: Project) -> None:
    write_list(upstream, "two", left_out="also_passes")
    ended = upstream.run("--upstream")
    assert ended.status == 0, ended.output
    assert run_in_guests(upstream) == ["passes"] * 2


# Building


def test_pruned_copy(upstream: Project) -> None:
    """It has what a chosen test or the Makefile uses, and what that includes."""
    write_list(upstream, "passes", "fails")
    assert upstream.run("--upstream", "--command=passes").status == 0
    (copy,) = upstream.cache.glob(f"trees/*/build-*/upstream/linux/{BPF}")
    assert {file.name for file in (copy / "prog_tests").iterdir()} == {"passes.c"}
    programs = {file.name for file in (copy / "progs").iterdir()}
    assert programs == {"passes.c", "inner.c", "named.c", "shared.h"}
    assert upstream.run("--upstream").status == 0
    assert (copy / "progs" / "fails.c").exists()
    made = [line for line in upstream.asked if f"-C {copy}" in line]
    assert [line.split()[-1] for line in made] == ["verification_cert.h", "test_progs"]
    assert " CLANG=clang-99 LLVM_STRIP=llvm-strip-99 " in made[0]


def test_other_clang(upstream: Project) -> None:
    """make would keep the programs of the old one."""
    write_list(upstream, "passes")
    assert upstream.run("--upstream").status == 0
    (copy,) = upstream.cache.glob(f"trees/*/build-*/upstream/linux/{BPF}")
    made = copy / "passes.bpf.o"
    made.touch()
    assert upstream.run("--upstream").status == 0
    assert made.exists()
    executable(upstream.path / "bin" / "clang-99", "#!/bin/sh\necho clang 99.2.0\n")
    assert upstream.run("--upstream").status == 0
    assert not made.exists()


def test_test_that_does_not_build(upstream: Project) -> None:
    write_list(upstream, "passes", "fails")
    ended = upstream.run("--upstream", how="no fails")
    assert (ended.status, upstream.vng) == (6, [])
    assert "1 of the kernel's tests do not build: fails\n" in ended.output
    ended = upstream.run("--upstream", how="no upstream")
    assert (ended.status, upstream.vng) == (6, [])
    assert "the kernel's tests of BPF do not build" in ended.output


def test_older_tree(upstream: Project) -> None:
    (upstream.path / "linux-7.3.4" / BPF / "Makefile").write_text("")
    shutil.rmtree(upstream.cache / "sources")
    upstream.archive()
    write_list(upstream, "passes")
    ended = upstream.run("--upstream")
    assert ended.status == 4
    assert "cannot be built in part" in ended.output


def test_guest_that_cannot_be_set_up(upstream: Project) -> None:
    executable(upstream.path / "bin" / "ip", "#!/bin/sh\necho no lo; exit 1\n")
    write_list(upstream, "passes")
    ended = upstream.run("--upstream")
    assert ended.status == 7
    assert "cannot be set up for the kernel's tests\n    no lo\n" in ended.output


def test_results_of_one_kernel(upstream: Project) -> None:
    """They are kept if the other one does not get that far."""
    write_list(upstream, "passes")
    script = "#!/bin/sh\necho >> $PROJECT/calls\ntest $(wc -l < $PROJECT/calls) = 1\n"
    executable(upstream.path / "bin" / "ip", script)
    assert upstream.run("--upstream").status == 7
    told = json.loads((upstream.logs / "upstream.json").read_text())
    assert told == {"plain": {"passes": {"word": "passed", "why": ""}}}


# The list


def test_list_that_is_wrong(project: Project) -> None:
    file = project.path / "vm" / "upstream.toml"
    for text in (
        "[programs]",
        '[programs]\nmake = ""\n[added]\n[test_progs]\n[left_out]\n',
    ):
        file.write_text(text)
        ended = project.run("--upstream")
        assert ended.status == 3
        assert f"cannot use {file}" in ended.output


def test_real_list() -> None:
    """Each entry has a reason, and is in its place of the alphabet."""
    listed = load()
    assert set(listed.programs) == set(PROGRAMS[1:])
    for reasons in (listed.programs, listed.files, listed.left_out):
        assert all(reasons.values())
    assert list(listed.left_out) == sorted(listed.left_out)
    assert "map_trace" in listed.files
