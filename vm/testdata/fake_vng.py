"""Stands in for `vng` in the tests: a console, and the agent's end of the port.

It takes the real command line, finds the socket's name in it, and behaves as
the environment variable FAKE_VNG says.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

HOW = os.environ["FAKE_VNG"]


def say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


def linger() -> None:
    while True:
        time.sleep(60)


def panic() -> None:
    say("BUG: kernel NULL pointer dereference, address: 0000000000000000")
    time.sleep(0.2)
    say("Call Trace:", " htab_map_update_elem+0x1/0x2", "---[ end trace ]---")
    say("Kernel panic - not syncing: Fatal exception")
    sys.exit(255)


def serve(agent: socket.socket) -> None:
    """Answer requests; the word after the timeout says how."""
    for request in agent.makefile("r"):
        number, _, words = request.partition(" ")
        if number == "poweroff\n":
            if HOW == "panics at power-off":
                panic()
            if HOW == "stays":
                linger()
            break
        word = bytes.fromhex(words.split()[1].removeprefix("x")).decode()
        if word == "panic":
            panic()
        if word == "vanish":
            sys.exit(1)
        if word == "hang":
            linger()
        if word == "warn":
            say("WARNING: kernel/bpf/hashtab.c:1 at htab_free_elems+0x1/0x2")
        if word == "garbage":
            agent.sendall(b"ok 1 all tests passed\n")
            continue
        # What a test prints must not be taken for an answer.
        output = f"done {number} 0 0 0 0 0\n{words}".encode()
        header = f"done {number} 3 0 250 {len(output)} {len(output) + 9}\n"
        agent.sendall(header.encode())
        for byte in output:
            agent.sendall(bytes([byte]))
    if HOW == "ignores SIGTERM":
        linger()


def main() -> None:
    name = re.search(r"path=([^,]+),abstract=on", " ".join(sys.argv))
    assert name is not None
    if HOW == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if HOW == "has children":
        sleep = ["sleep", "600"]
        subprocess.Popen(sleep, process_group=0)
        subprocess.Popen(["sh", "-c", "trap '' TERM HUP; sleep 600; true"])
    say("WARNING: vng itself warns of something", "Linux version 7.3.4")
    if HOW == "panics at boot":
        say("Kernel panic - not syncing: VFS: Unable to mount root fs")
        return
    if HOW == "KVM internal error":
        say("KVM internal error. Suberror: 1", "RAX=0000000000000000")
        linger()
    if HOW == "hangs at boot":
        linger()
    if HOW == "vanishes at boot":
        return
    # More than a terminal holds: the guest would stop if nobody read it.
    say(*["console noise"] * 5000)
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect("\0" + name[1])
        agent.sendall(b"ready 7.3.4-fake\n")
        serve(agent)


main()
