"""KVM only after a guest reached user space under it; a fake guest here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import pytest

from vm import accel as accel_module
from vm.accel import Accel, choose_accel
from vm.console import Verdict
from vm.errors import GuestError, UsageError

IMAGE = Path("/boot/bzImage")
HUNG = GuestError("hang: no sign of the agent during boot", hint="")


class FakeGuest:
    """Boots at once, or fails as told."""

    probes = 0
    error: BaseException | None = None
    verdict: Verdict | None = None
    boot_seconds = 1.5

    def __init__(self, image: Path, accel: Accel, out: Path, **_: object) -> None:
        assert accel.name == "kvm"
        self.console = self

    def tail(self, count: int) -> str:
        return "SeaBIOS (version 1.16.2)"

    def __enter__(self) -> Self:
        type(self).probes += 1
        if self.error:
            raise self.error
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeGuest]:
    """A device that opens, and a fresh kind of guest."""
    kind = type("Fake", (FakeGuest,), {})
    monkeypatch.setattr(accel_module, "Guest", kind)
    monkeypatch.setattr(accel_module, "KVM", tmp_path / "kvm")
    (tmp_path / "kvm").touch()
    return kind


def choose(
    folder: Path, *, require_kvm: bool = False, no_kvm: bool = False
) -> tuple[Accel, list[str]]:
    """The choice and what was said."""
    said: list[str] = []
    log = folder / "probe.log"
    accel = choose_accel(
        IMAGE,
        folder / "cache",
        log,
        said.append,
        require_kvm=require_kvm,
        no_kvm=no_kvm,
    )
    return accel, said


def test_kvm_that_runs_is_probed_once(fake: type[FakeGuest], tmp_path: Path) -> None:
    accel, said = choose(tmp_path, require_kvm=True)
    assert accel == Accel("kvm", "KVM: a guest reached user space in 1.5 s")
    assert len(said) == 1
    assert choose(tmp_path) == (accel, [])
    assert fake.probes == 1


def test_kvm_that_runs_nothing(fake: type[FakeGuest], tmp_path: Path) -> None:
    fake.error = HUNG
    accel, _ = choose(tmp_path)
    assert accel.name == "tcg"
    assert accel.why.endswith(
        "opens, but no guest reached user space within 20 s "
        "(the last line: SeaBIOS (version 1.16.2))"
    )
    assert choose(tmp_path) == (accel, [])
    with pytest.raises(UsageError, match=r"--require-kvm was given, but .* opens, but"):
        choose(tmp_path, require_kvm=True)
    assert fake.probes == 1


def test_kvm_internal_error(fake: type[FakeGuest], tmp_path: Path) -> None:
    fake.error = HUNG
    fake.verdict = Verdict("KVM internal error", "KVM internal error. Suberror: 1", ())
    assert "(KVM internal error. Suberror: 1)" in choose(tmp_path)[0].why
    choose(tmp_path)
    assert fake.probes == 1


def test_kernel_that_panics_says_nothing_of_kvm(
    fake: type[FakeGuest], tmp_path: Path
) -> None:
    fake.error = GuestError("panic during boot: Kernel panic", hint="")
    fake.verdict = Verdict("panic", "Kernel panic", ())
    assert choose(tmp_path)[0].name == "tcg"
    fake.error = fake.verdict = None
    assert choose(tmp_path)[0].name == "kvm"


@pytest.mark.parametrize("key", ["boot", "device", "qemu"])
def test_another_host_is_probed_anew(
    fake: type[FakeGuest], tmp_path: Path, key: str
) -> None:
    choose(tmp_path)
    file = tmp_path / "cache" / "kvm-probe.json"
    entry = json.loads(file.read_text())
    entry["host"][key] = "another"
    file.write_text(json.dumps(entry))
    choose(tmp_path)
    file.write_text("{")
    choose(tmp_path)
    assert fake.probes == 3


def test_ctrl_c_is_not_remembered(fake: type[FakeGuest], tmp_path: Path) -> None:
    fake.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        choose(tmp_path)
    assert not (tmp_path / "cache").exists()


def test_without_a_device(fake: type[FakeGuest], tmp_path: Path) -> None:
    (tmp_path / "kvm").unlink()
    accel, said = choose(tmp_path)
    assert accel == Accel("tcg", f"TCG: there is no {tmp_path}/kvm")
    (tmp_path / "kvm").mkdir()  # not even root opens a folder for writing
    assert "cannot open" in choose(tmp_path)[0].why
    assert (fake.probes, said) == (0, [])


def test_options(fake: type[FakeGuest], tmp_path: Path) -> None:
    assert choose(tmp_path, no_kvm=True)[0] == Accel("tcg", "TCG: --no-kvm was given")
    with pytest.raises(UsageError, match="exclude each other"):
        choose(tmp_path, no_kvm=True, require_kvm=True)
    assert fake.probes == 0
