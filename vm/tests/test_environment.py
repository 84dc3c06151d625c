"""Tests of vm/environment.py."""

from __future__ import annotations

import pytest

from vm.environment import clean
from vm.errors import UsageError

ALWAYS = {
    "CCACHE_SLOPPINESS": "",
    "CCACHE_COMPILERCHECK": "mtime",
    "LC_ALL": "C.UTF-8",
}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "TERM", "TMPDIR", "XDG_CACHE_HOME", "NO_COLOR", "TZ"),
        *("http_proxy", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"),
        *("PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CACHE_DIR", "APT_CONFIG"),
        *("CC", "HOSTCC", "LLVM", "LD_LIBRARY_PATH", "CCACHE_DIR", "CCACHE_MAXSIZE"),
        *("PYTEST_ADDOPTS", "CI", "GITHUB_ACTIONS", "RUNNER_TEMP"),
    ],
)
def test_passed(name: str) -> None:
    environ = {name: "x"}
    assert clean(environ) == []
    assert environ == {name: "x", **ALWAYS}


@pytest.mark.parametrize(
    "name",
    [
        *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"),
        *("PIP_TARGET", "PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_PREFIX"),
        *("GIT_CONFIG_GLOBAL", "GIT_OBJECT_DIRECTORY", "GIT_CEILING_DIRECTORIES"),
        *("ENV", "BASH_ENV", "CDPATH", "GREP_OPTIONS", "TAR_OPTIONS", "XZ_OPT"),
        *("MAKEFILES", "MAKE", "MAKELEVEL", "CCACHE_COMPILER", "CCACHE_PREFIX"),
        *("SOURCE_DATE_EPOCH", "O", "DISPLAY", "LC_CTYPE", "cc", "MYPATH", "PATHX"),
    ],
)
def test_cleared(name: str) -> None:
    environ = {name: "x", "HOME": "/home/x"}
    assert clean(environ) == []
    assert environ == {"HOME": "/home/x", **ALWAYS}


@pytest.mark.parametrize(
    "name",
    [
        *("CFLAGS", "KCFLAGS", "HOSTCFLAGS", "LDFLAGS", "MAKEFLAGS", "MFLAGS"),
        *("GNUMAKEFLAGS", "LOCALVERSION"),
        *("KBUILD_OUTPUT", "KBUILD_BUILD_TIMESTAMP", "KCONFIG_CONFIG"),
        *("KCONFIG_ALLCONFIG", "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH"),
        *("COMPILER_PATH", "LD_PRELOAD", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"),
    ],
)
def test_told(name: str) -> None:
    environ = {name: "x"}
    assert clean(environ) == [name]
    assert environ == ALWAYS


def test_told_in_order() -> None:
    environ = {"MAKEFLAGS": "", "CFLAGS": "-O1", "EDITOR": "vi", "HOME": "/"}
    assert clean(environ) == ["CFLAGS", "MAKEFLAGS"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ARCH", "arm64", "builds and boots x86-64 kernels only"),
        ("ARCH", "i386", "builds and boots x86-64 kernels only"),
        ("CROSS_COMPILE", "x86_64-linux-gnu-", "with the machine's own binutils"),
        ("CROSS_COMPILE", "x86_64", "with the machine's own binutils"),
    ],
)
def test_refused(name: str, value: str, why: str) -> None:
    environ = {name: value, "EDITOR": "vi"}
    with pytest.raises(UsageError) as raised:
        clean(environ)
    assert raised.value.what.startswith(f"{name}={value} is set in the environment")
    assert raised.value.what.endswith(why)
    assert raised.value.hint.startswith(f"unset {name}; ")


@pytest.mark.parametrize("value", ["x86_64", "x86", "amd64", ""])
def test_native_architecture_is_fine(value: str) -> None:
    environ = {"ARCH": value}
    assert clean(environ) == []
    assert environ == ALWAYS


def test_empty_cross_compiler_is_none() -> None:
    environ = {"CROSS_COMPILE": ""}
    assert clean(environ) == []
    assert environ == ALWAYS


def test_languages_and_ccache() -> None:
    environ = {
        **{"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
        **{"CCACHE_DIR": "/c", "CCACHE_SLOPPINESS": "time_macros,locale"},
    }
    assert clean(environ) == []
    assert environ == {"LANG": "de_DE.UTF-8", "CCACHE_DIR": "/c", **ALWAYS}
