"""A raw SMTP client: sends the bytes it is told to and reads replies; it knows no rules."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from .waiting import PATIENCE

Address = tuple[str, int]


@dataclass(frozen=True)
class Reply:
    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    @property
    def enhanced(self) -> str | None:
        match = re.match(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)", self.lines[-1])
        return match.group(1) if match else None

    @property
    def ref(self) -> str | None:
        """The reference in square brackets at a refusal's end, or after `queued as`."""
        match = re.search(r"(?:\[|queued as )([0-9A-HJKMNP-TV-Z]{26})\]?", self.text)
        return match.group(1) if match else None

    @property
    def heading(self) -> str:
        """`250 2.1.0`, or the bare code where there is no enhanced one."""
        return f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)

    def __str__(self) -> str:
        return f"{self.code} {' / '.join(self.lines)}"


class Closed(Exception):
    """The peer ended the connection where a reply was expected."""


def trusting_nothing(minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
                     maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client context that checks no certificate: the tests of certificates bring their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = minimum
    context.maximum_version = maximum
    return context


class Client:
    """One connection. With `tls` it begins with a handshake (465); `preamble` is sent before all else."""

    def __init__(self, address: Address, *, tls: bool = False, context: ssl.SSLContext | None = None,
                 name: str = "relay.example.net", source: str | None = None,
                 preamble: bytes = b"", timeout: float = 15.0) -> None:
        self.sock: Any = socket.create_connection(
            address, timeout * PATIENCE, source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._context = context or trusting_nothing()
        self._name = name
        self._buffer = b""
        if preamble:
            self.sock.sendall(preamble)
        if tls:
            self.handshake()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Ends the connection as a crash would: RST, nothing is delivered any more."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def handshake(self) -> None:
        assert self._buffer == b"", f"bytes before the handshake: {self._buffer!r}"
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pieces(self, data: bytes, size: int) -> None:
        """The same bytes in pieces of `size`, each a write of its own."""
        for start in range(0, len(data), size):
            self.sock.sendall(data[start:start + size])

    def read_line(self) -> str:
        while b"\n" not in self._buffer:
            try:
                more = self.sock.recv(65536)
            except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                raise Closed(str(error)) from None
            if not more:
                raise Closed(f"closed after {self._buffer!r}")
            self._buffer += more
        line, self._buffer = self._buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), f"a line of the server without CR: {line!r}"
        return line[:-1].decode("utf-8")

    def reply(self) -> Reply:
        lines: list[str] = []
        code = ""
        while True:
            line = self.read_line()
            assert re.match(r"[2-5]\d\d[ -]", line), f"not a reply: {line!r}"
            assert code in ("", line[:3]), f"codes differ within a reply: {line!r}"
            code = line[:3]
            lines.append(line[4:])
            if line[3] == " ":
                return Reply(int(code), tuple(lines))

    def ask(self, command: str) -> Reply:
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def closed(self, seconds: float = 5.0) -> bool:
        """Whether the server ends the connection within so long, having said nothing more."""
        self.sock.settimeout(seconds * PATIENCE)
        try:
            return self._buffer == b"" and bool(self.sock.recv(1) == b"")
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            return True

    def ehlo(self, name: str = "client.example.net") -> dict[str, str]:
        """The extensions: keyword in upper case to its parameters."""
        reply = self.ask(f"EHLO {name}")
        assert reply.code == 250, reply
        split = (line.partition(" ") for line in reply.lines[1:])
        return {word.upper(): rest for word, _, rest in split}

    def starttls(self) -> None:
        reply = self.ask("STARTTLS")
        assert reply.code == 220, reply
        self.handshake()

    def auth_external(self, authorize: str = "") -> Reply:
        return self.ask(f"AUTH EXTERNAL {b64(authorize) or '='}")

    def auth_plain(self, user: str, password: str, authorize: str = "") -> Reply:
        return self.ask("AUTH PLAIN " + b64(f"{authorize}\0{user}\0{password}"))

    def mail(self, sender: str, *recipients: str) -> list[Reply]:
        return [self.ask(f"MAIL FROM:<{sender}>"), *(self.ask(f"RCPT TO:<{each}>") for each in recipients)]

    def data(self, message: bytes) -> Reply:
        """DATA and the message, dot-stuffed here, with its end; the reply to the end."""
        reply = self.ask("DATA")
        assert reply.code == 354, reply
        self.send(stuff(message))
        return self.reply()

    def submit(self, sender: str, recipients: list[str], message: bytes) -> Reply:
        for reply in self.mail(sender, *recipients):
            assert reply.code == 250, reply
        return self.data(message)


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def stuff(message: bytes) -> bytes:
    body = re.sub(rb"(?m)^\.", b"..", message)
    return body + (b"" if body.endswith(b"\r\n") or not body else b"\r\n") + b".\r\n"


def a_message(sender: str = "ann@example.net", subject: str = "Hello", body: str = "Hello.\r\n",
              **headers: str) -> bytes:
    """A plain message with CRLF line ends; headers by keyword, underscores for hyphens."""
    lines = [f"From: Ann <{sender}>", "To: bob@example.org", f"Subject: {subject}",
             "Date: Mon, 02 Mar 2026 09:15:00 +0000", "Message-ID: <1@client.example.net>"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
