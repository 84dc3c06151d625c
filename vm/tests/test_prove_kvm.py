"""--prove-kvm: what is built and booted for it, and the script for that host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vm.prove_kvm import SCRIPT
from vm.tests.project import Project, executable


def test_host(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is built outside; the host is emulated, with one CPU."""
    qemu = project.path / "bin" / "qemu-system-x86_64"
    executable(qemu, "#!/bin/sh\necho QEMU emulator version 10.0.13\n")
    script = project.path / "vm" / "prove_kvm.sh"
    script.write_text('echo "script $*"; exit 5\n')
    env = '#!/bin/sh\necho "env $1 $2"; exec /usr/bin/env "$@"\n'
    executable(project.path / "bin" / "env", env)
    monkeypatch.setenv("CLANG", "clang-19")
    (project.path / "kconfig" / "kvm-host.config").write_text("CONFIG_KVM=y\n")
    ended = project.run("--prove-kvm")
    assert ended.status == 5, ended.output
    (said,) = re.findall(r"^script (.*)", ended.output, re.MULTILINE)
    # A guest has an environment of its own.
    (path,) = re.findall(r"^env CLANG=clang-19 PATH=(\S+)", ended.output, re.MULTILINE)
    assert path.startswith(f"{project.path}/bin:") and path.endswith(":/usr/sbin:/sbin")
    cache, python, benchmark = said.split()
    assert (cache, python) == (str(project.cache), sys.executable)
    assert benchmark.endswith("build-base-vm/selftests/bench")
    configured = [line for line in ended.output.splitlines() if "configuring" in line]
    assert [line.rpartition(", ")[2] for line in configured] == [
        "faults.config",
        "kvm-host.config",
    ]
    made = [line for line in project.asked if line.startswith("make -j2 -C ")]
    assert [line.rpartition(" ")[2] for line in made[1:]] == [
        *("bench", "faults", "faults"),
    ]
    assert "PATCHES=" in made[0].rpartition(" ")[2]
    (host,) = project.vng
    assert "build-base-vm-kvm-host/" in host and " --disable-kvm " in host
    assert " --cpus 1 " in host and " --memory 6G " in host and " -cpu max" in host
    assert "cache=loose" in host


def test_old_qemu(project: Project) -> None:
    ended = project.run("--prove-kvm")
    assert ended.status == 4
    assert "--prove-kvm needs QEMU 10; this is QEMU emulator version 7.2" in (
        ended.output
    )
    assert project.vng == []


@pytest.mark.parametrize(
    ("fails", "status"),
    [("", 0), ("typed", 1), ("--faults", 1), ("nanoseconds", 1), ("mount", 32)],
)
def test_script(tmp_path: Path, fails: str, status: int) -> None:
    """Each command runs under KVM, and if one fails, so does the script."""
    commands = tmp_path / "commands"
    text = f"""#!/bin/sh
    echo "$(basename $0) $*" >> {commands}
    test "$(basename $0)" = mount -a "{fails}" = mount && exit 32
    case "$*" in *{fails or "nothing"}*) exit 7;; esac
    """
    executable(tmp_path / "python", text)
    executable(tmp_path / "bin" / "mount", text)
    executable(tmp_path / "bin" / "mkdir", "#!/bin/sh\n")
    ended = subprocess.run(
        ["sh", SCRIPT, "/the/cache", tmp_path / "python", "/the/benchmark"],
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    mount, *runs = commands.read_text().splitlines()
    assert "lowerdir=/the/cache," in mount and mount.endswith(" overlay /the/cache")
    assert len(runs) == (0 if fails == "mount" else 3)
    for run in runs:
        assert "__main__.py --cache /the/cache --require-kvm " in run
        # Not -smp, with which the guest would lack a CPU.
        assert " --cpus 1 " in run and "-smp" not in run
