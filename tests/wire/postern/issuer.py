"""An issuer of tokens: keys, tokens, and its key set over HTTPS, which can be told to misbehave."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .certificates import make_certificate
from .scratch import fresh_address

ISSUER = "https://issuer.example/"
AUDIENCE = "smtp"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _number(value: int, size: int | None = None) -> str:
    return b64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    """One signing key: "RS256" or "ES256"."""

    def __init__(self, kid: str, algorithm: str = "ES256") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self._rsa = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else None
        self._ec = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else None

    def jwk(self) -> dict[str, str]:
        common = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if self._rsa is not None:
            numbers = self._rsa.public_key().public_numbers()
            return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e), **common}
        assert self._ec is not None
        point = self._ec.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32), **common}

    def _sign(self, text: bytes) -> bytes:
        if self._rsa is not None:
            return self._rsa.sign(text, padding.PKCS1v15(), hashes.SHA256())
        assert self._ec is not None
        r, s = decode_dss_signature(self._ec.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def token(self, account: str, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Good for an hour unless `claims` say otherwise; a claim of None is left out."""
        now = int(time.time())
        payload = {"iss": ISSUER, "aud": AUDIENCE, "email": account, "iat": now, "exp": now + 3600, **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        head = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **(header or {})}
        text = ".".join(b64url(json.dumps(each).encode()) for each in (head, payload))
        return f"{text}.{b64url(self._sign(text.encode()))}"


def key_set(*keys: Key) -> str:
    return json.dumps({"keys": [key.jwk() for key in keys]})


class Issuer:
    """Serves `body` at `url` by HTTPS; `requests` counts who asked. `ca` is for SSL_CERT_FILE."""

    def __init__(self, folder: Path, *keys: Key) -> None:
        self.body = key_set(*keys).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.cut_at: int | None = None
        self.framing = "length"  # chunked; close (with close_notify), torn (without)
        self.requests: list[str] = []
        self.host = fresh_address()
        made = make_certificate(folder, f"issuer-{self.host}", addresses=(self.host,))
        self.ca = made.certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.key)
        self._context = context
        self._server: http.server.ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self._port}/keys?v=1"

    @property
    def env(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.ca)}

    def start(self) -> None:
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                time.sleep(issuer.delay)
                body = issuer.body
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.send_header("Connection", "close")
                if issuer.framing == "length":
                    self.send_header("Content-Length", str(len(body)))
                elif issuer.framing == "chunked":
                    self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                if issuer.framing == "chunked":
                    for start in range(0, len(body), 100):
                        piece = body[start:start + 100]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    self.wfile.write(body if issuer.cut_at is None else body[:issuer.cut_at])
                if issuer.framing == "close":
                    self.connection.unwrap()

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def get_request(self) -> Any:
                sock, peer = super().get_request()
                # The handshake is done by the first read, in the request's own thread.
                return issuer._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), peer

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server((self.host, self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
