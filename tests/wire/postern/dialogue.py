"""Plays a dialogue file (tests/dialogues/README.md) against a live relay."""

from __future__ import annotations

import re
from pathlib import Path

from .relay import Relay
from .smtp import Client

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")
_SIMPLE = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\", "0": "\0"}


def is_for_machines(path: Path) -> bool:
    return re.search(r"^@ machine\b", path.read_text("utf-8"), re.M) is not None


def unescape(text: str) -> bytes:
    """The octets of a `C<` line; what is not escaped is UTF-8."""
    out = b""
    at = 0
    for match in _ESCAPE.finditer(text):
        out += text[at:match.start()].encode()
        word = match.group(1)
        out += bytes([int(word[1:], 16)]) if word[0] == "x" and len(word) == 3 else _SIMPLE[word].encode()
        at = match.end()
    return out + text[at:].encode()


def matches(pattern: str, line: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), line, re.S) is not None


def play(relay: Relay, path: Path) -> None:
    """Fails with the line of the file where the relay says something else."""
    lines = path.read_text("utf-8").splitlines()
    implicit = "@ port tls" in lines
    with Client(relay.submissions if implicit else relay.submission, tls=implicit) as client:
        pending = b""
        for number, line in enumerate(lines, 1):
            where = f"{path.name}:{number}: {line}"
            if line.startswith("C:"):
                pending += line[2:].removeprefix(" ").encode() + b"\r\n"
                continue
            if line.startswith("C< "):
                pending += unescape(line[3:])
                continue
            if not line.startswith(("S", "@")):
                assert line == "" or line.startswith("#"), f"{where}: not a line of a dialogue"
                continue
            if pending:
                client.send(pending)
                pending = b""
            if line == "S!":
                assert client.closed(), f"{where}: still open, or more was said"
            elif line.startswith("S: "):
                said = client.read_line()
                assert matches(line[3:], said), f"{where}: the relay said {said!r}"
            elif line == "@ tls":
                client.handshake()
