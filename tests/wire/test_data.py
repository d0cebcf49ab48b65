"""Data in, data out: what is added, removed and kept, by DATA and by BDAT, in any cut of the bytes."""

from __future__ import annotations

import re

import pytest

from postern.place import Place
from postern.relay import HOSTNAME, Relay
from postern.sink import Mail, Sink
from postern.smtp import a_message, stuff

Pair = tuple[Relay, Sink]


def relayed(pair: Pair, message: bytes, *, sender: str = "ann@example.net",
            recipients: tuple[str, ...] = ("bob@example.org",)) -> Mail:
    relay, sink = pair
    before = len(sink.mails())
    with relay.logged_in() as client:
        reply = client.submit(sender, list(recipients), message)
        assert reply.code == 250, reply
    return sink.wait_for_mails(before + 1)[-1]


def test_one_received_on_top_and_the_rest_untouched(shared: Pair) -> None:
    message = a_message(body="Line one\r\n..two dots\r\n.\tone dot\r\n\r\ntrailing  \r\n")
    mail = relayed(shared, message)
    top, _, rest = mail.raw.partition(b"\r\nFrom: ")
    assert b"From: " + rest == message
    assert len(mail.message.get_all("Received") or []) == 1
    assert re.fullmatch(
        rf"Received: from {HOSTNAME} by {HOSTNAME}\s+with ESMTPSA\s+id [0-9A-Z]{{26}};\s+\w{{3}}, \d\d? \w{{3}} \d{{4}} [\d:]{{8}} [+-]\d{{4}}"
        rf"\r\nX-Abuse: report to postmaster@example\.net;\s+ref=[0-9a-f]{{32}}"
        rf"\r\nFeedback-ID: [0-9a-f]{{16}}:::{HOSTNAME}",
        top.decode())


def test_nothing_of_the_client_or_a_bcc_shows(shared: Pair) -> None:
    mail = relayed(shared, a_message(), recipients=("bob@example.org", "secret@example.org"))
    received = mail.message["Received"]
    assert "127." not in received and "client.example.net" not in received and "secret" not in received
    assert sorted(mail.recipients) == ["bob@example.org", "secret@example.org"]


def test_date_and_message_id_are_added_when_missing(shared: Pair) -> None:
    mail = relayed(shared, b"From: ann@example.net\r\nSubject: bare\r\n\r\nHello\r\n")
    assert mail.message["Date"]
    assert re.fullmatch(rf"<[^<>@\s]+@{HOSTNAME}>", mail.message["Message-ID"])


def test_date_and_message_id_are_kept_when_there(shared: Pair) -> None:
    mail = relayed(shared, a_message())
    assert mail.message.get_all("Message-ID") == ["<1@client.example.net>"]
    assert mail.message.get_all("Date") == ["Mon, 02 Mar 2026 09:15:00 +0000"]


@pytest.mark.parametrize("field", ["Bcc", "Resent-Bcc", "Return-Path", "X-Abuse", "Feedback-ID", "bCC"])
def test_fields_of_the_client_that_are_removed(shared: Pair, field: str) -> None:
    head = f"{field}: one@example.org,\r\n two@example.org\r\n".encode()
    mail = relayed(shared, head + a_message() + f"{field}: in the body stays\r\n".encode())
    top, _, body = mail.raw.partition(b"\r\n\r\n")
    ours = 1 if field in ("X-Abuse", "Feedback-ID") else 0
    assert b"one@example.org" not in top and b"two@example.org" not in top
    assert top.lower().count(b"\n" + field.lower().encode() + b":") == ours
    assert f"{field}: in the body stays".encode() in body


def test_smtputf8_shows_in_received(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    with relay.logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net> SMTPUTF8 BODY=8BITMIME").code == 250
        assert client.ask("RCPT TO:<\u00e4nne@example.org>").code == 250
        assert client.data(a_message(subject="Gr\u00fc\u00dfe")).code == 250
    mail = sink.wait_for_mails(before + 1)[-1]
    assert b"UTF8SMTPSA" in mail.raw and "Gr\u00fc\u00dfe".encode() in mail.raw


@pytest.mark.parametrize("body", [b"", b"x", b"\r\n", b".\r\n", b"..", b"no end", b"a\r\n\r\n\r\n"])
def test_odd_bodies_arrive_as_they_were(shared: Pair, body: bytes) -> None:
    mail = relayed(shared, a_message(body="") + body)
    expected = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    assert mail.raw.partition(b"\r\n\r\n")[2] == expected


@pytest.mark.parametrize("size", [1, 7, 61])
def test_the_cut_of_the_bytes_makes_no_difference(shared: Pair, size: int) -> None:
    relay, sink = shared
    before = len(sink.mails())
    message = a_message(body="One\r\n.\r\n..\r\n.x\r\nEnd\r\n")
    with relay.logged_in() as client:
        client.pieces(b"MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n", size)
        assert [client.reply().code for _ in range(3)] == [250, 250, 354]
        client.pieces(stuff(message), size)
        assert client.reply().code == 250
    assert sink.wait_for_mails(before + 1)[-1].raw.endswith(message)


@pytest.mark.parametrize("size", [200_000, 1_000_000, 12_000_000])
def test_large_messages_arrive_whole(shared: Pair, size: int) -> None:
    body = "".join(f"line {n} of a large message, with some text to fill it\r\n" for n in range(size // 55))
    mail = relayed(shared, a_message(body=body))
    assert mail.raw.endswith(body.encode())


def test_a_message_that_grows_too_large_is_refused_at_its_end(place: Place) -> None:
    relay, sink = place.pair({"message": {"max_size": "64KiB"}})
    with relay.logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net> SIZE=65537").heading == "552 5.3.4"
        reply = client.submit("ann@example.net", ["bob@example.org"], a_message(body="x" * 70 + "\r\n") * 1000)
        assert reply.heading == "552 5.3.4"
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
    assert len(sink.wait_for_mails(1)) == 1


def test_bdat_in_chunks(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    message = a_message(body=".\r\n..\r\nMAIL FROM:<x>\r\n.\r\n")
    with relay.logged_in() as client:
        client.mail("ann@example.net", "bob@example.org")
        client.send(b"BDAT 10\r\n" + message[:10])
        assert client.reply().code == 250
        client.send(b"BDAT %d\r\n" % (len(message) - 10) + message[10:])
        assert client.reply().code == 250
        assert client.ask("BDAT 0 LAST").code == 250
    assert sink.wait_for_mails(before + 1)[-1].raw.endswith(message)


def test_bdat_pipelined_with_its_envelope(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    message = a_message(subject="chunk")
    with relay.logged_in() as client:
        client.send(b"MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nBDAT %d LAST\r\n%sNOOP\r\n"
                    % (len(message), message))
        assert [client.reply().code for _ in range(4)] == [250, 250, 250, 250]
    assert sink.wait_for_mails(before + 1)[-1].raw.endswith(message)


def test_bdat_and_data_do_not_mix(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        client.mail("ann@example.net", "bob@example.org")
        client.send(b"BDAT 6\r\nFrom: ")
        assert client.reply().code == 250
        assert client.ask("DATA").code == 503
        assert client.ask("RSET").code == 250


@pytest.mark.parametrize("command", ["BDAT", "BDAT x", "BDAT -1", "BDAT 5 FIRST", "BDAT 99999999999999999999"])
def test_bdat_with_a_bad_size(shared: Pair, command: str) -> None:
    with shared[0].logged_in() as client:
        client.mail("ann@example.net", "bob@example.org")
        assert client.ask(command).code in (421, 501, 503, 552)


def test_a_refused_bdat_is_swallowed_whole(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    with relay.logged_in() as client:
        octets = b"MAIL FROM:<ann@example.net>\r\n"
        client.send(b"BDAT %d LAST\r\n%sNOOP\r\n" % (len(octets), octets))
        assert client.reply().code == 503
        assert client.reply().heading == "250 2.0.0"
    assert len(sink.mails()) == before


@pytest.mark.parametrize("when", ["before TLS", "before login", "before MAIL", "behind a refused MAIL"])
def test_a_large_refused_bdat_is_swallowed_whole(shared: Pair, when: str) -> None:
    """Octets without a transaction are read and forgotten, however many blocks they fill."""
    relay, sink = shared
    before = len(sink.mails())
    mail = b""
    if when == "before TLS":
        client = relay.plain()
        client.ehlo()
    elif when == "before login":
        client = relay.encrypted()
    else:
        client = relay.logged_in()
        if when != "before MAIL":
            mail = b"MAIL FROM:<nobody@elsewhere.example>\r\nRCPT TO:<bob@example.org>\r\n"
    with client:
        client.send(mail + b"BDAT 200000 LAST\r\n" + b"NOOP\r\n" * 33333 + b"\r\nNOOP\r\n")
        if mail:
            assert client.reply().code == 550 and client.reply().code == 503
        assert client.reply().code in (503, 530)
        assert client.reply().heading == "250 2.0.0"
    assert len(sink.mails()) == before
    with relay.logged_in() as other:
        assert other.ask("NOOP").code == 250


def test_several_messages_on_one_connection_do_not_mix(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    with relay.logged_in() as client:
        for n in range(5):
            assert client.submit("ann@example.net", [f"r{n}@example.org"], a_message(subject=f"n{n}")).code == 250
    mails = sink.wait_for_mails(before + 5)[-5:]
    assert sorted((mail.message["Subject"], mail.recipients) for mail in mails) == [
        (f"n{n}", [f"r{n}@example.org"]) for n in range(5)]


def test_bare_newlines_can_be_normalised(place: Place) -> None:
    relay, sink = place.pair({"message": {"bare_newline": "normalize"}})
    with relay.logged_in() as client:
        client.mail("ann@example.net", "bob@example.org")
        client.ask("DATA")
        client.send(b"From: ann@example.net\nSubject: unix\n\none\n.\ntwo\r\n.\r\n")
        assert client.reply().code == 250
    raw = sink.wait_for_mails(1)[0].raw
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.endswith(b"\r\n\r\none\r\n.\r\ntwo\r\n") or raw.endswith(b"\r\n\r\none\r\n..\r\ntwo\r\n")
