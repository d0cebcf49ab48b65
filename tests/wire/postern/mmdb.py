"""Writes files in MaxMind's format (version 2.0), small ones: networks and what is known of them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

Record = Mapping[str, Any]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

MARKER = b"\xab\xcd\xefMaxMind.com"
SEPARATOR = bytes(16)
RECORD_BITS = 28


class Sized(int):
    """A number that is written in so many bits, not in 32."""

    bits: int

    def __new__(cls, value: int, bits: int) -> Sized:
        made = super().__new__(cls, value)
        made.bits = bits
        return made


def _head(kind: int, size: int) -> bytes:
    assert size < 29 + 256, "longer values are not needed here"
    extended = b"" if kind < 8 else bytes([kind - 7])
    first = (kind if kind < 8 else 0) << 5
    if size < 29:
        return bytes([first | size]) + extended
    return bytes([first | 29]) + extended + bytes([size - 29])


def encode(value: Any) -> bytes:
    if isinstance(value, str):
        octets = value.encode()
        return _head(2, len(octets)) + octets
    if isinstance(value, int):
        bits = value.bits if isinstance(value, Sized) else 32
        octets = int(value).to_bytes(8, "big").lstrip(b"\0")
        return _head({16: 5, 32: 6, 64: 9}[bits], len(octets)) + octets
    if isinstance(value, Mapping):
        return _head(7, len(value)) + b"".join(encode(key) + encode(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return _head(11, len(value)) + b"".join(encode(each) for each in value)
    raise TypeError(f"{value!r} has no form here")


def _bits(network: Network) -> list[int]:
    """The way to the network in a tree for IPv6, in which IPv4 stands below ::/96."""
    length = network.prefixlen + (96 if network.version == 4 else 0)
    number = int(network.network_address)
    return [number >> (127 - place) & 1 for place in range(length)]


def database(kind: str, networks: Mapping[str, Record]) -> bytes:
    """The octets of a database of that type; the networks must not overlap."""
    nodes: list[list[tuple[str, int]]] = [[("empty", 0), ("empty", 0)]]
    data = b""
    for text, record in networks.items():
        bits = _bits(ipaddress.ip_network(text))
        at = 0
        for bit in bits[:-1]:
            what, value = nodes[at][bit]
            assert what != "data", f"{text} lies in another network"
            if what == "empty":
                nodes.append([("empty", 0), ("empty", 0)])
                nodes[at][bit] = ("node", len(nodes) - 1)
            at = nodes[at][bit][1]
        assert nodes[at][bits[-1]][0] == "empty", f"{text} overlaps another network"
        nodes[at][bits[-1]] = ("data", len(data))
        data += encode(record)

    def number(what: str, value: int) -> int:
        return {"node": value, "empty": len(nodes), "data": len(nodes) + len(SEPARATOR) + value}[what]

    tree = b""
    for node in nodes:
        left, right = (number(*side) for side in node)
        # 28 bits each: the upper four of both share the octet in the middle.
        tree += struct.pack("!I", left)[1:] + bytes([(left >> 24) << 4 | right >> 24]) + struct.pack("!I", right)[1:]
    about = {
        "node_count": len(nodes), "record_size": Sized(RECORD_BITS, 16), "ip_version": Sized(6, 16),
        "database_type": kind, "languages": ["en"], "binary_format_major_version": Sized(2, 16),
        "binary_format_minor_version": Sized(0, 16), "build_epoch": Sized(1_772_442_900, 64),
        "description": {"en": "made by the tests"},
    }
    return tree + SEPARATOR + data + MARKER + encode(about)


def write_asn(path: Path, networks: Mapping[str, int]) -> Path:
    path.write_bytes(database("GeoLite2-ASN", {
        network: {"autonomous_system_number": asn, "autonomous_system_organization": f"Provider {asn}"}
        for network, asn in networks.items()}))
    return path


def write_countries(path: Path, networks: Mapping[str, str]) -> Path:
    path.write_bytes(database("GeoLite2-Country", {
        network: {"country": {"iso_code": code, "names": {"en": code}}, "registered_country": {"iso_code": "US"}}
        for network, code in networks.items()}))
    return path
