"""Clients that hold a connection by doing next to nothing: each stage has its bound.

The waits are the relay's own (30 s for a handshake, 60 s of grace for a body, then 128 octets a second),
so all the slow ones wait side by side in one test. The bounds of idle commands are minutes: the session
machine's own tests have them.
"""

from __future__ import annotations

import socket
import threading
import time

from postern.place import Place
from postern.relay import Relay
from postern.smtp import Closed


def silent_handshake(relay: Relay) -> str:
    """Says nothing where a handshake is due."""
    with socket.create_connection(relay.submissions, 10) as sock:
        sock.settimeout(60)
        began = time.monotonic()
        try:
            ended = sock.recv(1) == b""
        except ConnectionError:
            ended = True
        return f"closed after {time.monotonic() - began:.0f} s" if ended else "spoken to"


def handshake_by_drops(relay: Relay) -> str:
    """A TLS record that arrives an octet at a time does not extend its time."""
    with socket.create_connection(relay.submissions, 10) as sock:
        began = time.monotonic()
        try:
            for octet in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300):
                sock.sendall(bytes([octet]))
                time.sleep(0.4)
                if time.monotonic() - began > 60:
                    return "still open"
        except ConnectionError:
            pass
        return f"closed after {time.monotonic() - began:.0f} s"


def body_by_drops(relay: Relay) -> str:
    """Twenty octets a second never stop, and are too few."""
    with relay.logged_in(timeout=100) as client:
        client.mail("ann@example.net", "bob@example.org")
        assert client.ask("DATA").code == 354
        client.send(b"From: ann@example.net\r\n\r\n")
        said: list[str] = []

        def listen() -> None:
            try:
                said.append(client.reply().heading)
            except (Closed, OSError) as end:
                said.append(f"closed: {end}")

        listener = threading.Thread(target=listen)
        listener.start()
        began = time.monotonic()
        while listener.is_alive() and time.monotonic() - began < 95:
            try:
                client.send(b"drip by drip 90123\r\n")
            except OSError:
                break
            time.sleep(1)
        listener.join(5)
        return f"{said[0] if said else 'nothing'} after {time.monotonic() - began:.0f} s"


def test_slow_ones_are_ended_and_others_are_not(place: Place) -> None:
    relay, sink = place.pair()
    results: dict[str, str] = {}

    def run(name: str) -> None:
        results[name] = {"silent": silent_handshake, "handshake": handshake_by_drops, "body": body_by_drops}[name](relay)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("silent", "handshake", "body")]
    for thread in threads:
        thread.start()
    with relay.logged_in() as bystander:
        while any(thread.is_alive() for thread in threads):
            assert bystander.ask("NOOP").code == 250
            time.sleep(1)
    for thread in threads:
        thread.join()
    assert results["silent"].startswith("closed after"), results
    assert results["handshake"].startswith("closed after"), results
    assert results["body"].startswith("421 4.4.2"), results
    assert sink.mails() == []
