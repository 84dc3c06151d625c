"""Tests of vm/compiler.py; the compilers only say their versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.compiler import check_version, choose_compiler, pahole
from vm.errors import UsageError
from vm.terminal import Log
from vm.tests.kernel import ALL, Kernel
from vm.tests.project import executable

LLVM = ("ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-readelf")
SAYS = {
    "gcc": "gcc (Debian 12.2.0-14+deb12u1) 12.2.0",
    "gcc-13": "gcc-13 (Ubuntu 13.2.0-23ubuntu4) 13.2.0",
    "clang": "Debian clang version 14.0.6",
    "clang-9": "clang version 9.0.1-16",
    "clang-19": "Debian clang version 19.1.7 (3~deb12u1)",
    "clang-20": "Debian clang version 20.1.2 (1)",
}
LEAST = "#!/bin/sh\ncase $1 in llvm) echo 17.0.1 ;; gcc) echo 8.1.0 ;; esac\n"


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that is on PATH: these compilers, and the tools of clang-9 and clang-19."""
    folder = tmp_path / "bin"
    for name, text in SAYS.items():
        executable(folder / name, f"#!/bin/sh\necho '{text}'\n")
    for tool in LLVM:
        for suffix in ("-9", "-19"):
            executable(folder / f"{tool}{suffix}", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(folder))
    for name in ("CC", "HOSTCC", "LLVM"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.mark.usefixtures("bin_folder")
class TestChoice:
    @pytest.mark.parametrize("wanted", [None, "gcc"])
    def test_gcc(self, log: Log, wanted: str | None) -> None:
        found = choose_compiler(wanted, None, log)
        assert (str(found), found.clang, found.suffix) == ("gcc 12.2.0", False, "")
        assert found.variables == {"CC": "gcc", "HOSTCC": "gcc"}

    @pytest.mark.parametrize("lto", [None, "thin", "full"])
    def test_newest_clang_with_all_its_tools(self, log: Log, lto: str | None) -> None:
        """That is 19, which is more than 9; 20 has no linker."""
        found = choose_compiler("clang", lto, log)
        assert (str(found), found.suffix) == ("clang-19 19.1.7", "-clang-19")
        assert found.clang
        names = {"CC": "clang-19", "HOSTCC": "clang-19"}
        assert found.variables == {"LLVM": "-19", **names}

    def test_clang_without_a_number(self, log: Log, bin_folder: Path) -> None:
        for tool in LLVM:
            executable(bin_folder / tool, "#!/bin/sh\n")
        executable(bin_folder / "clang", "#!/bin/sh\necho clang version 21.0.0\n")
        found = choose_compiler("clang", None, log)
        assert (str(found), found.suffix) == ("clang 21.0.0", "-clang")
        assert found.variables["LLVM"] == "1"

    def test_ccache(self, log: Log, bin_folder: Path) -> None:
        executable(bin_folder / "ccache", "#!/bin/sh\n")
        found = choose_compiler("clang", None, log)
        assert found.name == "clang-19"
        assert found.variables["CC"] == found.variables["HOSTCC"] == "ccache clang-19"

    def test_no_clang_with_all_its_tools(self, log: Log, bin_folder: Path) -> None:
        for file in bin_folder.glob("ld.lld*"):
            file.unlink()
        with pytest.raises(UsageError) as raised:
            choose_compiler("clang", None, log)
        assert raised.value.what == (
            "no clang is installed with its linker and tools: found clang, clang-19, "
            "clang-20, clang-9; not installed: ld.lld-19"
        )
        assert "--install-deps --compiler clang" in raised.value.hint

    @pytest.mark.parametrize("compiler", ["gcc", "clang"])
    def test_users_choice(
        self, log: Log, monkeypatch: pytest.MonkeyPatch, compiler: str
    ) -> None:
        """It is the same with the option that agrees with it, and without."""
        name, value = {"gcc": ("CC", "gcc-13"), "clang": ("LLVM", "-9")}[compiler]
        monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOSTCC", "gcc -pipe")
        found = choose_compiler(None, None, log)
        assert found == choose_compiler(compiler, None, log)
        assert found.variables[name] == value
        assert found.variables["HOSTCC"] == "gcc -pipe"
        assert found.suffix == {"gcc": "-gcc-13", "clang": "-clang-9"}[compiler]

    @pytest.mark.parametrize(
        ("wanted", "variable", "chosen"),
        [
            ("clang", "CC=gcc-13", "gcc-13 13.2.0"),
            ("gcc", "CC=clang-19", "clang-19 19.1.7"),
            ("gcc", "LLVM=-19", "clang-19 19.1.7"),
            ("gcc", "LLVM=1", "clang 14.0.6"),
        ],
    )
    def test_contradiction(
        self,
        log: Log,
        monkeypatch: pytest.MonkeyPatch,
        wanted: str,
        variable: str,
        chosen: str,
    ) -> None:
        name, _, value = variable.partition("=")
        monkeypatch.setenv(name, value)
        with pytest.raises(UsageError) as raised:
            choose_compiler(wanted, None, log)
        assert raised.value.what == (
            f"--compiler {wanted} was given, but {variable} in the environment "
            f"chooses {chosen}"
        )
        assert raised.value.hint.startswith(f"unset {name}, ")

    @pytest.mark.parametrize("wanted", [None, "gcc"])
    def test_lto_without_clang(self, log: Log, wanted: str | None) -> None:
        with pytest.raises(UsageError) as raised:
            choose_compiler(wanted, "thin", log)
        what = "--lto thin needs clang and LLVM's linker, but this is gcc 12.2.0"
        assert raised.value.what == what
        assert raised.value.hint == "add --compiler clang"

    def test_lto_without_the_linker(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CC", "clang-19")
        with pytest.raises(UsageError, match=r"clang-19 19.1.7 and GNU ld"):
            choose_compiler("clang", "full", log)

    def test_lto_with_the_users_clang(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLVM", "-9")
        assert choose_compiler(None, "full", log).name == "clang-9"

    def test_compiler_that_is_missing(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The machine's or the user's mistake; a bisection must not go on."""
        for cc, what in ("no-such-gcc", "cannot run no-such-gcc"), ("a 'b", "a 'b: No"):
            monkeypatch.setenv("CC", cc)
            with pytest.raises(UsageError, match=what) as raised:
                choose_compiler(None, None, log)
            assert raised.value.hint.startswith("see CC")


# What the kernel asks for


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel's, which says what it needs."""
    executable(tmp_path / "bin" / "pahole", "#!/bin/sh\necho v1.24\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
    executable(tmp_path / "linux" / "scripts" / "min-tool-version.sh", LEAST)
    (tmp_path / "linux" / "Documentation" / "process").mkdir(parents=True)
    return tmp_path / "linux"


@pytest.mark.usefixtures("bin_folder")
def test_compiler_that_is_too_old(
    log: Log, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cc in ("gcc", "clang-19"):
        monkeypatch.setenv("CC", cc)
        check_version(choose_compiler(None, None, log), tree, log)
    monkeypatch.setenv("CC", "clang")
    compiler = choose_compiler(None, None, log)
    with pytest.raises(UsageError) as raised:
        check_version(compiler, tree, log)
    what = "this kernel needs clang 17.0.1 or newer, but clang is 14.0.6"
    assert raised.value.what == what
    assert "clang-19 lld-19 llvm-19" in raised.value.hint


@pytest.mark.parametrize(
    ("asked", "warning"),
    [
        ("1.26", " (warning: Documentation/process/changes.rst asks for 1.26)"),
        ("1.24", ""),
        ("1.9", ""),
        ("", " (no version is asked for in Documentation/process/changes.rst)"),
    ],
)
def test_pahole(tree: Path, asked: str, warning: str) -> None:
    row = f"pahole                 {asked}             pahole --version\n"
    table = f"GNU C      8.1     gcc --version\n{row if asked else ''}PPP  2.4.0\n"
    (tree / "Documentation" / "process" / "changes.rst").write_text(table)
    assert pahole(tree, "v1.24") == f"pahole 1.24{warning}"


# Builds


def test_each_compiler_has_its_folder(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though all of these say the same: so nothing is built anew on the way back."""
    tools = f"{kernel.tmp_path}/tools/"
    choices = [
        ("CC", "gcc", "CC=gcc HOSTCC=ccache gcc"),
        ("CC", "gcc -pipe", "CC=gcc -pipe HOSTCC=ccache gcc"),
        *(
            ("LLVM", value, f"LLVM={value} CC=ccache {name} HOSTCC=ccache {name}")
            for value, name in (
                *(("1", "clang"), ("-18", "clang-18")),
                (tools, f"{tools}clang"),
            )
        ),
    ]
    for name, value, variables in choices:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            kernel.build()
            assert kernel.goals() == ALL
            last = kernel.calls.read_text().splitlines()[-1]
            assert f" {variables} -j3 bzImage" in last
    assert len(list(kernel.folder.parent.glob("build-*"))) == len(choices)
    for name, value, _ in choices:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            kernel.build()
            assert kernel.goals() == []


def test_llvm_that_is_empty_chooses_nothing(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.build()
    monkeypatch.setenv("LLVM", "")
    kernel.build()
    assert kernel.goals() == []


def test_what_made_it(kernel: Kernel) -> None:
    tools = kernel.build().tools
    assert tools.startswith("gcc 12.2.0, pahole 1.24")
