"""How the relay logs in to an upstream: SCRAM-SHA-256, a mechanism by name, tokens and where they come from."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postern.certificates import make_certificate
from postern.issuer import AUDIENCE, ISSUER, Key, key_set
from postern.login_upstream import SECRET, LoginUpstream
from postern.place import Place
from postern.program import Program
from postern.relay import ANN, Relay, upstream
from postern.scratch import hand_over
from postern.settings import Settings, merge
from postern.smtp import Reply, a_message
from postern.token_server import CLIENT_SECRET, REFRESH, TokenServer
from postern.waiting import wait_for

QUICK: Settings = {"delivery": {"cut_through_deadline": "4s",
                                "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "30m"}}}
THERE = "relay@example.net"
THERE_PASSWORD = "a login of its own"
KEY = Key("ec-1")


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    made = TokenServer()
    yield made
    made.stop()


@pytest.fixture
def ends() -> Iterator[list[LoginUpstream]]:
    made: list[LoginUpstream] = []
    yield made
    for each in made:
        each.stop()


def start(place: Place, table: Settings, env: dict[str, str] | None = None) -> Relay:
    relay = place.relay(merge(QUICK, {"upstream": [table]}), env=env)
    relay.add_account()
    return relay.start()


def send(relay: Relay) -> Reply:
    with relay.logged_in(timeout=40) as client:
        return client.submit(ANN, ["bob@example.org"], a_message())


def sent(reply: Reply) -> bool:
    return reply.code == 250 and "queued" not in reply.text


def oauth(tokens: TokenServer, **keys: Any) -> Settings:
    return {"oauth": {"token_url": tokens.url, "client_id": "relay", "client_secret": CLIENT_SECRET,
                      "refresh_token": REFRESH, "scope": "https://mail.example/ offline_access", **keys}}


def opened(relay: Relay) -> dict[str, Any]:
    return relay.wait_event("upstream", lambda each: each["state"] == "open", 20)


def kept(relay: Relay) -> Path:
    return relay.state / "keys" / "oauth-primary"


def said(relay: Relay) -> str:
    return relay.program.output() + relay.program.errors()


# --- one postern as the upstream of another ---

class Pair:
    """`inner` takes what `outer` sends, after a login by STARTTLS, and hands it to a sink."""

    def __init__(self, place: Place, keys: Settings, inner: Settings | None = None) -> None:
        self.sink = place.sink().start()
        base: Settings = {"server": {"hostname": "inner.example.net"}, "upstream": [upstream(self.sink)]}
        self.inner = place.relay(merge(base, inner or {}), name="inner")
        made = make_certificate(place.folder, "inner", names=("inner.example.net",), addresses=(self.inner.host,))
        self.inner.configure({"tls": {"certificate": str(made.certificate), "key": str(made.key)}})
        self.inner.add_account(THERE, THERE_PASSWORD, owns=("*",))
        self.inner.start()
        self.table = merge({"address": f"{self.inner.host}:{self.inner.submission[1]}", "tls": "verify",
                            "ca": str(made.certificate), "username": THERE}, keys)
        self.outer = start(place, self.table)

    def logins(self) -> list[str]:
        return [each["mechanism"] for each in self.inner.told("login") if each["ok"]]


@pytest.mark.parametrize(("named", "taken"), [(None, "SCRAM-SHA-256"), ("SCRAM-SHA-256", "SCRAM-SHA-256"),
                                              ("plain", "PLAIN"), ("LOGIN", "LOGIN")])
def test_a_login_by_password(place: Place, named: str | None, taken: str) -> None:
    pair = Pair(place, merge({"password": THERE_PASSWORD}, {"mechanism": named} if named else {}))
    assert sent(send(pair.outer))
    assert len(pair.sink.wait_for_mails(1)) == 1
    wait_for("the login is told", lambda: pair.logins() == [taken])


def test_without_scram_there_the_next_best_is_taken(place: Place) -> None:
    pair = Pair(place, {"password": THERE_PASSWORD}, {"auth": {"mechanisms": ["LOGIN", "PLAIN"]}})
    assert sent(send(pair.outer))
    wait_for("the login is told", lambda: pair.logins() == ["PLAIN"])


def test_a_mechanism_that_is_not_offered_is_the_paths_fault(place: Place) -> None:
    pair = Pair(place, {"password": THERE_PASSWORD, "mechanism": "SCRAM-SHA-256"}, {"auth": {"mechanisms": ["PLAIN"]}})
    assert "queued" in send(pair.outer).text
    told = opened(pair.outer)
    assert told["stage"] == "auth" and "offers AUTH PLAIN" in told["error"] and "SCRAM-SHA-256" in told["error"]
    assert pair.inner.told("login") == []
    found = [each for each in pair.outer.cli_json_any("check") if each["check"] == "upstream"]
    assert [each["status"] for each in found] == ["fail"] and "offers AUTH PLAIN" in found[0]["text"]
    assert "mechanism" in found[0]["fix"]


def test_a_wrong_password_opens_the_breaker_and_tries_nothing_weaker(place: Place) -> None:
    pair = Pair(place, {"password": "not this one"}, {"rules": {"login_guard": "off"}})
    assert "queued" in send(pair.outer).text
    assert "535" in opened(pair.outer)["error"]
    pair.inner.wait_event("login")
    tried = {each["mechanism"] for each in pair.inner.told("login")}
    assert tried == {"SCRAM-SHA-256"}
    assert pair.sink.mails() == []


@pytest.mark.parametrize("named", ["XOAUTH2", "OAUTHBEARER", None])
def test_a_login_by_token(place: Place, named: str | None) -> None:
    tokens = TokenServer(lambda _: KEY.token(THERE))
    try:
        file = place.folder / "keys.json"
        file.write_text(key_set(KEY))
        hand_over(file)
        inner: Settings = {"auth": {"mechanisms": ["SCRAM-SHA-256", "PLAIN", "OAUTHBEARER", "XOAUTH2"],
                                    "oauth": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(file)}}}
        pair = Pair(place, merge(oauth(tokens), {"mechanism": named} if named else {}), inner)
        assert sent(send(pair.outer))
        assert len(pair.sink.wait_for_mails(1)) == 1
        wait_for("the login is told", lambda: pair.logins() == [named or "XOAUTH2"])
        found = [each for each in pair.outer.cli_json("check") if each["check"] == "upstream"]
        assert found and all(each["status"] != "fail" for each in found)
        assert any(f"by {named or 'XOAUTH2'}" in each["text"] for each in found)
        [form] = tokens.forms[:1]
        assert form == {"grant_type": "refresh_token", "client_id": "relay", "client_secret": CLIENT_SECRET,
                        "refresh_token": REFRESH, "scope": "https://mail.example/ offline_access"}
        for secret in (REFRESH, CLIENT_SECRET, tokens.given[0]):
            assert secret not in said(pair.outer)
    finally:
        tokens.stop()


# --- servers that lie ---

def test_a_scram_server_that_proves_itself_gets_mail(place: Place, ends: list[LoginUpstream]) -> None:
    """With a name to be escaped, a password beyond ASCII and many rounds; derived once for many logins."""
    end = LoginUpstream("PLAIN", "SCRAM-SHA-256", rounds=100_000)
    ends.append(end)
    relay = start(place, end.table(password=SECRET, messages_per_connection=1))
    for _ in range(3):
        assert sent(send(relay))
    assert end.attempts == ["SCRAM-SHA-256 ok"] * 3 and len(end.mails) == 3


@pytest.mark.parametrize(("lie", "why"), [
    ("signature", "cannot prove"), ("proof", "without proving"), ("nonce", "another SCRAM exchange"),
    ("foreign_nonce", "another SCRAM exchange"), ("bomb", "rounds"), ("few", "rounds"), ("missing", "no SCRAM"),
    ("garbage", "no SCRAM")])
def test_a_scram_server_that_cannot_prove_itself_gets_no_mail(place: Place, ends: list[LoginUpstream], lie: str,
                                                              why: str) -> None:
    end = LoginUpstream("SCRAM-SHA-256", "PLAIN", lie=lie)
    ends.append(end)
    relay = start(place, end.table(password=SECRET))
    assert "queued" in send(relay).text
    told = opened(relay)
    assert told["stage"] == "auth" and why in told["error"]
    assert end.mails == [] and len(relay.queue()) == 1
    assert not [each for each in end.attempts if each.startswith("PLAIN")]


# --- tokens ---

def by_token(tokens: TokenServer, ends: list[LoginUpstream], *good: str) -> LoginUpstream:
    end = LoginUpstream("XOAUTH2", "PLAIN")
    end.tokens = set(good)
    ends.append(end)
    return end


def test_one_token_serves_all_connections(place: Place, tokens: TokenServer, ends: list[LoginUpstream]) -> None:
    end = by_token(tokens, ends, "access-1")
    relay = start(place, end.table(**oauth(tokens), messages_per_connection=1))
    for _ in range(4):
        assert sent(send(relay))
    assert end.shown == ["access-1"] * 4 and len(tokens.forms) == 1
    relay.configure({"upstream": [end.table(**oauth(tokens), messages_per_connection=2)]})
    relay.cli("reload")
    assert sent(send(relay))
    assert end.shown == ["access-1"] * 5 and len(tokens.forms) == 1, "a reload keeps the token"


def test_tokens_come_by_https_from_who_can_prove_itself(place: Place, ends: list[LoginUpstream]) -> None:
    tokens = TokenServer(folder=place.folder)
    try:
        end = by_token(tokens, ends, "access-1")
        relay = start(place, end.table(**oauth(tokens)))
        assert "queued" in send(relay).text
        assert "TLS" in opened(relay)["error"] and tokens.forms == []
        relay.stop()
        relay.program = Program(relay.name, relay.program.argv, place.folder, env=tokens.env)
        relay.start()
        wait_for("the queued mail has gone", lambda: len(end.mails) == 1, 30)
        assert len(tokens.forms) == 1 and tokens.url.startswith("https://")
    finally:
        tokens.stop()


def test_a_token_is_renewed_before_it_ends(place: Place, tokens: TokenServer, ends: list[LoginUpstream]) -> None:
    tokens.life = 7
    end = by_token(tokens, ends, *(f"access-{n}" for n in range(1, 100)))
    relay = start(place, end.table(**oauth(tokens), messages_per_connection=1))
    wait_for("a second token", lambda: len(tokens.given) >= 2, 20)
    assert sent(send(relay))
    assert end.shown[-1] != "access-1"


def test_a_token_that_was_revoked_early_is_fetched_anew(place: Place, tokens: TokenServer,
                                                        ends: list[LoginUpstream]) -> None:
    end = by_token(tokens, ends, "access-1")
    relay = start(place, end.table(**oauth(tokens), messages_per_connection=1))
    assert sent(send(relay))
    end.tokens = {"access-2"}
    assert "queued" in send(relay).text
    assert "535" in opened(relay)["error"]
    wait_for("the queued mail has gone", lambda: len(end.mails) == 2, 40)
    assert end.shown == ["access-1", "access-1", *["access-2"] * (len(end.shown) - 2)]
    assert end.after_json == [""], "an empty line answers the JSON"
    assert len(tokens.forms) == 2


def test_a_token_that_never_was_good_is_not_fetched_again_and_again(place: Place, tokens: TokenServer,
                                                                    ends: list[LoginUpstream]) -> None:
    end = by_token(tokens, ends)
    relay = start(place, end.table(**oauth(tokens)))
    assert "queued" in send(relay).text
    assert "535" in opened(relay)["error"]
    wait_for("a probe has tried it again", lambda: len(end.shown) >= 2, 30)
    assert set(end.shown) == {"access-1"} and len(tokens.forms) == 1


def test_a_refused_grant_opens_the_breaker_with_the_servers_words(place: Place, tokens: TokenServer,
                                                                  ends: list[LoginUpstream]) -> None:
    tokens.good = set()
    end = by_token(tokens, ends, "access-1")
    relay = start(place, end.table(**oauth(tokens)))
    assert "queued" in send(relay).text
    told = opened(relay)
    assert told["stage"] == "auth" and "invalid_grant: Token has been expired or revoked." in told["error"]
    raised = relay.wait_event("alert", lambda each: each["kind"] == "upstream_down")
    assert raised["subject"] == "primary" and "invalid_grant" in raised["error"]
    assert end.shown == [] and end.mails == [] and REFRESH not in said(relay)
    found = [each for each in relay.cli_json_any("check") if each["check"] == "upstream"]
    assert [each["status"] for each in found] == ["fail"] and "invalid_grant" in found[0]["text"]


def test_a_server_that_repeats_a_secret_does_not_bring_it_into_the_log(place: Place, tokens: TokenServer,
                                                                       ends: list[LoginUpstream]) -> None:
    tokens.status, tokens.refusal = 401, {"error": "invalid_client", "error_description": f"{REFRESH} {CLIENT_SECRET}"}
    end = by_token(tokens, ends, "access-1")
    relay = start(place, end.table(**oauth(tokens)))
    assert "queued" in send(relay).text
    opened(relay)
    assert REFRESH not in said(relay) and CLIENT_SECRET not in said(relay)


def test_a_token_server_in_trouble_is_asked_again(place: Place, tokens: TokenServer, ends: list[LoginUpstream]) -> None:
    tokens.status = 503
    end = by_token(tokens, ends, "access-1")
    relay = start(place, end.table(**oauth(tokens)))
    assert "queued" in send(relay).text
    assert "503" in opened(relay)["error"]
    tokens.status = 200
    wait_for("the queued mail has gone", lambda: len(end.mails) == 1, 60)
    assert end.shown and set(end.shown) == {"access-1"}


def test_a_slow_token_server_is_waited_for_and_the_mail_queued(place: Place, tokens: TokenServer,
                                                               ends: list[LoginUpstream]) -> None:
    tokens.delay = 6.0
    end = by_token(tokens, ends, "access-1")
    relay = start(place, end.table(**oauth(tokens)))
    reply = send(relay)
    assert reply.code == 250
    wait_for("the mail has gone", lambda: len(end.mails) == 1, 60)
    assert len(tokens.forms) == 1


def test_a_rotated_refresh_token_is_used_and_outlives_a_restart(place: Place, tokens: TokenServer,
                                                                ends: list[LoginUpstream]) -> None:
    tokens.rotates = True
    end = by_token(tokens, ends, *(f"access-{n}" for n in range(1, 100)))
    relay = start(place, end.table(**oauth(tokens)))
    assert sent(send(relay))
    wait_for("the new one is kept", kept(relay).exists)
    assert stat.S_IMODE(kept(relay).stat().st_mode) == 0o600
    relay.restart()
    assert sent(send(relay))
    assert [form["refresh_token"] for form in tokens.forms] == [REFRESH, "1//refresh-1"]
    # Whoever checks is given one as well, and the relay learns of it.
    found = [each for each in relay.cli_json("check") if each["check"] == "upstream"]
    assert found and all(each["status"] != "fail" for each in found)
    relay.restart()
    assert sent(send(relay))
    assert [form["refresh_token"] for form in tokens.forms][2:] == ["1//refresh-2", "1//refresh-3"]
    for secret in ("1//refresh-1", "1//refresh-2", "access-1"):
        assert secret not in said(relay)


def test_a_new_refresh_token_in_the_configuration_beats_the_kept_one(place: Place, tokens: TokenServer,
                                                                     ends: list[LoginUpstream]) -> None:
    tokens.rotates = True
    end = by_token(tokens, ends, *(f"access-{n}" for n in range(1, 100)))
    relay = start(place, end.table(**oauth(tokens)))
    wait_for("the new one is kept", kept(relay).exists)
    tokens.rotates = False
    tokens.good = {"1//by-hand"}
    relay.configure({"upstream": [end.table(**oauth(tokens, refresh_token="1//by-hand"))]})
    relay.cli("reload")
    wait_for("it is asked with", lambda: tokens.forms[-1]["refresh_token"] == "1//by-hand")
    assert sent(send(relay))
    assert [form["refresh_token"] for form in tokens.forms] == [REFRESH, "1//by-hand"]


def test_the_configured_one_is_tried_where_the_kept_one_is_refused(place: Place, tokens: TokenServer,
                                                                   ends: list[LoginUpstream]) -> None:
    tokens.rotates = True
    end = by_token(tokens, ends, *(f"access-{n}" for n in range(1, 100)))
    relay = start(place, end.table(**oauth(tokens)))
    wait_for("the new one is kept", kept(relay).exists)
    relay.stop()
    tokens.rotates = False
    tokens.good = {REFRESH}
    relay.start()
    assert sent(send(relay))
    assert [form["refresh_token"] for form in tokens.forms] == [REFRESH, "1//refresh-1", REFRESH]
