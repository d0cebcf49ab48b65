"""A token server (RFC 6749 6) on loopback: gives access tokens for refresh tokens, and can be told not to."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .certificates import make_certificate
from .scratch import fresh_address

REFRESH = "1//refresh-token-that-was-configured"
CLIENT_SECRET = "client+secret&of=ours"


class TokenServer:
    """Answers by `make`, which is handed the number of the answer; `forms` is what it was asked with.

    With a folder it speaks HTTPS, by a certificate made there; `env` makes a relay believe it.
    """

    def __init__(self, make: Callable[[int], str] = lambda n: f"access-{n}", folder: Path | None = None) -> None:
        self.make = make
        self.status = 200
        self.refusal: dict[str, Any] = {}
        self.good = {REFRESH}
        self.rotates = False
        self.life: Any = 3600
        self.delay = 0.0
        self.forms: list[dict[str, str]] = []
        self.given: list[str] = []
        self._lock = threading.Lock()
        host = fresh_address()
        self.env: dict[str, str] = {}
        self._context: ssl.SSLContext | None = None
        if folder is not None:
            made = make_certificate(folder, f"tokens-{host}", addresses=(host,))
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(made.certificate, made.key)
            self.env = {"SSL_CERT_FILE": str(made.certificate)}
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                kind = self.headers["Content-Type"]
                assert kind == "application/x-www-form-urlencoded", kind
                time.sleep(server.delay)
                status, answer = server.answer(dict(urllib.parse.parse_qsl(body, strict_parsing=True)))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                sock, peer = super().get_request()
                if server._context is None:
                    return sock, peer
                # The handshake is done by the first read, in the request's own thread.
                return server._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), peer

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server((host, 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{'https' if self._context else 'http'}://{host!s}:{port}/token?v=1"

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.forms.append(form)
            if self.status != 200:
                return self.status, self.refusal
            if form["refresh_token"] not in self.good:
                return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
            token = self.make(len(self.given) + 1)
            self.given.append(token)
            answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.life}
            if self.rotates:
                fresh = f"1//refresh-{len(self.given)}"
                self.good = {fresh}
                answer["refresh_token"] = fresh
            return 200, answer

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
