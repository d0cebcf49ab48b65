"""The eleven endings that are no end of data: none of them ends it, none of them reaches an upstream."""

from __future__ import annotations

import pytest

from postern.relay import Relay
from postern.sink import Sink
from postern.smtp import a_message

Pair = tuple[Relay, Sink]

ENDINGS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.LF": b"\r.\n",
    "CRLF.CR": b"\r\n.\r",
    "LF.CR": b"\n.\r",
    "CRCRLF.CRLF": b"\r\r\n.\r\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "CRLFNUL.CRLF": b"\r\n\0.\r\n",
    "CRLF.NULCRLF": b"\r\n.\0\r\n",
}
SMUGGLED = (b"MAIL FROM:<admin@example.net>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\n"
            b"From: admin@example.net\r\nSubject: smuggled\r\n\r\nGot you\r\n.\r\n")
OPENING = b"MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\n"


@pytest.mark.parametrize("cut", ["whole", "1", "7"])
@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_that_is_none(shared: Pair, name: str, cut: str) -> None:
    """The message goes on to its true end, is refused there, and the connection stays in step.

    With CRCRLF before the dot a true CRLF.CRLF follows the stray CR: the data ends there, refused,
    and what follows are commands of the same client, which are as good as any of its commands.
    """
    relay, sink = shared
    before = len(sink.mails())
    with relay.logged_in() as client:
        client.send(OPENING + b"DATA\r\n")
        assert [client.reply().code for _ in range(3)] == [250, 250, 354]
        data = a_message(body="Hello") + ENDINGS[name] + SMUGGLED
        if cut == "whole":
            client.send(data)
        else:
            client.pieces(data, int(cut))
        assert client.reply().heading == "554 5.6.0"
        if name == "CRCRLF.CRLF":
            # `admin@` is not Ann's: refused, like all that rests on it.
            replies = [client.reply().code for _ in range(SMUGGLED.count(b"\r\n"))]
            assert all(code >= 500 for code in replies), replies
        assert client.ask("NOOP").heading == "250 2.0.0"
        assert client.submit("ann@example.net", ["bob@example.org"], a_message(subject="after")).code == 250
    mails = sink.wait_for_mails(before + 1)[before:]
    assert [mail.message["Subject"] for mail in mails] == ["after"]


@pytest.mark.parametrize("name", ENDINGS)
def test_by_bdat_no_ending_means_anything_upstream(shared: Pair, name: str) -> None:
    """BDAT counts octets: such a message is refused as well, or arrives as one message, stuffed."""
    relay, sink = shared
    before = len(sink.mails())
    message = a_message(body="Hello") + ENDINGS[name] + SMUGGLED
    with relay.logged_in() as client:
        client.send(OPENING + b"BDAT %d LAST\r\n%s" % (len(message), message))
        assert [client.reply().code for _ in range(2)] == [250, 250]
        assert client.reply().heading == "554 5.6.0"
        assert client.submit("ann@example.net", ["bob@example.org"], a_message(subject="after")).code == 250
    mails = sink.wait_for_mails(before + 1)[before:]
    assert [mail.message["Subject"] for mail in mails] == ["after"]


def test_a_true_ending_within_bdat_is_data(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    message = a_message(body="Hello\r\n.\r\n") + SMUGGLED
    with relay.logged_in() as client:
        client.send(OPENING + b"BDAT %d LAST\r\n%s" % (len(message), message))
        assert [client.reply().code for _ in range(3)] == [250, 250, 250]
    mails = sink.wait_for_mails(before + 1)[before:]
    assert len(mails) == 1 and mails[0].raw.endswith(message)


@pytest.mark.parametrize("octets", [b"lone\nLF", b"lone\rCR", b"a\0NUL", b"crcrlf\r\r\n"])
def test_stray_octets_in_text_are_refused(shared: Pair, octets: bytes) -> None:
    with shared[0].logged_in() as client:
        reply = client.submit("ann@example.net", ["bob@example.org"], a_message() + octets + b"\r\n")
        assert reply.heading == "554 5.6.0"
        assert client.ask("NOOP").heading == "250 2.0.0"


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP\r", b"NOOP\0\r\n", b"NOOP\r\r\n"])
def test_commands_end_in_crlf_alone(shared: Pair, line: bytes) -> None:
    """A command with another ending is refused, or waits for its CRLF; it is never two commands."""
    with shared[0].logged_in() as client:
        client.send(line + b"RSET\r\n")
        first = client.reply()
        assert first.code in (250, 500, 501, 554)
        if first.code == 554:
            return
        client.send(b"VRFY last\r\n")
        replies = [first]
        while replies[-1].code != 252:
            replies.append(client.reply())
        assert len(replies) <= 3
