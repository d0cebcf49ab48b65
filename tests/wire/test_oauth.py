"""OAUTHBEARER and XOAUTH2: the exchange, wrong tokens, and where the keys come from."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postern.issuer import AUDIENCE, ISSUER, Issuer, Key, b64url, key_set
from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay, upstream
from postern.scratch import hand_over
from postern.settings import Settings, merge
from postern.smtp import Client, Reply, a_message, b64
from postern.waiting import wait_for

MECHANISMS = ["SCRAM-SHA-256", "PLAIN", "OAUTHBEARER", "XOAUTH2"]
EC = Key("ec-1")
RSA = Key("rsa-1", "RS256")
NEXT = Key("next")


def bearer(token: str, user: str = "", flag: str = "n") -> str:
    name = f"a={user}" if user else ""
    return f"{flag},{name},\1host=relay.example.net\1port=587\1auth=Bearer {token}\1\1"


def xoauth2(token: str, user: str = ANN) -> str:
    return f"user={user}\1auth=Bearer {token}\1\1"


def offer(client: Client, message: str, *, mechanism: str = "", initial: bool = True) -> Reply:
    mechanism = mechanism or ("XOAUTH2" if message.startswith("user=") else "OAUTHBEARER")
    if initial:
        return client.ask(f"AUTH {mechanism} {b64(message)}")
    asked = client.ask(f"AUTH {mechanism}")
    assert asked.code == 334 and asked.text == "", asked
    return client.ask(b64(message))


def refused(client: Client, message: str, answer: str = "AQ==") -> Reply:
    """The 535 after the challenge that says why."""
    reply = offer(client, message)
    assert reply.code == 334, reply
    told = json.loads(base64.b64decode(reply.text))
    assert told["schemes"] == "bearer" and told["status"] in ("invalid_token", "401")
    return client.ask(answer)


def oauth(jwks: str, **keys: str) -> Settings:
    section = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks, **keys}
    return {"auth": {"mechanisms": MECHANISMS, "oauth": section}}


@dataclass
class Site:
    relay: Relay
    issuer: Issuer

    def log_in(self, key: Key = EC, account: str = ANN) -> Reply:
        with self.relay.encrypted(timeout=30) as client:
            return offer(client, bearer(key.token(account)))

    def fetched(self, times: int) -> None:
        wait_for(f"{times} fetches", lambda: len(self.issuer.requests) >= times, 20)


def make_site(place: Place, issuer: Issuer, changes: Settings | None = None) -> Site:
    sink = place.sink().start()
    settings = merge(oauth(issuer.url), {"upstream": [upstream(sink)]})
    relay = place.relay(merge(settings, changes or {}), env=issuer.env)
    relay.add_account()
    return Site(relay.start(), issuer)


@pytest.fixture
def issuer(place: Place) -> Iterator[Issuer]:
    made = Issuer(place.folder, EC, RSA)
    yield made
    made.stop()


@pytest.fixture
def site(place: Place, issuer: Issuer) -> Site:
    return make_site(place, issuer)


@pytest.fixture(scope="module")
def unguarded(binary: Path, certificate: object) -> Iterator[Relay]:
    """Keys of a file, and failures slow nobody down."""
    from postern.place import make_place

    made = make_place(binary, certificate)  # type: ignore[arg-type]
    file = made.folder / "keys.json"
    file.write_text(key_set(EC, RSA))
    hand_over(file)
    relay, _ = made.pair(merge(oauth("keys.json"), {"rules": {"login_guard": "off"}}))
    relay.add_account("bob@example.net")
    relay.add_account("sue@example.net")
    relay.cli("account", "suspend", "sue@example.net", "--text", "Please call us.")
    relay.cli("account", "set", "bob@example.net", "--authzid", "sue@example.net")
    yield relay
    made.end()


def test_offered_where_the_configuration_says_so(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        assert client.ehlo()["AUTH"].split() == MECHANISMS


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("key", [EC, RSA], ids=["ES256", "RS256"])
@pytest.mark.parametrize("message", [
    lambda token: bearer(token), lambda token: bearer(token, ANN, "y"), lambda token: xoauth2(token),
    lambda token: xoauth2(token, "Ann@EXAMPLE.net"),
], ids=["bearer", "bearer-a", "xoauth2", "xoauth2-capitals"])
def test_a_right_token_logs_in_and_sends(unguarded: Relay, initial: bool, key: Key, message: object) -> None:
    with unguarded.encrypted() as client:
        reply = offer(client, message(key.token(ANN)), initial=initial)  # type: ignore[operator]
        assert reply.heading == "235 2.7.0"
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250


def test_over_starttls(unguarded: Relay) -> None:
    with unguarded.plain() as client:
        assert "AUTH" not in client.ehlo()
        assert offer(client, bearer(EC.token(ANN))).code in (530, 538)
        client.starttls()
        client.ehlo()
        assert offer(client, bearer(EC.token(ANN))).code == 235


def hs256(secret: str) -> str:
    now = int(time.time())
    head, payload = {"alg": "HS256", "kid": "rsa-1"}, {"iss": ISSUER, "aud": AUDIENCE, "email": ANN, "exp": now + 60}
    text = ".".join(b64url(json.dumps(each).encode()) for each in (head, payload))
    return f"{text}.{b64url(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


NOW = int(time.time())
GOOD = EC.token(ANN)
WRONG = {
    "none": GOOD.replace(GOOD.split(".")[0], b64url(b'{"alg":"none"}')),
    "none-unsigned": b64url(b'{"alg":"none"}') + "." + GOOD.split(".")[1] + ".",
    "hs256-public-key": hs256(json.dumps(RSA.jwk())),
    "rs384": RSA.token(ANN, header={"alg": "RS384"}),
    "wrong-kid": EC.token(ANN, header={"kid": "nobody's"}),
    "other-algorithms-kid": EC.token(ANN, header={"kid": "rsa-1"}),
    "crit": EC.token(ANN, header={"crit": ["exp"]}),
    "forged": Key("ec-1").token(ANN),
    "expired": EC.token(ANN, exp=NOW - 3600),
    "just-expired": EC.token(ANN, exp=NOW - 61),
    "no-exp": EC.token(ANN, exp=None),
    "not-yet": EC.token(ANN, nbf=NOW + 36000),
    "from-the-future": EC.token(ANN, iat=NOW + 36000),
    "other-audience": EC.token(ANN, aud="imap"),
    "no-audience": EC.token(ANN, aud=None),
    "other-issuer": EC.token(ANN, iss=ISSUER.rstrip("/")),
    "unverified": EC.token(ANN, email_verified=False),
    "no-claim": EC.token(ANN, email=None, sub=ANN),
    "claim-is-a-list": EC.token(ANN, email=[ANN]),
    "nobody": EC.token("nobody@example.net"),
    "no-address": EC.token("ann"),
    "cut": GOOD[:-1],
    "cut-in-half": GOOD[:len(GOOD) // 2],
    "doubled": GOOD + GOOD,
    "no-dots": "x",
    "four-parts": GOOD + ".x",
    "duplicate-alg": b64url(b'{"alg":"none","alg":"ES256"}') + "." + ".".join(GOOD.split(".")[1:]),
    "changed-payload": ".".join([GOOD.split(".")[0], EC.token("bob@example.net").split(".")[1], GOOD.split(".")[2]]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tokens_hear_the_same(unguarded: Relay, name: str) -> None:
    with unguarded.encrypted() as client:
        wrong_password = client.auth_plain(ANN, "wrong")
    for message, answer in ((bearer(WRONG[name]), "AQ=="), (xoauth2(WRONG[name]), "")):
        with unguarded.encrypted() as client:
            assert refused(client, message, answer) == wrong_password
            assert client.ask("MAIL FROM:<ann@example.net>").code == 530
            assert offer(client, bearer(GOOD)).code == 235


def test_within_the_leeway(unguarded: Relay) -> None:
    now = int(time.time())
    with unguarded.encrypted() as client:
        assert offer(client, bearer(EC.token(ANN, exp=now - 20, nbf=now + 40, iat=now + 40))).code == 235


@pytest.mark.parametrize(("answer", "heading"), [
    ("AQ==", "535 5.7.8"), ("", "535 5.7.8"), ("Zm9v", "535 5.7.8"), ("*", "501 5.7.0"), ("!", "501 5.5.2"),
])
def test_whatever_is_answered_to_the_refusal(unguarded: Relay, answer: str, heading: str) -> None:
    with unguarded.encrypted() as client:
        assert refused(client, bearer("x"), answer).heading == heading
        assert client.ask("NOOP").code == 250
        assert offer(client, xoauth2(GOOD)).code == 235


@pytest.mark.parametrize("message", [
    "\1", "n,,\1\1", "n,,\1auth=Bearer x\1", "n,,\1auth=Basic x\1\1", "x,,\1auth=Bearer x\1\1",
    "n,a=\xff,\1auth=Bearer x\1\1", "n,,\1auth=Bearer a b\1\1", "n,,\1auth=Bearer x\1auth=Bearer x\1\1",
    "user=ann@example.net\1\1", "user=\1auth=Bearer x\1\1", "user=ann@example.net\1auth=Bearer x\1",
    "n,,\1auth=Bearer x\1\1n,,\1auth=Bearer x\1\1", "\0" * 40,
])
def test_malformed_messages_are_501(unguarded: Relay, message: str) -> None:
    with unguarded.encrypted() as client:
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            reply = client.ask(f"AUTH {mechanism} " + b64(message.encode("latin-1")))
            assert reply.heading == "501 5.5.2"
        assert offer(client, bearer(GOOD)).code == 235


def test_a_client_that_would_bind_is_refused(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        assert refused(client, bearer(GOOD, flag="p=tls-exporter")).heading == "535 5.7.8"


def test_a_token_of_a_megabyte(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        client.send(b"AUTH OAUTHBEARER " + b64(bearer("A" * (1 << 20))).encode() + b"\r\n")
        assert client.reply().code == 500
    for initial in (True, False):
        with unguarded.encrypted() as client:
            assert offer(client, bearer("A" * 9500), initial=initial).heading == "500 5.5.6"
    with unguarded.encrypted() as client:
        assert refused(client, bearer("A" * 8900)).heading == "535 5.7.8"
    with unguarded.encrypted() as client:
        assert offer(client, bearer(GOOD)).code == 235


def test_acting_for_another_only_where_granted(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        assert refused(client, bearer(GOOD, "bob@example.net")).heading == "535 5.7.8"
        assert refused(client, xoauth2(GOOD, "bob@example.net"), "").heading == "535 5.7.8"
    with unguarded.encrypted() as client:
        assert offer(client, xoauth2(EC.token("bob@example.net"), "sue@example.net")).code == 235


def test_a_suspended_account_hears_525_once_its_token_was_right(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        reply = offer(client, xoauth2(EC.token("sue@example.net"), "sue@example.net"))
        assert reply.heading == "525 5.7.13" and "Please call us." in reply.text
    with unguarded.encrypted() as client:
        wrong = Key("ec-1").token("sue@example.net")
        assert refused(client, xoauth2(wrong, "sue@example.net"), "").heading == "535 5.7.8"


def test_the_login_event_says_who_by_what(unguarded: Relay) -> None:
    with unguarded.encrypted() as client:
        offer(client, xoauth2(GOOD))
    told = unguarded.wait_event("login", lambda e: e["ok"] and e["mechanism"] == "XOAUTH2")
    assert told["account"] == ANN and told["known"] is True
    with unguarded.encrypted() as client:
        refused(client, bearer(WRONG["forged"]))
    failed = unguarded.wait_event("login", lambda e: not e["ok"] and e.get("reason") == "signature")
    assert failed["account"] and not failed.get("secret_hash") and failed["mechanism"] == "OAUTHBEARER"
    assert GOOD.split(".")[2] not in unguarded.program.output()


def test_a_session_ends_with_its_account_and_not_with_its_password(unguarded: Relay) -> None:
    unguarded.add_account("eve@example.net")
    with unguarded.encrypted() as client:
        assert offer(client, bearer(EC.token("eve@example.net"))).code == 235
        unguarded.cli("account", "passwd", "eve@example.net", "--password-stdin", stdin="another one\n")
        time.sleep(0.5)
        assert client.ask("NOOP").code == 250
        unguarded.cli("account", "remove", "eve@example.net")
        assert client.reply().heading == "421 4.7.0"
        assert client.closed()
    with unguarded.encrypted() as client:
        assert refused(client, bearer(EC.token("eve@example.net"))).heading == "535 5.7.8"


# --- the guard ---


def test_an_expired_token_shown_again_and_again_harms_nobody(place: Place, issuer: Issuer) -> None:
    relay = make_site(place, issuer).relay
    expired = EC.token(ANN, exp=int(time.time()) - 3600)
    for _ in range(6):
        with relay.encrypted(timeout=60) as client:
            assert refused(client, xoauth2(expired), "").code == 535
    assert relay.metrics().total("postern_logins_total", mechanism="XOAUTH2", result="failed") == 6
    assert relay.metrics().total("postern_logins_total", mechanism="XOAUTH2", result="delayed") == 0


def test_cancelling_after_the_refusal_counts_all_the_same(place: Place, issuer: Issuer) -> None:
    relay = make_site(place, issuer).relay
    with relay.encrypted(timeout=60) as client:
        for number in range(2):
            assert refused(client, bearer(Key("ec-1").token(ANN)), "*").heading == "501 5.7.0", number
        assert offer(client, bearer(Key("ec-1").token(ANN))).heading == "535 5.7.8"
        assert client.closed(10)


# --- keys by URL ---


def test_keys_are_fetched_by_https_and_used(site: Site) -> None:
    assert site.log_in().code == 235
    assert site.log_in(RSA).code == 235
    assert site.issuer.requests == ["/keys?v=1"]
    assert site.relay.metrics().total("postern_auth_backend_total", backend="jwks", result="ok") == 1


def test_a_rotated_key_is_fetched_when_a_token_names_it(place: Place, issuer: Issuer) -> None:
    site = make_site(place, issuer)
    site.fetched(1)
    wait_for("the first keys", lambda: site.log_in().code == 235)
    issuer.body = key_set(NEXT).encode()
    # A key that a set of less than a minute does not have is none.
    with site.relay.encrypted() as client:
        assert refused(client, bearer(NEXT.token(ANN))).code == 535
    assert len(issuer.requests) == 1
    time.sleep(61)
    assert site.log_in(NEXT).code == 235
    assert len(issuer.requests) == 2
    with site.relay.encrypted() as client:
        assert refused(client, bearer(EC.token(ANN))).code == 535
    assert len(issuer.requests) == 2


def test_unknown_keys_are_asked_for_at_a_bounded_rate(place: Place, issuer: Issuer) -> None:
    site = make_site(place, issuer, {"rules": {"login_guard": "off"}})
    wait_for("the first keys", lambda: site.log_in().code == 235)
    for number in range(40):
        with site.relay.encrypted() as client:
            assert refused(client, bearer(Key(f"unheard-of-{number}").token(ANN))).code == 535
    assert len(issuer.requests) == 1


def test_without_keys_yet_logins_by_token_hear_454_and_others_go_on(place: Place, issuer: Issuer) -> None:
    issuer.stop()
    site = make_site(place, issuer)
    assert site.log_in().heading == "454 4.7.0"
    with site.relay.logged_in():
        pass
    alert = site.relay.wait_event("alert", lambda e: e["kind"] == "backend_down" and e["state"] == "firing", 60)
    assert alert["subject"] == issuer.url and alert["severity"] == "warning"
    issuer.start()
    wait_for("keys", lambda: site.log_in().code == 235, 60)
    site.relay.wait_event("alert", lambda e: e["kind"] == "backend_down" and e["state"] == "resolved")
    warnings = [e for e in site.relay.events("log") if e["level"] == "warning" and issuer.url in e["text"]]
    assert len(warnings) == 1


def test_a_login_waits_for_a_slow_first_fetch(place: Place, issuer: Issuer) -> None:
    issuer.delay = 1.5
    assert make_site(place, issuer).log_in().code == 235
    assert len(issuer.requests) == 1


def test_a_fetch_that_hangs_blocks_nobody(place: Place, issuer: Issuer) -> None:
    issuer.delay = 30
    site = make_site(place, issuer)
    with site.relay.encrypted(timeout=30) as waiting:
        waiting.send(b"AUTH OAUTHBEARER " + b64(bearer(EC.token(ANN))).encode() + b"\r\n")
        for _ in range(8):
            with site.relay.logged_in():
                pass
        assert waiting.reply().heading == "454 4.7.0"
        assert waiting.ask("NOOP").code == 250


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_key_sets_in_other_framings(place: Place, issuer: Issuer, framing: str) -> None:
    issuer.framing = framing
    assert make_site(place, issuer).log_in().code == 235


@pytest.mark.parametrize("fault", ["garbage", "html", "empty-set", "404", "redirect", "cut", "torn", "huge", "gzip",
                                   "untrusted"])
def test_what_is_no_key_set_is_not_used(place: Place, issuer: Issuer, fault: str) -> None:
    good = issuer.body
    if fault == "garbage":
        issuer.body = b"\0\1\2garbage"
    elif fault == "html":
        issuer.body = b"<html>sign in</html>"
    elif fault == "empty-set":
        issuer.body = b'{"keys":[]}'
    elif fault == "404":
        issuer.status = 404
    elif fault == "redirect":
        issuer.status, issuer.headers = 302, {"Location": issuer.url}
    elif fault == "cut":
        issuer.cut_at = len(good) - 10
    elif fault == "torn":
        issuer.framing = "torn"
    elif fault == "huge":
        issuer.body = good + b" " * (1 << 20)
    elif fault == "gzip":
        issuer.headers = {"Content-Encoding": "gzip"}
    elif fault == "untrusted":
        issuer.ca = place.certificate.certificate
    site = make_site(place, issuer)
    assert site.log_in().heading == "454 4.7.0"
    site.relay.wait_event("log", lambda e: e["level"] == "warning" and issuer.url in e["text"])
    checked = site.relay.cli_json_any("check")
    assert any(line["check"] == "oauth" and line["status"] == "fail" for line in checked)


def test_check_fetches_the_url_unless_offline(site: Site) -> None:
    site.fetched(1)
    before = len(site.issuer.requests)
    found = [line for line in site.relay.cli_json_any("check") if line["check"] == "oauth"]
    assert [line["status"] for line in found] == ["ok"] and len(site.issuer.requests) == before + 1
    offline = site.relay.cli_json_any("check", "--offline")
    assert not any(line["check"] == "oauth" for line in offline)
    assert len(site.issuer.requests) == before + 1


# --- keys by file, reload ---


def test_a_file_is_watched(place: Place) -> None:
    file = place.folder / "keys.json"
    file.write_text(key_set(EC))
    relay, _ = place.pair(merge(oauth("keys.json"), {"rules": {"login_guard": "off"}}))

    def by(key: Key) -> Reply:
        with relay.encrypted() as client:
            reply = offer(client, bearer(key.token(ANN)))
            return client.ask("AQ==") if reply.code == 334 else reply

    assert by(EC).code == 235
    file.write_text("{")
    relay.wait_event("log", lambda e: e["level"] == "error" and "keys.json" in e["text"], 40)
    assert by(EC).code == 235
    file.write_text(key_set(NEXT))
    wait_for("the new key", lambda: by(NEXT).code == 235, 100)
    assert by(EC).code == 535


def test_a_reload_takes_other_rules_and_refuses_a_bad_file(place: Place) -> None:
    file = place.folder / "keys.json"
    file.write_text(key_set(EC))
    relay, _ = place.pair(oauth("keys.json"))
    with relay.encrypted() as client:
        assert offer(client, bearer(EC.token(ANN))).code == 235
    relay.configure({"auth": {"oauth": {"audience": "mail"}}})
    relay.cli("reload")
    with relay.encrypted() as client:
        assert refused(client, bearer(EC.token(ANN))).code == 535
        assert offer(client, bearer(EC.token(ANN, aud=["mail", "x"]))).code == 235
    file.write_text("[]")
    done = relay.cli("reload", expect=None)
    assert done.returncode == 1 and "keys.json" in done.stderr
    relay.configure({"auth": {"oauth": {"jwks": "gone.json"}}})
    assert "gone.json" in relay.cli("reload", expect=None).stderr
    with relay.encrypted() as client:
        assert offer(client, bearer(EC.token(ANN, aud="mail"))).code == 235


def test_a_bad_file_keeps_the_relay_from_starting(place: Place) -> None:
    (place.folder / "keys.json").write_text('{"keys":[]}')
    relay = place.relay(merge(oauth("keys.json"), {"upstream": [{"address": "127.0.0.1:9", "tls": "none"}]}))
    relay.program.start()
    assert relay.program.wait() == 1
    assert "keys.json: no key that RS256 or ES256 can be checked with" in relay.program.errors()
    place.relays.remove(relay)


@pytest.mark.parametrize(("missing", "named"), [
    ({"issuer": None}, "auth.oauth.issuer"), ({"audience": None}, "auth.oauth.audience"),
    ({"jwks": None}, "auth.oauth.jwks"), ({"jwks": "http://a.example/jwks"}, "auth.oauth.jwks"),
])
def test_what_is_missing_is_named(place: Place, missing: Settings, named: str) -> None:
    settings = merge(oauth("keys.json"), {"auth": {"oauth": missing},
                                          "upstream": [{"address": "127.0.0.1:9", "tls": "none"}]})
    relay = place.relay(settings)
    done = relay.cli("check", "--offline", expect=1)
    assert named in done.stdout + done.stderr
    place.relays.remove(relay)


def test_by_password_all_is_as_before(unguarded: Relay) -> None:
    with unguarded.logged_in(ANN, PASSWORD):
        pass
