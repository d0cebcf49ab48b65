"""Bounces and complaints that come back to the intake: whose they are, counted once, told and sent on."""

from __future__ import annotations

import re
import smtplib
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from postern.place import Place
from postern.relay import ANN, HOSTNAME, Relay, upstream
from postern.scratch import free_port, fresh_address
from postern.settings import Settings, merge
from postern.sink import Mail
from postern.smtp import a_message

BOB = "bob@example.org"
DOMAIN = "bounce.example.net"
REWRITE: Settings = {"message": {"return_path": "rewrite", "bounce_domain": DOMAIN}}


class Site:
    """A relay with a sink behind it and an intake by LMTP."""

    def __init__(self, place: Place, settings: Settings | None = None) -> None:
        host = fresh_address()
        self.intake = (host, free_port(host))
        base: Settings = {"intake": {"listen": [f"{host}:{self.intake[1]} lmtp"]}}
        self.relay, self.sink = place.pair(merge(base, settings or {}))

    def sent(self, *recipients: str, sender: str = ANN, message: bytes = a_message()) -> Mail:
        before = len(self.sink.mails())
        with self.relay.logged_in() as client:
            assert client.submit(sender, list(recipients or (BOB,)), message).code == 250
        return self.sink.wait_for_mails(before + 1)[-1]

    def bring(self, mail: Message | bytes, to: str = f"postmaster@{HOSTNAME}", sender: str = "") -> None:
        """By LMTP; it must be taken."""
        octets = mail if isinstance(mail, bytes) else mail.as_bytes()
        octets = re.sub(rb"\r?\n", b"\r\n", octets)
        with smtplib.LMTP(*self.intake) as lmtp:
            assert lmtp.sendmail(sender, [to], octets) == {}

    def told(self, event: str) -> list[dict[str, object]]:
        return self.relay.told(event)

    def taken(self, **labels: str) -> float:
        return self.relay.metrics().total("postern_intake_total", **labels)


def token_of(mail: Mail) -> str:
    match = re.search(r"ref=([0-9a-f]{32})", str(mail.message["X-Abuse"]))
    assert match is not None
    return match.group(1)


def header_of(raw: bytes) -> str:
    return raw.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").replace("\r\n", "\n") + "\n"


def status(rcpt: str, code: str = "5.1.1", action: str = "failed") -> MIMEBase:
    message, recipient = Message(), Message()
    message["Reporting-MTA"] = "dns; mx.example.org"
    recipient["Final-Recipient"] = f"rfc822; {rcpt}"
    recipient["Action"] = action
    recipient["Status"] = code
    recipient["Diagnostic-Code"] = f"smtp; 550 {code} no such user"
    part = MIMEBase("message", "delivery-status")
    part.set_payload([message, recipient])
    return part


def returned(header: str) -> MIMEBase:
    part = MIMEBase("text", "rfc822-headers")
    part.set_payload(header)
    return part


def dsn(header: str, rcpt: str = BOB, code: str = "5.1.1", action: str = "failed") -> Message:
    mail = MIMEMultipart("report", **{"report-type": "delivery-status"})
    mail["From"] = "Mail Delivery <mailer-daemon@mx.example.org>"
    mail["To"] = ANN
    mail["Subject"] = "Undelivered mail"
    mail["Auto-Submitted"] = "auto-replied"
    mail.attach(MIMEText("It could not be delivered.\n"))
    mail.attach(status(rcpt, code, action))
    mail.attach(returned(header))
    return mail


def complaint(header: str, rcpt: str | None = BOB, kind: str = "abuse") -> Message:
    mail = MIMEMultipart("report", **{"report-type": "feedback-report"})
    mail["From"] = "feedback@mailbox.example"
    mail["To"] = f"abuse@{HOSTNAME}"
    mail["Subject"] = "Complaint"
    mail.attach(MIMEText("This is a SECRET-TEXT complaint.\n"))
    part = MIMEBase("message", "feedback-report")
    named = f"Original-Rcpt-To: <{rcpt}>\n" if rcpt else ""
    part.set_payload(f"Feedback-Type: {kind}\nUser-Agent: Mailbox/1.0\nVersion: 1\n{named}")
    mail.attach(part)
    mail.attach(returned(header))
    return mail


def state_of(relay: Relay, key: str, rcpt: str = BOB) -> str:
    [traced] = relay.cli_json("trace", key)
    return next(str(each["state"]) for each in traced["rcpts"] if each["rcpt"] == rcpt)


def test_a_bounce_is_counted_once_and_traced(place: Place) -> None:
    site = Site(place)
    mail = site.sent()
    site.bring(dsn(header_of(mail.raw)))
    told = site.relay.wait_event("bounce")
    assert told["rcpt"] == BOB and told["enhanced"] == "5.1.1" and told["account"] == ANN
    assert told["upstream"] == "primary" and told["domain"] == "example.org" and told["via"] == "dsn"
    assert site.relay.metrics().total("postern_bounces_total", upstream="primary") == 1
    assert site.taken(kind="bounce", result="counted") == 1
    assert state_of(site.relay, token_of(mail)) == "bounced"
    assert state_of(site.relay, str(told["ref"])) == "bounced"

    site.bring(dsn(header_of(mail.raw)))
    assert site.taken(kind="bounce", result="duplicate") == 1
    site.relay.restart()
    site.bring(dsn(header_of(mail.raw)))
    assert site.taken(kind="bounce", result="duplicate") == 1
    assert site.relay.metrics().total("postern_bounces_total") == 0
    assert len(site.told("bounce")) == 1


@pytest.mark.parametrize("name", ["foreign recipient", "foreign token", "no name of ours", "delayed", "no report"])
def test_what_is_not_ours_does_not_count(place: Place, name: str) -> None:
    site = Site(place)
    header = header_of(site.sent().raw)
    mail, kind, result = {
        "foreign recipient": (dsn(header, "eve@example.org"), "bounce", "unknown"),
        "foreign token": (dsn("X-Abuse: report to a@b.example; ref=" + "0" * 32 + "\nSubject: x\n"),
                          "bounce", "unknown"),
        "no name of ours": (dsn("Subject: x\nMessage-ID: <other@example.org>\n"), "bounce", "unknown"),
        "delayed": (dsn(header, action="delayed", code="4.4.1"), "deferral", "passed"),
        "no report": (MIMEText("Hello.\n"), "other", "unreadable"),
    }[name]
    site.bring(mail)
    assert site.taken(kind=kind, result=result) == 1
    assert site.taken(result="counted") == 0
    site.relay.stop()
    assert site.relay.events("bounce") == []


def test_without_our_field_the_message_id_tells(place: Place) -> None:
    site = Site(place)
    site.sent(BOB, "carol@example.com")
    site.bring(dsn("Subject: Hello\nMessage-ID: <1@client.example.net>\n", "Carol@Example.com"))
    told = site.relay.wait_event("bounce")
    assert told["rcpt"] == "carol@example.com"
    assert state_of(site.relay, str(told["ref"])) == "delivered"


def with_shop(site: Site) -> None:
    site.relay.cli("customer", "add", "shop", "--contact", "owner@shop.example",
                   "--abuse-contact", "abuse@shop.example")
    site.relay.cli("account", "set", ANN, "--customer", "shop")


def test_a_complaint_goes_to_the_customer_at_once_and_once(place: Place) -> None:
    site = Site(place)
    with_shop(site)
    mail = site.sent(BOB, "carol@example.com")
    site.bring(complaint(header_of(mail.raw)))
    told = site.relay.wait_event("complaint")
    assert told["rcpt"] == BOB and told["kind"] == "abuse" and told["via"] == "arf" and told["confirmed"] is True
    assert told["customer"] == "shop"
    notice = site.sink.wait_for_mails(2)[-1]
    assert notice.sender == "" and notice.recipients == ["abuse@shop.example"]
    assert notice.message["Auto-Submitted"] == "auto-generated"
    assert str(notice.message["From"]).endswith("<postmaster@example.net>")
    text = notice.raw.decode()
    assert str(told["ref"]) in text and BOB in text and "SECRET-TEXT" not in text

    site.bring(complaint(header_of(mail.raw)))
    assert site.taken(kind="complaint", result="duplicate") == 1
    # What comes within the hour waits for its end, or for the relay's.
    site.bring(complaint(header_of(mail.raw), "carol@example.com"))
    assert site.relay.metrics().total("postern_complaints_total", via="arf") == 2
    site.relay.restart()
    later = site.sink.wait_for_mails(3)[-1].raw.decode()
    assert "carol@example.com" in later and BOB not in later
    assert len(site.sink.mails()) == 3


def test_a_complaint_of_no_customer_goes_to_the_operator(place: Place) -> None:
    site = Site(place, {"server": {"abuse_contact": "abuse@operator.example"}})
    site.bring(complaint(header_of(site.sent().raw), None))
    assert site.sink.wait_for_mails(2)[-1].recipients == ["abuse@operator.example"]


def test_praise_is_no_complaint(place: Place) -> None:
    site = Site(place)
    site.bring(complaint(header_of(site.sent().raw), kind="not-spam"))
    assert site.taken(kind="other", result="passed") == 1
    assert site.taken(result="counted") == 0


def test_a_report_on_our_own_notice_goes_no_further(place: Place) -> None:
    site = Site(place)
    with_shop(site)
    site.bring(complaint(header_of(site.sent().raw)))
    notice = site.sink.wait_for_mails(2)[-1]
    site.bring(complaint(header_of(notice.raw), "abuse@shop.example"))
    assert site.taken(kind="complaint", result="passed") == 1
    site.relay.stop()
    assert len(site.relay.events("complaint")) == 1 and len(site.sink.mails()) == 2


@pytest.mark.parametrize("mode", ["cut-through", "spool"])
def test_upstreams_hear_the_return_path_and_nobody_else(place: Place, mode: str) -> None:
    site = Site(place, merge(REWRITE, {"delivery": {"mode": mode}}))
    mail = site.sent()
    assert mail.sender == f"b+{token_of(mail)}@{DOMAIN}"
    assert site.relay.wait_event("message")["mail_from"] == ANN


def test_queued_mail_keeps_its_return_path(place: Place) -> None:
    settings = merge(REWRITE, {"delivery": {"mode": "spool", "retry": {
        "first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0, "give_up": "4d", "warn_after": "4h"}}})
    site = Site(place, settings)
    site.sink.stop()
    with site.relay.logged_in() as client:
        assert client.submit(ANN, [BOB], a_message()).code == 250
    [entry] = site.relay.queue()
    assert entry["mail_from"] == ANN
    site.relay.restart()
    site.sink.start()
    [mail] = site.sink.wait_for_mails(1, 60)
    assert mail.sender == f"b+{token_of(mail)}@{DOMAIN}"


def test_the_null_sender_stays_null(place: Place) -> None:
    site = Site(place, REWRITE)
    assert site.sent(sender="").sender == ""


def test_what_comes_to_a_return_path_is_counted_and_sent_on(place: Place) -> None:
    site = Site(place, REWRITE)
    mail = site.sent()
    # The returned header names nothing of ours: the return path tells.
    site.bring(dsn("Subject: Hello\n"), to=mail.sender.upper())
    came = site.sink.wait_for_mails(2)[-1]
    assert came.sender == "" and came.recipients == [ANN]
    assert came.message["Subject"] == "Undelivered mail" and came.raw.startswith(b"Received: by " + HOSTNAME.encode())
    told = site.relay.wait_event("bounce")
    assert told["rcpt"] == BOB and site.taken(kind="bounce", result="counted") == 1
    assert state_of(site.relay, token_of(mail)) == "bounced"
    # Told again it is no bounce more, and its sender hears it again.
    site.bring(dsn("Subject: Hello\n"), to=mail.sender)
    site.sink.wait_for_mails(3)
    assert site.taken(kind="bounce", result="duplicate") == 1


def test_nothing_goes_on_by_a_token_of_nobody(place: Place) -> None:
    site = Site(place, REWRITE)
    null = site.sent(sender="")
    before = len(site.sink.mails())
    site.bring(dsn("Subject: Hello\n"), to=f"b+{'0' * 32}@{DOMAIN}")
    site.bring(dsn(header_of(null.raw)), to=f"b+{token_of(null)}@{DOMAIN}")
    site.bring(MIMEText("Buy this.\n"), to=f"b+{token_of(null)}@{DOMAIN}", sender="eve@example.org")
    assert site.taken(kind="bounce", result="unknown") == 1
    assert site.relay.queue() == [] and len(site.sink.mails()) == before


def test_only_so_many_go_on(place: Place) -> None:
    site = Site(place, REWRITE)
    mail = site.sent()
    with smtplib.LMTP(*site.intake) as lmtp:
        for _ in range(110):
            assert lmtp.sendmail("", [mail.sender], "Subject: away\r\n\r\nI am away.\r\n") == {}
    site.relay.stop()
    forwarded = [each for each in site.relay.events("dsn") if each["result"] == "forwarded"]
    assert len(forwarded) == 101


def test_what_was_taken_survives_a_kill(place: Place) -> None:
    site = Site(place, merge(REWRITE, {"delivery": {"retry": {
        "first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0, "give_up": "4d", "warn_after": "4h"}}}))
    mail = site.sent()
    site.sink.stop()
    site.bring(dsn(header_of(mail.raw)), to=mail.sender)
    site.relay.kill()
    site.relay.start()
    assert state_of(site.relay, token_of(mail)) == "bounced"
    site.bring(dsn(header_of(mail.raw)))
    assert site.taken(kind="bounce", result="duplicate") == 1
    site.sink.start()
    came = site.sink.wait_for_mails(2, 60)[-1]
    assert came.recipients == [ANN] and came.sender == ""


def test_the_bounce_domain_is_asked_for(place: Place) -> None:
    sink = place.sink()
    relay = place.relay({"upstream": [upstream(sink)], "message": {"return_path": "rewrite"}})
    done = relay.cli("check", "--offline", expect=1)
    assert "message.bounce_domain" in done.stdout + done.stderr
