"""Boot a guest as the options ask for it."""

from __future__ import annotations

import shlex

from vm.errors import UsageError
from vm.guest import Guest
from vm.logs import RunLogs
from vm.machine import Accel, Machine, free_gdb_port, qemu_version
from vm.options import Options
from vm.prepare import Prepared
from vm.terminal import Log


def machine_of(
    prepared: Prepared, accel: Accel, options: Options, logs: RunLogs
) -> Machine:
    """The machine for this kernel. UsageError if it is not built for so many CPUs."""
    image = prepared.image
    if options.cpus > image.max_cpus:
        raise UsageError(
            f"the kernel is built for {image.max_cpus} CPUs, not {options.cpus}",
            hint="add CONFIG_NR_CPUS=… with --kconfig, or give fewer --cpus",
        )
    return Machine(
        *(accel, options.cpus, options.memory),
        # Without it, KASAN reports once per boot.
        append=(*["kasan_multi_shot"] * options.debug_kernel, *options.append),
        qemu_opts=options.qemu_opts,
        mttcg=options.mttcg,
        gdb=free_gdb_port() if options.gdb else None,
        qemu=qemu_version(logs.log("build")),
        init=prepared.programs.init,
    )


def boot(machine: Machine, prepared: Prepared, log: Log, sockets: str) -> Guest:
    """A booted guest, to be left as a context; see Guest. GuestError if it is lost."""
    image = prepared.image
    log.terminal.say(f"booting {image.release} under {machine.accel.name}")
    if machine.gdb is not None:
        target = f"target remote 127.0.0.1:{machine.gdb}"
        command = shlex.join(["gdb", "-ex", target, str(image.vmlinux)])
        log.terminal.say(f"waiting for a debugger: {command}")
    guest = Guest(
        *(machine, image.bzimage, log),
        shares=[prepared.programs.folder],
        sockets=sockets,
        vmlinux=image.vmlinux,
        release=image.release,
    )
    return guest.__enter__()
