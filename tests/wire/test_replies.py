"""The reply table, row by row, on a relay that does nothing wrong (behaviour.md's section on replies)."""

from __future__ import annotations

import re

import pytest

from postern.relay import ANN, HOSTNAME, PASSWORD, Relay
from postern.sink import Sink
from postern.smtp import Client, Reply, a_message, b64

Pair = tuple[Relay, Sink]


def refused_with_reference(reply: Reply) -> bool:
    return re.search(r" \[[0-9A-HJKMNP-TV-Z]{26}\]$", reply.lines[-1]) is not None


def test_the_greeting_names_the_host_and_no_version(shared: Pair) -> None:
    with Client(shared[0].submission) as client:
        assert str(client.reply()) == f"220 {HOSTNAME} ESMTP ready"


def test_before_tls_starttls_is_offered_and_auth_is_not(shared: Pair) -> None:
    with shared[0].plain() as client:
        offered = client.ehlo()
    assert set(offered) >= {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN",
                            "CHUNKING", "STARTTLS"}
    assert "AUTH" not in offered and "BINARYMIME" not in offered
    assert int(offered["SIZE"]) == 25 * 1024 * 1024


def test_after_tls_auth_and_limits_are_offered_and_starttls_is_not(shared: Pair) -> None:
    with shared[0].plain() as client:
        client.ehlo()
        client.starttls()
        offered = client.ehlo()
    assert "STARTTLS" not in offered
    assert offered["AUTH"].split() == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]
    assert "RCPTMAX=100" in offered["LIMITS"]


@pytest.mark.parametrize("command", ["NOOP", "NOOP hello", "RSET", "HELP", "HELO client", "EHLO client", "QUIT"])
def test_what_is_allowed_before_tls(shared: Pair, command: str) -> None:
    with shared[0].plain() as client:
        assert 200 <= client.ask(command).code < 300


@pytest.mark.parametrize("command", ["MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.org>", "DATA",
                                     "BDAT 3 LAST", "VRFY bob"])
def test_everything_else_waits_for_tls(shared: Pair, command: str) -> None:
    with shared[0].plain() as client:
        client.ehlo()
        if command.startswith("BDAT"):
            command += "\r\nabc"
        client.send(command.encode() + b"\r\n")
        assert client.reply().heading == "530 5.7.0"


def test_auth_waits_for_tls_even_with_the_right_password(shared: Pair) -> None:
    with shared[0].plain() as client:
        client.ehlo()
        assert client.auth_plain(ANN, PASSWORD).heading in ("530 5.7.0", "538 5.7.11")


def test_commands_behind_starttls_are_never_carried_out(shared: Pair) -> None:
    with shared[0].plain() as client:
        client.ehlo()
        client.send(b"STARTTLS\r\nEHLO smuggled\r\nNOOP\r\n")
        said = b""
        while True:
            try:
                more = client.sock.recv(4096)
            except ConnectionError:
                break
            if not more:
                break
            said += more
    assert said.count(b"\r\n") <= 1 and b"250" not in said


def test_starttls_within_tls_is_out_of_order(shared: Pair) -> None:
    with shared[0].encrypted() as client:
        assert client.ask("STARTTLS").heading == "503 5.5.1"


def test_starttls_forgets_what_ehlo_said(shared: Pair) -> None:
    with shared[0].plain() as client:
        client.ehlo()
        client.starttls()
        assert client.ask("MAIL FROM:<ann@example.net>").code in (503, 530)


def test_mail_waits_for_auth(shared: Pair) -> None:
    with shared[0].encrypted() as client:
        assert client.ask("MAIL FROM:<ann@example.net>").heading == "530 5.7.0"


@pytest.mark.parametrize(("command", "heading"), [
    ("RCPT TO:<bob@example.org>", "503 5.5.1"),
    ("DATA", "503 5.5.1"),
    ("BDAT 0 LAST", "503 5.5.1"),
    ("FROBNICATE", "500 5.5.2"),
    ("", "500 5.5.2"),
    ("MAIL", "501 5.5.4"),
    ("MAIL FROM:ann@example.net extra", "501 5.5.4"),
    ("MAIL FROM:<ann@example.net", "501 5.5.4"),
    ("MAIL FROM:<ann@example.net> FROB=1", "555 5.5.4"),
    ("MAIL FROM:<ann@example.net> REQUIRETLS", "555 5.5.4"),
    ("MAIL FROM:<ann@example.net> MT-PRIORITY=3", "555 5.5.4"),
    ("MAIL FROM:<ann@example.net> HOLDFOR=10", "555 5.5.4"),
    ("MAIL FROM:<ann@example.net> SIZE=big", "501 5.5.4"),
    ("MAIL FROM:<ann@example.net> BODY=9BIT", "501 5.5.4"),
    ("MAIL FROM:<ann@example.net> SIZE=99999999", "552 5.3.4"),
    ("MAIL FROM:<eve@example.com>", "550 5.7.1"),
    ("VRFY bob", "252 2.5.0"),
    ("EXPN list", "502 5.5.1"),
    ("EHLO", "501 5.5.4"),
    ("AUTH PLAIN AGEAYg==", "503 5.5.1"),
])
def test_replies_outside_a_transaction(shared: Pair, command: str, heading: str) -> None:
    with shared[0].logged_in() as client:
        assert client.ask(command).heading == heading
        assert client.ask("NOOP").code == 250


@pytest.mark.parametrize(("command", "heading"), [
    ("MAIL FROM:<ann@example.net>", "503 5.5.1"),
    ("AUTH PLAIN AGEAYg==", "503 5.5.1"),
    ("DATA", "503 5.5.1"),
    ("RCPT TO:bob@example.org extra", "501 5.5.4"),
    ("RCPT TO:<bob@example.org> FROB=1", "555 5.5.4"),
    ("RCPT TO:<bob@example.org> NOTIFY=SOMETIMES", "501 5.5.4"),
    ("RCPT TO:<bob@example.org> ORCPT=rfc822;bob@example.org NOTIFY=SUCCESS,FAILURE", "250 2.1.5"),
    ("RCPT TO:<bob>", "554 5.1.2"),
    ("RCPT TO:<postmaster>", "250 2.1.5"),
    ("RCPT TO:<\u00e4nne@example.org>", "553 5.6.7"),
])
def test_replies_inside_a_transaction(shared: Pair, command: str, heading: str) -> None:
    with shared[0].logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net>").heading == "250 2.1.0"
        reply = client.ask(command)
        assert reply.heading == heading
        if command.startswith("RCPT") and reply.code >= 400:
            assert refused_with_reference(reply)
        assert client.ask("RSET").code == 250


def test_bytes_that_are_not_utf8_in_an_address(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net> SMTPUTF8").code == 250
        client.send(b"RCPT TO:<b\xff\xfeb@example.org>\r\n")
        assert client.reply().heading == "501 5.5.4"


def test_smtputf8_lets_other_letters_pass(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net> SMTPUTF8").code == 250
        assert client.ask("RCPT TO:<\u00e4nne@b\u00fccher.example>").code == 250


def test_auth_parameter_at_mail_is_accepted(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        assert client.ask("MAIL FROM:<ann@example.net> AUTH=<>").code == 250
        assert client.ask("RSET").code == 250
        assert client.ask("MAIL FROM:<ann@example.net> AUTH=e+3Dmc2@example.com").code == 250


def test_a_refusal_from_mail_on_ends_in_its_reference(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        assert refused_with_reference(client.ask("MAIL FROM:<eve@example.com>"))


def test_recipients_beyond_the_maximum_are_put_off_and_the_others_stand(shared: Pair) -> None:
    relay, sink = shared
    with relay.logged_in() as client:
        client.mail("ann@example.net", *(f"r{n}@example.org" for n in range(100)))
        assert client.ask("RCPT TO:<one.too.many@example.org>").heading == "452 4.5.3"
        before = len(sink.mails())
        assert client.data(a_message(subject="hundred")).code == 250
    mail = sink.wait_for_mails(before + 1)[-1]
    assert len(mail.recipients) == 100


@pytest.mark.parametrize(("sender", "heading"), [
    ("ann@example.net", "250"), ("ANN@Example.NET", "250"), ("ann+tag@example.net", "250"),
    ("bob@example.net", "550 5.7.1"),
])
def test_header_from_must_be_owned(shared: Pair, sender: str, heading: str) -> None:
    with shared[0].logged_in() as client:
        reply = client.submit("ann@example.net", ["bob@example.org"], a_message(sender))
        assert reply.heading.startswith(heading)


@pytest.mark.parametrize("head", [
    b"To: bob@example.org\r\n",
    b"From: ann@example.net\r\nFrom: ann@example.net\r\n",
])
def test_not_exactly_one_from_field(shared: Pair, head: bytes) -> None:
    with shared[0].logged_in() as client:
        reply = client.submit("ann@example.net", ["bob@example.org"], head + b"\r\nHello\r\n")
        assert reply.heading == "554 5.6.0" and refused_with_reference(reply)
        assert client.ask("NOOP").code == 250


def test_a_header_sender_that_is_not_owned(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        message = a_message(Sender="eve@example.com")
        assert client.submit("ann@example.net", ["bob@example.org"], message).heading == "550 5.7.1"


def test_the_null_sender_is_allowed_when_header_from_is_owned(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        assert client.submit("", ["bob@example.org"], a_message()).code == 250
        reply = client.submit("", ["bob@example.org"], a_message("eve@example.com"))
        assert reply.heading == "550 5.7.1"


def test_a_line_over_64_kib_is_refused_at_the_true_end(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        message = a_message(body="x" * 70_000 + "\r\nmore\r\n")
        assert client.submit("ann@example.net", ["bob@example.org"], message).heading == "554 5.6.0"
        assert client.ask("NOOP").code == 250


def test_a_line_over_998_octets_is_passed_on(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    with relay.logged_in() as client:
        message = a_message(subject="long line", body="x" * 5000 + "\r\n")
        assert client.submit("ann@example.net", ["bob@example.org"], message).code == 250
    assert b"\r\n" + b"x" * 5000 + b"\r\n" in sink.wait_for_mails(before + 1)[-1].raw


def test_too_many_received_fields(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        trace = b"Received: from a by b; Mon, 02 Mar 2026 09:15:00 +0000\r\n" * 101
        reply = client.submit("ann@example.net", ["bob@example.org"], trace + a_message())
        assert reply.heading == "554 5.4.6"


def test_too_many_errors_end_the_connection(shared: Pair) -> None:
    with shared[0].encrypted() as client:
        replies = []
        for _ in range(25):
            reply = client.ask("FROBNICATE")
            replies.append(reply.heading)
            if reply.code == 421:
                break
        assert replies[-1] == "421 4.7.0" and len(replies) in (20, 21)
        assert client.closed()


def test_quit_says_goodbye_and_closes(shared: Pair) -> None:
    with shared[0].encrypted() as client:
        assert client.ask("QUIT").heading == "221 2.0.0"
        assert client.closed()


def test_pipelined_commands_are_answered_in_order(shared: Pair) -> None:
    relay, sink = shared
    before = len(sink.mails())
    with relay.logged_in() as client:
        client.send(b"MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<nowhere>\r\nDATA\r\n")
        assert [client.reply().code for _ in range(4)] == [250, 250, 554, 354]
        client.send(a_message(subject="pipelined") + b".\r\nNOOP\r\nQUIT\r\n")
        assert [client.reply().code for _ in range(3)] == [250, 250, 221]
    assert sink.wait_for_mails(before + 1)[-1].recipients == ["bob@example.org"]


def test_nothing_echoed_can_break_out_of_its_line(shared: Pair) -> None:
    with shared[0].logged_in() as client:
        client.send(b"RCPT TO:<a\x00\x1b[31m@example.org>\r\n")
        reply = client.reply()
        assert all(" " <= letter for letter in reply.text)
        client.send(b"EHLO a\rb\r\n")
        assert client.reply().code in (250, 500, 501)
        assert client.ask("NOOP").code == 250


def test_helo_is_answered_and_serves_after_tls(shared: Pair) -> None:
    with Client(shared[0].submissions, tls=True) as client:
        client.reply()
        reply = client.ask("HELO client")
        assert reply.code == 250 and len(reply.lines) == 1


@pytest.mark.parametrize("name", ["[192.0.2.7]", "[IPv6:2001:db8::7]", "iPhone", "my_pc", "localhost", "-odd-"])
def test_odd_ehlo_names_are_accepted(shared: Pair, name: str) -> None:
    with shared[0].plain() as client:
        assert client.ask(f"EHLO {name}").code == 250


def test_auth_errors(shared: Pair) -> None:
    with shared[0].encrypted() as client:
        assert client.ask("AUTH FROB").heading == "504 5.5.4"
        assert client.ask("AUTH PLAIN !!!").heading == "501 5.5.2"
        assert client.ask("AUTH PLAIN").code == 334
        assert client.ask("*").heading == "501 5.7.0"
        assert client.ask("AUTH LOGIN").code == 334
        assert client.ask("a" * 12_300).heading == "500 5.5.6"
        assert client.ask("NOOP").code == 250


def test_auth_after_success_and_the_order_of_login_prompts(shared: Pair) -> None:
    with shared[0].encrypted() as client:
        assert client.ask("AUTH LOGIN").lines == (b64("Username:"),)
        assert client.ask(b64(ANN)).lines == (b64("Password:"),)
        assert client.ask(b64(PASSWORD)).heading == "235 2.7.0"
        assert client.ask("AUTH LOGIN").heading == "503 5.5.1"
