"""How our notifications go upstream, and who is told where they cannot."""

from __future__ import annotations

import json

import pytest

from postern.place import Place
from postern.relay import ANN, Relay, upstream
from postern.settings import Settings, merge
from postern.smtp import a_message
from postern.waiting import wait_for

QUICK: Settings = {"delivery": {"cut_through_deadline": "4s",
                                "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "30m"}}}


def send_one_refused(relay: Relay, sender: str = ANN) -> None:
    """Two recipients, one of which the upstream refuses: its sender is owed a notification."""
    with relay.logged_in(ANN, timeout=60) as client:
        reply = client.submit(sender, ["bob@example.org", "eve@example.org"], a_message(sender))
        assert reply.code == 250, reply


def start(place: Place, upstreams: list[Settings], settings: Settings = QUICK) -> Relay:
    relay = place.relay(merge(settings, {"upstream": upstreams}))
    relay.add_account()
    return relay.start()


def test_notifications_go_by_their_upstream_under_their_name(place: Place) -> None:
    fault = "rcpt:550 5.1.1 no such user:eve@example.org"
    primary, other = place.sink("primary").start(fault), place.sink("other").start()
    relay = start(place, [upstream(primary), upstream(other, role="fallback", name="notices")],
                  merge(QUICK, {"delivery": {"dsn_upstream": "notices", "dsn_envelope": "bounces@relay.example.net"}}))
    send_one_refused(relay)
    [notification] = other.wait_for_mails(1, 30)
    assert notification.sender == "bounces@relay.example.net"
    assert notification.recipients == [ANN]
    assert notification.message.get_content_type() == "multipart/report"
    assert [mail.recipients for mail in primary.mails()] == [["bob@example.org"]]


def test_by_default_they_come_from_nobody(place: Place) -> None:
    relay, sink = place.pair(QUICK, "rcpt:550 5.1.1 no such user:eve@example.org")
    send_one_refused(relay)
    [notification] = [mail for mail in sink.wait_for_mails(2, 30) if mail.recipients == [ANN]]
    assert notification.sender == ""


def test_one_that_waits_is_shown_as_from_nobody(place: Place) -> None:
    fault = "rcpt:550 5.1.1 no such user:eve@example.org"
    primary, away = place.sink("primary").start(fault), place.sink("away")
    relay = start(place, [upstream(primary), upstream(away, role="fallback", name="notices")],
                  merge(QUICK, {"delivery": {"dsn_upstream": "notices", "dsn_envelope": "bounces@relay.example.net"}}))
    send_one_refused(relay)
    [entry] = wait_for("the notification in the queue", relay.queue, 20)
    assert entry["mail_from"] == "" and entry["rcpts"] == [ANN] and entry["id"] != entry["ref"]


@pytest.mark.parametrize("envelope", ["", "bounces@relay.example.net"])
def test_a_notification_that_is_refused_raises_an_alert_and_no_other_notification(place: Place, envelope: str) -> None:
    relay, sink = place.pair(merge(QUICK, {"delivery": {"dsn_envelope": envelope}}),
                             "rcpt:550 5.1.1 no such user:eve@example.org", f"rcpt:550 5.7.1 not from you:{ANN}")
    send_one_refused(relay)
    alert = relay.wait_event("alert", lambda each: each["kind"] == "dsn_undeliverable")
    assert alert["severity"] == "warning" and alert["rcpt"] == ANN and "5.7.1" in alert["error"]
    told = relay.wait_event("dsn", lambda each: each["result"] == "refused")
    assert told["action"] == "failed" and told["rcpt"] == ANN
    wait_for("an empty queue", lambda: relay.queue() == [], 20)
    assert relay.metrics().total("postern_dsn_total", result="queued") == 1
    assert relay.metrics().total("postern_dsn_total", action="failed", result="refused") == 1
    assert [mail.recipients for mail in sink.mails()] == [["bob@example.org"]]


def test_nobody_is_told_of_mail_in_his_name_that_was_not_his(place: Place) -> None:
    relay, sink = place.pair(merge(QUICK, {"rules": {"sender_ownership": "off", "header_from": "off",
                                                     "suppression": "off"}}),
                             "rcpt:550 5.1.1 no such user:eve@example.org")
    send_one_refused(relay, "victim@elsewhere.example")
    assert relay.wait_event("dsn")["result"] == "none"
    assert relay.metrics().total("postern_dsn_total", result="queued") == 0
    assert [mail.recipients for mail in sink.mails()] == [["bob@example.org"]]
    send_one_refused(relay)
    assert len(sink.wait_for_mails(3, 30)) == 3


def test_dropping_a_removed_accounts_frozen_mail_leaves_nothing(place: Place) -> None:
    away = place.sink()
    relay = start(place, [upstream(away)])
    with relay.logged_in(ANN, timeout=60) as client:
        for _ in range(3):
            assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    relay.cli("account", "suspend", ANN)
    relay.cli("account", "remove", ANN)
    wait_for("frozen mail", lambda: {entry["state"] for entry in relay.queue()} == {"frozen"}, 20)
    relay.cli("queue", "drop", "--all", "--dsn", "--reason", "test")
    assert relay.queue() == []
    assert relay.metrics().total("postern_dsn_total", result="none") == 3


def test_dropping_many_tells_each_sender(place: Place) -> None:
    away = place.sink()
    relay = start(place, [upstream(away)], merge(QUICK, {"delivery": {"mode": "spool"}}))
    with relay.logged_in(ANN, timeout=60) as client:
        for _ in range(8):
            assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    relay.cli("queue", "drop", "--all", "--dsn", "--reason", "test")
    assert {entry["mail_from"] for entry in relay.queue()} == {""}
    assert len(relay.queue()) == 8


def test_an_export_may_begin_at_the_beginning(place: Place) -> None:
    from postern.admin import http_get

    away = place.sink()
    relay = start(place, [upstream(away)])
    with relay.logged_in(ANN, timeout=60) as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    [entry] = wait_for("a queued mail", relay.queue, 20)
    answer = http_get(relay.socket_path, f"/api/v1/queue/{entry['id']}/export", method="POST",
                      body='{"offset": 0}', headers={"Content-Type": "application/json"})
    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["bytes"] > 0


@pytest.mark.parametrize(("key", "value", "said"), [
    ("dsn_upstream", "primery", "did you mean primary?"),
    ("dsn_envelope", "not an address", "no plain mail address"),
])
def test_a_wrong_key_is_named(place: Place, key: str, value: str, said: str) -> None:
    sink = place.sink()
    relay = place.relay(merge(QUICK, {"upstream": [upstream(sink, name="primary")], "delivery": {key: value}}))
    done = relay.cli("check", expect=None)
    assert done.returncode != 0
    assert f"delivery.{key}" in done.stdout + done.stderr and said in done.stdout + done.stderr
