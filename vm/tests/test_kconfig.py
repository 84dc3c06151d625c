"""Tests of vm/kconfig.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.errors import BuildError, UsageError
from vm.kconfig import check_config, folder_name, fragments_of, options_of

KCONFIG = Path(__file__).resolve().parents[2] / "kconfig"


# Which there are


def test_ours_then_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.config", "a.config"):
        (tmp_path / name).write_text("# Why.\n\nCONFIG_A=y\n# CONFIG_B is not set\n")
    monkeypatch.chdir(tmp_path)
    users = [Path("b.config"), tmp_path / "a.config"]
    assert fragments_of(["vm.config", "base.config"], users) == [
        *(KCONFIG / "vm.config", KCONFIG / "base.config"),
        *(tmp_path / "b.config", tmp_path / "a.config"),
    ]


def test_all_of_ours_are_good() -> None:
    names = [file.name for file in KCONFIG.glob("*.config")]
    assert {"base.config", "vm.config", "debug.config"} <= set(names)
    assert all(options_of(file) for file in fragments_of(names, []))


def test_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "no.config"
    with pytest.raises(UsageError) as raised:
        fragments_of(["base.config"], [file])
    why = "No such file or directory"
    assert raised.value.what == f"cannot read the configuration fragment {file}: {why}"
    assert "--kconfig" in raised.value.hint
    with pytest.raises(UsageError, match=r"fragment .*/kconfig/no\.config: No such"):
        fragments_of(["no.config"], [])


def test_folder_is_no_fragment(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        fragments_of([], [tmp_path])


def test_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.config").write_bytes(b"CONFIG_A=y\n\xff\n")
    with pytest.raises(UsageError, match=r"a\.config: not text"):
        fragments_of([], [tmp_path / "a.config"])


@pytest.mark.parametrize(
    "line",
    [
        *("CONFIG_A", "A=y", " CONFIG_A=y", "CONFIG_A =y", "CONFIG-A=y", "-CONFIG_A"),
        *(" # Why.", "x"),
    ],
)
def test_line_that_kconfig_would_ignore(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.config"
    file.write_text(f"# A comment.\nCONFIG_B=y\n{line}\n")
    with pytest.raises(UsageError) as raised:
        fragments_of(["base.config"], [file])
    assert raised.value.what == f"{file}:3: not a configuration option: {line}"
    assert raised.value.hint == "write CONFIG_X=y or # CONFIG_X is not set"


# Where to build with them


def test_folder_name_of_ours() -> None:
    assert folder_name(fragments_of(["base.config", "vm.config"], [])) == (
        "build-base-vm"
    )


def test_folder_name_tells_users_files_apart_by_path(tmp_path: Path) -> None:
    files = [tmp_path / folder / "my opts.config" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        file.write_text("CONFIG_A=y\n")
    names = [folder_name(fragments_of(["vm.config"], [file])) for file in files]
    assert names[0] != names[1]
    for name in names:
        assert name.startswith("build-vm-my_opts-")
    files[0].write_text("CONFIG_A=n\n")
    assert folder_name(fragments_of(["vm.config"], files[:1])) == names[0]


def test_users_copy_of_ours_is_not_ours(tmp_path: Path) -> None:
    copy = tmp_path / "vm.config"
    copy.write_text((KCONFIG / "vm.config").read_text())
    assert folder_name(fragments_of([], [copy])) != "build-vm"


# What they set


def test_options(tmp_path: Path) -> None:
    config = tmp_path / ".config"
    config.write_text(
        "# CONFIG_A is not set\nCONFIG_B=n\nCONFIG_C=m\n# Comment\n\n"
        'CONFIG_S=""\nCONFIG_T="a=b"\nCONFIG_X=0x10\nCONFIG_E=\n'
    )
    assert options_of(config) == {
        **{"CONFIG_A": "n", "CONFIG_B": "n", "CONFIG_C": "m", "CONFIG_S": '""'},
        **{"CONFIG_T": '"a=b"', "CONFIG_X": "0x10", "CONFIG_E": "n"},
    }


def test_option_that_should_be_off(tmp_path: Path) -> None:
    fragment = tmp_path / "base.config"
    fragment.write_text('# CONFIG_A is not set\nCONFIG_B=n\nCONFIG_S="x"\n')
    config = tmp_path / ".config"
    config.write_text('CONFIG_S="x"\n# CONFIG_A is not set\n')
    check_config(config, [fragment])
    config.write_text('CONFIG_S="x"\nCONFIG_A=y\nCONFIG_B=m\n')
    with pytest.raises(BuildError) as raised:
        check_config(config, [fragment])
    assert raised.value.what == f"2 option(s) of the fragments are lost in {config}"
    assert raised.value.detail.splitlines() == [
        "CONFIG_A: base.config wants n, got y",
        "CONFIG_B: base.config wants n, got m",
    ]


def test_last_fragment_decides(tmp_path: Path) -> None:
    first, last = tmp_path / "base.config", tmp_path / "debug.config"
    first.write_text("CONFIG_A=y\n")
    last.write_text("# CONFIG_A is not set\n")
    config = tmp_path / ".config"
    config.write_text("")
    check_config(config, [first, last])
    with pytest.raises(BuildError) as raised:
        check_config(config, [last, first])
    assert raised.value.detail == "CONFIG_A: base.config wants y, got n"
