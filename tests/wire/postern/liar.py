"""An upstream that lies where `postern sink` cannot: on a thread of its own, one lie each."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

from .certificates import Certificate
from .scratch import fresh_address

#: What it can do wrong, each at its place in an otherwise honest session.
LIES = (
    "early-250",           # the answer to the dot before the dot
    "two-replies",         # a second reply to RCPT
    "talks-before-quit",   # an answer nobody asked for, behind the one to the mail
    "endless-greeting",    # 220-... without end
    "endless-ehlo",
    "endless-dot",
    "tls-garbage",         # no TLS behind the 220 to STARTTLS
    "tls-cut",             # ends in the handshake
    "tls-cut-later",       # ends right after it
    "binary-refusal",      # octets that are no text in the refusal of the mail
    "binary-accept",
    "answer-and-close",    # the right answer to the mail, and the end of the connection with it
    "shrinks",             # what it offered before TLS is not offered behind it
)


class Liar:
    def __init__(self, lie: str, certificate: Certificate | None = None) -> None:
        assert lie in LIES
        self.lie = lie
        self._certificate = certificate
        self._listener = socket.create_server((fresh_address(), 0))
        self.where = "{}:{}".format(*self._listener.getsockname())
        self.host = str(self._listener.getsockname()[0])
        self.mails: list[bytes] = []       #: Whose final dot came.
        self.commands: list[bytes] = []    #: Of all sessions, in their order.
        self._lock = threading.Lock()
        self._over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            peer.settimeout(60)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            self._talk(peer)
        with contextlib.suppress(OSError):
            peer.close()

    @staticmethod
    def _lines(peer: socket.socket) -> Iterator[bytes]:
        buffer = b""
        while True:
            while b"\r\n" not in buffer:
                more = peer.recv(65536)
                if not more:
                    return
                buffer += more
            line, _, buffer = buffer.partition(b"\r\n")
            yield line

    def _endless(self, peer: socket.socket, code: bytes) -> None:
        # More than any reader holds, in pieces; the peer ends it.
        for _ in range(100_000):
            peer.sendall((code + b"-and so on and so on\r\n") * 50)
        raise ValueError

    def _offers(self, in_tls: bool) -> bytes:
        words = [b"liar.example", b"ENHANCEDSTATUSCODES"]
        if not (self.lie == "shrinks" and in_tls):
            words += [b"8BITMIME", b"SMTPUTF8", b"DSN", b"PIPELINING", b"SIZE 1000000"]
        if self._certificate and not in_tls:
            words += [b"STARTTLS"]
        return b"".join(b"250-" + word + b"\r\n" for word in words[:-1]) + b"250 " + words[-1] + b"\r\n"

    def _talk(self, peer: socket.socket) -> None:
        lie, in_tls = self.lie, False
        if lie == "endless-greeting":
            self._endless(peer, b"220")
        peer.sendall(b"220 liar.example ESMTP\r\n")
        lines = self._lines(peer)
        while True:
            line = next(lines)
            with self._lock:
                self.commands.append(line)
            verb = line[:4].upper()
            if verb == b"EHLO":
                if lie == "endless-ehlo":
                    self._endless(peer, b"250")
                peer.sendall(self._offers(in_tls))
            elif verb == b"STAR":
                peer.sendall(b"220 2.0.0 go on\r\n")
                if lie == "tls-garbage":
                    peer.sendall(b"this is no TLS\r\n" * 10)
                    return
                if lie == "tls-cut":
                    peer.recv(100)
                    return
                assert self._certificate is not None
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._certificate.certificate, self._certificate.key)
                peer = context.wrap_socket(peer, server_side=True)
                if lie == "tls-cut-later":
                    peer.recv(10)
                    return
                lines, in_tls = self._lines(peer), True
            elif verb == b"RCPT":
                peer.sendall(b"250 2.1.5 ok\r\n" * (2 if lie == "two-replies" else 1))
            elif verb == b"DATA":
                peer.sendall(b"354 go on\r\n" + (b"250 2.0.0 taken\r\n" if lie == "early-250" else b""))
                body = []
                while (one := next(lines)) != b".":
                    body.append(one)
                with self._lock:
                    self.mails.append(b"\r\n".join(body))
                if lie == "endless-dot":
                    self._endless(peer, b"250")
                answers = {"binary-refusal": b"550 5.7.1 no\x00\x07\x1b[31m \xff\xfe caf\xe9\r\n",
                           "binary-accept": b"250 2.0.0 ok\x00\x1b[31m \xff\xfe\r\n",
                           "talks-before-quit": b"250 2.0.0 ok\r\n250 2.0.0 and once more\r\n"}
                peer.sendall(answers.get(lie, b"250 2.0.0 ok\r\n"))
                if lie == "answer-and-close":
                    return
            elif verb == b"QUIT":
                peer.sendall(b"221 2.0.0 bye\r\n")
                return
            else:
                peer.sendall(b"250 2.0.0 ok\r\n")
