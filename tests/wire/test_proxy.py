"""PROXY protocol v1 and v2: the source of a trusted peer's connection is what its header says."""

from __future__ import annotations

import ipaddress
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postern.certificates import Certificate
from postern.place import make_place
from postern.relay import ANN, PASSWORD, Relay, upstream
from postern.scratch import free_port
from postern.smtp import Address, Client, Closed
from postern.waiting import wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@dataclass
class Behind:
    relay: Relay
    address: Address


def version_2(source: str, *, command: int = 1) -> bytes:
    address = ipaddress.ip_address(source)
    target = ipaddress.ip_address("192.0.2.1" if address.version == 4 else "2001:db8::1")
    body = address.packed + target.packed + struct.pack("!HH", 40000, 587)
    family = 0x11 if address.version == 4 else 0x21
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


@pytest.fixture(scope="module")
def behind(binary: Path, certificate: Certificate) -> Iterator[Behind]:
    place = make_place(binary, certificate)
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    port = free_port(relay.host)
    relay.configure({"server": {
        "listen": [*relay.settings["server"]["listen"], f"{relay.host}:{port} tls proxy"],
        "proxy_from": ["127.0.0.1", "127.0.0.3"]}})
    relay.add_account()
    relay.start()
    yield Behind(relay, (relay.host, port))
    place.end()
    shutil.rmtree(place.folder, ignore_errors=True)


@pytest.mark.parametrize(("header", "source"), [
    (b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 587\r\n", "198.51.100.7"),
    (b"PROXY TCP6 2001:db8:1:2::7 2001:db8::1 40000 587\r\n", "2001:db8:1:2::/64"),
    (version_2("198.51.100.8"), "198.51.100.8"),
    (version_2("2001:db8:1:2::8"), "2001:db8:1:2::/64"),
])
def test_the_source_is_what_the_header_says(behind: Behind, header: bytes, source: str) -> None:
    before = len(behind.relay.events("login"))
    with Client(behind.address, tls=True, preamble=header) as client:
        client.reply()
        client.ehlo()
        assert client.auth_plain(ANN, PASSWORD).code == 235
    wait_for("the login's event", lambda: len(behind.relay.events("login")) > before)
    assert behind.relay.events("login")[-1]["source"] == source


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", version_2("198.51.100.9", command=0)])
def test_local_and_unknown_keep_the_peers_own_address(behind: Behind, header: bytes) -> None:
    with Client(behind.address, tls=True, preamble=header) as client:
        assert client.reply().code == 220


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 300.1.1.1 192.0.2.1 1 2\r\n", b"PROXY " + b"x" * 200 + b"\r\n",
    SIGNATURE + b"\x31\x11\x00\x0c" + b"\0" * 12, SIGNATURE + b"\x21\x11\x00\x02ab", b"EHLO client\r\n",
])
def test_a_bad_header_ends_the_connection(behind: Behind, header: bytes) -> None:
    with pytest.raises((Closed, OSError)):
        with Client(behind.address, preamble=header, timeout=20) as client:
            reply = client.reply()
            assert reply.code in (421, 554)
            client.reply()


def test_a_header_from_elsewhere_is_not_believed(behind: Behind) -> None:
    header = b"PROXY TCP4 198.51.100.99 192.0.2.1 40000 587\r\n"
    try:
        with Client(behind.address, tls=True, source="127.0.0.44", preamble=header) as client:
            client.reply()
    except (Closed, OSError):
        pass
    assert not any("198.51.100.99" in str(entry) for entry in behind.relay.events())
