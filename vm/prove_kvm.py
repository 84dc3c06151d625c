"""--prove-kvm: run the harness under KVM on a host that is emulated.

Where there is no KVM, QEMU emulates a CPU with SVM, so the kernel of kconfig/
kvm-host.config has a /dev/kvm that is real. The guest that it runs on is the host of
the guests that prove_kvm.sh starts.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

from vm.attach import shell
from vm.errors import UsageError
from vm.machine import qemu_version
from vm.run import Run

SCRIPT = Path(__file__).with_suffix(".sh")
# 7.2 loses interrupt flags and disagrees with itself on the size of XSAVE's area.
_QEMU = 10  # the oldest version whose SVM has run a guest
_COMPILERS = ("CC", "HOSTCC", "LLVM", "CLANG")
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # may not be in a user's PATH
# vng's options for the file system, and a cache: guests read the same files through it.
_ROOT = "rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"


def prove_kvm(run: Run) -> int:
    """Build what the host is to run, and the host; boot it and run the script there.

    The exit status is the script's. Raises HarnessError.
    """
    version = qemu_version(run.logs.log("build"))
    major = re.search(r"version (\d+)", version)
    if major and int(major[1]) < _QEMU:
        raise UsageError(
            f"--prove-kvm needs QEMU {_QEMU}; this is {version}",
            hint="install a newer one; Debian 12's backports have it",
        )
    host = run.options
    inside = replace(host, prove_kvm=False)
    built = []
    for options, targets in (
        *((inside, []), (inside, ["bench"])),
        *((replace(inside, faults=True), ["faults"]), (host, ["faults"])),
    ):
        run.options = options
        built.append(run.prepare(options.upto, targets))
    benchmark = built[1].programs.folder / "bench"
    # As here, or the harness in the host would build and test another kernel.
    same = [f"{n}={os.environ[n]}" for n in _COMPILERS if n in os.environ]
    path = f"PATH={os.environ.get('PATH', os.defpath)}:{_SBIN}"
    words = ["env", *same, path, "sh", str(SCRIPT)]
    # With a thread for each CPU, emulated CPUs lose code changes: one CPU.
    run.options = replace(
        *(host,),
        no_kvm=True,
        cpus=1,
        memory="6G",
        append=(*host.append, _ROOT),
        qemu_opts=(*host.qemu_opts, "-cpu", "max"),
        command=(*words, str(run.cache), sys.executable, str(benchmark)),
    )
    return shell(run)
