"""`postern customer`: what a customer is given, its accounts have."""

from __future__ import annotations

import pytest

from postern.place import Place
from postern.relay import ANN
from postern.smtp import a_message
from postern.waiting import wait_for


def test_a_customer_is_made_shown_changed_and_removed(place: Place) -> None:
    relay, _ = place.pair()
    relay.cli("customer", "add", "shop", "--domain", "Shop.example", "--domain", "shop.test", "--plan", "transactional",
              "--contact", "owner@shop.example", "--abuse-contact", "abuse@shop.example", "--rule", "limits=observe")
    [shown] = relay.cli_json("customer", "show", "shop")
    assert shown["customer"] == "shop" and shown["domains"] == ["shop.example", "shop.test"]
    assert shown["plan"] == "transactional" and shown["contact"] == "owner@shop.example"
    assert shown["abuse_contact"] == "abuse@shop.example" and shown["rules"] == {"limits": "observe"}
    relay.cli("customer", "set", "shop", "--domain", "shop.test", "--contact", "")
    [shown] = relay.cli_json("customer", "list")
    assert shown["domains"] == ["shop.test"] and shown["contact"] is None
    relay.cli("account", "set", ANN, "--customer", "shop")
    assert relay.cli("customer", "remove", "shop", expect=None).returncode == 1
    relay.cli("account", "set", ANN, "--customer", "")
    relay.cli("customer", "remove", "shop")
    assert relay.cli_json("customer", "list") == []


def test_plan_and_rules_of_a_customer_hold_for_open_connections(place: Place) -> None:
    relay, _ = place.pair({"limits": {"transactional": {"messages": ["100/hour"]}, "shy": {"messages": ["1/hour"]}}})
    relay.cli("customer", "add", "shop")
    relay.cli("account", "set", ANN, "--customer", "shop")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
        relay.cli("customer", "set", "shop", "--plan", "shy")
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250  # A window that begins.
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "451 4.7.1"
        relay.cli("customer", "set", "shop", "--rule", "limits=off")
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
        relay.cli("account", "set", ANN, "--rule", "limits=enforce")
        assert client.ask(f"MAIL FROM:<{ANN}>").heading == "451 4.7.1"


@pytest.mark.parametrize(("arguments", "code"), [
    (("add", "two words"), 1),
    (("add", "shop", "--contact", "nobody"), 2),
    (("add", "shop", "--domain", "no domain"), 1),
    (("add", "shop", "--plan", "none"), 1),
    (("add", "shop", "--rule", "limits"), 2),
    (("add", "shop", "--rule", "limits=on"), 1),
    (("show", "shop"), 1),
    (("set", "shop", "--plan", ""), 1),
    (("set", "shop"), 2),
    (("remove", "shop"), 1),
    (("frobnicate",), 2),
])
def test_what_is_refused(place: Place, arguments: tuple[str, ...], code: int) -> None:
    relay, _ = place.pair()
    done = relay.cli("customer", *arguments, expect=None)
    assert done.returncode == code and done.stdout == "" and done.stderr.startswith("postern: "), done


def test_a_plan_that_is_gone_is_told(place: Place) -> None:
    relay, _ = place.pair({"limits": {"shy": {"messages": ["1/hour"]}}})
    relay.cli("customer", "add", "shop", "--plan", "shy")
    relay.stop()
    config = relay.config.read_text()
    relay.config.write_text(config.replace("shy = {", "bold = {"))
    relay.start()
    wait_for("the warning", lambda: "plan shy" in relay.program.output(), 10)


def test_lists_are_emptied_by_an_empty_text(place: Place) -> None:
    relay, _ = place.pair()
    relay.add_account("bob@example.net", "another one")
    relay.cli("account", "set", ANN, "--owns", "shop.example", "--authzid", "bob@example.net")
    relay.cli("account", "set", ANN, "--owns", "", "--authzid", "")
    [shown] = relay.cli_json("account", "show", ANN)
    assert shown["owns"] == [ANN] and shown["authzids"] == []
