"""An upstream in clear text that speaks AUTH SCRAM-SHA-256 and XOAUTH2, and lies where it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socketserver
import threading
from typing import Any

from .scratch import fresh_address
from .settings import Settings, merge
from .smtp import b64

USER = "relay=1"
SECRET = "let me in, pl\u00e9ase"
SALT = b"0123456789abcdef"


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, "sha256").digest()


class LoginUpstream:
    """`lie` is one of: "" signature proof nonce foreign_nonce bomb few missing garbage."""

    def __init__(self, *mechanisms: str, lie: str = "", rounds: int = 4096) -> None:
        self.mechanisms = mechanisms
        self.lie = lie
        self.rounds = rounds
        self.tokens: set[str] = set()
        self.attempts: list[str] = []  # "SCRAM-SHA-256 ok", "XOAUTH2 no", ...
        self.shown: list[str] = []  # tokens
        self.after_json: list[str] = []  # lines that came after the JSON of a refusal
        self.mails: list[str] = []
        upstream = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    upstream._serve(self)
                except (OSError, ValueError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server((fresh_address(), 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def where(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def table(self, **keys: Any) -> Settings:
        """An [[upstream]] that leads here."""
        return merge({"address": self.where, "tls": "none", "username": USER}, keys)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- the server ---

    def _serve(self, peer: socketserver.StreamRequestHandler) -> None:
        def say(text: str) -> None:
            peer.wfile.write(text.encode() + b"\r\n")

        def hear() -> str:
            line = peer.rfile.readline()
            if not line.endswith(b"\r\n"):
                raise OSError("gone")
            return line[:-2].decode()

        say("220 upstream ESMTP")
        logged_in = False
        while True:
            line = hear()
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                say("250-upstream\r\n250-8BITMIME\r\n250-DSN\r\n250 AUTH " + " ".join(self.mechanisms))
            elif verb == "AUTH":
                mechanism, _, initial = line[5:].partition(" ")
                if not initial:
                    say("334 ")
                    initial = hear()
                step = self._scram if mechanism == "SCRAM-SHA-256" else self._xoauth2
                logged_in = step(base64.b64decode(initial).decode(), say, hear)
                self.attempts.append(f"{mechanism} {'ok' if logged_in else 'no'}")
            elif verb == "MAIL" and not logged_in:
                say("530 5.7.0 log in first")
            elif verb == "DATA":
                say("354 go on")
                text = ""
                while (part := hear()) != ".":
                    text += part + "\n"
                self.mails.append(text)
                say("250 2.0.0 taken")
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 ok")

    def _scram(self, first: str, say: Any, hear: Any) -> bool:
        assert first.startswith("n,,"), first
        bare = first[3:]
        fields = dict(part.split("=", 1) for part in bare.split(","))
        nonce = fields["r"] + "servers-part"
        if self.lie == "nonce":
            nonce = fields["r"]
        elif self.lie == "foreign_nonce":
            nonce = "somebody-elses-nonce-and-more"
        rounds = {"bomb": 2_000_000_000, "few": 1}.get(self.lie, self.rounds)
        server_first = f"r={nonce},s={b64(SALT)},i={rounds}"
        if self.lie == "missing":
            server_first = f"r={nonce},i={rounds}"
        elif self.lie == "garbage":
            server_first = "\x01\x02 and so on"
        say("334 " + b64(server_first))
        final = base64.b64decode(hear()).decode()
        without, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", SECRET.encode(), SALT, self.rounds)
        client_key = _mac(salted, b"Client Key")
        signed = f"{bare},{server_first},{without}".encode()
        right = bytes(a ^ b for a, b in zip(client_key, _mac(hashlib.sha256(client_key).digest(), signed)))
        if not self.lie and (b64(right) != proof or fields["n"] != USER.replace("=", "=3D")):
            say("535 5.7.8 no")
            return False
        if self.lie == "proof":  # lets everybody in, and shows nothing for it
            say("235 2.7.0 welcome")
            return True
        key = b"not the password's" if self.lie == "signature" else _mac(salted, b"Server Key")
        say("334 " + b64("v=" + b64(_mac(key, signed))))
        if hear() != "":
            say("501 5.5.2 what")
            return False
        say("235 2.7.0 welcome")
        return True

    def _xoauth2(self, message: str, say: Any, hear: Any) -> bool:
        user, bearer, *rest = message.split("\1")
        assert user == "user=" + USER and bearer.startswith("auth=Bearer ") and rest == ["", ""], message
        token = bearer.removeprefix("auth=Bearer ")
        self.shown.append(token)
        if token in self.tokens:
            say("235 2.7.0 welcome")
            return True
        say("334 " + b64(json.dumps({"status": "401", "schemes": "bearer"})))
        self.after_json.append(hear())
        say("535 5.7.8 token refused")
        return False
