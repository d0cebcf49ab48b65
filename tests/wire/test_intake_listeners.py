"""Where reports on mail come in: LMTP, SMTP and HTTP, and who may bring them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import shutil
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from postern.admin import Answer, http_get
from postern.certificates import Certificate
from postern.place import Place, make_place
from postern.relay import Relay, upstream
from postern.scratch import free_port
from postern.smtp import Address, Client, Closed, trusting_nothing

SECRET = "a secret of the webhooks"
BEARER = {"Authorization": f"Bearer {SECRET}"}
MEBIBYTE = 1 << 20

# Of no mail of ours: it is taken all the same.
DSN = (b"From: MAILER-DAEMON@mx.example.org\r\nTo: b@bounce.example.net\r\nSubject: Undelivered\r\n"
       b"Message-ID: <1@mx.example.org>\r\nMIME-Version: 1.0\r\n"
       b'Content-Type: multipart/report; report-type=delivery-status; boundary="x"\r\n\r\n'
       b"--x\r\n\r\nIt failed.\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n"
       b"Reporting-MTA: dns; mx.example.org\r\n\r\n"
       b"Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--x--\r\n")

POSTMARK = json.dumps({"RecordType": "Bounce", "Type": "HardBounce", "Email": "bob@example.org",
                       "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Description": "unknown user"})


@dataclass
class Intake:
    relay: Relay
    lmtp: Address
    smtp: Address
    http: Address
    https: Address
    signing_key: Path

    def post(self, target: str, body: str | bytes = "", headers: dict[str, str] | None = None) -> Answer:
        text = body.decode() if isinstance(body, bytes) else body
        return http_get(self.http, target, method="POST", body=text, headers=headers)


def signing_key(folder: Path) -> tuple[Path, str]:
    """An elliptic curve's key as SendGrid has one: the file, and the public part as it is shown."""
    path = folder / "signing.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-out", str(path)], check=True, capture_output=True)
    shown = subprocess.run(["openssl", "pkey", "-in", str(path), "-pubout", "-outform", "DER"],
                           check=True, capture_output=True).stdout
    return path, base64.b64encode(shown).decode()


def make_intake(place: Place, **keys: Any) -> Intake:
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    ports = [(relay.host, free_port(relay.host)) for _ in range(4)]
    key, shown = signing_key(place.folder)
    speech = ("lmtp", "smtp", "http", "http tls")
    webhooks = [{"name": name, "format": name, "secret": SECRET} for name in ("postmark", "mailgun", "ses")]
    webhooks.append({"name": "sendgrid", "format": "sendgrid", "secret": shown})
    relay.configure({"intake": {
        "listen": [f"{host}:{port} {word}" for (host, port), word in zip(ports, speech)],
        "webhook": webhooks, **keys}})
    relay.start()
    return Intake(relay, *ports, key)


@pytest.fixture(scope="module")
def intake(binary: Path, certificate: Certificate) -> Iterator[Intake]:
    place = make_place(binary, certificate)
    yield make_intake(place)
    place.end()
    shutil.rmtree(place.folder, ignore_errors=True)


def greeted(address: Address, **options: Any) -> Client:
    client = Client(address, **options)
    reply = client.reply()
    assert reply.code == 220, reply
    return client


# --- LMTP and SMTP ---


def test_a_report_is_taken_by_lmtp_and_by_smtp(intake: Intake) -> None:
    with smtplib.LMTP(*intake.lmtp, timeout=20) as client:
        assert client.sendmail("", ["anybody@anywhere.example"], DSN) == {}
    with smtplib.SMTP(*intake.smtp, timeout=20) as client:
        assert client.sendmail("", ["anybody@anywhere.example", "b@example.net"], DSN) == {}


def test_lmtp_answers_for_each_recipient_and_smtp_once(intake: Intake) -> None:
    for address, hello, replies in ((intake.lmtp, "LHLO", 3), (intake.smtp, "EHLO", 1)):
        with greeted(address) as client:
            assert client.ask(f"{hello} mx.example.org").code == 250
            for reply in client.mail("", "a@example.net", "b@example.net", "c@example.net"):
                assert reply.code == 250
            assert client.data(DSN).code == 250
            for _ in range(replies - 1):
                assert client.reply().code == 250
            assert client.ask("NOOP").text == "2.0.0 ok"


def test_what_is_offered(intake: Intake) -> None:
    with greeted(intake.smtp) as client:
        offered = client.ehlo()
    assert set(offered) == {"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE"}
    assert offered["SIZE"] == str(MEBIBYTE)


def test_a_pipelined_mail_is_answered_in_order(intake: Intake) -> None:
    with greeted(intake.lmtp) as client:
        client.send(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
                    + DSN + b".\r\nQUIT\r\n")
        assert [client.reply().code for _ in range(7)] == [250, 250, 501, 250, 354, 250, 221]


def test_a_mail_is_not_ended_by_lone_newlines(intake: Intake) -> None:
    with greeted(intake.smtp) as client:
        client.ehlo()
        client.mail("", "b@example.net")
        assert client.ask("DATA").code == 354
        client.send(b"Subject: x\n.\nMAIL FROM:<x@example.net>\n.\r\n..\r\n.\r\nNOOP\r\n")
        assert client.reply().code == 250
        assert client.reply().text == "2.0.0 ok"


def test_a_mail_that_is_too_large_is_refused_and_the_session_goes_on(intake: Intake) -> None:
    with greeted(intake.lmtp) as client:
        client.ask("LHLO a")
        assert client.ask(f"MAIL FROM:<> SIZE={MEBIBYTE + 1}").heading == "552 5.3.4"
        client.mail("", "a@example.net", "b@example.net")
        line = b"x" * 1022 + b"\r\n"
        assert client.data(line * 1025).heading == "552 5.3.4"
        assert client.reply().heading == "552 5.3.4"
        client.mail("", "a@example.net")
        assert client.data(line * 1024).code == 250


def test_nobody_logs_in_and_nothing_is_relayed(intake: Intake) -> None:
    with greeted(intake.smtp) as client:
        client.ehlo()
        assert client.ask("AUTH PLAIN AGEAYg==").heading == "502 5.5.1"
        assert client.ask("STARTTLS").heading == "502 5.5.1"
        for reply in client.mail("eve@example.org", "victim@example.com"):
            assert reply.code == 250
        assert client.data(b"Subject: buy\r\n\r\nBuy.\r\n").code == 250
    assert intake.relay.queue() == []


def test_a_hundred_recipients_are_enough(intake: Intake) -> None:
    with greeted(intake.smtp) as client:
        client.ehlo()
        replies = client.mail("", *(f"r{i}@example.net" for i in range(101)))
        assert [reply.code for reply in replies[:-1]] == [250] * 101
        assert replies[-1].heading == "452 4.5.3"


def test_who_only_errs_is_sent_away(intake: Intake) -> None:
    with greeted(intake.smtp) as client:
        for _ in range(19):
            assert client.ask("XYZZY").code == 500
        assert client.ask("XYZZY").heading == "421 4.7.0"
        assert client.closed()


def test_there_is_an_end_to_connections_and_http_has_its_own(intake: Intake) -> None:
    clients = []
    try:
        refused = None
        for _ in range(70):
            client = Client(intake.lmtp)
            clients.append(client)
            reply = client.reply()
            if reply.code != 220:
                refused = reply
                break
        assert refused is not None and refused.heading == "421 4.7.0"
        assert len(clients) > 50
        assert intake.post("/message", DSN).status == 202
    finally:
        for client in clients:
            client.close()


# --- HTTP ---


def test_a_webhook_is_called_with_its_secret(intake: Intake) -> None:
    assert intake.post("/webhook/postmark", POSTMARK, BEARER).status == 202
    basic = base64.b64encode(f"anybody:{SECRET}".encode()).decode()
    assert intake.post("/webhook/postmark", POSTMARK, {"Authorization": f"Basic {basic}"}).status == 202


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Basic bm9uOnNlbnNl", "nonsense"])
def test_without_its_secret_it_is_not(intake: Intake, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = intake.post("/webhook/postmark", POSTMARK, headers)
    assert answer.status == 401
    assert "basic" in answer.headers["www-authenticate"].lower()
    assert json.loads(answer.body)["code"] == "unauthenticated"
    assert SECRET not in intake.relay.program.output()


@pytest.mark.parametrize(("method", "target", "body", "status"), [
    ("POST", "/webhook/nobody", POSTMARK, 404),
    ("POST", "/", POSTMARK, 404),
    ("GET", "/webhook/postmark", None, 405),
    ("PUT", "/message", "x", 405),
    ("POST", "/webhook/postmark", "{", 400),
    ("POST", "/webhook/postmark", "", 400),
    ("POST", "/message", "", 400),
])
def test_other_calls_are_told_what_is_wrong(intake: Intake, method: str, target: str, body: str | None,
                                            status: int) -> None:
    answer = http_get(intake.http, target, method=method, body=body, headers=BEARER)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == status
    if status == 405:
        assert answer.headers["allow"] == "POST"


def test_a_body_over_a_mebibyte_is_refused(intake: Intake) -> None:
    def status(length: int) -> int:
        connection = http.client.HTTPConnection(*intake.http, timeout=20)
        try:
            connection.putrequest("POST", "/message")
            connection.putheader("Content-Length", str(length))
            connection.endheaders()
            if length <= MEBIBYTE:
                connection.send(b"Subject: x\r\n\r\n".ljust(length, b"x"))
            return connection.getresponse().status
        finally:
            connection.close()

    assert status(MEBIBYTE + 1) == 413
    assert status(MEBIBYTE) == 202


def test_curl_brings_a_message(intake: Intake, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    report = tmp_path / "report.eml"
    report.write_bytes(DSN)
    done = subprocess.run(
        ["curl", "-sSk", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", "-H",
         "Content-Type: message/rfc822", "--data-binary", f"@{report}",
         f"https://{intake.https[0]}:{intake.https[1]}/message"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "202"


def test_a_message_that_a_proxy_or_a_page_brings_needs_a_secret(intake: Intake) -> None:
    for field in ("X-Forwarded-For", "Forwarded", "Via", "Origin"):
        headers = {field: "192.0.2.1"}
        assert intake.post("/message", DSN, headers).status == 401
        assert intake.post("/message", DSN, headers | BEARER).status == 202


def test_a_connection_by_tls_is_kept(intake: Intake) -> None:
    connection = http.client.HTTPSConnection(*intake.https, timeout=20, context=trusting_nothing())
    try:
        for _ in range(3):
            connection.request("POST", "/webhook/postmark", POSTMARK, BEARER)
            response = connection.getresponse()
            response.read()
            assert response.status == 202
    finally:
        connection.close()


def mailgun_call(token: str, timestamp: int, secret: str = SECRET) -> str:
    signature = hmac.new(secret.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    return json.dumps({
        "signature": {"timestamp": str(timestamp), "token": token, "signature": signature},
        "event-data": {"event": "failed", "severity": "permanent", "recipient": "bob@example.org",
                       "message": {"headers": {"message-id": "1@client.example.net"}},
                       "delivery-status": {"code": 550, "message": "5.1.1 no such user"}}})


def test_mailgun_signs_what_it_says(intake: Intake) -> None:
    now = int(time.time())
    assert intake.post("/webhook/mailgun", mailgun_call("a" * 50, now)).status == 202
    assert intake.post("/webhook/mailgun", mailgun_call("b" * 50, now, "nonsense")).status == 401
    assert intake.post("/webhook/mailgun", mailgun_call("c" * 50, now - 600)).status == 401
    assert intake.post("/webhook/mailgun", mailgun_call("d" * 50, now + 600)).status == 401
    assert intake.post("/webhook/mailgun", "{}").status == 401
    assert intake.post("/webhook/mailgun", "{}nonsense").status == 401


def test_sendgrid_signs_what_it_says_and_its_public_key_is_no_secret(intake: Intake, tmp_path: Path) -> None:
    body = json.dumps([{"email": "bob@example.org", "event": "bounce", "type": "bounce", "status": "5.1.1",
                        "smtp-id": "<1@client.example.net>", "reason": "no such user"}])
    stamp = str(int(time.time()))
    signed = tmp_path / "signed"
    signed.write_bytes(stamp.encode() + body.encode())
    signature = base64.b64encode(subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(intake.signing_key), str(signed)],
        check=True, capture_output=True).stdout).decode()
    name = "X-Twilio-Email-Event-Webhook-"
    headers = {name + "Signature": signature, name + "Timestamp": stamp}
    assert intake.post("/webhook/sendgrid", body, headers).status == 202
    assert intake.post("/webhook/sendgrid", body + " ", headers).status == 401
    assert intake.post("/webhook/sendgrid", body, headers | {name + "Timestamp": "1"}).status == 401
    assert intake.post("/webhook/sendgrid", body).status == 401
    webhooks = intake.relay.settings["intake"]["webhook"]
    shown = next(each["secret"] for each in webhooks if each["name"] == "sendgrid")
    assert intake.post("/webhook/sendgrid", body, {"Authorization": f"Bearer {shown}"}).status == 401


def test_a_subscription_is_told_to_the_operator_who_knows_its_secret(intake: Intake) -> None:
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    plain = {"Content-Type": "text/plain"}

    def body(token: str) -> str:
        return json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:eu-west-1:1:x",
                           "MessageId": token, "Token": token, "SubscribeURL": url + token, "Message": "confirm"})

    assert intake.post("/webhook/ses", body("stranger"), plain).status == 401
    assert intake.post("/webhook/ses", body("friend"), BEARER | plain).status == 202
    told = intake.relay.wait_event("log", lambda entry: entry["area"] == "intake" and url in entry["text"])
    assert told["level"] == "info" and "friend" in told["text"]


def test_one_that_speaks_in_the_clear_to_tls_harms_nobody(intake: Intake) -> None:
    with socket.create_connection(intake.https, 20) as sock:
        sock.sendall(b"POST /message HTTP/1.1\r\n\r\n")
        sock.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while sock.recv(4096):
                pass
    connection = http.client.HTTPSConnection(*intake.https, timeout=20, context=trusting_nothing())
    connection.request("POST", "/message", DSN)
    assert connection.getresponse().status == 202
    connection.close()


# --- where and when ---


def test_a_foreign_network_brings_no_mail(place: Place) -> None:
    made = make_intake(place, **{"from": ["127.0.0.1"]})
    with Client(made.lmtp, source="127.0.0.2") as stranger:
        assert stranger.reply().heading == "554 5.7.1"
        assert stranger.closed()
    with greeted(made.lmtp, source="127.0.0.1") as client:
        assert client.ask("LHLO a").code == 250
    told = made.relay.wait_event("log", lambda entry: entry["area"] == "intake")
    assert "127.0.0.2" in told["text"]


def test_at_the_end_idle_peers_hear_421(place: Place) -> None:
    made = make_intake(place)
    with greeted(made.lmtp) as client:
        assert client.ask("LHLO a").code == 250
        made.relay.stop()
        assert client.reply().heading == "421 4.3.2"
        with pytest.raises((Closed, OSError)):
            client.reply()


def test_a_reload_takes_a_new_secret_and_names_what_needs_a_restart(place: Place) -> None:
    made = make_intake(place)
    webhooks = [dict(each) for each in made.relay.settings["intake"]["webhook"]]
    webhooks[0]["secret"] = "a fresh one"
    made.relay.configure({"intake": {"webhook": webhooks}})
    made.relay.cli("reload")
    assert made.post("/webhook/postmark", POSTMARK, BEARER).status == 401
    assert made.post("/webhook/postmark", POSTMARK, {"Authorization": "Bearer a fresh one"}).status == 202

    made.relay.configure({"intake": {"from": ["10.0.0.0/8"]}})
    failed = made.relay.cli("reload", expect=None)
    assert failed.returncode != 0
    assert "intake.from" in failed.stdout + failed.stderr
    with greeted(made.lmtp) as client:
        assert client.ask("LHLO a").code == 250


def test_certificates_follow_a_reload(place: Place, rsa_certificate: Certificate) -> None:
    made = make_intake(place)

    def shown() -> str:
        return ssl.get_server_certificate(made.https)

    before = shown()
    assert before.strip() == made.relay.folder.joinpath(place.certificate.certificate).read_text().strip()
    made.relay.configure({"tls": {"certificate": str(rsa_certificate.certificate), "key": str(rsa_certificate.key)}})
    made.relay.cli("reload")
    assert shown().strip() == rsa_certificate.certificate.read_text().strip()


def test_check_says_that_a_port_is_taken(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    with socket.create_server((relay.host, 0)) as taken:
        where = f"{relay.host}:{taken.getsockname()[1]}"
        relay.configure({"intake": {"listen": [f"{where} lmtp"]}})
        findings = relay.cli_json_any("check", "--offline")
        assert any(each["check"] == "listen" and where in each["text"] and "intake.listen" in each["fix"]
                   for each in findings)
