"""`postern account credential`: app passwords that log in, are limited and end by themselves."""

from __future__ import annotations

import time

import pytest

from postern import scram
from postern.place import Place
from postern.relay import ANN
from postern.smtp import a_message


def add(relay, name: str, *options: str) -> str:  # type: ignore[no-untyped-def]
    [password] = relay.cli("account", "credential", "add", ANN, name, *options).stdout.splitlines()
    return str(password)


def test_an_app_password_logs_in_and_is_listed_with_its_use(place: Place) -> None:
    relay, sink = place.pair()
    password = add(relay, "Phone")
    assert len(password) >= 16
    with relay.logged_in(password=password) as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    with relay.logged_in(f"{ANN}+phone", password):
        pass
    with relay.encrypted() as client:
        assert scram.login(client, f"{ANN}+phone", password).code == 235
    with relay.encrypted(timeout=60) as client:
        assert scram.login(client, ANN, password).code == 535
    with relay.logged_in():
        pass
    assert len(sink.wait_for_mails(1)) == 1
    used = {each["credential"]: each for each in relay.cli_json("account", "credential", "list", ANN)}
    assert set(used) == {None, "phone"}
    assert used["phone"]["login"] == f"{ANN}+phone" and used["phone"]["kind"] == "password"
    assert used["phone"]["last_used"] and used["phone"]["last_source"] == "127.0.0.1"
    assert password not in str(used) and password not in relay.program.output()


def test_a_revoked_one_ends_its_connections_and_no_others(place: Place) -> None:
    relay, _ = place.pair()
    password = add(relay, "phone")
    with relay.logged_in(password=password) as phone, relay.logged_in() as desk:
        relay.cli("account", "credential", "revoke", ANN, "phone")
        began = time.monotonic()
        assert phone.reply().heading == "421 4.7.0" and time.monotonic() - began < 6
        assert phone.closed()
        assert desk.ask("NOOP").code == 250
        assert desk.submit(ANN, ["bob@example.org"], a_message()).code == 250
    with relay.encrypted(timeout=60) as client:
        assert client.auth_plain(ANN, password).code == 535


def test_a_new_first_password_leaves_app_passwords_alone(place: Place) -> None:
    relay, _ = place.pair()
    password = add(relay, "phone")
    with relay.logged_in(password=password) as phone, relay.logged_in() as desk:
        relay.cli("account", "passwd", ANN, "--password-stdin", stdin="another one\n")
        assert desk.reply().heading == "421 4.7.0"
        assert phone.ask("NOOP").code == 250
    with relay.logged_in(password="another one"), relay.logged_in(password=password):
        pass


def test_a_credential_may_have_limits_of_its_own(place: Place) -> None:
    relay, _ = place.pair({"limits": {"transactional": {"messages": ["100/hour"]}, "shy": {"messages": ["1/hour"]}}})
    password = add(relay, "api", "--plan", "shy")
    with relay.logged_in(password=password) as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "451 4.7.1"
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250


def test_before_the_first_start_and_another_separator(place: Place) -> None:
    relay, _ = place.pair({"auth": {"credential_separator": "#"}})
    relay.stop()
    password = add(relay, "phone")
    relay.start()
    with relay.logged_in(f"{ANN}#phone", password):
        pass
    with relay.encrypted(timeout=60) as client:
        assert client.auth_plain(f"{ANN}+phone", password).code == 535
    [shown] = relay.cli_json("account", "show", ANN)
    assert f"{ANN}#phone" in {each["login"] for each in shown["credentials"]}


@pytest.mark.parametrize(("arguments", "code"), [
    (("add", "nobody@example.net", "phone"), 1),
    (("add", "no-address", "phone"), 2),
    (("add", ANN, "two words"), 1),
    (("add", ANN, "phone", "--plan", "none"), 1),
    (("add", ANN, "phone", "--kind", "wax"), 2),
    (("revoke", ANN, "phone"), 1),
    (("list", "nobody@example.net"), 1),
    (("frobnicate",), 2),
])
def test_what_is_refused(place: Place, arguments: tuple[str, ...], code: int) -> None:
    relay, _ = place.pair()
    done = relay.cli("account", "credential", *arguments, expect=None)
    assert done.returncode == code and done.stdout == "" and done.stderr.startswith("postern: "), done
