"""The kernel's traces with source files and lines, by its own script."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from vm.build import Image
from vm.errors import HarnessError
from vm.process import output_of
from vm.terminal import Log

SCRIPT = Path("scripts") / "decode_stacktrace.sh"


def decoded(trace: Sequence[str], image: Image, log: Log) -> list[str]:
    """The lines of a trace, where the script can, with the source of each address.

    A trace that cannot be decoded is returned as it is, with a line that says why.
    """
    if not trace:
        return []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        file.write("\n".join(trace) + "\n")
        file.seek(0)
        try:
            return output_of(
                ["bash", image.tree.path / SCRIPT, image.vmlinux],
                log,
                # It reads what gcc and clang write; the binutils may be too old.
                env={"LLVM": "1"},
                stdin=file,
            )
        except HarnessError as error:
            return [*trace, f"(not decoded: {error.what})"]
