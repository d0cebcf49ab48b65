"""What goes out is signed: whose keys, over which octets, in both modes, and what never keeps mail from going."""

from __future__ import annotations

import pytest

pytest.importorskip("dkim", reason="python3-dkim is not installed")
pytest.importorskip("nacl", reason="python3-nacl is not installed")

from postern.place import Place  # noqa: E402
from postern.relay import ANN, Relay  # noqa: E402
from postern.settings import Settings  # noqa: E402
from postern.signatures import records, tags, verified  # noqa: E402
from postern.sink import Mail, Sink  # noqa: E402
from postern.smtp import a_message  # noqa: E402
from postern.waiting import wait_for  # noqa: E402

Pair = tuple[Relay, Sink]

BOTH = ["rsa example.net", "ed25519 example.net"]
SPOOL: Settings = {"delivery": {"mode": "spool"}}
SLOW_RETRY: Settings = {"delivery": {"retry": {"first": "1h", "factor": 1.0, "max": "1h", "jitter": 0.0,
                                               "give_up": "4d", "warn_after": "4h"}}}

BODIES = {
    "ordinary": b"Hello.\r\n",
    "empty": b"",
    "one empty line": b"\r\n",
    "only empty lines": b"\r\n\r\n\r\n",
    "spaces alone": b" \t \r\n  \r\n",
    "trailing white space": b"Hello. \t \r\n  in front\r\n in \t between \r\n",
    "empty lines at the end": b"Hello.\r\n\r\n \r\n\r\n",
    "dots": b".\r\n..\r\n.x\r\n",
    "eight bit": "Gr\u00fc\u00dfe, \u00e4\u00f6\u00fc\r\n".encode() + b"\xff\xfe\x80\r\n",
    "a long line": b"x" * 5000 + b" \t" + b"y" * 5000 + b"\r\n",
    "no end": b"Hello.",
}


def sent(pair: Pair, message: bytes, *, account: str = ANN) -> Mail:
    relay, sink = pair
    before = len(sink.mails())
    with relay.logged_in(account) as client:
        reply = client.submit(account, ["bob@example.org"], message)
        assert reply.code == 250, reply
    return sink.wait_for_mails(before + 1)[-1]


@pytest.fixture(scope="module")
def signing(shared: Pair) -> Pair:
    shared[0].cli("dkim", "new", "example.net")
    return shared


@pytest.mark.parametrize("name", BODIES)
def test_what_arrives_verifies(signing: Pair, name: str) -> None:
    mail = sent(signing, a_message(body="") + BODIES[name])
    assert verified(mail.raw, records(signing[0], "example.net")) == BOTH


@pytest.mark.parametrize("name", ["ordinary", "eight bit", "a long line", "no end", "empty"])
def test_by_bdat_too(signing: Pair, name: str) -> None:
    relay, sink = signing
    before = len(sink.mails())
    message = a_message(body="") + BODIES[name]
    with relay.logged_in() as client:
        client.mail(ANN, "bob@example.org")
        client.send(b"BDAT 10\r\n" + message[:10] + b"BDAT %d LAST\r\n" % (len(message) - 10) + message[10:])
        assert [client.reply().code for _ in range(2)] == [250, 250]
    mail = sink.wait_for_mails(before + 1)[-1]
    assert verified(mail.raw, records(relay, "example.net")) == BOTH


def test_signed_is_what_is_left_after_every_change(signing: Pair) -> None:
    head = (b"Bcc: secret@example.org,\r\n other@example.org\r\nX-Abuse: forged\r\nReturn-Path: <x@y>\r\n"
            b"From: Ann\r\n <ann@example.net>\r\nSubject:  a\r\n\t folded  one \r\nMessage-ID:\r\nTo: bob@example.org\r\n"
            b"Feedback-ID: forged\r\n\r\n")
    mail = sent(signing, head + BODIES["trailing white space"])
    assert b"secret@" not in mail.raw and b"forged" not in mail.raw
    assert verified(mail.raw, records(signing[0], "example.net")) == BOTH
    for each in tags(mail.raw):
        named = each["h"].lower().split(":")
        assert {"from", "date", "message-id", "x-abuse", "feedback-id"} <= set(named)
        assert named.count("from") == 2 and named.count("subject") == 2 and named.count("cc") == 1
        assert "bcc" not in named and "received" not in named
        assert each["c"] == "relaxed/relaxed" and "l" not in each
    assert mail.raw.startswith(b"DKIM-Signature:")


def test_headers_of_other_scripts(signing: Pair) -> None:
    relay, sink = signing
    before = len(sink.mails())
    with relay.logged_in() as client:
        assert client.ask(f"MAIL FROM:<{ANN}> SMTPUTF8 BODY=8BITMIME").code == 250
        assert client.ask("RCPT TO:<\u00e4nne@example.org>").code == 250
        assert client.data(a_message(subject="Gr\u00fc\u00dfe \u00e4us  der Ferne")).code == 250
    mail = sink.wait_for_mails(before + 1)[-1]
    assert verified(mail.raw, records(relay, "example.net")) == BOTH


def test_a_large_mail(signing: Pair) -> None:
    body = "".join(f"line {n}  of a large message \r\n" for n in range(200_000))
    mail = sent(signing, a_message(body=body))
    assert verified(mail.raw, records(signing[0], "example.net")) == BOTH


def test_a_change_on_the_way_shows(signing: Pair) -> None:
    mail = sent(signing, a_message(body="Pay to Ann.\r\n"))
    published = records(signing[0], "example.net")
    assert verified(mail.raw.replace(b"to Ann.", b"to Eve."), published) == [f"not {each}" for each in BOTH]
    assert verified(mail.raw.replace(b"\r\nSubject:", b"\r\nSubject: x\r\nSubject:"), published) == \
        [f"not {each}" for each in BOTH]


def test_lone_newlines_are_signed_as_they_go_out(place: Place) -> None:
    pair = place.pair({"message": {"bare_newline": "normalize"}})
    relay, sink = pair
    relay.cli("dkim", "new", "example.net")
    with relay.logged_in() as client:
        client.mail(ANN, "bob@example.org")
        client.ask("DATA")
        client.send(b"From: ann@example.net\nSubject: unix\n\none \n.\n\ntwo\r\n.\r\n")
        assert client.reply().code == 250
    assert verified(sink.wait_for_mails(1)[0].raw, records(relay, "example.net")) == BOTH


def test_a_spooled_mail_keeps_its_signature(place: Place) -> None:
    """Signed once, when it is stored: neither retries nor a restart nor a rotation sign it anew."""
    relay, sink = place.pair({"delivery": {**SLOW_RETRY["delivery"], "mode": "spool"}}, "rcpt:451")
    relay.cli("dkim", "new", "example.net")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message(body=" late \r\n\r\n")).code == 250
    wait_for("it is deferred", lambda: [each["state"] for each in relay.queue()] == ["deferred"], 20)
    published = records(relay, "example.net")
    relay.cli("dkim", "new", "example.net")
    relay.cli("dkim", "rotate", "example.net")
    relay.restart()
    sink.restart()
    relay.cli("queue", "retry", "--all")
    raw = sink.wait_for_mails(1, 30)[0].raw
    assert verified(raw, published) == BOTH
    assert verified(raw, records(relay, "example.net")) == BOTH  # What is retired has its record still.


def test_a_mail_that_was_offered_in_vain_is_signed_once(place: Place) -> None:
    relay, sink = place.pair(SLOW_RETRY, "dot:451")
    relay.cli("dkim", "new", "example.net")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    wait_for("it is deferred", lambda: [each["state"] for each in relay.queue()] == ["deferred"], 20)
    sink.restart()
    relay.cli("queue", "retry", "--all")
    mail = wait_for("the mail", lambda: [each for each in sink.mails() if each.message["Subject"] == "Hello"][-1:], 30)[0]
    assert verified(mail.raw, records(relay, "example.net")) == BOTH


def test_notifications_of_ours_are_signed(place: Place) -> None:
    relay, sink = place.pair(SPOOL, "rcpt:550:bob@example.org")
    relay.cli("dkim", "new", "example.net")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    notice = wait_for("the notification", lambda: [each for each in sink.mails() if each.sender == ""], 30)[0]
    assert verified(notice.raw, records(relay, "example.net")) == BOTH
    assert "@example.net" in str(notice.message["From"])


def test_a_notification_of_a_drop_is_signed(place: Place) -> None:
    relay, sink = place.pair({"delivery": {**SLOW_RETRY["delivery"], "mode": "spool"}}, "rcpt:451:bob@example.org")
    relay.cli("dkim", "new", "example.net")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    wait_for("it is deferred", lambda: [each["state"] for each in relay.queue()] == ["deferred"], 20)
    relay.cli("queue", "drop", "--all", "--dsn")
    notice = wait_for("the notification", lambda: [each for each in sink.mails() if each.sender == ""], 30)[0]
    assert verified(notice.raw, records(relay, "example.net")) == BOTH


def test_whose_keys_sign(place: Place) -> None:
    pair = place.pair({"dkim": {"default_domain": "relay.example"}})
    relay = pair[0]
    relay.cli("account", "set", ANN, "--owns", "shop.example", "--owns", "other.example")
    assert tags(sent(pair, a_message("x@other.example")).raw) == []
    for domain in ("shop.example", "relay.example"):
        relay.cli("dkim", "new", domain)
    published = records(relay, "shop.example", "relay.example")
    assert verified(sent(pair, a_message("x@Shop.example")).raw, published) == ["rsa shop.example", "ed25519 shop.example"]
    assert verified(sent(pair, a_message("x@other.example")).raw, published) == \
        ["rsa relay.example", "ed25519 relay.example"]
    relay.cli("dkim", "remove", "shop.example")
    assert verified(sent(pair, a_message("x@shop.example")).raw, published) == \
        ["rsa relay.example", "ed25519 relay.example"]


def test_a_key_vouches_for_owners_alone(place: Place) -> None:
    """With the rule off, anybody may write anybody's From; the domain's key does not sign that."""
    pair = place.pair({"rules": {"header_from": "off"}, "dkim": {"default_domain": "example.net"}})
    relay = pair[0]
    relay.add_account("eve@evil.example", "another password")
    relay.cli("dkim", "new", "example.net")
    with relay.logged_in("eve@evil.example", "another password") as client:
        assert client.submit("eve@evil.example", ["bob@example.org"], a_message(ANN)).code == 250
    mail = pair[1].wait_for_mails(1)[0]
    assert mail.message["From"] == f"Ann <{ANN}>" and tags(mail.raw) == []
    assert verified(sent(pair, a_message()).raw, records(relay, "example.net")) == BOTH


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_either_alone_by_option(place: Place, algorithm: str) -> None:
    pair = place.pair()
    relay = pair[0]
    relay.cli("dkim", "new", "example.net")
    relay.configure({"dkim": {"algorithms": [algorithm]}})
    relay.cli("reload")
    assert verified(sent(pair, a_message()).raw, records(relay, "example.net")) == [f"{algorithm} example.net"]
    relay.configure({"dkim": {"algorithms": []}})
    relay.cli("reload")
    assert tags(sent(pair, a_message()).raw) == []


def test_a_rotation(place: Place) -> None:
    pair = place.pair()
    relay = pair[0]
    relay.cli("dkim", "new", "example.net")
    old = {key["selector"] for key in relay.cli_json("dkim", "list", "example.net")}
    relay.cli("dkim", "new", "example.net")
    new = {key["selector"] for key in relay.cli_json("dkim", "list", "example.net")} - old
    assert len(old) == len(new) == 2
    assert {each["s"] for each in tags(sent(pair, a_message()).raw)} == old
    relay.cli("dkim", "rotate", "example.net")
    mail = sent(pair, a_message())
    assert {each["s"] for each in tags(mail.raw)} == new
    assert verified(mail.raw, records(relay, "example.net")) == BOTH


def test_a_damaged_key_keeps_no_mail(place: Place) -> None:
    pair = place.pair()
    relay = pair[0]
    relay.cli("dkim", "new", "example.net")
    folder = relay.state / "dkim" / "example.net"
    [rsa] = [key["selector"] for key in relay.cli_json("dkim", "list") if key["algorithm"] == "rsa"]
    (folder / f"{rsa}.pem").write_text("no key\n")
    relay.restart()
    for _ in range(2):
        assert verified(sent(pair, a_message()).raw, records(relay, "example.net")) == BOTH[1:]
    told = [entry for entry in relay.events("log") if entry.get("area") == "dkim"]
    assert len(told) == 1 and f"example.net/{rsa}.pem" in told[0]["text"]
    metrics = relay.metrics()
    assert metrics.total("postern_dkim_signatures_total", algorithm="rsa", result="failed") == 2
    assert metrics.total("postern_dkim_signatures_total", algorithm="ed25519", result="ok") == 2
    (folder / "keys").write_text("")
    relay.restart()
    assert tags(sent(pair, a_message()).raw) == []
    assert relay.metrics().total("postern_dkim_signatures_total", algorithm="none", result="failed") == 1


def test_keys_that_are_made_while_mail_flows(place: Place) -> None:
    """Of each mail it is clear whether it is signed: without keys before, with keys after the command."""
    pair = place.pair()
    relay = pair[0]
    assert tags(sent(pair, a_message()).raw) == []
    assert tags(sent(pair, a_message()).raw) == []
    assert relay.metrics().total("postern_dkim_signatures_total", result="no_key") == 2
    relay.cli("dkim", "new", "example.net")
    assert verified(sent(pair, a_message()).raw, records(relay, "example.net")) == BOTH
    relay.cli("dkim", "remove", "example.net")
    assert tags(sent(pair, a_message()).raw) == []
