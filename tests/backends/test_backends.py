"""Password back-ends against their real servers: right, wrong, slow, away, and what a name must not do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from postern import scram
from postern.place import Place, make_place
from postern.relay import Relay, upstream
from postern.settings import Settings, merge
from postern.smtp import Client, Reply, b64
from postern.waiting import wait_for
from servers import ANN, ANNS, BOB, BOBS, Server

UNAVAILABLE = "454 4.7.0"
Row = Callable[[str, object], None]


def settings(server: Server, **options: object) -> Settings:
    return {"auth": {"backend": server.backend, "failure_floor": "20ms",
                     "options": merge(server.options, {"timeout": "4s", **options})},
            "rules": {"login_guard": "off"}}


def a_relay(place: Place, server: Server, over: Settings | None = None, **options: object) -> Relay:
    sink = place.sink().start()
    relay = place.relay(merge(merge({"upstream": [upstream(sink)]}, settings(server, **options)), over or {}))
    return relay.start()


@pytest.fixture(scope="module")
def served(server: Server, binary, certificate) -> Iterator[Relay]:  # type: ignore[no-untyped-def]
    """One relay for all tests of a back-end that leave both as they were."""
    place = make_place(binary, certificate)
    yield a_relay(place, server)
    place.end()


def login(relay: Relay, user: str, password: str) -> Reply:
    with relay.encrypted() as client:
        return client.auth_plain(user, password)


def plain(user: str, password: str) -> bytes:
    return b"AUTH PLAIN " + b64("\0" + user + "\0" + password).encode() + b"\r\n"


def login_by_login(client: Client, user: str, password: str) -> Reply:
    assert client.ask("AUTH LOGIN").code == 334
    reply = client.ask(b64(user))
    return client.ask(b64(password)) if reply.code == 334 else reply


def answered(relay: Relay, server: Server, result: str) -> float:
    return relay.metrics().total("postern_auth_backend_total", backend=server.backend, result=result)


def alerts(relay: Relay, state: str) -> list[dict[str, object]]:
    return [one for one in relay.events("alert") if one["kind"] == "backend_down" and one["state"] == state]


# --- right and wrong ---

def test_only_what_the_back_end_serves_is_offered(served: Relay, server: Server) -> None:
    with served.encrypted() as client:
        assert client.ehlo()["AUTH"].split() == server.mechanisms


@pytest.mark.parametrize(("user", "password", "expected"), [
    (ANN, ANNS, "235 2.7.0"),
    ("ann", ANNS, "235 2.7.0"),  # Without a domain: that of our own host name.
    ("ANN@Example.NET", ANNS, "235 2.7.0"),
    (BOB, BOBS, "235 2.7.0"),
    (ANN, "wrong", "535 5.7.8"),
    (ANN, ANNS + " ", "535 5.7.8"),
    (ANN, BOBS, "535 5.7.8"),
    ("nobody@example.net", ANNS, "535 5.7.8"),
    ("nobody", ANNS, "535 5.7.8"),
    ("bob", BOBS, "535 5.7.8"),  # He is somebody in another domain only,
    ("ann@other.example", ANNS, "535 5.7.8"),  # and she in ours.
    ("ann@example.net+phone", ANNS, "535 5.7.8"),  # The store's credentials are not asked.
])
def test_right_and_wrong(served: Relay, server: Server, record_property: Row, user: str, password: str,
                         expected: str) -> None:
    replies = [login(served, user, password)]
    with served.encrypted() as client:
        replies.append(login_by_login(client, user, password))
    assert [reply.heading for reply in replies] == [expected, expected]
    if expected.startswith("535"):
        assert replies[0].text == login(served, "somebody.else@example.net", "wrong").text
    if (user, password) in ((ANN, ANNS), (ANN, "wrong")):
        record_property("row", (server.name, "right" if password == ANNS else "wrong", replies[0].heading))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_scram_where_the_back_end_gives_the_password_out(served: Relay, server: Server, mechanism: str) -> None:
    if mechanism not in server.mechanisms:
        with served.encrypted() as client:
            assert scram.login(client, ANN, ANNS, mechanism=mechanism).heading == "504 5.5.4"
        return
    for user, password, expected in [(ANN, ANNS, "235 2.7.0"), (ANN, "wrong", "535 5.7.8"),
                                     ("nobody@example.net", ANNS, "535 5.7.8"), (BOB, BOBS, "235 2.7.0")]:
        with served.encrypted() as client:
            assert scram.login(client, user, password, mechanism=mechanism).heading == expected, user


def test_an_account_is_made_at_the_first_right_login(place: Place, server: Server) -> None:
    relay = a_relay(place, server)
    assert relay.cli_json("account", "list") == []
    assert login(relay, ANN, "wrong").code == 535
    assert relay.cli_json("account", "list") == []
    with relay.logged_in(ANN, ANNS) as client:
        assert client.ask(f"MAIL FROM:<{ANN}>").code == 250
        assert client.ask("RSET").code == 250
        assert client.ask("MAIL FROM:<other@example.net>").heading == "550 5.7.1"
    [account] = relay.cli_json("account", "list")
    assert (account["account"], account["owns"], account["state"]) == (ANN, [ANN], "active")
    assert (answered(relay, server, "ok"), answered(relay, server, "failed")) == (1, 1)


def test_a_suspended_account_hears_so_once_its_password_was_right(place: Place, server: Server) -> None:
    relay = a_relay(place, server)
    with relay.logged_in(ANN, ANNS) as client:
        relay.cli("account", "suspend", ANN, "--text", "call us")
        client.sock.settimeout(20)
        assert client.reply().heading == "421 4.7.0"
    assert login(relay, ANN, ANNS).heading == "525 5.7.13"
    assert login(relay, ANN, "wrong").heading == "535 5.7.8"
    relay.cli("account", "release", ANN)
    assert login(relay, ANN, ANNS).code == 235


def test_a_right_password_is_remembered_until_the_account_changes(place: Place, server: Server) -> None:
    relay = a_relay(place, server)
    assert login(relay, ANN, ANNS).code == 235
    try:
        server.set_password(ANN, "changed")
        assert login(relay, ANN, ANNS).code == 235
        assert answered(relay, server, "ok") == 1
        relay.cli("account", "set", ANN, "--rule", "limits=observe")
        assert login(relay, ANN, ANNS).code == 535
        assert login(relay, ANN, "changed").code == 235
    finally:
        server.set_password(ANN, ANNS)


def test_a_failure_takes_the_floor_at_least(place: Place, server: Server) -> None:
    relay = a_relay(place, server, {"auth": {"failure_floor": "1s"}})
    for user in (ANN, "nobody@example.net", "no(body@example.net"):
        with relay.encrypted() as client:
            began = time.monotonic()
            assert client.auth_plain(user, "wrong").code == 535
            assert time.monotonic() - began >= 1


# --- slow and away ---

def test_slow(place: Place, server: Server, record_property: Row) -> None:
    relay = a_relay(place, server, timeout="1s", connections=4)
    assert login(relay, ANN, ANNS).code == 235
    with relay.logged_in(ANN, ANNS) as other:
        server.freeze()
        try:
            heard = login(relay, BOB, BOBS)
            record_property("row", (server.name, "slow", heard.heading))
            assert heard.heading == UNAVAILABLE
            assert other.ask("NOOP").code == 250
            assert login(relay, ANN, ANNS).code == 235  # remembered
            assert login(relay, BOB, "wrong").heading == UNAVAILABLE
            relay.wait_event("alert", lambda one: one["kind"] == "backend_down")
            assert len(alerts(relay, "firing")) == 1
            assert alerts(relay, "firing")[0]["subject"] == server.backend
        finally:
            server.thaw()
    wait_for("it is asked again", lambda: login(relay, BOB, BOBS).code == 235, 20)
    wait_for("the alert is taken back", lambda: login(relay, BOB, BOBS).code == 235 and alerts(relay, "resolved"), 30)
    assert answered(relay, server, "timeout") + answered(relay, server, "error") >= 2


def test_away(place: Place, server: Server, record_property: Row) -> None:
    relay = a_relay(place, server)
    assert login(relay, ANN, ANNS).code == 235
    server.away()
    try:
        heard = login(relay, BOB, BOBS)
        record_property("row", (server.name, "away", heard.heading))
        assert heard.heading == UNAVAILABLE
        assert login(relay, BOB, "wrong").heading == UNAVAILABLE
        assert login(relay, ANN, ANNS).code == 235  # remembered
        relay.wait_event("alert", lambda one: one["kind"] == "backend_down")
        assert len(alerts(relay, "firing")) == 1
        assert answered(relay, server, "error") >= 1
        assert relay.get("/readyz").status == 200
    finally:
        server.start()
    # The first one back makes the account; nobody was held guilty of a failure meanwhile.
    wait_for("it is asked again", lambda: login(relay, BOB, BOBS).code == 235, 30)
    wait_for("the alert is taken back", lambda: alerts(relay, "resolved"), 30)
    logins = [one for one in relay.events("login") if one["account"] == BOB and not one["ok"]]
    assert logins and all(one["error"] for one in logins)


def test_all_its_threads_hang(place: Place, server: Server) -> None:
    """Then logins hear so at once, or in time; nobody else waits, and all is well again afterwards."""
    relay = a_relay(place, server, timeout="1s", connections=2)
    assert login(relay, ANN, ANNS).code == 235
    server.freeze()
    try:
        clients = [relay.encrypted() for _ in range(6)]
        for number, client in enumerate(clients):
            client.send(plain(BOB, f"wrong {number}"))
        assert {client.reply().heading for client in clients} == {UNAVAILABLE}
        for client in clients:
            assert client.ask("NOOP").code == 250
            client.close()
        for _ in range(3):
            assert login(relay, BOB, BOBS).heading == UNAVAILABLE
            assert login(relay, ANN, ANNS).code == 235
    finally:
        server.thaw()
    wait_for("it is asked again", lambda: login(relay, BOB, BOBS).code == 235, 30)
    told = sum(answered(relay, server, result) for result in ("timeout", "error", "overload"))
    assert told >= 9


def test_the_relay_ends_while_a_question_hangs(place: Place, server: Server) -> None:
    relay = a_relay(place, server, {"server": {"drain": "1s"}}, timeout="60s")
    server.freeze()
    try:
        with relay.encrypted() as client:
            client.send(plain(BOB, BOBS))
            with relay.encrypted() as other:
                assert other.ask("NOOP").code == 250
            relay.stop()
    finally:
        server.thaw()


def test_a_wrong_login_of_ours_is_not_held_against_anybody(place: Place, server: Server) -> None:
    wrong = {"ldapdb": {"ldapdb_pw": "wrong"}, "sql": {"sql_passwd": "wrong"}}.get(server.backend)
    if wrong is None:
        pytest.skip("the relay has no login there")
    relay = a_relay(place, server, **wrong)
    for user, password in ((ANN, ANNS), (ANN, "wrong"), ("nobody@example.net", "wrong")):
        assert login(relay, user, password).heading == UNAVAILABLE
    assert answered(relay, server, "failed") == 0


def test_a_query_that_fails_is_not_held_against_anybody(place: Place, server: Server) -> None:
    if server.backend != "sql":
        pytest.skip("it has no query")
    relay = a_relay(place, server, sql_select="SELECT password FROM nothing WHERE name = '%u@%r'")
    assert login(relay, ANN, ANNS).heading == UNAVAILABLE
    assert login(relay, "nobody@example.net", "wrong").heading == UNAVAILABLE


def test_a_query_without_a_domain_serves_our_own_alone(place: Place, server: Server) -> None:
    if server.backend != "sql":
        pytest.skip("it has no query")
    relay = a_relay(place, server, sql_select="SELECT password FROM users WHERE name = '%u'")
    assert login(relay, ANN, ANNS).code == 235
    assert login(relay, "ann@other.example", ANNS).code == 535
    assert [one["account"] for one in relay.cli_json("account", "list")] == [ANN]


# --- names ---

HARMFUL = [
    "' OR '1'='1",
    "' OR '1'='1@example.net",
    "ann'--@example.net",
    "ann'; DROP TABLE users; --@example.net",
    "\"ann' OR 1=1 --\"@example.net",
    "ann\\'@example.net",
    "ann%27@example.net",
    "%u@example.net",
    "*",
    "*@example.net",
    "a*@example.net",
    "ann)(uid=*@example.net",
    "\"ann)(mail=*\"@example.net",
    "*)(objectClass=*@example.net",
    "ann%2a@example.net",
    "ann,ou=people@example.net",
    "ann\\2a@example.net",
    "ann?sub?(mail=*)@example.net",
    "ann#@example.net",
    "ann/../bob@example.net",
    "-ann@example.net",
    "ann@example.net'",
    "ann@example.net@other.example",
    "ann@",
    "@example.net",
    "ann..x@example.net",
    "ann @example.net",
    " ann@example.net",
    "ann\u00a0@example.net",
    "änn@example.net",
    "ann\u200b\u0301@example.net",
    "dn:cn=admin,dc=example,dc=net",
    "u:ann@example.net",
    "a" * 65 + "@example.net",
    "ann@" + "a." * 120 + "example.net",
]


def test_a_name_does_no_harm(place: Place, server: Server) -> None:
    """Whatever stands in it: 535 as for anybody unknown, no account, and the store is what it was."""
    relay = a_relay(place, server)
    for name in HARMFUL:
        heard = [login(relay, name, password) for password in (ANNS, BOBS, "x' OR '1'='1")]
        assert {reply.heading for reply in heard} == {"535 5.7.8"}, (name, [str(reply) for reply in heard])
    assert relay.cli_json("account", "list") == []
    # None of them was asked of the back-end.
    assert sum(answered(relay, server, result) for result in ("ok", "failed", "error", "timeout")) == 0
    assert login(relay, ANN, ANNS).code == 235


@pytest.mark.parametrize("password", ["'", "' OR '1'='1", "*", "\\", "%u", "x" * 1024, "ü\u20ac", "a b"])
def test_a_password_does_no_harm(served: Relay, password: str) -> None:
    assert login(served, ANN, password).heading == "535 5.7.8"


# --- commands ---

def test_check_asks_the_back_end(place: Place, server: Server) -> None:
    relay = a_relay(place, server, timeout="1s")

    def backend() -> list[dict[str, str]]:
        done = relay.cli("check", "--json", expect=None)
        return [one for one in map(json.loads, done.stdout.splitlines()) if one["check"] == "backend"]

    assert [one["status"] for one in backend()] == ["ok"]
    server.away()
    try:
        [found] = backend()
        assert found["status"] == "fail" and found["fix"], found
    finally:
        server.start()
    offline = relay.cli("check", "--offline", "--json", expect=None).stdout
    assert '"check":"backend"' not in offline.replace(" ", "")


def test_a_password_of_the_store_is_not_asked_for_and_the_command_says_so(place: Place, server: Server) -> None:
    relay = a_relay(place, server)
    said = relay.cli("account", "add", "carl@example.net", "--password-stdin", stdin="of the store\n")
    assert "never asked for" in said.stderr and server.backend in said.stderr
    assert "never asked for" in relay.cli("account", "passwd", "carl@example.net").stderr
    assert "never asked for" not in relay.cli("account", "add", "dora@example.net", "--no-password").stderr
    assert login(relay, "carl@example.net", "of the store").code == 535
