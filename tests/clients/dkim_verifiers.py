"""Verifiers of DKIM that others wrote, beside dkimpy: OpenDKIM and rspamd, from scratch configurations.

Neither is installed (both would run as services); deploy/install-deps unpacks them into build/verifiers.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from postern.program import Program, environment
from postern.scratch import free_port, fresh_address
from postern.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build" / "verifiers" / "usr"


@dataclass
class Verdict:
    """Selectors of a message's signatures."""

    good: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    said: str = ""


def unpacked(where: str) -> Path:
    path = UNPACKED / where
    if not path.exists():
        pytest.skip(f"{path.name} is not unpacked: deploy/install-deps --test")
    return path


class TxtServer:
    """A name server on loopback that knows some TXT records and nothing else."""

    def __init__(self, records: dict[str, str]) -> None:
        self._records = {name.lower().rstrip("."): value.encode() for name, value in records.items()}
        self.host = fresh_address()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.host, 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        # A datagram without a question wakes the thread and ends it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (self.host, self.port))
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            if not query:
                return
            try:
                self._socket.sendto(self._answer(query), peer)
            except (IndexError, UnicodeDecodeError, struct.error):
                continue

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii"))
            at += 1 + query[at]
        [kind] = struct.unpack("!H", query[at + 1:at + 3])
        value = self._records.get(".".join(labels).lower()) if kind == 16 else None
        question = query[12:at + 5]
        if value is None:
            return query[:2] + struct.pack("!5H", 0x8583, 1, 0, 0, 0) + question
        strings = b"".join(bytes([len(value[n:n + 255])]) + value[n:n + 255] for n in range(0, len(value), 255))
        answer = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(strings)) + strings
        return query[:2] + struct.pack("!5H", 0x8580, 1, 1, 0, 0) + question + answer


class OpenDkim:
    """`opendkim -t`: the filter itself, fed with one file."""

    def __init__(self, folder: Path, records: dict[str, str]) -> None:
        found = shutil.which("opendkim", path=f"{UNPACKED}/sbin:/usr/sbin")
        if found is None:
            pytest.skip("OpenDKIM is not unpacked: deploy/install-deps --test")
        self._program = found
        self._folder = folder / "opendkim"
        self._folder.mkdir(mode=0o700)
        keys = self._folder / "keys"
        keys.write_text("".join(f"{name.rstrip('.')} {value}\n" for name, value in records.items()))
        self._config = self._folder / "opendkim.conf"
        self._config.write_text(f"Mode v\nSyslog no\nLogWhy yes\nBackground no\nTestPublicKeys {keys}\n"
                                f"TemporaryDirectory {self._folder}\nAlwaysAddARHeader yes\nAuthservID tests\n")

    def verify(self, raw: bytes) -> Verdict:
        path = self._folder / "message.eml"
        path.write_bytes(raw)
        done = subprocess.run([self._program, "-x", str(self._config), "-vv", "-t", str(path)], capture_output=True,
                              timeout=60, env=environment())
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        verdict = Verdict(said=said)
        for result in re.finditer(r"dkim=(\w+)((?:(?!dkim=)[^'])*)", said):
            selector = re.search(r"header\.s=(\S+?)[;\s]", result.group(2))
            if selector is not None:
                (verdict.good if result.group(1) == "pass" else verdict.bad).add(selector.group(1))
        return verdict


class Rspamd:
    """Its normal worker with the DKIM module alone; asks our name server."""

    def __init__(self, folder: Path, records: dict[str, str]) -> None:
        program, share, libraries = unpacked("bin/rspamd"), unpacked("share/rspamd"), unpacked("lib/rspamd")
        self._names = TxtServer(records)
        own = folder / "rspamd"
        own.mkdir(mode=0o700)
        host = fresh_address()
        self._address = (host, free_port(host))
        # Reading the whole list of top-level domains takes half a minute; it is of no use here.
        (own / "tld").write_text("net\norg\n")
        (own / "rspamd.conf").write_text(f"""
options {{
  tempdir = "{own}"; pidfile = "{own}/pid"; hs_cache_dir = "{own}"; url_tld = "{own}/tld"; filters = "dkim";
  control_socket = "{own}/control mode=0600"; local_addrs = []; max_message = 100M;
  dns {{ nameserver = ["{self._names.host}:{self._names.port}:1"]; timeout = 5s; retransmits = 3; sockets = 4; }}
}}
logging {{ type = "console"; level = "info"; }}
dkim {{ trusted_only = false; skip_multi = false; max_sigs = 10; }}
worker "normal" {{ bind_socket = "{self._address[0]}:{self._address[1]}"; count = 1; }}
actions {{ reject = 1000; }}
""")
        folders = {"DBDIR": own, "RUNDIR": own, "LOGDIR": own, "CONFDIR": own, "LOCAL_CONFDIR": own, "SHAREDIR": share,
                   "LUALIBDIR": share / "lualib", "PLUGINSDIR": share / "plugins", "RULESDIR": share / "rules"}
        self._program = Program(
            "rspamd", [str(program), "-f", "-i", "-c", str(own / "rspamd.conf"),
                       *(f"--var={name}={path}" for name, path in folders.items())], folder, as_root=True,
            env={"LD_LIBRARY_PATH": str(libraries), "SHAREDIR": str(share), "LUALIBDIR": str(share / "lualib")})
        self._program.start()
        try:
            wait_for("rspamd answers", self._answers, 60)
        except AssertionError:
            self.stop()
            raise

    def stop(self) -> None:
        self._program.stop()
        self._names.stop()

    def verify(self, raw: bytes) -> Verdict:
        status, body = self._ask("POST", "/checkv2", raw)
        said = body.decode("utf-8", "replace")
        assert status == 200, f"{status} {said}\n{self._program.tail()}"
        verdict = Verdict(said=said)
        for name, symbol in json.loads(said).get("symbols", {}).items():
            if not name.startswith("R_DKIM_"):
                continue
            selectors = {option.partition(":s=")[2] for option in symbol.get("options", [])} - {""}
            (verdict.good if name == "R_DKIM_ALLOW" else verdict.bad).update(selectors or {name})
        return verdict

    def _ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _answers(self) -> bool:
        assert self._program.running, self._program.tail()
        try:
            return self._ask("GET", "/ping")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def how_many(usual: int) -> int:
    """Messages to be sent: POSTERN_DKIM_MESSAGES, for a campaign."""
    return int(os.environ.get("POSTERN_DKIM_MESSAGES", str(usual)))
