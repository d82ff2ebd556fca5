"""Run as a process: goes into an unpacked image, gives up every right, and becomes the command.

`unshare --mount --pid --net … enter.py start ROOT VOLUME SETTINGS` makes the root read-only but for the volume and has
a loopback of its own; `nsenter … enter.py join ROOT VOLUME SETTINGS` follows it in. SETTINGS is JSON: argv, env, cwd,
user.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys

NO_NEW_PRIVILEGES = 38
SET_FLAGS = 0x8914
UP_AND_RUNNING = 0x41


def start(root: str, volume: str) -> None:
    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True)

    mount("--bind", root, root)
    mount("--bind", volume, f"{root}/var/lib/detour")
    mount("--rbind", "/dev", f"{root}/dev")
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-o", "remount,bind,ro", root)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP_AND_RUNNING))


def main(how: str, root: str, volume: str, settings: str) -> None:
    if how == "start":
        start(root, volume)
    wanted = json.loads(settings)
    os.chroot(root)
    os.chdir(wanted["cwd"])
    os.setgroups([])
    os.setgid(wanted["user"])
    os.setuid(wanted["user"])
    assert ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    os.environ["PATH"] = wanted["env"]["PATH"]
    os.execvpe(wanted["argv"][0], wanted["argv"], wanted["env"])


if __name__ == "__main__":
    main(*sys.argv[1:])
