"""Login: every mechanism, every way to get it wrong, sameness, the guard's first rules."""

from __future__ import annotations

import statistics
import time

import pytest

from postern.place import Place
from postern import scram
from postern.relay import ANN, PASSWORD, Relay, upstream
from postern.sink import Sink
from postern.smtp import a_message, b64
from postern.waiting import wait_for

Pair = tuple[Relay, Sink]


@pytest.fixture(scope="module")
def unguarded(shared: Pair) -> Relay:
    """Failures do not slow this relay down: the rule `login_guard` is off."""
    relay = shared[0]
    relay.configure({"rules": {"login_guard": "off"}})
    relay.cli("reload")
    return relay


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
@pytest.mark.parametrize("initial", [True, False])
def test_scram(unguarded: Relay, mechanism: str, initial: bool) -> None:
    with unguarded.encrypted() as client:
        assert scram.login(client, ANN, PASSWORD, mechanism=mechanism, initial=initial).heading == "235 2.7.0"
        assert client.ask("MAIL FROM:<ann@example.net>").code == 250


def test_scram_over_starttls(unguarded: Relay) -> None:
    with unguarded.plain() as client:
        client.ehlo()
        client.starttls()
        client.ehlo()
        assert scram.login(client, ANN, PASSWORD, mechanism="SCRAM-SHA-256-PLUS").code == 235


def test_scram_plus_with_the_servers_certificate(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        binding = scram.server_end_point(client.sock)
        assert scram.login(client, ANN, PASSWORD, mechanism="SCRAM-SHA-256-PLUS",
                           flag="p=tls-server-end-point", binding=binding).code == 235


@pytest.mark.parametrize(("mechanism", "flag", "binding"), [
    ("SCRAM-SHA-256", "y", b""),
    ("SCRAM-SHA-256", "p=tls-exporter", b"x" * 32),
    ("SCRAM-SHA-256-PLUS", "n", b""),
    ("SCRAM-SHA-256-PLUS", "y", b""),
    ("SCRAM-SHA-256-PLUS", "p=tls-exporter", b"x" * 32),
    ("SCRAM-SHA-256-PLUS", "p=tls-unheard-of", b"x" * 32),
    ("SCRAM-SHA-256-PLUS", "p=tls-unique", b"x" * 12),
])
def test_wrong_channel_bindings_are_refused(unguarded: Relay, mechanism: str, flag: str, binding: bytes) -> None:
    with unguarded.encrypted() as client:
        reply = scram.login(client, ANN, PASSWORD, mechanism=mechanism, flag=flag, binding=binding)
        assert reply.heading == "535 5.7.8"


@pytest.mark.parametrize("user", [ANN, "ANN@EXAMPLE.NET", "Ann@example.net"])
def test_names_ignore_case(unguarded: Relay, user: str) -> None:
    with unguarded.encrypted() as client:
        assert client.auth_plain(user, PASSWORD).code == 235
    with unguarded.encrypted() as client:
        assert scram.login(client, user, PASSWORD).code == 235


@pytest.mark.parametrize(("user", "password"), [
    (ANN, "wrong"), (ANN, PASSWORD + " "), (ANN, PASSWORD.upper()), ("nobody@example.net", PASSWORD),
    ("ann", PASSWORD), ("ann@example.net.", PASSWORD),
])
def test_wrong_ones_hear_the_same(unguarded: Relay, user: str, password: str) -> None:
    texts = set()
    with unguarded.encrypted() as client:
        texts.add(str(client.auth_plain(user, password)))
    with unguarded.encrypted() as client:
        client.ask("AUTH LOGIN")
        client.ask(b64(user))
        texts.add(str(client.ask(b64(password))))
    with unguarded.encrypted() as client:
        texts.add(str(scram.login(client, user, password)))
    with unguarded.encrypted() as client:
        texts.add(str(client.auth_plain("somebody.else@example.org", "x")))
    assert len(texts) == 1 and texts.pop().startswith("535 5.7.8")


@pytest.mark.parametrize("response", [
    b"", b"\0", b"\0\0", b"\0ann@example.net", b"\0ann@example.net\0", b"\0\0password",
    b"\0ann@example.net\0a\0b", b"\0\xff\xfe\0x", b"ann@example.net", b"\0ann@example.net\0\xff\xfe",
])
def test_malformed_plain_is_501_or_535(unguarded: Relay, response: bytes) -> None:
    with unguarded.encrypted() as client:
        reply = client.ask("AUTH PLAIN " + (b64(response) or "="))
        assert reply.code in (501, 535)
        assert client.ask("NOOP").code == 250


def test_malformed_logins_are_not_to_be_had_without_end(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        codes = [client.ask("AUTH PLAIN AAAA").code for _ in range(20)]
        assert set(codes[:-1]) == {501} and codes[-1] == 421
        assert client.closed()


@pytest.mark.parametrize("first", ["", "n,,", "n,,n=ann", "n,,r=abc", "x,,n=a,r=b", "n,,n=a=zz,r=b", "\xff" * 20,
                                   "n,,n=" + "a" * 3000 + ",r=b"])
def test_malformed_scram_is_501_or_535(unguarded: Relay, first: str) -> None:
    with unguarded.encrypted() as client:
        reply = client.ask("AUTH SCRAM-SHA-256 " + (b64(first.encode("latin-1")) or "="))
        if reply.code == 334:
            reply = client.ask(b64("c=biws,r=x,p=AAAA"))
        assert reply.code in (501, 535)
        assert client.ask("NOOP").code == 250


def test_a_nonce_that_was_changed(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        exchange = scram.Scram(ANN, PASSWORD)
        assert client.ask("AUTH SCRAM-SHA-256 " + b64(exchange.first())).code == 334
        assert client.ask(b64("c=biws,r=another,p=" + b64(b"x" * 32))).code in (501, 535)


def test_acting_for_another_is_refused(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        assert client.auth_plain(ANN, PASSWORD, authorize=ANN).code == 235
    with unguarded.encrypted() as client:
        assert client.auth_plain(ANN, PASSWORD, authorize="eve@example.com").code == 535


def test_a_client_that_leaves_half_an_exchange(unguarded: Relay) -> None:
    for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
        with unguarded.encrypted() as client:
            assert client.ask(f"AUTH {mechanism}").code == 334
    with unguarded.encrypted() as client:
        assert client.auth_plain(ANN, PASSWORD).code == 235


def test_unknown_accounts_get_a_steady_salt_and_equal_rounds(unguarded: Relay) -> None:
    def server_first(user: str) -> dict[str, str]:
        import base64

        with unguarded.encrypted() as client:
            reply = client.ask("AUTH SCRAM-SHA-256 " + b64(scram.Scram(user, "x").first()))
            assert reply.code == 334
            text = base64.b64decode(reply.lines[0]).decode()
            return dict(part.split("=", 1) for part in text.split(","))

    known, unknown, other = server_first(ANN), server_first("no.one@example.net"), server_first("zoe@example.net")
    assert server_first("No.One@example.net")["s"] == unknown["s"] != other["s"]
    assert known["i"] == unknown["i"] and len(known["s"]) == len(unknown["s"])


def test_unknown_accounts_take_the_same_time(unguarded: Relay) -> None:
    def seconds(user: str) -> float:
        with unguarded.encrypted() as client:
            began = time.perf_counter()
            assert client.auth_plain(user, f"wrong {began}").code == 535
            return time.perf_counter() - began

    pairs = [(seconds(ANN), seconds(f"nobody{n}@example.net")) for n in range(25)]
    known = statistics.median(first for first, _ in pairs)
    unknown = statistics.median(second for _, second in pairs)
    assert max(known, unknown) < 2 * min(known, unknown) + 0.002


def test_the_third_failure_of_a_connection_ends_it(place: Place) -> None:
    relay, _ = place.pair()
    with relay.encrypted(timeout=60) as client:
        for _ in range(2):
            assert client.auth_plain(ANN, "wrong").code == 535
        assert client.auth_plain(ANN, "very wrong").heading == "535 5.7.8"
        assert client.closed(10)


def test_an_owner_under_attack_logs_in_at_full_speed(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in(source="127.0.0.9"):
        pass
    for n in range(6):
        with relay.encrypted(source="127.0.0.66", timeout=60) as attacker:
            attacker.auth_plain(ANN, f"guess {n}")
    began = time.monotonic()
    with relay.logged_in(source="127.0.0.9"):
        assert time.monotonic() - began < 2
    began = time.monotonic()
    with relay.logged_in(source="127.0.0.10"):
        assert time.monotonic() - began < 4


def test_a_spraying_source_is_slowed_and_then_refused(place: Place) -> None:
    relay, _ = place.pair()
    waits: list[float] = []
    for n in range(12):
        try:
            with relay.encrypted(source="127.0.0.77", timeout=60) as client:
                began = time.monotonic()
                client.auth_plain(f"victim{n}@example.net", "Winter2026")
                waits.append(time.monotonic() - began)
        except AssertionError as refused:
            assert "421" in str(refused)
            break
        if waits[-1] > 5:
            break
    assert waits[-1] > waits[0] + 0.2


def test_a_password_that_changed_is_not_remembered(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in():
        pass
    relay.cli("account", "passwd", ANN, "--password-stdin", stdin="quite another\n")

    def old_is_wrong() -> bool:
        with relay.encrypted(source="127.0.0.5", timeout=60) as client:
            return client.auth_plain(ANN, PASSWORD).code == 535

    wait_for("the old password is refused", old_is_wrong, 10)
    with relay.logged_in(password="quite another"):
        pass


def test_a_suspended_account_hears_why_and_its_connections_end(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        relay.cli("account", "suspend", ANN, "--text", "Please call us.")
        began = time.monotonic()
        reply = client.reply()
        assert reply.heading == "421 4.7.0" and time.monotonic() - began < 6
        assert client.closed()
    with relay.encrypted() as client:
        reply = client.auth_plain(ANN, PASSWORD)
        assert reply.heading == "525 5.7.13" and "Please call us." in reply.text
    with relay.encrypted() as client:
        assert scram.login(client, ANN, PASSWORD).heading == "525 5.7.13"
    with relay.encrypted(timeout=60) as client:
        assert client.auth_plain(ANN, "wrong").heading == "535 5.7.8"
    relay.cli("account", "release", ANN)
    with relay.logged_in():
        pass


@pytest.mark.parametrize("change", ["suspend", "remove", "passwd"])
def test_an_account_that_may_send_no_more_does_not_finish_its_message(place: Place, change: str) -> None:
    relay, sink = place.pair()
    with relay.logged_in() as client:
        client.mail(ANN, "bob@example.org")
        assert client.ask("DATA").code == 354
        client.send(b"From: ann@example.net\r\nSubject: half\r\n\r\nOne line.\r\n")
        relay.cli("account", change, ANN, *(["--password-stdin"] if change == "passwd" else []), stdin="another one\n")
        began = time.monotonic()
        assert client.reply().heading == "421 4.7.0" and time.monotonic() - began < 6
        assert client.closed()
    time.sleep(0.3)
    assert sink.mails() == [] and relay.queue() == []


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_the_guard_is_off_from_the_start(place: Place, mode: str) -> None:
    relay = place.relay({"upstream": [upstream(place.sink().start())], "rules": {"login_guard": mode}})
    relay.add_account()
    relay.start()
    with relay.encrypted() as client:
        for _ in range(6):
            assert client.auth_plain(ANN, "wrong").heading == "535 5.7.8"


def test_who_acts_for_another_sends_from_its_addresses(place: Place) -> None:
    relay, sink = place.pair()
    relay.add_account("app@example.net", "the app's own")
    relay.cli("account", "set", "app@example.net", "--authzid", ANN)
    with relay.encrypted() as client:
        assert client.auth_plain("app@example.net", "the app's own", authorize=ANN).code == 235
        assert client.submit(ANN, ["bob@example.org"], a_message(sender=ANN)).code == 250
        assert client.ask("MAIL FROM:<app@example.net>").code == 550
    assert len(sink.wait_for_mails(1)) == 1
    assert relay.wait_event("message")["account"] == "app@example.net"
    with relay.encrypted() as client:
        assert client.auth_plain("app@example.net", "the app's own", authorize="who@example.net").code == 535


def test_secrets_never_reach_the_log(place: Place) -> None:
    relay, _ = place.pair({"log": {"level": "debug"}})
    with relay.logged_in():
        pass
    with relay.encrypted(timeout=60) as client:
        client.auth_plain(ANN, "hunter2-the-secret")
    with relay.encrypted() as client:
        scram.login(client, ANN, PASSWORD)
    relay.stop()
    log = relay.program.output() + relay.program.errors()
    for secret in (PASSWORD, "hunter2-the-secret", b64(f"\0{ANN}\0{PASSWORD}"), b64(PASSWORD)):
        assert secret not in log
