"""EXTERNAL: client certificates known by their fingerprint or by a name under the configured authority."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.certificates import Authority, Certificate, fingerprint, make_certificate
from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay
from postern.settings import Settings, merge
from postern.smtp import Client, a_message, b64, trusting_nothing
from postern.waiting import PATIENCE, wait_for

BOB = "bob@example.net"


def showing(made: Certificate | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = trusting_nothing(version, version)
    if made is not None:
        context.load_cert_chain(made.certificate, made.key)
    return context


def site(place: Place, settings: Settings | None = None) -> Relay:
    """EXTERNAL on both ports, and no login guard to slow the tests down."""
    wanted = {"auth": {"mechanisms": ["EXTERNAL", "PLAIN", "SCRAM-SHA-256"]}, "rules": {"login_guard": "off"}}
    return place.pair(merge(wanted, settings or {}))[0]


def bind(relay: Relay, made: Certificate, name: str = "laptop", *options: str) -> None:
    relay.cli("account", "credential", "add", ANN, name, "--kind", "certificate",
              "--certificate", str(made.certificate), *options)


def call(relay: Relay, made: Certificate | None, **options: object) -> Client:
    return relay.encrypted(context=showing(made, **options))  # type: ignore[arg-type]


def log_in(relay: Relay, made: Certificate, authorize: str = "") -> str:
    with call(relay, made) as client:
        return client.auth_external(authorize).heading


@pytest.fixture
def laptop(place: Place) -> Certificate:
    return make_certificate(place.folder, "laptop")


@pytest.fixture
def authority(place: Place) -> Iterator[Authority]:
    yield Authority(place.folder)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("implicit", [True, False])
def test_a_certificate_that_was_bound(place: Place, laptop: Certificate, version: ssl.TLSVersion,
                                      implicit: bool) -> None:
    relay = site(place)
    bind(relay, laptop)
    context = showing(laptop, version)
    client = relay.encrypted(context=context) if implicit else relay.plain(context=context)
    with client:
        if not implicit:
            assert "AUTH" not in client.ehlo()
            client.starttls()
        assert client.ehlo()["AUTH"].split() == ["EXTERNAL", "PLAIN", "SCRAM-SHA-256"]
        assert client.auth_external().heading == "235 2.7.0"
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    login = relay.wait_event("login")
    assert (login["mechanism"], login["account"], login["credential"], login["ok"]) == ("EXTERNAL", ANN, "laptop", True)
    [listed] = [each for each in relay.cli_json("account", "credential", "list", ANN) if each["credential"]]
    assert listed["kind"] == "certificate" and listed["certificate"] == fingerprint(laptop)
    assert listed["last_used"] and listed["last_source"] == "127.0.0.1"
    assert relay.metrics().total("postern_logins_total", mechanism="EXTERNAL", result="ok") == 1


def test_without_an_initial_response(place: Place, laptop: Certificate) -> None:
    relay = site(place)
    bind(relay, laptop)
    with call(relay, laptop) as client:
        assert client.ask("AUTH EXTERNAL").code == 334
        assert client.ask("").heading == "235 2.7.0"
    with call(relay, laptop) as client:
        assert client.ask("AUTH EXTERNAL").code == 334
        assert client.ask("*").heading == "501 5.7.0"
        assert client.ask("AUTH EXTERNAL").code == 334
        assert client.ask(b64(ANN)).heading == "235 2.7.0"


def test_without_a_certificate_it_is_not_offered(place: Place) -> None:
    relay = site(place)
    with call(relay, None) as client:
        assert client.ehlo()["AUTH"].split() == ["PLAIN", "SCRAM-SHA-256"]
        assert client.auth_external().heading == "504 5.5.4"
        assert client.auth_plain(ANN, PASSWORD).code == 235


def test_a_listener_without_it_asks_for_no_certificate(place: Place, laptop: Certificate) -> None:
    relay = place.relay()
    host, port = relay.submission
    relay.configure({"server": {"listen": [f"{host}:{port} starttls mechanisms=EXTERNAL+PLAIN",
                                           f"{host}:{relay.submissions[1]} tls"]},
                     "upstream": [{"address": "127.0.0.1:9", "tls": "none"}]})
    relay.add_account()
    relay.start()
    bind(relay, laptop)
    with call(relay, laptop) as client:
        assert "EXTERNAL" not in client.ehlo()["AUTH"]
        assert client.auth_external().heading == "504 5.5.4"
    with relay.plain(context=showing(laptop)) as client:
        client.ehlo()
        client.starttls()
        assert client.ehlo()["AUTH"].split() == ["EXTERNAL", "PLAIN"]
        assert client.auth_external().code == 235


def test_each_connection_proves_it_anew(place: Place, laptop: Certificate) -> None:
    """With a certificate no session is resumed; what a client keeps of one does no harm."""
    relay = site(place)
    bind(relay, laptop)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = showing(laptop, version)
        session = None
        for _ in range(2):
            client = Client(relay.submissions)
            client.sock = context.wrap_socket(client.sock, server_hostname="relay.example.net", session=session)
            with client:
                assert client.reply().code == 220
                assert "EXTERNAL" in client.ehlo()["AUTH"] and not client.sock.session_reused
                session = client.sock.session
                assert client.auth_external().code == 235


def test_a_certificate_that_is_nobodys(place: Place, laptop: Certificate) -> None:
    relay = site(place)
    with call(relay, laptop) as client:
        assert "EXTERNAL" in client.ehlo()["AUTH"]
        refused = client.auth_external()
        assert str(refused) == str(client.auth_plain(ANN, "wrong")) and refused.heading == "535 5.7.8"
        assert client.auth_plain(ANN, PASSWORD).code == 235
    failed = relay.wait_event("login", lambda each: each["mechanism"] == "EXTERNAL")
    assert failed["account"] == "certificate:" + fingerprint(laptop)[:16]
    assert failed["ok"] is False and failed["known"] is False


def test_certificates_out_of_their_time(place: Place, authority: Authority) -> None:
    relay = site(place, {"auth.external": {"ca": str(authority.certificate)}})
    late = authority.issue("late", email=(ANN,), begins=-9, ends=-1)
    early = authority.issue("early", email=(ANN,), begins=1)
    for made in (late, early):
        with call(relay, made) as client:
            assert "EXTERNAL" not in client.ehlo()["AUTH"]
            assert client.auth_external().heading == "504 5.5.4"
            assert client.auth_plain(ANN, PASSWORD).code == 235
    done = relay.cli("account", "credential", "add", ANN, "late", "--kind", "certificate", "--certificate",
                     str(late.certificate), expect=2)
    assert "has expired" in done.stderr


def test_names_under_an_authority(place: Place, authority: Authority) -> None:
    relay = site(place, {"auth.external": {"ca": str(authority.certificate)}})
    relay.add_account(BOB)
    assert log_in(relay, authority.issue("ann", email=(ANN,))) == "235 2.7.0"
    login = relay.wait_event("login")
    assert login["account"] == ANN and login["credential"] == "(certificate)"
    assert log_in(relay, authority.issue("capitals", email=("ANN@Example.NET",))) == "235 2.7.0"
    assert log_in(relay, authority.issue("bob", email=(BOB,), usage="clientAuth")) == "235 2.7.0"
    for refused in (
            authority.issue("nobody", email=("nobody@example.net",)),
            authority.issue("two", email=(ANN, BOB)),
            authority.issue("none", common_name=ANN),
            authority.issue("server", email=(ANN,), usage="serverAuth"),
            Authority(place.folder, "another").issue("ann", email=(ANN,)),
            make_certificate(place.folder, "self", names=(ANN,)),
    ):
        assert log_in(relay, refused) == "535 5.7.8", refused


def test_common_names_where_told(place: Place, authority: Authority) -> None:
    relay = site(place, {"auth.external": {"ca": str(authority.certificate), "name": "cn"}})
    assert log_in(relay, authority.issue("ann", common_name=ANN)) == "235 2.7.0"
    assert log_in(relay, authority.issue("email", email=(ANN,), common_name="Ann")) == "535 5.7.8"


def test_revoked_ones_and_lists_that_are_overdue(place: Place, authority: Authority) -> None:
    ann, lost = authority.issue("ann", email=(ANN,)), authority.issue("lost", email=(ANN,))
    authority.revoke(lost)
    current = authority.write_list()
    relay = site(place, {"auth.external": {"ca": str(authority.certificate), "crl": str(current)}})
    assert log_in(relay, ann) == "235 2.7.0"
    assert log_in(relay, lost) == "535 5.7.8"
    authority.write_list(ends=-1)
    relay.cli("reload")
    assert log_in(relay, ann) == "535 5.7.8"
    alert = relay.wait_event("alert", lambda each: each["subject"] == str(current))
    assert alert["kind"] == "certificate_expiring"
    authority.write_list()
    relay.cli("reload")
    assert log_in(relay, ann) == "235 2.7.0"


def test_a_list_that_changes_is_seen_without_a_reload(place: Place, authority: Authority) -> None:
    ann = authority.issue("ann", email=(ANN,))
    relay = site(place, {"auth.external": {"ca": str(authority.certificate), "crl": str(authority.write_list())}})
    assert log_in(relay, ann) == "235 2.7.0"
    authority.revoke(ann)
    authority.write_list()
    wait_for("the new list", lambda: log_in(relay, ann) == "535 5.7.8", 60)


def test_a_reload_with_a_bad_authority_changes_nothing(place: Place, authority: Authority) -> None:
    ann = authority.issue("ann", email=(ANN,))
    relay = site(place, {"auth.external": {"ca": str(authority.certificate)}})
    relay.configure({"auth.external": {"ca": str(ann.certificate)}})
    done = relay.cli("reload", expect=1)
    assert "no authority's" in done.stderr
    assert log_in(relay, ann) == "235 2.7.0"


def test_the_authorization_identity(place: Place, laptop: Certificate) -> None:
    relay = site(place)
    relay.add_account(BOB)
    bind(relay, laptop)
    assert log_in(relay, laptop, ANN) == "235 2.7.0"
    assert log_in(relay, laptop, BOB) == "535 5.7.8"
    relay.cli("account", "set", ANN, "--authzid", BOB)
    with call(relay, laptop) as client:
        assert client.auth_external(BOB).heading == "235 2.7.0"
        assert client.submit(BOB, ["x@example.org"], a_message(BOB)).code == 250


@pytest.mark.parametrize("message", [b"\0", b"ann@example.net\0", b"\xff\xfe", b"a" * 2000])
def test_malformed_messages(place: Place, laptop: Certificate, message: bytes) -> None:
    relay = site(place)
    bind(relay, laptop)
    with call(relay, laptop) as client:
        assert client.ask("AUTH EXTERNAL " + b64(message)).heading == "501 5.5.2"
        assert client.ask("AUTH EXTERNAL !").heading == "501 5.5.2"
        assert client.ask("AUTH EXTERNAL = =").code == 501
        assert client.auth_external().code == 235


def test_a_revoked_credential_ends_its_connections_and_no_others(place: Place, laptop: Certificate,
                                                                 authority: Authority) -> None:
    relay = site(place, {"auth.external": {"ca": str(authority.certificate)}})
    bind(relay, laptop)
    with call(relay, laptop) as bound, call(relay, authority.issue("ann", email=(ANN,))) as vouched, \
            relay.logged_in() as desk:
        assert bound.auth_external().code == vouched.auth_external().code == 235
        relay.cli("account", "credential", "revoke", ANN, "laptop")
        began = time.monotonic()
        assert bound.reply().heading == "421 4.7.0" and time.monotonic() - began < 6 * PATIENCE
        assert bound.closed()
        assert vouched.ask("NOOP").code == desk.ask("NOOP").code == 250
        # A new password ends those who came by the old one, not those whom an authority vouches for.
        relay.cli("account", "passwd", ANN, "--password-stdin", stdin="another one\n")
        assert desk.reply().heading == "421 4.7.0"
        assert vouched.submit(ANN, ["bob@example.org"], a_message()).code == 250
    assert log_in(relay, laptop) == "535 5.7.8"


def test_suspension_and_removal(place: Place, laptop: Certificate, authority: Authority) -> None:
    relay = site(place, {"auth.external": {"ca": str(authority.certificate)}})
    bind(relay, laptop)
    vouched_for = authority.issue("ann", email=(ANN,))
    with call(relay, laptop) as bound, call(relay, vouched_for) as vouched:
        assert bound.auth_external().code == vouched.auth_external().code == 235
        relay.cli("account", "suspend", ANN, "--text", "see us")
        assert bound.reply().heading == vouched.reply().heading == "421 4.7.0"
    assert log_in(relay, laptop) == log_in(relay, vouched_for) == "525 5.7.13"
    relay.cli("account", "release", ANN)
    with call(relay, laptop) as bound:
        assert bound.auth_external().code == 235
        relay.cli("account", "remove", ANN)
        assert bound.reply().heading == "421 4.7.0"
    assert log_in(relay, laptop) == log_in(relay, vouched_for) == "535 5.7.8"


def test_limits_of_a_certificate(place: Place, laptop: Certificate) -> None:
    relay = site(place, {"limits": {"transactional": {"messages": ["100/hour"]}, "shy": {"messages": ["1/hour"]}}})
    bind(relay, laptop, "laptop", "--plan", "shy")
    with call(relay, laptop) as client:
        assert client.auth_external().code == 235
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "451 4.7.1"
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250


def test_failures_count_in_the_login_guard(place: Place, laptop: Certificate) -> None:
    relay = site(place, {"rules": {"login_guard": "enforce"}})
    with relay.encrypted(context=showing(laptop), timeout=60) as client:
        assert [client.auth_external().code for _ in range(3)] == [535, 535, 535]
        assert client.closed(30)


# --- the command line ---


def test_a_certificate_is_bound_once(place: Place, laptop: Certificate) -> None:
    relay = site(place)
    relay.add_account(BOB)
    made = relay.cli("account", "credential", "add", ANN, "Laptop", "--kind", "certificate", "--certificate",
                     str(laptop.certificate), "--json")
    assert '"certificate":"' + fingerprint(laptop) + '"' in made.stdout and "password" not in made.stdout
    for account in (ANN, BOB):
        done = relay.cli("account", "credential", "add", account, "again", "--kind", "certificate",
                         "--certificate", str(laptop.certificate), expect=1)
        assert "already" in done.stderr and done.stdout == ""
    relay.cli("account", "credential", "revoke", ANN, "laptop")
    relay.cli("account", "credential", "add", BOB, "laptop", "--kind", "certificate", "--certificate",
              str(laptop.certificate))
    assert log_in(relay, laptop) == "235 2.7.0"
    assert relay.wait_event("login")["account"] == BOB


def test_on_a_stopped_relay_and_with_the_key_in_the_file(place: Place, laptop: Certificate) -> None:
    relay = site(place)
    relay.stop()
    both = place.folder / "both.pem"
    both.write_text(laptop.key.read_text() + laptop.certificate.read_text())
    both.chmod(0o644)
    done = relay.cli("account", "credential", "add", ANN, "laptop", "--kind", "certificate", "--certificate", str(both))
    assert done.stdout == ""
    relay.start()
    assert log_in(relay, laptop) == "235 2.7.0"


@pytest.mark.parametrize(("options", "code"), [
    (("--kind", "certificate"), 2),
    (("--certificate", "CERTIFICATE"), 2),
    (("--kind", "password", "--certificate", "CERTIFICATE"), 2),
    (("--kind", "certificate", "--certificate", "/nonexistent"), 2),
    (("--kind", "certificate", "--certificate", "KEY"), 2),
    (("--kind", "certificate", "--certificate", "CERTIFICATE", "--plan", "none"), 1),
])
def test_what_is_refused(place: Place, laptop: Certificate, options: tuple[str, ...], code: int) -> None:
    relay = site(place)
    files = {"CERTIFICATE": str(laptop.certificate), "KEY": str(laptop.key)}
    done = relay.cli("account", "credential", "add", ANN, "laptop", *(files.get(each, each) for each in options),
                     expect=code)
    assert done.stdout == "" and done.stderr.startswith("postern: ")
    assert len(relay.cli_json("account", "credential", "list", ANN)) == 1


# --- check ---


def findings(relay: Relay) -> dict[str, list[str]]:
    """What `check` says of certificates, by status."""
    found: dict[str, list[str]] = {"ok": [], "warn": [], "fail": []}
    for each in [entry for entry in checked(relay) if entry["check"] == "certificate"]:
        found[str(each["status"])].append(str(each["text"]))
    return found


def checked(relay: Relay) -> list[dict[str, object]]:
    done = relay.cli("check", "--offline", "--json", expect=None)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_check_of_authority_and_lists(place: Place, authority: Authority) -> None:
    relay = place.relay({"auth": {"mechanisms": ["EXTERNAL", "PLAIN"]},
                         "upstream": [{"address": "127.0.0.1:9", "tls": "none"}]})
    good = str(authority.certificate)
    another = Authority(place.folder, "another")

    def with_files(ca: str, crl: str | None = None) -> dict[str, list[str]]:
        relay.configure({"auth.external": {"ca": ca, "crl": crl}})
        return findings(relay)

    assert any(good in text for text in with_files(good, str(authority.write_list()))["ok"])
    soon = with_files(good, str(authority.write_list("soon.crl", ends=3)))
    assert any("soon.crl" in text for text in soon["warn"]) and not soon["fail"]
    for ca, crl, word in (
            ("/nonexistent.pem", None, "cannot be read"),
            (good, "/nonexistent.crl", "cannot be read"),
            (str(authority.issue("ann").certificate), None, "no authority's"),
            (str(authority.issue("bob").key), None, "holds no certificate"),
            (good, good, "holds no certificate revocation list"),
            (good, str(another.write_list()), "is no list of an authority"),
            (good, str(authority.write_list("late.crl", ends=-1)), "ended on"),
    ):
        [text] = with_files(ca, crl)["fail"]
        assert word in text, text
    both = place.folder / "both.pem"
    both.write_text(authority.certificate.read_text() + another.certificate.read_text())
    both.chmod(0o644)
    assert any("has no list of 1" in text for text in with_files(str(both), str(authority.write_list()))["warn"])
    relay.configure({"auth": {"mechanisms": ["PLAIN"]}})
    assert any("no listener offers EXTERNAL" in text for text in with_files(good)["warn"])


def test_serve_does_not_start_with_a_bad_authority(place: Place, authority: Authority) -> None:
    relay = place.relay({"auth": {"mechanisms": ["EXTERNAL"]}, "auth.external": {"ca": "/nonexistent.pem"},
                         "upstream": [{"address": "127.0.0.1:9", "tls": "none"}]})
    done = relay.cli("serve", expect=1)
    assert "/nonexistent.pem" in done.stderr
    assert Path(relay.state).exists()
