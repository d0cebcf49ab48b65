"""Whom an upstream's TLS believes: pinned keys, and whatever is offered."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from typing import Any

import pytest

from postern.certificates import Certificate, make_certificate
from postern.place import Place
from postern.relay import ANN, Relay, upstream
from postern.settings import Settings, merge
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

QUICK: Settings = {"delivery": {"cut_through_deadline": "4s",
                                "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "30m"}}}


def pin_of(made: Certificate) -> str:
    pem = subprocess.run(["openssl", "x509", "-in", str(made.certificate), "-pubkey", "-noout"],
                         capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem,
                         capture_output=True, check=True).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def start(place: Place, sink: Sink, **keys: Any) -> Relay:
    relay = place.relay(merge(QUICK, {"upstream": [upstream(sink, **keys)]}))
    relay.add_account()
    return relay.start()


def send(relay: Relay) -> str:
    with relay.logged_in(timeout=60) as client:
        return str(client.submit(ANN, ["bob@example.org"], a_message()))


def taken(reply: str) -> bool:
    return reply.startswith("250 2.") and "queued" not in reply


def trouble(relay: Relay, words: str) -> str:
    return wait_for(f"{words} in the queue",
                    lambda: next((each["last_reply"] for each in relay.queue() if words in (each["last_reply"] or "")),
                                 None), 30)


def login(place: Place) -> Settings:
    secret = place.folder / "secret"
    secret.write_text("let me in\n")
    secret.chmod(0o644)
    return {"username": "relay", "password_file": str(secret)}


@pytest.fixture
def stranger(place: Place) -> Certificate:
    """Good for no name that anybody asks for, from no authority."""
    return make_certificate(place.folder, "stranger", names=("stranger.example",))


# --- pinned keys ---

@pytest.mark.parametrize("implicit", [False, True])
def test_the_pinned_key_is_believed_whatever_its_certificate_says(place: Place, stranger: Certificate,
                                                                  implicit: bool) -> None:
    sink = place.sink()
    sink.use_tls(stranger, implicit=implicit, require_auth=True)
    sink.start()
    other = make_certificate(place.folder, "other")
    relay = start(place, sink, tls="pin", pin=[pin_of(other), pin_of(stranger)], implicit_tls=implicit,
                  messages_per_connection=1, **login(place))
    for _ in range(3):  # Resumed sessions, too.
        assert taken(send(relay))
    assert all(mail.facts["tls"] and mail.facts["auth"] for mail in sink.mails())
    assert not [each for each in relay.cli_json_any("check") if each["check"] == "upstream" and each["status"] == "fail"]


def test_another_key_gets_neither_mail_nor_login(place: Place, stranger: Certificate) -> None:
    sink = place.sink()
    right = make_certificate(place.folder, "right", addresses=(sink.address[0],))
    sink.use_tls(right)
    sink.start()
    relay = start(place, sink, tls="pin", pin=pin_of(stranger), **login(place))
    assert "queued as" in send(relay)
    told = trouble(relay, "none of those pinned")
    assert pin_of(right) in told and sink.where in told
    assert sink.mails() == []
    [found] = [each for each in relay.cli_json_any("check") if each["check"] == "upstream"]
    assert found["status"] == "fail" and pin_of(right) in found["text"] and "pin" in found["fix"]
    relay.configure({"upstream": [upstream(sink, tls="pin", pin=[pin_of(stranger), pin_of(right)], **login(place))]})
    relay.cli("reload")
    sink.wait_for_mails(1, 60)


def test_a_pin_that_is_none_is_a_fault_of_the_configuration(place: Place) -> None:
    sink = place.sink()
    relay = place.relay(merge(QUICK, {"upstream": [upstream(sink, tls="pin", pin="sha256//AAAA")]}))
    done = relay.cli("check", "--offline", expect=1)
    assert "upstream.0.pin" in done.stdout + done.stderr


# --- what is offered ---

def test_opportunistic_tls_is_used_where_it_is_offered(place: Place, stranger: Certificate) -> None:
    sink = place.sink()
    sink.use_tls(stranger, require_auth=True)
    sink.start()
    relay = start(place, sink, tls="opportunistic", **login(place))
    assert taken(send(relay))
    [mail] = sink.mails()
    assert mail.facts["tls"] and mail.facts["auth"]


def test_opportunistic_tls_is_done_without_where_it_is_not_offered_and_that_is_told(place: Place) -> None:
    sink = place.sink().start()
    relay = start(place, sink, tls="opportunistic")
    assert taken(send(relay))
    [mail] = sink.mails()
    assert not mail.facts["tls"]
    assert "opportunistic" in relay.program.output()
    warned = [each for each in relay.cli_json_any("check") if each["status"] == "warn"]
    assert any(each["check"] == "upstream" and "clear text" in each["text"] for each in warned)
    assert any(each["check"] == "file" and "upstream.0.tls" in each["text"] for each in warned)


def test_a_login_never_goes_in_clear_text(place: Place) -> None:
    sink, other = place.sink("sink").start(), place.sink("other").start()
    relay = place.relay(merge(QUICK, {"upstream": [upstream(sink, tls="opportunistic", **login(place)),
                                                   upstream(other, role="fallback")]}))
    relay.add_account()
    relay.start()
    assert taken(send(relay))
    assert sink.mails() == [] and len(other.mails()) == 1
    told = relay.wait_event("upstream", lambda each: each["upstream"] == "primary" and each["state"] == "open")
    assert "not sent in clear text" in told["error"] and sink.where in told["error"]
