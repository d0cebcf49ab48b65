"""`postern account`: before the first start, while the relay runs, and what it refuses."""

from __future__ import annotations

import sqlite3

import pytest

from postern.place import Place
from postern.relay import ANN, PASSWORD, upstream
from postern.smtp import a_message
from postern.waiting import wait_for


def test_before_the_first_start_and_while_it_runs(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in():
        pass
    relay.add_account("bob@example.net", "another one")
    with relay.logged_in("bob@example.net", "another one"):
        pass
    assert [a["account"] for a in relay.cli_json("account", "list")] == [ANN, "bob@example.net"]
    [shown] = relay.cli_json("account", "show", ANN)
    assert shown["state"] == "active" and shown["plan"] and ANN in shown["owns"] + [shown["account"]]
    assert PASSWORD not in str(shown)
    relay.cli("account", "remove", "bob@example.net")
    with relay.encrypted(timeout=60) as client:
        assert client.auth_plain("bob@example.net", "another one").code == 535


def test_a_generated_password_is_the_only_line(place: Place) -> None:
    relay, _ = place.pair()
    done = relay.cli("account", "add", "zoe@example.net")
    [password] = done.stdout.splitlines()
    assert len(password) >= 16 and " " not in password
    with relay.logged_in("zoe@example.net", password):
        pass
    [again] = relay.cli("account", "passwd", "zoe@example.net").stdout.splitlines()
    assert again != password


@pytest.mark.parametrize(("arguments", "code"), [
    (("account", "add", "no-address", "--password-stdin"), 2),
    (("account", "add", ANN, "--password-stdin"), 1),
    (("account", "show", "nobody@example.net"), 1),
    (("account", "remove", "nobody@example.net"), 1),
    (("account", "frobnicate"), 2),
    (("frobnicate",), 2),
])
def test_what_is_refused(place: Place, arguments: tuple[str, ...], code: int) -> None:
    relay, _ = place.pair()
    done = relay.cli(*arguments, stdin="secret\n", expect=None)
    assert done.returncode == code, done.stderr
    assert done.stdout == "" and done.stderr.startswith("postern: ")


def test_an_empty_password_is_refused(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink())]})
    assert relay.cli("account", "add", ANN, "--password-stdin", stdin="\n", expect=None).returncode in (1, 2)


def test_owned_addresses_and_domains(place: Place) -> None:
    relay, _ = place.pair()
    relay.add_account("shop@example.com", "pw", owns=("orders@example.com", "shop.example"))
    relay.add_account("mta@example.com", "pw", owns=("*",))
    with relay.logged_in("shop@example.com", "pw") as client:
        for sender, code in (("shop@example.com", 250), ("orders@example.com", 250), ("any@SHOP.example", 250),
                             ("x@sub.shop.example", 550), ("other@example.com", 550)):
            assert client.ask(f"MAIL FROM:<{sender}>").code == code, sender
            client.ask("RSET")
    with relay.logged_in("mta@example.com", "pw") as client:
        reply = client.submit("x@anything.example", ["bob@example.org"], a_message("y@else.example"))
        assert reply.code == 250


def test_changes_reach_open_connections(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        relay.cli("account", "passwd", ANN, "--password-stdin", stdin="changed\n")
        assert client.reply().heading == "421 4.7.0"
    relay.add_account("tmp@example.net", "pw")
    with relay.logged_in("tmp@example.net", "pw") as client:
        relay.cli("account", "remove", "tmp@example.net")
        assert client.reply().heading == "421 4.7.0"


def test_no_clear_password_is_stored(place: Place) -> None:
    relay, _ = place.pair()
    relay.stop()
    for path in relay.state.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_locked_store_is_a_temporary_failure(place: Place) -> None:
    relay, _ = place.pair()
    holder = sqlite3.connect(relay.state / "accounts.db", isolation_level=None, timeout=5)
    holder.execute("BEGIN IMMEDIATE")
    try:
        done = relay.cli("account", "add", "new@example.net", "--password-stdin", stdin="x\n", expect=None)
        assert done.returncode in (0, 1, 4)
        with relay.encrypted(timeout=60) as client:
            assert client.auth_plain(ANN, PASSWORD).heading in ("454 4.7.0", "235 2.7.0")
    finally:
        holder.rollback()
        holder.close()

    def works() -> bool:
        with relay.encrypted(timeout=60) as client:
            return client.auth_plain(ANN, PASSWORD).code == 235

    wait_for("logins work again", works, 20)


def test_a_damaged_store_is_named(place: Place) -> None:
    relay, _ = place.pair()
    relay.stop()
    for extra in ("accounts.db-wal", "accounts.db-shm"):
        (relay.state / extra).unlink(missing_ok=True)
    path = relay.state / "accounts.db"
    path.write_bytes(b"no database at all" * 1000)
    done = relay.cli("serve", expect=None)
    assert done.returncode in (1, 4)
    assert "accounts.db" in done.stderr
