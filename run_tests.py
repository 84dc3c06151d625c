#!/usr/bin/env python3
"""Build the patched kernel, boot it, and run the selftests in it.

    ./run_tests.py --install-deps   install what is missing with apt, then run
    ./run_tests.py                  run the selftests
    ./run_tests.py -k percpu -x     any of pytest's options and paths
    ./run_tests.py vm               the harness's own tests: no kernel needed
    ./run_tests.py --help           all options

Prepares a virtual environment with pinned packages and hands over to pytest.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

if sys.version_info < (3, 11):  # noqa: UP036  (it is the user's Python)
    sys.exit(
        f"usage error: Python {sys.version.split()[0]} is too old\n"
        "next:    run it with Python 3.11 or later, e.g. python3.11 run_tests.py"
    )

ROOT = Path(__file__).resolve().parent
REQUIREMENTS = ROOT / "vm" / "requirements.txt"
USAGE_ERROR = 4

sys.path.insert(0, str(ROOT))
from vm import tools  # noqa: E402  (after the check of Python's version)


def fail(what: str, hint: str) -> NoReturn:
    """End with the one error that says what failed and what to do next."""
    print(f"usage error: {what}\nnext:    {hint}", file=sys.stderr)
    sys.exit(USAGE_ERROR)


def cache_folder(arguments: list[str]) -> Path:
    """The folder of --cache, by the rules of vm/cache.py but not checked yet."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    named = str((base if base.is_absolute() else Path("~/.cache")) / "bpf-map-tracing")
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == "--cache" and following:
            named = following
        elif word.startswith("--cache="):
            named = word.partition("=")[2]
    # Path.expanduser raises RuntimeError for an unknown ~user.
    return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111


def environment(cache: Path) -> Path:
    """The Python of a virtual environment with exactly the pinned packages."""
    content = REQUIREMENTS.read_bytes() + sys.version.encode() + sys.prefix.encode()
    venv = cache / f"venv-{hashlib.sha256(content).hexdigest()[:12]}"
    ready, python = venv / "ready", venv / "bin" / "python"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "venv.lock").open("w")
    except OSError as error:
        fail(f"cannot write {cache}: {error.strerror}", "name a folder with --cache")
    with lock:
        # Another run may be making it at this moment.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(venv, ignore_errors=True)
            print(f"preparing {venv}", file=sys.stderr, flush=True)
            pip = [str(python), "-m", "pip", "install", "-q", "--no-deps"]
            pip += ["--disable-pip-version-check", "-r", str(REQUIREMENTS)]
            for command in [sys.executable, "-m", "venv", str(venv)], pip:
                if subprocess.run(command, check=False).returncode:
                    shutil.rmtree(venv, ignore_errors=True)
                    fail(
                        f"no virtual environment\ncommand: {' '.join(command)}",
                        "./run_tests.py --install-deps, or see the error above",
                    )
            ready.touch()
    return python


def main() -> None:
    """Install, prepare, and become pytest."""
    arguments = sys.argv[1:]
    if "--install-deps" in arguments:
        arguments.remove("--install-deps")
        try:
            status = tools.install_deps()
        except OSError as error:
            fail(f"cannot run {error.filename}: {error.strerror}", "run this as root")
        if status:
            fail(f"apt-get ended with exit status {status}", "see its error above")
    lacking = tools.missing(tools.HARNESS)
    if lacking:
        fail(
            "not installed: " + ", ".join(tool.package for tool in lacking),
            "./run_tests.py --install-deps",
        )
    python = environment(cache_folder(arguments))
    os.environ["PYTHONPATH"] = str(ROOT)
    pytest = [str(python), "-m", "pytest", "-p", "vm.plugin"]
    pytest += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    os.execv(python, [*pytest, *arguments])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(2)
