"""The client side of SCRAM with its -PLUS (RFC 5802, 7677, 9266), to be led astray by tests."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import hmac
import secrets
import ssl

from .smtp import Client, Reply, b64


def tls_exporter(sock: ssl.SSLSocket) -> bytes:
    """The channel binding `tls-exporter` of a connection; Python's ssl does not offer it, OpenSSL does.

    In CPython the SSL pointer stands second in the object behind the socket, after its head.
    """
    inner = sock._sslobj  # type: ignore[attr-defined]
    pointer = ctypes.c_void_p.from_address(id(inner) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p))
    library = ctypes.CDLL("libssl.so.3")
    out = ctypes.create_string_buffer(32)
    label = b"EXPORTER-Channel-Binding"
    done = library.SSL_export_keying_material(
        pointer, out, ctypes.c_size_t(32), label, ctypes.c_size_t(len(label)), b"", ctypes.c_size_t(0), 1)
    assert done == 1, "no exporter"
    return out.raw


def server_end_point(sock: ssl.SSLSocket) -> bytes:
    """The channel binding `tls-server-end-point` for certificates signed with SHA-256."""
    certificate = sock.getpeercert(binary_form=True)
    assert certificate is not None
    return hashlib.sha256(certificate).digest()


def tls_unique(sock: ssl.SSLSocket) -> bytes:
    """The channel binding `tls-unique`; Python gives it of full and of resumed sessions."""
    binding = sock.get_channel_binding("tls-unique")
    assert binding
    return binding


class Scram:
    """One exchange. `flag` is the GS2 flag: `n`, `y` or `p=NAME`; `binding` the channel's data; `hash_name`
    the mechanism's hash as hashlib calls it."""

    def __init__(self, user: str, password: str, *, flag: str = "n", binding: bytes = b"",
                 authorize: str = "", hash_name: str = "sha256") -> None:
        self._hash = hash_name
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._password = password.encode()
        self._header = f"{flag},{'a=' + authorize if authorize else ''},"
        self._binding = binding if flag.startswith("p=") else b""
        self._nonce = secrets.token_hex(12)
        self._bare = f"n={name},r={self._nonce}"
        self._signature = b""

    def _hmac(self, key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, self._hash).digest()

    def first(self) -> str:
        return self._header + self._bare

    def final(self, server_first: str) -> str:
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(self._nonce) and fields["r"] != self._nonce
        salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, salt, rounds)
        client_key = self._hmac(salted, b"Client Key")
        channel = b64(self._header.encode() + self._binding)
        without = f"c={channel},r={fields['r']}"
        signed = f"{self._bare},{server_first},{without}".encode()
        proof = bytes(a ^ b for a, b in zip(
            client_key, self._hmac(hashlib.new(self._hash, client_key).digest(), signed)))
        self._signature = self._hmac(self._hmac(salted, b"Server Key"), signed)
        return f"{without},p={b64(proof)}"

    def server_is_right(self, server_final: str) -> bool:
        return server_final == "v=" + b64(self._signature)


def login(client: Client, user: str, password: str, *, mechanism: str = "SCRAM-SHA-256",
          flag: str | None = None, binding: bytes | None = None, initial: bool = True) -> Reply:
    """The whole exchange, up to its last reply. With -PLUS the binding is `tls-exporter` unless given."""
    if flag is None:
        flag = "p=tls-exporter" if mechanism.endswith("-PLUS") else "n"
    if binding is None:
        binding = tls_exporter(client.sock) if flag == "p=tls-exporter" else b""
    hash_name = "sha1" if "SHA-1" in mechanism else "sha256"
    exchange = Scram(user, password, flag=flag, binding=binding, hash_name=hash_name)
    if initial:
        reply = client.ask(f"AUTH {mechanism} {b64(exchange.first())}")
    else:
        reply = client.ask(f"AUTH {mechanism}")
        if reply.code == 334:
            reply = client.ask(b64(exchange.first()))
    if reply.code != 334:
        return reply
    reply = client.ask(b64(exchange.final(base64.b64decode(reply.lines[0]).decode())))
    if reply.code != 334:
        return reply
    verdict = base64.b64decode(reply.lines[0]).decode()
    if not exchange.server_is_right(verdict):
        return client.ask("*")
    return client.ask("")
