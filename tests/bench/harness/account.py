"""CPU and memory of a server: all of its processes, those that have ended too."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup/cpuacct")
TICK = os.sysconf("SC_CLK_TCK")


class Account:
    """What one server uses. Its processes are put in by `enter`, run in each before it becomes the server.

    By a control group of its own where there are such (exact to the nanosecond), else by summing /proc over the
    server's tree (exact to a tick a process)."""

    def __init__(self, name: str) -> None:
        self.root = os.getpid()
        self._group: Path | None = ROOT / f"postern-bench-{os.getpid()}-{name}"
        try:
            self._group.mkdir()
        except OSError:
            self._group = None

    def enter(self) -> None:
        if self._group is not None:
            (self._group / "cgroup.procs").write_text("0")

    def cpu_seconds(self) -> float:
        if self._group is not None:
            return int((self._group / "cpuacct.usage").read_text()) / 1e9
        return sum(self._ticks(pid) for pid in self.processes()) / TICK

    def processes(self) -> list[int]:
        if self._group is not None:
            return [int(line) for line in (self._group / "cgroup.procs").read_text().split()]
        return _tree(self.root)

    def resident(self) -> int:
        """Octets of resident memory; pages that processes share are divided among them."""
        return sum(_field(pid, "smaps_rollup", "Pss") for pid in self.processes())

    def close(self) -> None:
        if self._group is None:
            return
        for _ in range(100):
            try:
                self._group.rmdir()
                return
            except OSError:
                time.sleep(0.05)

    @staticmethod
    def _ticks(pid: int) -> int:
        """Its own time and that of its children that it has waited for."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return 0
        return sum(int(field) for field in text[text.rindex(")") + 2 :].split()[11:15])


def rss(pid: int) -> int:
    """Octets of resident memory of one process."""
    return _field(pid, "status", "VmRSS")


def _field(pid: int, file: str, name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.M)
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0


def _tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(text[text.rindex(")") + 2 :].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found
