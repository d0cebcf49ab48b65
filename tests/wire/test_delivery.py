"""Both modes of delivery, several recipients, fallback, the deadline, clients that leave."""

from __future__ import annotations

import signal
import time

import pytest

from postern.place import Place
from postern.certificates import make_certificate
from postern.relay import ANN, Relay, upstream
from postern.settings import Settings
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

QUICK: Settings = {"delivery": {"cut_through_deadline": "2s",
                                "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "30m"}}}


def quick(mode: str = "cut-through", **more: object) -> Settings:
    return {"delivery": {**QUICK["delivery"], "mode": mode, **more}}


def send(relay: Relay, *recipients: str, subject: str = "Hello") -> str:
    with relay.logged_in(timeout=40) as client:
        return str(client.submit("ann@example.net", list(recipients or ("bob@example.org",)),
                                 a_message(subject=subject)))


def subjects(sink: Sink) -> list[str]:
    return sorted(mail.message["Subject"] for mail in sink.mails())


def test_cut_through_hands_on_the_upstreams_words(place: Place) -> None:
    relay, sink = place.pair()
    reply = send(relay)
    assert reply.startswith("250 2.") and "queued" not in reply
    assert subjects(sink) == ["Hello"] and relay.queue() == []


def test_spool_answers_first_and_delivers_after(place: Place) -> None:
    relay, sink = place.pair(quick("spool"))
    assert "queued as" in send(relay)
    sink.wait_for_mails(1)
    wait_for("an empty queue", lambda: relay.queue() == [])


def test_spool_keeps_mail_while_the_upstream_is_away(place: Place) -> None:
    relay, sink = place.pair(quick("spool"))
    sink.stop()
    for n in range(3):
        assert "queued as" in send(relay, subject=f"n{n}")
    assert len(relay.queue()) == 3
    sink.start()
    sink.wait_for_mails(3, 90)
    assert subjects(sink) == ["n0", "n1", "n2"]
    wait_for("an empty queue", lambda: relay.queue() == [])


def test_spooled_mail_survives_a_kill(place: Place) -> None:
    relay, sink = place.pair(quick("spool"))
    sink.stop()
    for n in range(5):
        send(relay, "bob@example.org", "eve@example.org", subject=f"n{n}")
    relay.kill()
    sink.start()
    relay.start()
    mails = sink.wait_for_mails(5, 90)
    assert all(sorted(mail.recipients) == ["bob@example.org", "eve@example.org"] for mail in mails)
    assert subjects(sink) == [f"n{n}" for n in range(5)]


def test_a_large_body_survives_a_kill(place: Place) -> None:
    relay, sink = place.pair(quick("spool"))
    sink.stop()
    body = "".join(f"line {n} of a body that is stored as a file\r\n" for n in range(60_000))
    with relay.logged_in(timeout=60) as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message(body=body)).code == 250
    relay.kill()
    sink.start()
    relay.start()
    assert sink.wait_for_mails(1, 90)[0].raw.endswith(body.encode())


def test_the_fallback_takes_what_the_primary_cannot(place: Place) -> None:
    primary, fallback = place.sink("primary").start("mail:451"), place.sink("fallback").start()
    relay = place.relay({"upstream": [upstream(primary), upstream(fallback, role="fallback")]})
    relay.add_account()
    relay.start()
    assert send(relay).startswith("250")
    assert subjects(fallback) == ["Hello"] and subjects(primary) == []


def test_a_421_to_the_final_dot_stays_with_the_primary(place: Place) -> None:
    primary, fallback = place.sink("primary").start("dot:421"), place.sink("fallback").start()
    relay = place.relay({**QUICK, "upstream": [upstream(primary), upstream(fallback, role="fallback")]})
    relay.add_account()
    relay.start()
    assert "queued as" in send(relay)
    primary.restart()
    assert [mail.message["Subject"] for mail in primary.wait_for_mails(1, 30)] == ["Hello"]
    assert subjects(fallback) == []


def test_the_fallback_takes_over_when_the_primary_is_away(place: Place) -> None:
    primary, fallback = place.sink("primary"), place.sink("fallback").start()
    relay = place.relay({"upstream": [upstream(primary), upstream(fallback, role="fallback")]})
    relay.add_account()
    relay.start()
    for n in range(7):
        assert send(relay, subject=f"n{n}").startswith("250 2.")
    assert len(subjects(fallback)) == 7
    primary.start()

    def back() -> bool:
        send(relay, subject="again")
        return "again" in subjects(primary)

    wait_for("the primary is used again", back, 60)


def test_all_recipients_refused_is_the_clients_answer(place: Place) -> None:
    relay, sink = place.pair(QUICK, "rcpt:550")
    reply = send(relay, "bob@example.org", "eve@example.org")
    assert reply.startswith("550 5.") and relay.queue() == [] and sink.mails() == []


def test_some_recipients_refused_owe_a_dsn(place: Place) -> None:
    relay, sink = place.pair(QUICK, "rcpt:550:bob@example.org")
    assert send(relay, "bob@example.org", "eve@example.org").startswith("250")
    original, report = sink.wait_for_mails(2)
    if original.recipients != ["eve@example.org"]:
        original, report = report, original
    assert original.recipients == ["eve@example.org"]
    assert report.recipients == [ANN] and report.sender == ""
    assert report.message.get_content_type() == "multipart/report"
    assert b"Final-Recipient: rfc822;bob@example.org" in report.raw.replace(b"; ", b";")
    assert b"Action: failed" in report.raw and b"Status: 5." in report.raw


def test_notify_never_owes_no_dsn(place: Place) -> None:
    relay, sink = place.pair(QUICK, "rcpt:550:bob@example.org")
    with relay.logged_in() as client:
        client.ask("MAIL FROM:<ann@example.net>")
        client.ask("RCPT TO:<bob@example.org> NOTIFY=NEVER")
        client.ask("RCPT TO:<eve@example.org>")
        assert client.data(a_message()).code == 250
    sink.wait_for_mails(1)
    time.sleep(2)
    assert len(sink.mails()) == 1 and relay.queue() == []


def test_some_recipients_deferred_are_queued(place: Place) -> None:
    relay, sink = place.pair(QUICK, "rcpt:451:bob@example.org")
    assert send(relay, "bob@example.org", "eve@example.org").startswith("250")
    assert [mail.recipients for mail in sink.wait_for_mails(1)] == [["eve@example.org"]]
    [entry] = relay.queue()
    assert entry["rcpts"] == ["bob@example.org"] and entry["state"] in ("deferred", "active", "ready")
    sink.restart()
    mails = sink.wait_for_mails(2, 60)
    assert [mail.recipients for mail in mails] == [["eve@example.org"], ["bob@example.org"]]


def test_at_the_deadline_the_mail_is_in_doubt_and_settles(place: Place) -> None:
    """The upstream has the final dot and is slow: the client hears `queued`, the mail arrives once."""
    relay, sink = place.pair(quick(cut_through_deadline="1s"), "dot:hang")
    began = time.monotonic()
    reply = send(relay)
    assert "queued as" in reply and 0.8 < time.monotonic() - began < 6
    [entry] = relay.queue()
    assert entry["state"] == "in_doubt"
    sink.restart()
    sink.wait_for_mails(1, 60)
    wait_for("an empty queue", lambda: relay.queue() == [], 30)


def test_a_slow_upstream_within_the_deadline_gives_the_answer(place: Place) -> None:
    relay, sink = place.pair({"delivery": {"cut_through_deadline": "20s"}}, "dot:slow")
    reply = send(relay)
    assert reply.startswith("250")
    wait_for("the mail", lambda: subjects(sink) == ["Hello"], 30)


@pytest.mark.parametrize("mode", ["cut-through", "spool"])
def test_a_client_that_leaves_after_its_dot_has_sent_a_mail(place: Place, mode: str) -> None:
    relay, sink = place.pair(quick(mode, cut_through_deadline="10s"), "mail:slow")
    client = relay.logged_in()
    client.mail("ann@example.net", "bob@example.org")
    client.ask("DATA")
    client.send(a_message(subject="left") + b".\r\n")
    client.reset()
    sink.wait_for_mails(1, 40)
    time.sleep(1)
    assert subjects(sink) == ["left"]


def test_a_client_that_leaves_before_its_dot_has_sent_nothing(place: Place) -> None:
    relay, sink = place.pair()
    client = relay.logged_in()
    client.mail("ann@example.net", "bob@example.org")
    client.ask("DATA")
    client.send(a_message() + b"no end")
    client.close()
    time.sleep(0.5)
    assert sink.mails() == [] and relay.queue() == []


def test_upstream_connections_are_kept(place: Place) -> None:
    relay, sink = place.pair({"server": {"threads": 1}})
    for n in range(10):
        send(relay, subject=f"n{n}")
    assert len(sink.mails()) == 10
    assert relay.metrics().total("postern_upstream_connections") == 1


def test_a_kept_connection_that_died_costs_no_mail(place: Place) -> None:
    """The upstream closes what we keep, as it may at any time: the next mail goes over a new connection."""
    relay, sink = place.pair({"server": {"threads": 1}})
    for n in range(4):
        assert send(relay, subject=f"n{n}").startswith("250 2."), "handed on, not queued"
        sink.kill()
        sink.start()
    assert len(sink.wait_for_mails(4)) == 4 and relay.queue() == []


def test_a_kept_connection_that_fell_silent_ends_at_the_deadline(place: Place) -> None:
    """The upstream is stopped, not closed: what was asked on the kept connection has no answer."""
    relay, sink = place.pair({"server": {"threads": 1}, "delivery": {
        "cut_through_deadline": "2s", "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0}}})
    assert send(relay).startswith("250 2.")
    sink.signal(signal.SIGSTOP)
    try:
        assert "queued as" in send(relay, subject="while it is silent")
    finally:
        sink.signal(signal.SIGCONT)
    wait_for("the mail arrives", lambda: {m.message["Subject"] for m in sink.mails()} >= {"while it is silent"}, 60)
    wait_for("an empty queue", lambda: relay.queue() == [], 60)


@pytest.mark.parametrize("implicit", [True, False])
def test_tls_and_auth_to_the_upstream(place: Place, implicit: bool) -> None:
    sink = place.sink()
    made = make_certificate(place.folder, "upstream", names=("localhost",), addresses=(sink.address[0],))
    sink.use_tls(made, implicit=implicit, require_auth=True)
    sink.start()
    secret = place.folder / "upstream-password"
    secret.write_text("let me in\n")
    secret.chmod(0o644)
    relay = place.relay({"upstream": [{
        "address": sink.where, "tls": "verify", "ca": str(made.certificate), "implicit_tls": implicit,
        "username": "relay", "password_file": str(secret)}]})
    relay.add_account()
    relay.start()
    assert send(relay).startswith("250 2.")
    [mail] = sink.wait_for_mails(1)
    assert "let me in" not in relay.program.output()
    assert mail.facts["auth"] == "relay" and mail.facts["tls"]


def test_an_upstream_whose_certificate_is_wrong_gets_nothing(place: Place) -> None:
    sink = place.sink()
    sink.use_tls(make_certificate(place.folder, "upstream", names=("somebody.else.example",)))
    sink.start()
    relay = place.relay({**QUICK, "upstream": [{"address": sink.where, "tls": "verify",
                                               "ca": str(place.folder / "upstream.pem")}]})
    relay.add_account()
    relay.start()
    assert "queued as" in send(relay)
    time.sleep(1)
    assert sink.mails() == [] and len(relay.queue()) == 1


def test_what_the_upstream_does_not_offer_is_never_sent(place: Place) -> None:
    sink = place.sink()
    sink.options += ["--no-8bitmime", "--no-smtputf8", "--no-dsn", "--no-pipelining"]
    sink.start()
    relay = place.relay({**QUICK, "upstream": [upstream(sink)]})
    relay.add_account()
    relay.start()
    assert send(relay).startswith("250 2.")
    with relay.logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net> BODY=8BITMIME").heading == "554 5.6.3"
        assert client.ask("MAIL FROM:<ann@example.net> SMTPUTF8").heading == "550 5.6.9"
        client.ask("MAIL FROM:<ann@example.net> RET=HDRS ENVID=abc")
        assert client.ask("RCPT TO:<bob@example.org> NOTIFY=SUCCESS").code == 250
        assert client.data(a_message(subject="dsn")).code == 250
    wait_for("the relay's own report of success", lambda: any(
        mail.recipients == [ANN] and b"Action: relayed" in mail.raw for mail in sink.mails()), 20)


def test_below_the_reserve_what_was_delivered_is_not_sent_again(place: Place) -> None:
    """The reports that the deliveries owe are written all the same: refused, they would take the outcomes with them."""
    sink = place.sink()
    sink.options += ["--no-dsn"]
    sink.start("rcpt:451")
    relay = place.relay({**quick("spool"), "upstream": [upstream(sink)]})
    relay.add_account()
    relay.start()
    assert "queued as" in send(relay, "bob@example.org", "eve@example.org", subject="one refused")
    with relay.logged_in() as client:
        client.ask("MAIL FROM:<ann@example.net>")
        assert client.ask("RCPT TO:<bob@example.org> NOTIFY=SUCCESS").code == 250
        assert client.data(a_message(subject="success asked")).code == 250
    relay.configure({"spool": {"reserve": "16TiB"}})
    relay.cli("reload")
    with relay.logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net>").heading == "452 4.3.1"
    sink.restart("rcpt:550:eve@example.org")
    wait_for("an empty queue", lambda: relay.queue() == [], 60)
    assert subjects(sink).count("one refused") == 1 and subjects(sink).count("success asked") == 1
    reports = [mail.raw for mail in sink.mails() if mail.recipients == [ANN]]
    assert sorted(b"Action: failed" in raw for raw in reports) == [False, True]
    assert sorted(b"Action: relayed" in raw for raw in reports) == [False, True]


def test_below_the_reserve_a_late_answer_settles_the_mail(place: Place) -> None:
    sink = place.sink()
    sink.options += ["--no-dsn"]
    sink.start("dot:slow=4")
    relay = place.relay({**quick(cut_through_deadline="1s"), "upstream": [upstream(sink)]})
    relay.add_account()
    relay.start()
    with relay.logged_in(timeout=40) as client:
        client.ask("MAIL FROM:<ann@example.net>")
        assert client.ask("RCPT TO:<bob@example.org> NOTIFY=SUCCESS").code == 250
        assert "queued as" in str(client.data(a_message(subject="late")))
    assert [entry["state"] for entry in relay.queue()] == ["in_doubt"]
    relay.configure({"spool": {"reserve": "16TiB"}})
    relay.cli("reload")
    wait_for("an empty queue", lambda: relay.queue() == [], 40)
    assert subjects(sink).count("late") == 1
    assert any(mail.recipients == [ANN] and b"Action: relayed" in mail.raw for mail in sink.mails())


def test_giving_up_returns_the_mail(place: Place) -> None:
    relay, sink = place.pair(quick(retry={"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "3s", "warn_after": "2s"}), "rcpt:451:bob@example.org")
    assert send(relay).startswith("250")

    def returned() -> bool:
        return any(mail.recipients == [ANN] and b"Action: failed" in mail.raw for mail in sink.mails())

    wait_for("the report", returned, 60)
    wait_for("an empty queue", lambda: relay.queue() == [])


def test_a_delay_is_told_once(place: Place) -> None:
    relay, sink = place.pair(quick(retry={"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "2s"}), "rcpt:451:bob@example.org")
    assert send(relay).startswith("250")

    def told() -> list[object]:
        return [mail for mail in sink.mails() if mail.recipients == [ANN] and b"Action: delayed" in mail.raw]

    wait_for("the notice", told, 60)
    time.sleep(4)
    assert len(told()) == 1


def test_mails_of_two_clients_at_once(place: Place) -> None:
    relay, sink = place.pair()
    with relay.logged_in() as one, relay.logged_in() as two:
        for client, name in ((one, "one"), (two, "two")):
            client.mail("ann@example.net", f"{name}@example.org")
            assert client.ask("DATA").code == 354
        one.send(a_message(subject="one", body="1\r\n" * 1000)[:900])
        two.send(a_message(subject="two") + b".\r\n")
        assert two.reply().code == 250
        one.send(a_message(subject="one", body="1\r\n" * 1000)[900:] + b".\r\n")
        assert one.reply().code == 250
    pairs = {(mail.message["Subject"], mail.recipients[0]) for mail in sink.mails()}
    assert pairs == {("one", "one@example.org"), ("two", "two@example.org")}
