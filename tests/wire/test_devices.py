"""Devices that cannot log in: bound to an address and a listener, with tight limits, by name alone."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay, upstream
from postern.scratch import free_port
from postern.settings import merge
from postern.sink import Sink
from postern.smtp import Address, Client, Reply, a_message

BOB = "bob@example.net"
COPIER = "127.0.0.8"


@dataclass
class Office:
    relay: Relay
    sink: Sink
    port: Address
    tls_port: Address

    def device(self, source: str = COPIER, **options: Any) -> Client:
        """Connected in clear from there, greeted, EHLO said."""
        client = Client(self.port, source=source, **options)
        assert client.reply().code == 220
        client.ehlo("copier")
        return client

    def add(self, name: str = "copier", source: str = COPIER, *options: str, account: str = ANN,
            expect: int | None = 0) -> Any:
        return self.relay.cli("account", "credential", "add", account, name, "--kind", "device", "--source", source,
                              "--listener", "printers", *options, expect=expect)


def make_office(place: Place, settings: dict[str, Any] | None = None) -> Office:
    sink = place.sink().start()
    relay = place.relay(merge({"upstream": [upstream(sink)]}, settings or {}))
    port, tls_port = (relay.host, free_port(relay.host)), (relay.host, free_port(relay.host))
    relay.configure({"server": {"listen": [
        *relay.settings["server"]["listen"], f"{relay.host}:{port[1]} starttls devices name=printers",
        f"{relay.host}:{tls_port[1]} tls devices name=printers"]}})
    for account in (ANN, BOB):
        relay.add_account(account)
    return Office(relay.start(), sink, port, tls_port)


@pytest.fixture
def office(place: Place) -> Office:
    return make_office(place)


def send(client: Client, sender: str = ANN, to: str = "carol@example.org", **more: Any) -> Reply:
    return client.submit(sender, [to], a_message(sender, **more))


def test_a_device_sends_in_clear_by_starttls_and_by_tls(office: Office) -> None:
    office.add()
    with office.device() as client:
        assert send(client, subject="clear").code == 250
        assert send(client, subject="again").code == 250
        client.starttls()
        client.ehlo("copier")
        assert send(client, subject="starttls").code == 250
    with Client(office.tls_port, tls=True, source=COPIER) as client:
        assert client.reply().code == 220
        client.ehlo("copier")
        assert send(client, subject="tls").code == 250
    with Client(office.port, source=COPIER) as client:
        assert client.reply().code == 220
        assert client.ask("HELO copier").code == 250
        assert send(client, subject="old").code == 250
    received = {str(mail.message["Subject"]): str(mail.message["Received"]) for mail in office.sink.wait_for_mails(5)}
    how = {subject: field.split(" with ")[1].split()[0] for subject, field in
           ((s, " ".join(f.split())) for s, f in received.items())}
    assert how == {"clear": "ESMTP", "again": "ESMTP", "starttls": "ESMTPS", "tls": "ESMTPS", "old": "SMTP"}


def test_its_use_is_told_and_listed(office: Office) -> None:
    assert office.add().stdout == ""
    with office.device() as client:
        assert send(client).code == 250
    login = office.relay.wait_event("login")
    assert (login["mechanism"], login["account"], login["credential"], login["source"], login["listener"],
            login["ok"]) == ("device", ANN, "copier", COPIER, "printers", True)
    message = office.relay.wait_event("message")
    assert (message["account"], message["credential"]) == (ANN, "copier")
    [listed] = [c for c in office.relay.cli_json("account", "credential", "list", ANN) if c["kind"] == "device"]
    assert listed["source"] == f"{COPIER}/32" and listed["listener"] == "printers" and listed["rcpts"] == []
    assert listed["plan"] == "device" and listed["login"] is None
    assert listed["last_used"] and listed["last_source"] == COPIER
    assert office.relay.metrics().total("postern_logins_total", mechanism="device", result="ok") == 1
    shown = office.relay.cli("account", "credential", "list", ANN).stdout
    assert f"{COPIER}/32 at printers" in shown


def test_nobody_else_sends_there_and_nobody_logs_in(office: Office) -> None:
    office.add()
    with Client(office.port, source="127.0.0.9") as client:
        assert client.reply().code == 220
        offered = client.ehlo("stranger")
        assert "STARTTLS" in offered and "AUTH" not in offered
        assert client.auth_plain(ANN, PASSWORD).heading == "502 5.5.1"
        refused = client.ask(f"MAIL FROM:<{ANN}>")
        assert refused.heading == "530 5.7.0" and refused.ref
        assert client.ask("RCPT TO:<carol@example.org>").heading == "503 5.5.1"
        assert client.ask("DATA").heading == "503 5.5.1"
        client.starttls()
        assert "AUTH" not in client.ehlo("stranger")
        assert client.auth_plain(ANN, PASSWORD).heading == "502 5.5.1"
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "530 5.7.0"
        for _ in range(40):
            last = client.ask("MAIL FROM:<>")
            if last.code == 421:
                break
        assert last.heading == "421 4.7.0" and client.closed()
    [explained] = office.relay.cli_json("trace", str(refused.ref))
    assert explained["ref"] == refused.ref
    # What the device may at its listener, it may not elsewhere.
    with office.relay.encrypted(source=COPIER) as client:
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "530 5.7.0"
    assert office.sink.mails() == []


def test_pipelined_mail_of_a_stranger_goes_nowhere(office: Office) -> None:
    with office.device() as client:
        client.send(f"MAIL FROM:<{ANN}>\r\nRCPT TO:<carol@example.org>\r\nDATA\r\n".encode()
                    + a_message() + b".\r\nQUIT\r\n")
        codes = [client.reply().code for _ in range(3)]
        assert codes == [530, 503, 503]
    assert office.sink.mails() == []


def test_added_while_it_is_connected_it_may_send_at_once(office: Office) -> None:
    with office.device() as client:
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "530 5.7.0"
        office.add()
        assert send(client).code == 250
    office.relay.restart()
    with office.device() as client:
        assert send(client).code == 250
    assert len(office.sink.wait_for_mails(2)) == 2


def test_the_narrowest_network_wins_and_the_same_one_twice_is_refused(office: Office) -> None:
    wide = office.add("floor", "127.0.0.0/24")
    assert "is wide" in wide.stderr and wide.stdout == ""
    assert office.add("copier", COPIER, account=BOB).stderr == ""
    again = office.add("other", f"{COPIER}/32", expect=None)
    assert again.returncode == 1 and "another device" in again.stderr
    for source, account in ((COPIER, BOB), ("127.0.0.7", ANN)):
        with office.device(source) as client:
            assert send(client, account).code == 250
    office.relay.stop()
    assert [e["account"] for e in office.relay.events("message")] == [BOB, ANN]


def test_it_sends_from_its_accounts_addresses_alone(office: Office) -> None:
    office.add()
    with office.device() as client:
        assert client.ask(f"MAIL FROM:<{BOB}>").heading == "550 5.7.1"
        assert client.mail(ANN, "carol@example.org")[-1].code == 250
        assert client.data(a_message(BOB)).heading == "550 5.7.1"


def test_it_writes_to_its_recipients_alone(office: Office) -> None:
    office.add("copier", COPIER, "--rcpt", "@Example.COM", "--rcpt", "carol@example.org")
    with office.device() as client:
        assert client.ask(f"MAIL FROM:<{ANN}>").code == 250
        refused = client.ask("RCPT TO:<eve@example.org>")
        assert refused.heading == "550 5.7.1" and refused.ref and "eve@example.org" in refused.text
        assert client.ask("RCPT TO:<Postmaster>").heading == "550 5.7.1"
        assert client.ask("RCPT TO:<carol@example.ORG>").code == 250
        assert client.ask("RCPT TO:<anybody@example.com>").code == 250
        assert client.data(a_message()).code == 250
    [mail] = office.sink.wait_for_mails(1)
    assert sorted(mail.recipients) == ["anybody@example.com", "carol@example.ORG"]
    [listed] = [c for c in office.relay.cli_json("account", "credential", "list", ANN) if c["kind"] == "device"]
    assert listed["rcpts"] == ["@example.com", "carol@example.org"]


def test_its_limits_are_tight_unless_it_has_a_plan(place: Place) -> None:
    office = make_office(place, {"limits": {"device": {"messages": ["2/hour"]}, "busy": {"messages": ["3/hour"]}}})
    office.add()
    office.add("scanner", "127.0.0.9", "--plan", "busy")
    for source, most in ((COPIER, 2), ("127.0.0.9", 3)):
        with office.device(source) as client:
            for _ in range(most):
                assert send(client).code == 250
            limited = client.ask(f"MAIL FROM:<{ANN}>")
            assert limited.heading == "451 4.7.1" and "credential" in limited.text
    with office.relay.logged_in() as client:
        assert send(client).code == 250


def test_the_plan_that_is_built_in(office: Office) -> None:
    office.add()
    with office.device() as client:
        for _ in range(30):
            assert client.ask(f"MAIL FROM:<{ANN}>").code == 250
            assert client.ask("RCPT TO:<carol@example.org>").code == 250
            assert client.data(a_message()).code == 250
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "451 4.7.1"


@pytest.mark.parametrize(("change", "later"), [
    (("account", "suspend", ANN, "--text", "unpaid"), "525 5.7.13"),
    (("account", "remove", ANN), "530 5.7.0"),
    (("account", "credential", "revoke", ANN, "copier"), "530 5.7.0"),
])
def test_suspension_removal_and_revocation_end_its_connections(office: Office, change: tuple[str, ...],
                                                               later: str) -> None:
    office.add()
    office.add("scanner", "127.0.0.9", account=BOB)
    with office.device() as client, office.device("127.0.0.9") as other, office.device() as idle:
        assert send(client).code == 250 and send(other, BOB).code == 250
        assert client.ask(f"MAIL FROM:<{ANN}>").code == 250
        office.relay.cli(*change)
        began = time.monotonic()
        assert client.reply().heading == "421 4.7.0" and time.monotonic() - began < 6
        assert client.closed()
        assert send(other, BOB).code == 250
        # One that has not said MAIL is nobody's connection yet.
        assert idle.ask(f"MAIL FROM:<{ANN}>").heading == later
    with office.device() as client:
        refused = client.ask(f"MAIL FROM:<{ANN}>")
        assert refused.heading == later
        if later.startswith("525"):
            assert "unpaid" in refused.text
            office.relay.cli("account", "release", ANN)
            assert send(client).code == 250


def test_connections_of_the_account_are_counted(place: Place) -> None:
    office = make_office(place, {"resources": {"max_connections_per_account": 1}})
    office.add()
    with office.device() as first, office.device() as second:
        assert send(first).code == 250
        assert second.ask(f"MAIL FROM:<{ANN}>").heading == "421 4.7.0"
        assert second.closed()


def test_behind_a_proxy_the_clients_own_address_counts(place: Place) -> None:
    office = make_office(place)
    port = free_port(office.relay.host)
    office.relay.configure({"server": {
        "proxy_from": ["127.0.0.1"],
        "listen": [*office.relay.settings["server"]["listen"],
                   f"{office.relay.host}:{port} starttls proxy devices name=printers"]}})
    office.relay.restart()
    office.add("copier", "2001:db8:1:2::8")
    office.add("scanner", "198.51.100.8", account=BOB)

    def through(address: str, source: str = "127.0.0.1") -> Client:
        family = "TCP6" if ":" in address else "TCP4"
        to = "2001:db8::1" if ":" in address else "192.0.2.1"
        client = Client((office.relay.host, port), source=source,
                        preamble=f"PROXY {family} {address} {to} 40000 25\r\n".encode())
        assert client.reply().code == 220
        client.ehlo("copier")
        return client

    for address, account in (("2001:db8:1:2::8", ANN), ("198.51.100.8", BOB)):
        with through(address) as client:
            assert send(client, account).code == 250
    with through("2001:db8:1:2::9") as client:  # Its neighbour in the same /64.
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "530 5.7.0"
    # A header is believed of the proxy alone.
    with Client((office.relay.host, port), source="127.0.0.44",
                preamble=b"PROXY TCP4 198.51.100.8 192.0.2.1 40000 25\r\n") as client:
        assert client.reply().code in (220, 554)  # To us it is a client that speaks first.
    office.relay.stop()
    assert [e["source"] for e in office.relay.events("connect")][-1] == "127.0.0.44"
    assert len(office.relay.events("login")) == 2


def test_check_warns_of_wide_networks_and_of_listeners_that_are_none(place: Place) -> None:
    office = make_office(place)
    office.add()
    office.add("floor", "127.0.0.0/27")
    office.add("link", "2001:db8::/64")
    office.add("site", "2001:db8:1::/48")

    def warned() -> list[str]:
        done = office.relay.cli("check", "--offline", "--json", expect=None)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert all(f["status"] == "warn" and f["fix"] for f in found if f["check"] == "devices"), found
        return [f["text"] for f in found if f["check"] == "devices"]

    running = warned()
    assert len(running) == 2 and "127.0.0.0/27" in running[0] and "2001:db8:1::/48" in running[1]
    office.relay.stop()
    assert warned() == running
    listen = [each.replace("name=printers", "name=others") for each in office.relay.settings["server"]["listen"]]
    office.relay.configure({"server": {"listen": listen}})
    assert len([text for text in warned() if "listener printers" in text]) == 4


@pytest.mark.parametrize(("options", "code", "said"), [
    (("--kind", "device"), 2, "--source"),
    (("--kind", "device", "--source", COPIER), 2, "--listener"),
    (("--kind", "device", "--listener", "printers"), 2, "--source"),
    (("--kind", "device", "--source", "copier.example", "--listener", "printers"), 2, "network"),
    (("--kind", "device", "--source", "127.0.0.8/24", "--listener", "printers"), 2, "network"),
    (("--kind", "device", "--source", "0.0.0.0/0", "--listener", "printers"), 2, "/8"),
    (("--kind", "device", "--source", "::/0", "--listener", "printers"), 2, "/32"),
    (("--kind", "device", "--source", COPIER, "--listener", "printers", "--rcpt", "x"), 2, "--rcpt x"),
    (("--kind", "device", "--source", COPIER, "--listener", "nowhere"), 1, "printers"),
    (("--kind", "device", "--source", COPIER, "--listener", "printers", "--plan", "none"), 1, "plan"),
    (("--source", COPIER, "--listener", "printers"), 2, "--kind device"),
    (("--kind", "password", "--listener", "printers"), 2, "--kind device"),
    (("--rcpt", "a@example.org"), 2, "--kind device"),
])
def test_what_is_refused(office: Office, options: tuple[str, ...], code: int, said: str) -> None:
    done = office.relay.cli("account", "credential", "add", ANN, "copier", *options, expect=None)
    assert done.returncode == code and done.stdout == "" and said in done.stderr, done
    assert done.stderr.startswith("postern: ")
    assert len(office.relay.cli_json("account", "credential", "list", ANN)) == 1


def test_there_is_none_where_no_listener_is_for_devices(place: Place) -> None:
    relay, _ = place.pair()
    for running in (True, False):
        if not running:
            relay.stop()
        done = relay.cli("account", "credential", "add", ANN, "copier", "--kind", "device", "--source", COPIER,
                         "--listener", str(relay.submission[1]), expect=None)
        assert done.returncode == 1 and "starttls devices" in done.stderr


def test_before_the_first_start(place: Place) -> None:
    office = make_office(place)
    office.relay.stop()
    added = office.relay.cli_json("account", "credential", "add", ANN, "copier", "--kind", "device",
                                  "--source", COPIER, "--listener", "printers")
    assert added[0]["source"] == f"{COPIER}/32" and "password" not in added[0]
    office.relay.start()
    with office.device() as client:
        assert send(client).code == 250
