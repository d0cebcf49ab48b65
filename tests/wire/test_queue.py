"""`postern queue` and `postern trace`, retries and drops, and a damaged entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from postern.place import Place
from postern.relay import ANN, Relay
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

SLOW_RETRY = {"delivery": {"mode": "spool", "retry": {"first": "1h", "factor": 1.0, "max": "1h", "jitter": 0.0,
                                                     "give_up": "4d", "warn_after": "4h"}}}


def loaded(place: Place, count: int = 3) -> tuple[Relay, Sink]:
    """A relay whose only upstream defers all, with `count` mails in its queue."""
    relay, sink = place.pair(SLOW_RETRY, "rcpt:451")
    with relay.logged_in() as client:
        for n in range(count):
            reply = client.submit("ann@example.net", [f"r{n}@example.org"], a_message(subject=f"n{n}"))
            assert reply.code == 250
    wait_for("all are deferred", lambda: [e["state"] for e in relay.queue()] == ["deferred"] * count, 20)
    return relay, sink


def test_list_and_show(place: Place) -> None:
    relay, _ = loaded(place)
    entries = relay.queue()
    first = entries[0]
    assert set(first) >= {"id", "ref", "state", "account", "mail_from", "rcpts", "bytes", "created", "attempts",
                          "next_attempt", "upstream", "last_reply", "reason"}
    assert first["account"] == ANN and first["attempts"] >= 1 and "451" in first["last_reply"]
    [shown] = relay.cli_json("queue", "show", first["id"])
    assert shown["id"] == first["id"]
    assert first["id"] in relay.cli("queue", "list").stdout
    assert [e["rcpts"] for e in relay.cli_json("queue", "list", "--rcpt", "r1@example.org")] == [["r1@example.org"]]
    assert relay.cli_json("queue", "list", "--state", "in_doubt") == []
    assert len(relay.cli_json("queue", "list", "--limit", "2")) == 2


def test_retry_of_one_and_of_all(place: Place) -> None:
    relay, sink = loaded(place)
    one = relay.queue()[1]
    sink.restart()
    relay.cli("queue", "retry", one["id"])
    assert sink.wait_for_mails(1, 30)[0].recipients == one["rcpts"]
    wait_for("two entries left", lambda: len(relay.queue()) == 2)
    relay.cli("queue", "retry", "--all")
    sink.wait_for_mails(3, 30)
    wait_for("an empty queue", lambda: relay.queue() == [])


def test_drop(place: Place) -> None:
    relay, sink = loaded(place)
    first, second, third = (entry["id"] for entry in relay.queue())
    relay.cli("queue", "drop", first, "--reason", "test")
    assert [entry["id"] for entry in relay.queue()] == [second, third]
    sink.restart()
    relay.cli("queue", "drop", "--dsn", second)
    wait_for("the report to the sender", lambda: any(m.recipients == [ANN] for m in sink.mails()), 30)
    relay.restart()
    assert first not in [entry["id"] for entry in relay.queue()]


def test_a_change_without_a_selector_is_a_mistake(place: Place) -> None:
    relay, _ = loaded(place, 1)
    assert relay.cli("queue", "drop", expect=None).returncode == 2
    assert len(relay.queue()) == 1
    assert relay.cli("queue", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV", expect=None).returncode == 1


def test_a_stopped_relay_has_no_queue_to_speak_to(place: Place) -> None:
    relay, _ = place.pair()
    relay.stop()
    assert relay.cli("queue", "list", expect=None).returncode == 3


def test_trace_follows_a_message(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
        refused = client.submit("ann@example.net", ["bob@example.org"], a_message("eve@example.com"))
    ref = relay.wait_event("message", lambda e: e["outcome"] == "accepted")["ref"]
    [traced] = relay.cli_json("trace", ref)
    assert traced["account"] == ANN and traced["rcpts"][0]["rcpt"] == "bob@example.org"
    assert traced["rcpts"][0]["state"] == "delivered"
    assert refused.ref is not None
    [told] = relay.cli_json("trace", refused.ref)
    assert told["outcome"] == "refused"
    assert "bob@example.org" in relay.cli("trace", ref).stdout
    assert relay.cli("trace", "01ARZ3NDEKTSV4RRFFQ69G5FAV", expect=None).returncode == 1


def test_json_moves_no_terminal(place: Place) -> None:
    """Names as strangers typed them come to the operator's terminal in ASCII."""
    relay, _ = place.pair()
    with relay.encrypted(timeout=60) as client:
        assert client.auth_plain("\u009b2J\u009d0;x\u202eevil\x7f", "x").code in (501, 535)
    relay.wait_event("login")
    said = relay.cli("events", "--event", "login").stdout
    assert said and said.isascii() and "\x7f" not in said and "evil" in said


def test_an_event_that_does_not_exist_is_refused(place: Place) -> None:
    relay, _ = place.pair()
    refused = relay.cli("events", "--event", "logni", expect=None)
    assert refused.returncode == 2 and "did you mean login?" in refused.stderr, refused


def test_trace_explains_what_the_reader_refused(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        client.mail(ANN, "bob@example.org")
        assert client.ask("DATA").code == 354
        client.send(b"From: ann@example.net\r\n\r\nA bare\nnewline.\r\n.\r\n")
        reply = client.reply()
    assert reply.code == 554 and reply.ref, reply
    [traced] = relay.cli_json("trace", reply.ref)
    assert traced["code"] == 554 and traced["rule"] == "syntax", traced


def test_a_suspended_accounts_mail_is_frozen(place: Place) -> None:
    relay, sink = loaded(place, 2)
    relay.cli("account", "suspend", ANN)
    wait_for("frozen", lambda: {e["state"] for e in relay.queue()} == {"frozen"}, 10)
    sink.restart()
    relay.cli("queue", "retry", "--all", expect=None)
    assert sink.mails() == []
    relay.cli("account", "release", ANN)
    relay.cli("queue", "retry", "--all")
    sink.wait_for_mails(2, 30)


def test_frozen_mail_stays_frozen_over_a_restart_and_a_kill(place: Place) -> None:
    relay, sink = loaded(place, 2)
    relay.cli("account", "suspend", ANN)
    wait_for("frozen", lambda: {e["state"] for e in relay.queue()} == {"frozen"}, 10)
    sink.restart()
    relay.restart()
    assert {e["state"] for e in relay.queue()} == {"frozen"}
    relay.kill()
    relay.start()
    relay.cli("queue", "retry", "--all", expect=None)
    assert {e["state"] for e in relay.queue()} == {"frozen"} and sink.mails() == []
    relay.stop()
    relay.cli("account", "release", ANN)
    relay.start()
    wait_for("thawed", lambda: "frozen" not in {e["state"] for e in relay.queue()}, 10)
    relay.cli("queue", "retry", "--all", expect=None)
    sink.wait_for_mails(2, 30)


def test_frozen_mail_of_a_removed_account_goes_nowhere_until_it_is_dropped(place: Place) -> None:
    relay, sink = loaded(place, 2)
    relay.cli("account", "suspend", ANN)
    relay.cli("account", "remove", ANN)
    sink.restart()
    relay.restart()
    relay.cli("queue", "retry", "--all", expect=None)
    assert [e["state"] for e in relay.queue()] == ["frozen"] * 2

    refused = relay.cli("account", "add", ANN, "--password-stdin", stdin="new\n", expect=None)
    assert refused.returncode == 1 and f"postern queue drop --account {ANN}" in refused.stderr, refused.stderr
    relay.cli("queue", "drop", "--account", ANN)
    assert relay.queue() == [] and sink.mails() == []
    relay.add_account(ANN, "new")
    with relay.logged_in(ANN, "new") as client:
        assert client.submit(ANN, ["new@example.org"], a_message()).code == 250
    assert sink.wait_for_mails(1, 30)[0].recipients == ["new@example.org"]


def test_an_account_that_is_added_again_sends_no_mail_of_its_namesake(place: Place) -> None:
    """Added while no relay ran: nobody looked at the queue. What it sends waits with the rest for a word."""
    relay, sink = loaded(place, 1)
    relay.cli("account", "suspend", ANN)
    relay.cli("account", "remove", ANN)
    relay.stop()
    relay.add_account()
    sink.restart()
    relay.start()
    relay.cli("queue", "retry", "--all", expect=None)
    assert [e["state"] for e in relay.queue()] == ["frozen"] and sink.mails() == []
    relay.cli("account", "release", ANN)
    relay.cli("queue", "retry", "--all")
    sink.wait_for_mails(1, 30)
    assert relay.cli("account", "release", ANN, expect=None).returncode == 1


def _segments(relay: Relay) -> list[Path]:
    return sorted(path for path in (relay.state / "spool").rglob("*") if path.is_file() and path.stat().st_size)


@pytest.mark.parametrize("where", ["middle", "start"])
def test_a_damaged_entry_is_set_aside_and_named(place: Place, where: str) -> None:
    """One flipped octet costs one entry at most: the others go out, the relay starts, the queue names it."""
    relay, sink = loaded(place, 5)
    relay.kill()
    hit = False
    for segment in _segments(relay):
        content = bytearray(segment.read_bytes())
        needle = b"Subject: n2" if where == "middle" else b"Subject: n0"
        at = content.find(needle)
        if at >= 0:
            content[at + 3] ^= 0x55
            segment.write_bytes(content)
            hit = True
    assert hit, "no segment holds the message"
    sink.restart()
    relay.start()
    relay.cli("queue", "retry", "--all", expect=None)
    sink.wait_for_mails(4, 60)
    lost = "n2" if where == "middle" else "n0"
    assert sorted(mail.message["Subject"] for mail in sink.mails()) == sorted({"n0", "n1", "n2", "n3", "n4"} - {lost})
    assert any(entry["state"] == "damaged" for entry in relay.queue()) or relay.events("alert")


def test_a_torn_tail_is_no_damage(place: Place) -> None:
    relay, sink = place.pair(SLOW_RETRY, "rcpt:451")
    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
    wait_for("deferred", lambda: [e["state"] for e in relay.queue()] == ["deferred"], 20)
    relay.kill()
    sink.restart()
    relay.start()
    relay.cli("queue", "retry", "--all")
    sink.wait_for_mails(1, 30)
