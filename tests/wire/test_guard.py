"""The login guard: many sources, owners meanwhile, restarts, `postern login`, alerts.

All of 127.0.0.0/8 serves as sources. Nothing here is timed but that an answer is *not* there yet: those
that the guard holds back wait for twenty seconds.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay
from postern.smtp import Client, b64
from postern.waiting import wait_for

OFFICE = "127.9.9.9"
ELSEWHERE = "127.8.8.8"


def far(number: int) -> str:
    """The nth source, each in a network of its own."""
    return f"127.{100 + number // 200}.{number % 200}.7"


def begin(relay: Relay, source: str, account: str, secret: str) -> Client:
    """A login whose answer is not waited for; the relay has judged it."""
    client = relay.encrypted(source=source, timeout=60)
    before = len(judged(relay, source))
    client.send(f"AUTH PLAIN {b64(chr(0) + account + chr(0) + secret)}\r\n".encode())
    wait_for(f"the login from {source} is judged", lambda: len(judged(relay, source)) > before, 30)
    return client


def judged(relay: Relay, source: str) -> list[dict[str, object]]:
    return [line for line in relay.told("login") if line["source"] == source]


def silent(client: Client, seconds: float = 0.3) -> bool:
    """Whether nothing has come yet, not even an end."""
    before = client.sock.gettimeout()
    client.sock.settimeout(seconds)
    try:
        client.sock.recv(1)
        return False
    except TimeoutError:
        return True
    finally:
        client.sock.settimeout(before)


def penalties(relay: Relay) -> dict[str, dict[str, object]]:
    return {str(each["subject"]): each for each in relay.cli_json("login", "list")}


@contextmanager
def attack(relay: Relay, account: str, sources: int) -> Iterator[list[Client]]:
    """So many sources guess at one account once each; they stay."""
    clients = [begin(relay, far(n), account, f"guess {n}") for n in range(sources)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def test_many_sources_hear_three_answers_and_the_owner_notices_nothing(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in(source=OFFICE):
        pass
    with attack(relay, ANN, 12) as clients:
        assert [client.reply().heading for client in clients[:3]] == ["535 5.7.8"] * 3
        # The others are held back; meanwhile the owner comes and goes, from the office and from a new place.
        with relay.logged_in(source=OFFICE), relay.logged_in(source=ELSEWHERE):
            pass
        # Her own mistake is answered at once where she is known, and from a new place she may make one, too.
        with relay.encrypted(source=OFFICE, timeout=60) as client:
            assert client.auth_plain(ANN, "mistyped").heading == "535 5.7.8"
        mistake = begin(relay, "127.7.7.7", ANN, "mistyped")
        with relay.logged_in(source="127.7.7.7"):
            pass
        assert all(silent(client) for client in [mistake, *clients[3:]])
        mistake.close()
        # In the end they hear that it is not their turn, not whether they were right.
        assert {client.reply().heading for client in clients[3:]} == {"421 4.7.0"}


def test_a_source_in_penalty_is_kept_off_an_account_under_attack(place: Place) -> None:
    relay, _ = place.pair()
    relay.add_account("bob@example.net", "bob's own")
    source = "127.66.6.6"
    for n in range(2):
        begin(relay, source, f"victim{n}@example.net", "Winter2026").close()
    time.sleep(2.5)  # Until the answer would have gone that it did not wait for.
    with attack(relay, ANN, 4):
        with relay.encrypted(source=source, timeout=60) as client:
            # Even the right password: nothing is promised there, and the account's minute is over for strangers.
            assert client.auth_plain(ANN, PASSWORD).heading == "454 4.7.0"
        with relay.logged_in("bob@example.net", "bob's own", source=source, timeout=60):
            pass


def test_a_good_account_exempts_nobody_who_sprays_from_there(place: Place) -> None:
    relay, _ = place.pair()
    relay.add_account("mallory@example.net", "mallory's own")
    source = "127.66.6.6"

    def succeed() -> None:
        with relay.logged_in("mallory@example.net", "mallory's own", source=source):
            pass

    succeed()
    for n in range(3):
        begin(relay, source, f"victim{n}@example.net", "Winter2026").close()
        succeed()
    assert penalties(relay)[source]["delay_s"]
    assert penalties(relay)[source]["refused"] is False
    with relay.encrypted(source=source, timeout=60) as first, relay.encrypted(source=source, timeout=60) as second:
        for client in (first, second):
            client.send(f"AUTH PLAIN {b64(chr(0) + ANN + chr(0) + 'x')}\r\n".encode())
        assert silent(first) and silent(second)
        succeed()
        assert silent(first) and silent(second)


def test_a_penalty_survives_a_restart(place: Place) -> None:
    relay, _ = place.pair()
    source = "127.66.6.6"
    for n in range(3):
        begin(relay, source, f"victim{n}@example.net", "Winter2026").close()
    before = penalties(relay)[source]
    assert before["kind"] == "source" and before["failures"] and before["delay_s"] and before["until"]
    assert relay.metrics().total("postern_login_penalties", kind="source") == 1
    assert relay.metrics().total("postern_login_penalties", kind="pair") == 0
    assert "postern_login_delayed" in relay.metrics().names()
    relay.restart()
    after = penalties(relay)[source]
    assert 0 < float(str(after["failures"])) <= float(str(before["failures"]))
    assert (relay.state / "guard.snap").stat().st_mode & 0o777 == 0o600
    # What is kept is one AUTH at a time, too.
    first = begin(relay, source, ANN, "x")
    with relay.encrypted(source=source, timeout=60) as second:
        second.send(f"AUTH PLAIN {b64(chr(0) + ANN + chr(0) + PASSWORD)}\r\n".encode())
        assert silent(first) and silent(second)
    first.close()


@pytest.mark.parametrize("damage", [b"", b"no snapshot at all", b"PSTNGUAR" + b"\xff" * 200])
def test_a_damaged_snapshot_is_named_and_begun_anew(place: Place, damage: bytes) -> None:
    relay, _ = place.pair()
    relay.stop()
    (relay.state / "guard.snap").write_bytes(damage)
    relay.start()
    line = relay.wait_event("log", lambda each: each.get("area") == "guard")
    assert "guard.snap" in line["text"] and line["level"] == "warning"
    with relay.logged_in():
        pass
    relay.stop()
    assert (relay.state / "guard.snap").read_bytes() != damage


def test_list_forget_and_allow(place: Place) -> None:
    relay, _ = place.pair()
    assert relay.cli("login", "list").stdout == "" and penalties(relay) == {}
    with relay.logged_in(source=OFFICE):
        pass
    pair = f"{ANN} {OFFICE}"
    for n in range(4):
        begin(relay, OFFICE, ANN, f"mistyped {n}").close()
    shown = penalties(relay)[pair]
    assert shown["kind"] == "pair" and shown["allowed"] is False
    assert pair in relay.cli("login", "list").stdout
    relay.cli("login", "forget", ANN, OFFICE, "--reason", "she called")
    assert penalties(relay) == {}
    relay.cli("login", "forget", pair, expect=1)
    told = relay.wait_event("admin", lambda each: each["what"] == "login_forget")
    assert told["subject"] == pair and told["reason"] == "she called"

    source = "127.66.6.6"
    relay.cli("login", "allow", source)
    for n in range(6):
        with relay.encrypted(source=source, timeout=60) as client:
            assert client.auth_plain(f"victim{n}@example.net", "Winter2026").heading == "535 5.7.8"
    relay.restart()
    assert penalties(relay)[source]["allowed"] is True
    relay.cli("login", "forget", source)
    assert source not in penalties(relay)
    relay.cli("login", "allow", "a\tb", expect=1)


def test_login_commands_need_a_running_relay(place: Place) -> None:
    relay, _ = place.pair()
    relay.stop()
    for arguments in (("list",), ("forget", ANN), ("allow", "192.0.2.7")):
        assert relay.cli("login", *arguments, expect=3).stdout == ""


def test_attacks_are_told_once(place: Place) -> None:
    relay, _ = place.pair()
    with attack(relay, ANN, 9):
        pass
    source = "127.66.6.6"
    for n in range(4):
        begin(relay, source, f"victim{n}@example.net", "Winter2026").close()
    relay.wait_event("alert", lambda each: each["kind"] == "source_spraying")
    alerts = relay.cli_json("events", "--event", "alert")
    [attacked] = [each for each in alerts if each["kind"] == "account_attacked"]
    assert attacked["subject"] == ANN and attacked["state"] == "firing" and attacked["severity"] == "warning"
    assert attacked["failures"] >= 6 and attacked["sources"] >= 5
    [spraying] = [each for each in alerts if each["kind"] == "source_spraying"]
    assert spraying["subject"] == source and spraying["accounts"] >= 4


def test_a_login_of_long_ago_makes_nobody_known(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in(source=OFFICE):
        pass
    relay.stop()
    with sqlite3.connect(relay.state / "accounts.db") as database:
        database.execute("UPDATE known_source SET last_seen = last_seen - 40 * 86400000")
    database.close()
    relay.configure({"login_guard": {"known_for": "60d"}})
    relay.start()

    def mistype() -> Client:
        return begin(relay, OFFICE, ANN, "mistyped")

    with attack(relay, ANN, 4):
        with mistype() as known:
            assert known.reply().heading == "535 5.7.8"
        relay.configure({"login_guard": {"known_for": "30d"}})
        relay.cli("reload")
        with mistype() as forgotten:
            assert silent(forgotten)


def test_observed_it_is_told_and_holds_nobody_back(place: Place) -> None:
    relay, _ = place.pair({"rules": {"login_guard": "observe"}})
    for n in range(8):
        with relay.encrypted(source=far(n)) as client:
            assert client.auth_plain(ANN, f"guess {n}").heading == "535 5.7.8"
    assert relay.metrics().total("postern_verdicts_total", rule="login_guard", mode="observe") > 0
    relay.wait_event("alert", lambda each: each["kind"] == "account_attacked")
