"""The virtio-serial ports and the sockets through which a guest is talked to."""

from __future__ import annotations

PORT = "bpf.map.tracing"
SHELL_PORT = "bpf.map.tracing.shell"
LISTEN = "server=on,wait=off"  # of a socket that QEMU makes
SOCKETS = ("shell", "monitor", "sysrq", "gdb")  # how the paths of QEMU's sockets end


def qemu_options(name: str, sockets: str) -> list[str]:
    """QEMU's options for the agent's port, and the others unless `sockets` is empty.

    `name` is that of an abstract socket of ours to connect the agent's port to.
    """
    words = ["-device", "virtio-serial-pci,id=tests"]
    words += _port_options("agent", PORT, f"path={name},abstract=on,server=off")
    if sockets:
        words += _port_options("shell", SHELL_PORT, f"path={sockets}.shell,{LISTEN}")
        monitor = f"socket,id=monitor,path={sockets}.monitor,{LISTEN}"
        words += ["-chardev", monitor, "-mon", "chardev=monitor,mode=control"]
    return words


def _port_options(name: str, port: str, backend: str) -> list[str]:
    """QEMU's options for a virtio-serial port with a socket behind it."""
    return [
        *("-chardev", f"socket,id={name},{backend}"),
        *("-device", f"virtserialport,bus=tests.0,chardev={name},name={port}"),
    ]
