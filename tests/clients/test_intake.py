"""Postfix hands reports over to the intake by LMTP."""

from __future__ import annotations

from mail_servers import Postfix
from postern.place import Place
from postern.relay import upstream
from postern.scratch import free_port

REPORT = """From: MAILER-DAEMON@mx.example.org
To: b@bounce.example.net
Subject: Undelivered
Message-ID: <1@mx.example.org>

.
It could not be delivered.
"""


def test_postfix_hands_reports_over_by_lmtp(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    port = free_port(relay.host)
    relay.configure({"intake": {"listen": [f"{relay.host}:{port} lmtp"]}})
    relay.start()
    postfix = Postfix(place.folder, {"default_transport": f"lmtp:inet:[{relay.host}]:{port}"},
                      "lmtp unix - - n - - lmtp").start()
    try:
        postfix.hand_in("", "b@bounce.example.net", REPORT)
        postfix.wait_sent()
    finally:
        postfix.stop()
    assert "250 2.0.0 taken" in postfix.logged()
