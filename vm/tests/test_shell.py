"""--shell and --attach: a command or a shell in a guest, its status and output."""

from __future__ import annotations

import shlex
import threading

import pytest

from vm.tests.project import Project


def test_shell(project: Project) -> None:
    ended = project.run("--shell", typed="echo in the guest; exit 3\n")
    assert ended.status == 3
    assert ended.output.splitlines()[-1] == "in the guest"
    assert "power off" in project.asked
    assert (project.logs / "console.log").exists()


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        (["sh", "-c", "echo two words; exit 5"], 5, "two words\n"),
        (["cat"], 0, "typed\n"),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["/no/such/program"], 127, "/no/such/program: No such file or directory"),
    ],
)
def test_shell_command(
    project: Project, command: list[str], status: int, output: str
) -> None:
    """What run_tests.py makes of -- CMD…."""
    ended = project.run("--shell", f"--command={shlex.join(command)}", typed="typed\n")
    assert ended.status == status, ended.output
    assert output in ended.output
    assert "power off" in project.asked


def test_shell_of_a_lost_guest(project: Project) -> None:
    kill = "--command=sh -c 'kill -9 $VNG; sleep 5'"
    ended = project.run("--shell", kill)
    assert ended.status == 7
    assert "guest lost: vanished: QEMU ended during --shell\n" in ended.output
    assert not (project.logs / "console.shell").exists()


def test_attach(project: Project) -> None:
    """A second shell into the guest that runs a test, which goes on undisturbed."""
    project.tests("f.hash.waits")
    project.set("")
    process = project.start()
    output: list[str] = []
    threading.Thread(target=lambda: output.append(process.communicate()[0])).start()
    try:
        project.wait_for("one f.hash.waits")
        asked = project.asked
        second = Project(project.path)
        assert attach(second, "--command=cat", typed="typed\n") == (0, "typed\n")
        text = "echo $PROJECT; exit 4"
        ended = attach(second, f"--command=sh -c '{text}'")
        assert ended == (4, f"{project.path}\n")
    finally:
        (project.path / "guest" / "go").touch()
    process.wait(90)
    assert process.returncode == 0
    assert project.asked[: len(asked)] == asked
    status, text = attach(second)
    assert status == 4
    assert "usage error: no run that uses this cache has a guest now\n" in text


def attach(project: Project, *arguments: str, typed: str = "") -> tuple[int, str]:
    """Run --attach beside another run; its exit status and output."""
    kept = (project.path / "asked").read_text()
    process = project.start("--attach", *arguments)
    (project.path / "asked").write_text(kept)
    output, _ = process.communicate(typed, timeout=90)
    return process.returncode, output
