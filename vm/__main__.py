"""python -I vm/__main__.py ARGS…: pytest with the harness's plugin.

run_tests.py becomes this, in the virtual environment that it prepared.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402  (after the path)

from vm.cache import cache_folder, last_option  # noqa: E402
from vm.errors import HarnessError  # noqa: E402
from vm.output import LOST, guard_output, output_lost  # noqa: E402


def main(arguments: list[str]) -> int:
    """Run pytest; its exit status, or LOST if it cannot be reported."""
    # SIGTERM, and SIGHUP without nohup, interrupt the run as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    words = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    status = 2
    try:
        guard_output()
        try:
            cache = cache_folder(last_option(arguments, "--cache"))
            words += ["-o", f"cache_dir={cache / 'pytest'}", "-p", "vm.plugin"]
            status = int(pytest.main([*words, *arguments]))
        except HarnessError as error:
            status = error.exit_status
            print(error, file=sys.stderr)
    except KeyboardInterrupt:
        pass
    return LOST if output_lost() else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
