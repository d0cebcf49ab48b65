"""HTTP to a relay: over its admin socket or an admin port, and the metrics read from it."""

from __future__ import annotations

import http.client
import re
import socket
from dataclasses import dataclass
from pathlib import Path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


def http_get(where: Path | tuple[str, int], target: str, *, method: str = "GET",
             body: str | None = None, headers: dict[str, str] | None = None,
             timeout: float = 10.0) -> Answer:
    """One request; `where` is a Unix socket's path or (address, port)."""
    connection: http.client.HTTPConnection
    if isinstance(where, Path):
        connection = _UnixConnection(where, timeout)
    else:
        connection = http.client.HTTPConnection(where[0], where[1], timeout=timeout)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
    finally:
        connection.close()


_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples: list[tuple[str, dict[str, str], float]] = []
        for line in text.splitlines():
            match = _SAMPLE.match(line)
            if match:
                labels = dict(_LABEL.findall(match.group(2) or ""))
                self._samples.append((match.group(1), labels, float(match.group(3))))

    def names(self) -> set[str]:
        return {name for name, _, _ in self._samples}

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of `name` that carry these labels; 0 where there is none."""
        return sum(value for sample, have, value in self._samples
                   if sample == name and all(have.get(k) == v for k, v in labels.items()))
