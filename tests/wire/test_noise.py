"""Bytes that are no SMTP, lines without end, clients without haste: each ends alone and others go on."""

from __future__ import annotations

import random
import socket

import pytest

from postern.relay import Relay
from postern.sink import Sink
from postern.smtp import Client

Pair = tuple[Relay, Sink]


def drain(sock: socket.socket) -> bytes:
    """All that the peer says until it closes; fails when it does not."""
    sock.settimeout(20)
    said = b""
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionError:
            return said
        if not more:
            return said
        said += more
        assert len(said) < 1_000_000


@pytest.fixture(autouse=True)
def others_go_on(shared: Pair) -> object:
    with shared[0].logged_in() as bystander:
        yield
        assert bystander.ask("NOOP").code == 250
    assert shared[0].program.running
    return None


@pytest.mark.parametrize("request_line", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /x HTTP/1.0\r\n\r\n", b"HEAD / HTTP/1.1\r\n\r\n",
    b"CONNECT a:25 HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n", b"PUT /x HTTP/1.1\r\n\r\n",
])
def test_http_is_shown_the_door(shared: Pair, request_line: bytes) -> None:
    with socket.create_connection(shared[0].submission, 10) as sock:
        sock.recv(1000)
        sock.sendall(request_line + b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
        said = drain(sock)
    assert said == b"" or said[:3] in (b"421", b"554")
    assert said.count(b"\r\n") <= 1


def test_http_within_tls(shared: Pair) -> None:
    with Client(shared[0].submissions, tls=True) as client:
        client.reply()
        client.send(b"POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 20\r\n\r\nMAIL FROM:<a@b>\r\n")
        assert client.reply().code in (421, 554)
        assert client.closed()


@pytest.mark.parametrize("seed", range(5))
def test_binary_noise(shared: Pair, seed: int) -> None:
    noise = random.Random(seed).randbytes(20_000)
    with socket.create_connection(shared[0].submission, 10) as sock:
        sock.recv(1000)
        try:
            sock.sendall(noise)
            sock.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass
        said = drain(sock)
    assert all(line[:1] in (b"4", b"5") for line in said.split(b"\r\n") if line)


def test_tls_where_none_is_expected(shared: Pair) -> None:
    with socket.create_connection(shared[0].submission, 10) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 505)
        sock.shutdown(socket.SHUT_WR)
        said = drain(sock)
    assert b"250" not in said


def test_a_command_line_of_70_kilobytes(shared: Pair) -> None:
    with shared[0].plain() as client:
        client.send(b"EHLO " + b"a" * 70_000 + b"\r\n")
        assert client.reply().heading == "500 5.5.2"
        assert client.ask("NOOP").code == 250


def test_a_line_without_end(shared: Pair) -> None:
    """It is passed over for 1 MiB, then the connection ends."""
    with socket.create_connection(shared[0].submission, 10) as sock:
        sock.settimeout(30)
        sock.recv(1000)
        sock.sendall(b"A" * 1_100_000)
        assert drain(sock) == b"500 5.5.2 line without end\r\n"


def test_thousands_of_pipelined_commands_without_reading(shared: Pair) -> None:
    """Replies that nobody reads fill no memory: the relay stops reading instead."""
    with socket.create_connection(shared[0].submission, 10) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(1)
        sent = 0
        try:
            while sent < 40_000_000:
                sent += sock.send(b"HELP\r\n" * 5000)
        except (TimeoutError, ConnectionError):
            pass
        assert sent < 40_000_000


def test_a_tiny_window(shared: Pair) -> None:
    """Small socket buffers on the client's side change nothing but the pace."""
    relay = shared[0]
    with relay.logged_in() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.send(b"NOOP\r\n" * 2000)
        assert all(client.reply().code == 250 for _ in range(2000))


def test_a_reset_at_every_stage(shared: Pair) -> None:
    relay = shared[0]
    script = [b"EHLO x\r\n", b"MAIL FROM:<ann@example.net>\r\n", b"RCPT TO:<bob@example.org>\r\n", b"DATA\r\n",
              b"From: ann@example.net\r\n\r\nhalf a mess"]
    for length in range(len(script) + 1):
        client = relay.logged_in()
        for line in script[:length]:
            client.send(line)
        client.reset()


@pytest.mark.parametrize("address", [
    "<@a.example,@b.example:bob@example.org>", "<bob%example.com@example.org>", '<"bob smith"@example.org>',
    '<"b\\"ob"@example.org>', "<bob@[192.0.2.1]>", "<bob@[IPv6:2001:db8::1]>", "<bob@xn--bcher-kva.example>",
    "<" + "a" * 64 + "@example.org>",
])
def test_addresses_that_are_odd_but_right(shared: Pair, address: str) -> None:
    with shared[0].logged_in() as client:
        client.ask("MAIL FROM:<ann@example.net>")
        assert client.ask(f"RCPT TO:{address}").code == 250


@pytest.mark.parametrize("address", [
    "<bob@>", "<@example.org>", "<bob@@example.org>", "<bob@exa mple.org>", "<bob@example..org>", "<.bob@example.org>",
    "<" + "a" * 65 + "@example.org>", "<bob@" + "a." * 130 + "org>", '<"bob@example.org>', "<bob@[300.1.1.1]>",
    "<bob@-example.org>", "<b\tob@example.org>", "bob@example.org>", "<bob@example.org",
])
def test_addresses_that_are_wrong(shared: Pair, address: str) -> None:
    with shared[0].logged_in() as client:
        client.ask("MAIL FROM:<ann@example.net>")
        reply = client.ask(f"RCPT TO:{address}")
        assert 500 <= reply.code < 560, reply
        assert client.ask("NOOP").code == 250


def test_a_nul_in_an_address(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        client.ask("MAIL FROM:<ann@example.net>")
        client.send(b"RCPT TO:<bob@example.org\0.evil.example>\r\n")
        assert 500 <= client.reply().code < 560
