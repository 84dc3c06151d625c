"""Which of the user's environment variables reach the harness and what it runs.

The one place that decides. run_tests.py calls clean() before anything else, so
the whole run, pip, pytest, make, git and QEMU included, sees only what is let
through here. Standard library only: nothing is installed yet.

Settings in files are dealt with where the program is called: git's in series.py and
git_tree.py, virtme-ng's in vng.py. ccache's and pip's files are the user's choice and
apply.
"""

from __future__ import annotations

import fnmatch
from collections.abc import MutableMapping

from vm.errors import UsageError

# Passed on. A variable that matches no pattern is cleared.
PASSED = (
    # Who and where the user is, and the terminal.
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ"),
    *("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"),
    *("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
    # The way to the package archives: proxies, certificates, mirrors.
    *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"),
    *("PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_TRUSTED_HOST"),
    *("PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES"),
    *("PIP_CONFIG_FILE", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR"),
    *("APT_CONFIG", "DEBIAN_FRONTEND"),
    # The compilers, and where they and their libraries are.
    *("CC", "HOSTCC", "LLVM", "CLANG", "LD_LIBRARY_PATH"),
    *("CCACHE_DIR", "CCACHE_CONFIGPATH", "CCACHE_MAX*", "CCACHE_TEMPDIR"),
    *("CCACHE_DISABLE", "CCACHE_REMOTE_*", "CCACHE_SECONDARY_STORAGE"),
    # pytest's own knob, for pytest's own options.
    "PYTEST_ADDOPTS",
    # What CI systems tell the programs that they run.
    *("CI", "GITHUB_*", "RUNNER_*"),
)

# Set to ask for a build that this harness cannot do, so not merely cleared.
REFUSED = {
    "ARCH": "the harness builds and boots x86-64 kernels only",
    "CROSS_COMPILE": "the harness builds with the machine's own binutils",
}
_NATIVE = ("x86", "x86_64", "amd64")

# Cleared with a warning: these are set to change a build.
TOLD = (
    *("*FLAGS", "KBUILD_*", "KCONFIG_*", "LOCALVERSION"),
    *("CPATH", "*_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "LD_PRELOAD"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"),
)


def clean(environ: MutableMapping[str, str]) -> list[str]:
    """Clear what is not passed on; the names that the user should hear about.

    UsageError for a variable that asks for what the harness cannot do.
    """
    for name, why in REFUSED.items():
        value = environ.get(name, "")
        if value and not (name == "ARCH" and value in _NATIVE):
            raise UsageError(
                f"{name}={value} is set in the environment, but {why}",
                hint=f"unset {name}; CC, HOSTCC and LLVM choose the compiler",
            )
    cleared = [name for name in environ if not _matches(name, PASSED)]
    for name in cleared:
        del environ[name]
    # Whatever its files say: ccache must not take an object for another one's.
    environ.update(CCACHE_SLOPPINESS="", CCACHE_COMPILERCHECK="mtime")
    # Messages of tools are parsed and sorted; file names may hold any byte.
    environ["LC_ALL"] = "C.UTF-8"
    return sorted(name for name in cleared if _matches(name, TOLD))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
