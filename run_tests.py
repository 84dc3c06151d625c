#!/usr/bin/env python3
"""Build the patched kernel, boot it, and run the selftests in it.

    ./run_tests.py --install-deps   install what is missing with apt, then run
    ./run_tests.py                  run the selftests
    ./run_tests.py -k percpu -x     any of pytest's options and paths
    ./run_tests.py vm               the harness's own tests: no kernel needed
    ./run_tests.py --help           all options

Prepares a virtual environment with pinned packages and becomes pytest.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  (it is the user's Python)
    sys.exit(
        f"usage error: Python {sys.version.split()[0]} is too old\n"
        "next:    run it with Python 3.11 or later, e.g. python3.11 run_tests.py"
    )

ROOT = Path(__file__).resolve().parent
REQUIREMENTS = ROOT / "vm" / "requirements.txt"

sys.path.insert(0, str(ROOT))
from vm import environment, tools  # noqa: E402  (after the check of the version)
from vm.cache import cache_folder, last_option, locked, refuse_space  # noqa: E402
from vm.errors import HarnessError, UsageError  # noqa: E402
from vm.matrix import matrix  # noqa: E402
from vm.output import LOST, guard_output, output_lost  # noqa: E402


def tell(line: str) -> None:
    """One line for the user."""
    print(line, file=sys.stderr, flush=True)


def venv_folder(cache: Path) -> Path:
    """The folder of the environment for these packages and this Python."""
    content = REQUIREMENTS.read_bytes() + sys.version.encode() + sys.prefix.encode()
    return cache / f"venv-{hashlib.sha256(content).hexdigest()[:12]}"


def virtual_environment(cache: Path) -> Path:
    """The Python of a virtual environment with exactly the pinned packages."""
    venv = venv_folder(cache)
    ready, python = venv / "ready", venv / "bin" / "python"
    if ready.exists():
        return python
    # Another run may be making it at this moment.
    with locked(cache, tell):
        if ready.exists():
            return python
        shutil.rmtree(venv, ignore_errors=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--no-deps"]
        pip += ["--disable-pip-version-check", "-r", str(REQUIREMENTS)]
        for command in [sys.executable, "-m", "venv", str(venv)], pip:
            tell(f"$ {shlex.join(command)}")
            if subprocess.run(command, check=False).returncode:
                shutil.rmtree(venv, ignore_errors=True)
                raise UsageError(
                    "cannot make a virtual environment",
                    command=command,
                    hint="./run_tests.py --install-deps, or see the error above",
                )
        ready.touch()
    return python


def without_command(arguments: list[str]) -> list[str]:
    """What is before --: the words after it are not ours."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def split_command(arguments: list[str]) -> list[str]:
    """Make one word of what follows --, which pytest would take for paths."""
    if "--" not in arguments:
        return arguments
    ours = without_command(arguments)
    return [*ours, f"--command={shlex.join(arguments[len(ours) + 1 :])}"]


def main(arguments: list[str]) -> None:
    """Install, prepare, and become pytest. Raises HarnessError."""
    cleared = environment.clean(os.environ)
    if cleared:
        tell(f"ignored from the environment: {', '.join(cleared)}")
    hint = "clone it into a folder without spaces and colons"
    refuse_space(ROOT, "checkout", hint)
    cache = cache_folder(last_option(arguments, "--cache"))
    options = without_command(arguments)
    if "--install-deps" in options:
        arguments.remove("--install-deps")
        clang = last_option(arguments, "--compiler") == "clang"
        upstream = "--upstream" in options
        more = tools.CLANG if clang or upstream else ()
        tools.install_deps((*more, *tools.UPSTREAM) if upstream else more)
    lacking = tools.missing(tools.HARNESS)
    if lacking:
        raise tools.not_installed(lacking)
    python = str(virtual_environment(cache))
    program = str(ROOT / "vm" / "__main__.py")
    os.execv(python, [python, "-I", program, *split_command(arguments)])


def guarded_main() -> int:
    """The exit status of a run that did not get as far as pytest."""
    status = 2
    try:
        guard_output()
        try:
            if "--list-matrix" in without_command(sys.argv):
                print(matrix(sys.argv[1:]))
                status = 0
            else:
                main(sys.argv[1:])
        except HarnessError as error:
            status = error.exit_status
            tell(str(error))
    except KeyboardInterrupt:
        pass
    return LOST if output_lost() else status


if __name__ == "__main__":
    sys.exit(guarded_main())
