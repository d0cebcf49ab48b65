"""Mechanisms beside the common ones: SCRAM-SHA-1, tls-unique, lists that differ by listener."""

from __future__ import annotations

import base64
import ssl

import pytest

from postern import scram
from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay
from postern.settings import Settings
from postern.smtp import Client, a_message, b64, trusting_nothing

SHA1 = "SCRAM-SHA-1"
ALL = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", SHA1, "PLAIN", "LOGIN"]
UNGUARDED: Settings = {"rules": {"login_guard": "off"}}


def with_sha1(place: Place, settings: Settings | None = None) -> Relay:
    return place.pair({"auth": {"mechanisms": ALL}, **UNGUARDED, **(settings or {})})[0]


def by_sha1(relay: Relay, user: str = ANN, password: str = PASSWORD, **options: object) -> str:
    with relay.encrypted() as client:
        return scram.login(client, user, password, mechanism=SHA1, **options).heading  # type: ignore[arg-type]


def shown(relay: Relay, user: str, mechanism: str = SHA1) -> str:
    """Salt and rounds that a name is shown."""
    with relay.encrypted() as client:
        reply = client.ask(f"AUTH {mechanism} {b64(scram.Scram(user, 'x').first())}")
        assert reply.code == 334
        assert client.ask("*").code == 501
        return base64.b64decode(reply.lines[0]).decode().partition(",")[2]


def test_scram_sha_1_is_off_unless_asked_for(shared: tuple[Relay, object]) -> None:
    with shared[0].encrypted() as client:
        assert SHA1 not in client.ehlo()["AUTH"].split()
        assert scram.login(client, ANN, PASSWORD, mechanism=SHA1).heading == "504 5.5.4"


@pytest.mark.parametrize("initial", [True, False])
def test_scram_sha_1(place: Place, initial: bool) -> None:
    relay = with_sha1(place)
    assert by_sha1(relay, initial=initial) == "235 2.7.0"
    assert by_sha1(relay, ANN.upper(), initial=initial) == "235 2.7.0"
    assert by_sha1(relay, password="wrong", initial=initial) == "535 5.7.8"
    with relay.encrypted() as client:
        assert client.ehlo()["AUTH"].split() == ALL
        assert scram.login(client, ANN, PASSWORD, mechanism=SHA1).code == 235
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    assert relay.metrics().total("postern_logins_total", mechanism=SHA1, result="ok") == 3


def test_a_password_that_is_older_than_the_mechanism_serves_it_after_one_login(place: Place) -> None:
    relay, _ = place.pair(UNGUARDED)
    with relay.logged_in() as before:
        relay.configure({"auth": {"mechanisms": ALL}})
        relay.cli("reload")
        assert by_sha1(relay) == "535 5.7.8"
        with relay.logged_in():  # By a password that is remembered: it is looked at all the same.
            pass
        assert by_sha1(relay) == "235 2.7.0"
        assert by_sha1(relay, password="wrong") == "535 5.7.8"
        assert before.ask("NOOP").code == 250  # Nothing has changed for those who are in.
        assert before.submit(ANN, ["bob@example.org"], a_message()).code == 250
    relay.restart()
    assert by_sha1(relay) == "235 2.7.0"
    relay.cli("account", "passwd", ANN, "--password-stdin", stdin="another one\n")
    assert by_sha1(relay) == "535 5.7.8"
    assert by_sha1(relay, password="another one") == "235 2.7.0"


def test_app_passwords_and_a_stopped_relay(place: Place) -> None:
    relay = with_sha1(place)
    [phone] = relay.cli("account", "credential", "add", ANN, "phone").stdout.splitlines()
    relay.stop()
    relay.cli("account", "add", "new@example.net", "--password-stdin", stdin="made offline\n")
    relay.start()
    assert by_sha1(relay, f"{ANN}+phone", phone) == "235 2.7.0"
    assert by_sha1(relay, f"{ANN}+phone", PASSWORD) == "535 5.7.8"
    assert by_sha1(relay, "new@example.net", "made offline") == "235 2.7.0"


def test_who_is_not_there_looks_like_who_is(place: Place) -> None:
    relay, _ = place.pair(UNGUARDED)  # Ann's password is older than the mechanism.
    relay.configure({"auth": {"mechanisms": ALL}})
    relay.cli("reload")
    relay.cli("account", "add", "new@example.net", "--password-stdin", stdin="x\n")
    for user in (ANN, "new@example.net", "nobody@example.net", f"{ANN}+nothing"):
        assert shown(relay, user) == shown(relay, user) == shown(relay, user, "SCRAM-SHA-256")
    texts = set()
    for user in (ANN, "new@example.net", "nobody@example.net"):
        with relay.encrypted() as client:
            texts.add(str(scram.login(client, user, "wrong", mechanism=SHA1)))
    assert len(texts) == 1 and texts.pop().startswith("535 5.7.8")


@pytest.mark.parametrize(("flag", "heading"), [
    ("n", "235 2.7.0"), ("y", "535 5.7.8"), ("p=tls-exporter", "535 5.7.8"), ("p=tls-unique", "535 5.7.8"),
])
def test_flags_of_scram_sha_1(place: Place, flag: str, heading: str) -> None:
    """`y` says that the client could bind and was not offered to: it was, by another mechanism."""
    assert by_sha1(with_sha1(place), flag=flag, binding=b"x" * 32) == heading


def test_flag_y_is_right_where_nothing_can_be_bound(place: Place) -> None:
    assert by_sha1(with_sha1(place, {"auth": {"mechanisms": [SHA1, "PLAIN"]}}), flag="y") == "235 2.7.0"


def test_there_is_no_scram_sha_1_plus(place: Place) -> None:
    relay = with_sha1(place)
    with relay.encrypted() as client:
        assert client.ask("AUTH SCRAM-SHA-1-PLUS").heading == "504 5.5.4"


@pytest.mark.parametrize("first", [
    b"", b"n,,", b"n,,n=ann", b"n,,r=abc", b"x,,n=a,r=b", b"n,,n=a=zz,r=b", b"\xff" * 20, b"n,,n=\xff\xfe,r=abc",
    b"n,,n=a\0b,r=abc", b"n,,n=a,r=abcn,,n=a,r=abc,", b"n,,n=" + b"a" * 3000 + b",r=b",
])
def test_malformed_first_messages(place: Place, first: bytes) -> None:
    relay = with_sha1(place)
    with relay.encrypted() as client:
        assert client.ask(f"AUTH {SHA1} {b64(first) or '='}").code in (501, 535)
        assert client.ask("NOOP").code == 250


def test_messages_cut_doubled_replayed_and_out_of_order(place: Place) -> None:
    relay = with_sha1(place)

    def begun(client: Client) -> tuple[scram.Scram, str]:
        exchange = scram.Scram(ANN, PASSWORD, hash_name="sha1")
        reply = client.ask(f"AUTH {SHA1} {b64(exchange.first())}")
        assert reply.code == 334
        return exchange, base64.b64decode(reply.lines[0]).decode()

    with relay.encrypted() as client:
        exchange, challenge = begun(client)
        final = exchange.final(challenge)
        assert client.ask(b64(final[:-6])).code in (501, 535)
        for wrong in (final + final, final + "\0", final.replace(",p=", ",p=\xff"), exchange.first(), "x" * 3000):
            begun(client)
            assert client.ask(b64(wrong)).code in (501, 535)
        _, _ = begun(client)
        assert client.ask(b64(final)).code in (501, 535)  # Of another exchange.
        assert client.ask("NOOP").code == 250
    with relay.encrypted() as client:
        exchange, challenge = begun(client)
        assert client.ask(b64(exchange.final(challenge))).code == 334
        assert client.ask(b64("more")).code in (501, 535)


# --- channel binding by TLS 1.2 ---


def by_tls_1_2(relay: Relay, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Client:
    client = Client(relay.submissions)
    client.sock = context.wrap_socket(client.sock, server_hostname="relay.example.net", session=session)
    assert client.reply().code == 220
    client.ehlo()
    return client


def bind_unique(client: Client, binding: bytes | None = None) -> str:
    return scram.login(client, ANN, PASSWORD, mechanism="SCRAM-SHA-256-PLUS", flag="p=tls-unique",
                       binding=binding or scram.tls_unique(client.sock)).heading


def test_tls_unique_of_full_and_resumed_sessions(shared: tuple[Relay, object]) -> None:
    relay = shared[0]
    context = trusting_nothing(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    with by_tls_1_2(relay, context) as client:
        assert not client.sock.session_reused
        first = scram.tls_unique(client.sock)
        assert bind_unique(client) == "235 2.7.0"
        session = client.sock.session
    with by_tls_1_2(relay, context, session) as client:
        assert client.sock.session_reused
        assert scram.tls_unique(client.sock) != first
        assert bind_unique(client) == "235 2.7.0"


def test_somebody_elses_tls_unique_is_refused(shared: tuple[Relay, object]) -> None:
    context = trusting_nothing(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    with by_tls_1_2(shared[0], context) as other, by_tls_1_2(shared[0], context) as client:
        assert bind_unique(client, scram.tls_unique(other.sock)) == "535 5.7.8"


def test_tls_exporter_is_not_of_tls_1_2(shared: tuple[Relay, object]) -> None:
    context = trusting_nothing(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    with by_tls_1_2(shared[0], context) as client:
        assert scram.login(client, ANN, PASSWORD, mechanism="SCRAM-SHA-256-PLUS").code == 535
    with by_tls_1_2(shared[0], context) as client:
        assert scram.login(client, ANN, PASSWORD, mechanism="SCRAM-SHA-256-PLUS", flag="p=tls-server-end-point",
                           binding=scram.server_end_point(client.sock)).code == 235


# --- by listener ---


def test_lists_differ_by_listener(place: Place) -> None:
    relay = place.relay()
    host, port = relay.submission
    relay.configure({"server": {"listen": [
        f"{host}:{port} starttls mechanisms=plain+{SHA1}", f"{host}:{relay.submissions[1]} tls"]},
        "upstream": [{"address": "127.0.0.1:9", "tls": "none"}]})
    relay.add_account()
    relay.start()
    with relay.plain() as client:
        client.ehlo()
        client.starttls()
        assert client.ehlo()["AUTH"].split() == ["PLAIN", SHA1]
        assert client.ask("AUTH LOGIN").heading == "504 5.5.4"
        assert scram.login(client, ANN, PASSWORD).heading == "504 5.5.4"
        # Named by one listener, it is made for all passwords.
        assert scram.login(client, ANN, PASSWORD, mechanism=SHA1).code == 235
    with relay.encrypted() as client:
        assert SHA1 not in client.ehlo()["AUTH"].split()
        assert client.ask(f"AUTH {SHA1}").heading == "504 5.5.4"
        assert client.auth_plain(ANN, PASSWORD).code == 235


@pytest.mark.parametrize("words", ["mechanisms=NTLM", "mechanisms=", "mechanisms=PLAIN+", "mechanisms=SCRAM-SHA-1-PLUS"])
def test_unknown_ones_are_an_error_that_names_the_right_ones(place: Place, words: str) -> None:
    relay = place.relay()
    host, port = relay.submission
    relay.configure({"server": {"listen": [f"{host}:{port} starttls {words}"]}})
    done = relay.cli("serve", expect=2)
    assert '"SCRAM-SHA-256-PLUS"' in done.stderr and '"EXTERNAL"' in done.stderr and "server.listen" in done.stderr
