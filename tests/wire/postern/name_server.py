"""A name server of a table, by UDP and TCP, that lies when told to."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass, field

TYPES = {"A": 1, "CNAME": 5, "MX": 15, "AAAA": 28, "SRV": 33}
NXDOMAIN, SERVFAIL = 3, 2
#: More than this goes by TCP.
UDP_SIZE = 512


def wire_name(name: str | bytes) -> bytes:
    """Labels; `.` is the root. Octets of any kind where bytes are given."""
    raw = name.encode() if isinstance(name, str) else name
    labels = [each for each in raw.split(b".") if each]
    return b"".join(bytes([len(each)]) + each for each in labels) + b"\0"


def mx(preference: int, host: str | bytes) -> bytes:
    return struct.pack(">H", preference) + wire_name(host)


def srv(priority: int, weight: int, port: int, host: str | bytes) -> bytes:
    return struct.pack(">HHH", priority, weight, port) + wire_name(host)


def address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@dataclass
class Zone:
    """What is said of one name: records by type, and how."""

    records: dict[str, list[bytes]] = field(default_factory=dict)
    ttl: int = 300
    rcode: int = 0
    silent: bool = False


class NameServer:
    """Answers from `zones` (lower case names); what is not there does not exist."""

    def __init__(self) -> None:
        self.zones: dict[str, Zone] = {}
        self.asked: list[tuple[str, int]] = []
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.port}"

    def host(self, name: str, *addresses: str, ttl: int = 300) -> None:
        """Replaces what is said of `name`."""
        zone = Zone(ttl=ttl)
        for text in addresses:
            zone.records.setdefault("AAAA" if ":" in text else "A", []).append(address(text))
        self.zones[name] = zone

    def mail(self, domain: str, *exchangers: tuple[int, str], ttl: int = 300) -> None:
        self.zones[domain] = Zone({"MX": [mx(*each) for each in exchangers]}, ttl)

    def service(self, name: str, *services: tuple[int, int, int, str], ttl: int = 300) -> None:
        self.zones[name] = Zone({"SRV": [srv(*each) for each in services]}, ttl)

    def times_asked(self, name: str, kind: str) -> int:
        return sum(1 for each in list(self.asked) if each == (name, TYPES[kind]))

    def stop(self) -> None:
        # Neither recvfrom() nor accept() notices a close.
        self._udp.sendto(b"", self._udp.getsockname())
        self._tcp.shutdown(socket.SHUT_RDWR)
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            try:
                query, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            reply = self._answer(query)
            if reply is None:
                continue
            if len(reply) > UDP_SIZE:
                reply = self._answer(query, truncated=True) or b""
            try:
                self._udp.sendto(reply, peer)
            except OSError:
                return

    def _serve_tcp(self) -> None:
        while True:
            try:
                peer, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(peer,), daemon=True).start()

    def _serve_one(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rwb") as stream:
            while True:
                try:
                    size = stream.read(2)
                    if len(size) < 2:
                        return
                    reply = self._answer(stream.read(struct.unpack(">H", size)[0]))
                    if reply is None:
                        return
                    stream.write(struct.pack(">H", len(reply)) + reply)
                    stream.flush()
                except OSError:
                    return

    def _answer(self, query: bytes, *, truncated: bool = False) -> bytes | None:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += query[at] + 1
        at += 1
        kind = struct.unpack(">H", query[at:at + 2])[0]
        question = query[12:at + 4]
        name = ".".join(labels)
        self.asked.append((name, kind))
        zone = self.zones.get(name, Zone(rcode=NXDOMAIN))
        if zone.silent:
            return None
        records = [] if truncated or zone.rcode else self._records(name, kind)
        flags = 0x8180 | (0x0200 if truncated else 0) | zone.rcode
        return query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)

    def _records(self, name: str, kind: int) -> list[bytes]:
        """Aliases are followed once round, so that a circle is shown as one."""
        found: list[bytes] = []
        seen: set[str] = set()
        while name in self.zones and name not in seen:
            seen.add(name)
            zone = self.zones[name]
            for type_name, datas in zone.records.items():
                if TYPES[type_name] in (kind, TYPES["CNAME"]):
                    found += [wire_name(name) + struct.pack(">HHIH", TYPES[type_name], 1, zone.ttl, len(data)) + data
                              for data in datas]
            alias = zone.records.get("CNAME")
            if not alias:
                break
            name = _text_of(alias[0])
        return found


def _text_of(wire: bytes) -> str:
    labels, at = [], 0
    while wire[at]:
        labels.append(wire[at + 1:at + 1 + wire[at]].decode("latin-1"))
        at += wire[at] + 1
    return ".".join(labels)
