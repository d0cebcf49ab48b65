"""Scratch folders, loopback addresses and the unprivileged user that the programs run as."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import tempfile
from pathlib import Path

NOBODY = 65534

_count = itertools.count(1)


def runs_as_root() -> bool:
    return os.geteuid() == 0


def make_scratch() -> Path:
    """A new folder that the unprivileged user can reach; pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="postern-"))
    folder.chmod(0o755)
    return folder


def hand_over(path: Path) -> None:
    """Gives a file or a whole folder to the user that the programs run as."""
    if not runs_as_root():
        return
    for entry in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.chown(entry, NOBODY, NOBODY, follow_symlinks=False)


def reachable_binary(binary: Path, folder: Path) -> Path:
    """The binary where everybody may run it: a clone below /root, say, is closed to `nobody`."""
    if not runs_as_root():
        return binary
    copy = folder / binary.name
    shutil.copy2(binary, copy)
    copy.chmod(0o755)
    return copy


def fresh_address() -> str:
    """A loopback address that no other relay of this run or of a neighbouring one listens on."""
    number = next(_count)
    pid = os.getpid()
    return f"127.{16 + (pid >> 8) % 200}.{pid % 256}.{1 + number % 254}"


_given: set[tuple[str, int]] = set()


def free_port(address: str) -> int:
    """One that nobody listens on, and that was not given before: the kernel may well name one twice."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(100):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
            port = int(probe.getsockname()[1])
        if (address, port) not in _given:
            _given.add((address, port))
            return port
    raise OSError(f"no free port on {address}")
