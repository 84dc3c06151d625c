"""Fragments of the kernel's configuration: ours in kconfig/, and the user's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from vm.errors import BuildError, UsageError

_FOLDER = Path(__file__).resolve().parent.parent / "kconfig"
_OPTION = re.compile(r"(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set")


def fragments_of(names: Sequence[str], user: Sequence[Path]) -> list[Path]:
    """Our fragments of these names, then the user's files, in order.

    UsageError for one that does not exist or has a line that Kconfig would ignore.
    """
    files = [_FOLDER / name for name in names] + [file.absolute() for file in user]
    for file in files:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as reason:
            why = getattr(reason, "strerror", None) or "not text"
            raise UsageError(
                f"cannot read the configuration fragment {file}: {why}",
                hint="give a file with lines such as CONFIG_X=y to --kconfig",
            ) from None
        for number, line in enumerate(lines, 1):
            if (
                line.strip()
                and not line.startswith("#")
                and not _OPTION.fullmatch(line)
            ):
                raise UsageError(
                    f"{file}:{number}: not a configuration option: {line}",
                    hint="write CONFIG_X=y or # CONFIG_X is not set",
                )
    return files


def folder_name(fragments: Sequence[Path]) -> str:
    """The name of the build folder: the user's files count by their path."""
    names = []
    for file in fragments:
        path = hashlib.sha256(str(file).encode()).hexdigest()[:8]
        ours = file.parent == _FOLDER
        names.append(file.stem if ours else f"{file.stem}-{path}")
    return "build-" + re.sub(r"[^\w.-]", "_", "-".join(names))


def options_of(config: Path) -> dict[str, str]:
    """CONFIG_X to its value; "n" for "# CONFIG_X is not set"."""
    options = {}
    for line in config.read_text().splitlines():
        if match := _OPTION.fullmatch(line):
            name, value, unset = match.groups()
            options[name or unset] = value or "n"
    return options


def check_config(config: Path, fragments: Sequence[Path]) -> None:
    """BuildError unless `config` has each option as the last fragment sets it."""
    final = options_of(config)
    wanted = {
        option: (value, fragment)
        for fragment in fragments
        for option, value in options_of(fragment).items()
    }
    lost = [
        f"{option}: {fragment.name} wants {value}, got {final.get(option, 'n')}"
        for option, (value, fragment) in wanted.items()
        if final.get(option, "n") != value
    ]
    if lost:
        raise BuildError(
            f"{len(lost)} option(s) of the fragments are lost in {config}",
            detail="\n".join(lost),
            hint="add what they depend on to the fragment, or drop them from it",
        )
