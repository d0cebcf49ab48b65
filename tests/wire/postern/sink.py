"""`postern sink` as an upstream that can be told to misbehave, and the mails that reached it."""

from __future__ import annotations

import email
import email.message
import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .certificates import Certificate
from .program import Program
from .scratch import free_port, hand_over
from .waiting import wait_for


@dataclass(frozen=True)
class Mail:
    raw: bytes
    facts: dict[str, Any]

    @property
    def message(self) -> email.message.Message:
        return email.message_from_bytes(self.raw)

    @property
    def sender(self) -> str:
        return str(self.facts["mail_from"])

    @property
    def recipients(self) -> list[str]:
        return [each if isinstance(each, str) else each["rcpt"] for each in self.facts["rcpts"]]


class Sink:
    def __init__(self, binary: Path, folder: Path, address: str, *,
                 tls: Certificate | None = None, name: str = "sink") -> None:
        self.address = (address, free_port(address))
        self._binary = binary
        self._folder = folder
        self._name = name
        self.options: list[str] = []
        if tls is not None:
            self.use_tls(tls)
        self._program: Program | None = None
        self.mail_folder = folder / f"{name}.mails"
        self.mail_folder.mkdir()
        hand_over(self.mail_folder)

    def use_tls(self, certificate: Certificate, *, implicit: bool = False, require_auth: bool = False) -> None:
        """From the next start on: STARTTLS, or TLS from the first octet; MAIL only after AUTH."""
        self.options = ["--tls", f"{certificate.certificate},{certificate.key}"]
        self.options += ["--implicit-tls"] if implicit else []
        self.options += ["--require-auth"] if require_auth else []

    @property
    def where(self) -> str:
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self, *faults: str) -> Sink:
        """Starts it, with faults as `postern sink --fault` takes them; the address stays the same."""
        argv = [str(self._binary), "sink", "--listen", self.where, "--dir", str(self.mail_folder), *self.options]
        for fault in faults:
            argv += ["--fault", fault]
        program = Program(self._name, argv, self._folder)
        program.start()
        self._program = program

        def listening() -> bool:
            assert program.running, program.tail()
            with socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET) as probe:
                return probe.connect_ex(self.address) == 0

        wait_for("the sink listens", listening)
        return self

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program.assert_clean()
            self._program = None

    def signal(self, number: int) -> None:
        assert self._program is not None
        self._program.signal(number)

    def kill(self) -> None:
        if self._program is not None:
            self._program.kill()

    def restart(self, *faults: str) -> Sink:
        self.stop()
        return self.start(*faults)

    def mails(self) -> list[Mail]:
        """All mails that arrived so far, oldest first. The .json is written after the .eml."""
        numbered = sorted(self.mail_folder.glob("*.json"), key=lambda path: int(path.stem))
        return [Mail(path.with_suffix(".eml").read_bytes(), json.loads(path.read_text()))
                for path in numbered]

    def wait_for_mails(self, count: int, seconds: float = 10.0) -> list[Mail]:
        def enough() -> list[Mail] | None:
            found = self.mails()
            return found if len(found) >= count else None

        return wait_for(f"{count} mails at {self._name}", enough, seconds)

    def forget(self) -> None:
        """Removes what arrived; the sink must be stopped."""
        shutil.rmtree(self.mail_folder)
        self.mail_folder.mkdir()
        hand_over(self.mail_folder)
