"""Mail servers on either side: Postfix and Exim send through the relay, and the relay through Postfix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mail_servers import Exim, Postfix, relayhost, submission_server
from postern.certificates import make_certificate
from postern.place import Place
from postern.relay import ANN, PASSWORD
from postern.scratch import free_port, fresh_address
from postern.smtp import a_message
from site_under_test import Site, make_site

TLS = ("starttls", "implicit")


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    yield make_site(place)


def message(subject: str) -> str:
    return f"From: {ANN}\nTo: bob@example.org\nSubject: {subject}\n\nHello\n"


@pytest.mark.parametrize("tls", TLS)
def test_postfix_with_relayhost(site: Site, tls: str) -> None:
    settings = relayhost(site.relay.host, site.port(tls), tls, ANN, PASSWORD, site.certificate, site.folder)
    postfix = Postfix(site.folder, settings).start()
    try:
        postfix.hand_in(ANN, "bob@example.org", message("postfix"))
        postfix.wait_sent()
    finally:
        postfix.stop()
    site.arrives("postfix")


def test_postfix_bounces_what_is_refused(site: Site) -> None:
    settings = relayhost(site.relay.host, site.port("starttls"), "starttls", ANN, PASSWORD, site.certificate, site.folder)
    postfix = Postfix(site.folder, settings).start()
    try:
        postfix.hand_in("eve@example.com", "bob@example.org", message("refused").replace(ANN, "eve@example.com"))
        with pytest.raises(AssertionError, match="status=bounced"):
            postfix.wait_sent()
    finally:
        postfix.stop()
    assert "550 5.7.1" in postfix.logged()


@pytest.mark.parametrize("tls", TLS)
def test_exim_with_a_smarthost(site: Site, tls: str) -> None:
    exim = Exim(site.folder, site.relay.host, site.port(tls), tls, ANN, PASSWORD, site.certificate)
    exim.send(ANN, "bob@example.org", message("exim"))
    site.arrives("exim")


@pytest.mark.parametrize("mode", ["cut-through", "spool"])
def test_postfix_as_the_upstream(place: Place, mode: str) -> None:
    """The relay logs in to Postfix after STARTTLS, checking its certificate; Postfix sends on to a sink."""
    sink = place.sink().start()
    address = fresh_address()
    port = free_port(address)
    made = make_certificate(place.folder, "postfix", names=("mta.example.net",), addresses=(address,))
    settings = submission_server(place.folder, port, made, "relay", "let me in")
    host, sink_port = sink.address
    postfix = Postfix(place.folder, settings | {"relayhost": f"[{host}]:{sink_port}"},
                      listener=f"{address}:{port} inet n - n - - smtpd").start()
    secret = place.folder / "upstream-password"
    secret.write_text("let me in\n")
    secret.chmod(0o644)
    try:
        relay = place.relay({"delivery": {"mode": mode}, "upstream": [{
            "address": f"{address}:{port}", "tls": "verify", "ca": str(made.certificate),
            "username": "relay@mta.example.net", "password_file": str(secret)}]})
        relay.add_account()
        relay.start()
        with relay.logged_in(timeout=40) as client:
            for n in range(5):
                reply = client.submit(ANN, ["bob@example.org"], a_message(subject=f"n{n}"))
                assert reply.code == 250, postfix.logged()
                if mode == "cut-through":
                    assert "Ok: queued as" in reply.text, "Postfix's own words are expected"
        sink.wait_for_mails(5, 40)
    finally:
        postfix.stop()
    assert sorted(mail.message["Subject"] for mail in sink.mails()) == [f"n{n}" for n in range(5)]
