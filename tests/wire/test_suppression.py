"""Suppression lists: who does not exist is refused to whom that was said, and to nobody else."""

from __future__ import annotations

import re

import pytest

from postern.place import Place
from postern.relay import ANN, Relay, upstream
from postern.settings import Settings
from postern.sink import Sink
from postern.smtp import Reply, a_message
from postern.waiting import wait_for

BEA = "bea@other.example"
BEAS = "a password of hers"
GONE = "gone@example.org"
UNKNOWN = f"rcpt:550 5.1.1 no such user:{GONE}"
SPOOL: Settings = {"delivery": {"mode": "spool", "retry": {
    "first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0, "give_up": "1h", "warn_after": "30m"}}}


def ask(relay: Relay, recipient: str = GONE, account: str = ANN, password: str | None = None) -> Reply:
    """The answer to RCPT; the mail is not sent."""
    with relay.logged_in(account, password) if password else relay.logged_in(account) as client:
        return client.mail(account, recipient)[-1]


def send(relay: Relay, recipient: str = GONE, account: str = ANN, password: str | None = None) -> Reply:
    with relay.logged_in(account, password) if password else relay.logged_in(account) as client:
        return client.submit(account, [recipient], a_message(account))


def listed(relay: Relay, *arguments: str) -> list[str]:
    return [one["rcpt"] for one in relay.cli_json("suppression", "list", *arguments)]


def bounced(place: Place, settings: Settings | None = None) -> tuple[Relay, Sink]:
    """A relay whose upstream has just said to Ann that GONE does not exist."""
    relay, sink = place.pair(settings, UNKNOWN)
    assert send(relay).heading == "550 5.1.1"
    return relay, sink


def test_the_second_mail_to_who_does_not_exist_is_refused_at_once(place: Place) -> None:
    relay, sink = bounced(place)
    sink.stop()  # Nobody is asked.
    reply = ask(relay, "Gone@EXAMPLE.org")
    assert reply.heading == "550 5.1.1" and reply.ref
    assert re.search(r"Gone@EXAMPLE\.org bounced before: suppressed since \d{4}-\d\d-\d\d; ask \S+@\S+ \[", reply.text)
    attempt = relay.wait_event("attempt", lambda e: e.get("rule") == "suppression")
    assert attempt["rcpt"] == "Gone@EXAMPLE.org" and attempt["code"] == 550
    told = relay.wait_event("rcpt", lambda e: e.get("rule") == "suppression")
    assert told["outcome"] == "refused" and told["account"] == ANN
    assert relay.metrics().total("postern_verdicts_total", rule="suppression", mode="enforce", verdict="refuse") == 1
    assert ask(relay, "other@example.org").code == 250


def test_what_is_listed(place: Place) -> None:
    relay, _ = bounced(place)
    [row] = relay.cli_json("suppression", "list")
    assert set(row) == {"customer", "account", "rcpt", "since", "until", "enhanced", "ref"}
    assert row["customer"] is None and row["account"] == ANN and row["rcpt"] == GONE
    assert row["enhanced"] == "5.1.1" and row["since"] < row["until"]
    # The mail that bounced.
    [trace] = relay.cli_json("trace", row["ref"])
    assert trace["rcpts"][0]["rcpt"] == GONE
    table = relay.cli("suppression", "list", ANN).stdout
    assert GONE in table and "5.1.1" in table and ANN in table


def test_others_may_still_write(place: Place) -> None:
    relay, sink = bounced(place)
    relay.add_account(BEA, BEAS)
    assert ask(relay, account=BEA, password=BEAS).code == 250
    # Nor do the bounces of a customer touch an account without one, or the reverse.
    relay.cli("customer", "add", "shop")
    relay.cli("account", "set", BEA, "--customer", "shop")
    assert send(relay, account=BEA, password=BEAS).heading == "550 5.1.1"
    assert listed(relay, "shop") == [GONE] and listed(relay, ANN) == [GONE] and len(listed(relay)) == 2
    relay.cli("suppression", "remove", ANN, GONE)
    assert ask(relay).code == 250
    assert ask(relay, account=BEA, password=BEAS).heading == "550 5.1.1"


def test_a_list_is_all_accounts_of_a_customer(place: Place) -> None:
    relay, _ = place.pair({}, UNKNOWN)
    relay.add_account(BEA, BEAS)
    relay.cli("customer", "add", "shop")
    for account in (ANN, BEA):
        relay.cli("account", "set", account, "--customer", "shop")
    assert "no such user" in send(relay).text
    assert "suppressed since" in ask(relay, account=BEA, password=BEAS).text
    # An account means the list that holds for it.
    assert listed(relay, BEA) == [GONE]
    assert relay.cli("suppression", "remove", BEA, "--all", expect=None).returncode == 1
    relay.cli("suppression", "remove", BEA, GONE)
    assert ask(relay).code == 250 and listed(relay) == []


def test_removed_it_passes_and_may_bounce_again(place: Place) -> None:
    relay, sink = bounced(place)
    relay.cli("suppression", "remove", ANN, "GONE@example.org", "--reason", "moved house")
    admin = relay.wait_event("admin", lambda e: e.get("what") == "suppression_remove")
    assert admin["subject"] == ANN and admin["reason"] == "moved house"
    reply = send(relay)
    assert "no such user" in reply.text and "suppressed" not in reply.text
    assert "suppressed since" in ask(relay).text
    relay.cli("suppression", "remove", ANN, "--all")
    sink.restart()
    assert send(relay).code == 250
    assert relay.cli("suppression", "remove", ANN, GONE, expect=None).returncode == 1


def test_by_hand_it_holds_until_it_is_removed(place: Place) -> None:
    relay, sink = place.pair({"delivery": {"suppress_for": "0s"}})
    [added] = relay.cli_json("suppression", "add", ANN, GONE)
    assert added["changed"] == 1 and added["until"] is None and added["enhanced"] is None
    reply = ask(relay)
    assert reply.heading == "550 5.1.1" and "suppressed since" in reply.text and "bounced" not in reply.text
    relay.restart()
    assert "suppressed since" in ask(relay).text
    relay.cli("suppression", "remove", ANN, GONE)
    assert send(relay).code == 250 and len(sink.wait_for_mails(1)) == 1


def test_it_outlives_a_restart(place: Place) -> None:
    relay, _ = bounced(place)
    relay.restart()
    assert "suppressed since" in ask(relay).text
    assert listed(relay) == [GONE]


def test_a_stopped_relays_lists_are_in_its_files(place: Place) -> None:
    relay, _ = bounced(place)
    relay.stop()
    assert listed(relay) == [GONE]
    relay.cli("suppression", "add", ANN, "other@example.org")
    relay.cli("suppression", "remove", ANN, GONE)
    assert listed(relay, ANN) == ["other@example.org"]
    relay.start()
    assert ask(relay).code == 250
    assert "suppressed since" in ask(relay, "other@example.org").text


def test_observed_it_passes_and_is_told(place: Place) -> None:
    relay, sink = bounced(place, {"rules": {"suppression": "observe"}})
    sink.restart()
    assert send(relay).code == 250
    assert len(sink.wait_for_mails(1)) == 1

    def objected(message: dict[str, object]) -> bool:
        rules = message.get("rules")
        return isinstance(rules, list) and any(
            one["rule"] == "suppression" and one["mode"] == "observe" and one["verdict"] == "refuse" for one in rules)

    relay.wait_event("message", objected)
    # An account may be judged otherwise.
    relay.cli("account", "set", ANN, "--rule", "suppression=enforce")
    assert "suppressed since" in ask(relay).text
    relay.cli("account", "set", ANN, "--rule", "suppression=off")
    assert ask(relay).code == 250


def test_switched_off_everybody_is_asked_again(place: Place) -> None:
    relay, _ = bounced(place, {"delivery": {"suppress_for": "0s"}})
    assert listed(relay) == []
    assert "no such user" in send(relay).text
    # The next message sees it.
    relay.configure({"delivery": {"suppress_for": "30d"}})
    relay.cli("reload")
    assert "no such user" in send(relay).text
    assert "suppressed since" in ask(relay).text


@pytest.mark.parametrize("fault", [
    f"rcpt:550 5.7.1 you may not:{GONE}",
    f"rcpt:550 who is that:{GONE}",
    f"rcpt:552 5.2.2 mailbox full:{GONE}",
    "dot:550 5.1.1 we do not like what it says",
    "mail:550 5.1.1 nobody writes from there",
    f"rcpt:450 4.1.1 not now:{GONE}",
])
def test_what_is_no_word_on_the_recipient_suppresses_nobody(place: Place, fault: str) -> None:
    relay, _ = place.pair({}, fault)
    send(relay)
    assert ask(relay).code == 250
    assert listed(relay) == []


def test_a_word_on_the_path_suppresses_nobody(place: Place) -> None:
    sink = place.sink().start(f"rcpt:550 5.1.1 pool is broken:{GONE}")
    relay = place.relay({"upstream": [upstream(sink, path_replies=["550 5.1.1 pool is broken"])]})
    relay.add_account()
    relay.start()
    assert "queued as" in send(relay).text
    assert ask(relay).code == 250 and listed(relay) == []


def test_queued_mail_that_bounces_counts_and_its_notice_does_not(place: Place) -> None:
    relay, sink = place.pair(SPOOL, UNKNOWN, f"rcpt:550 5.1.1 no such user:{ANN}")
    assert "queued as" in send(relay).text
    wait_for("the list", lambda: listed(relay) == [GONE])
    wait_for("an empty queue", lambda: relay.queue() == [])
    assert "suppressed since" in ask(relay).text
    # The notification was refused in the same words.
    assert listed(relay) == [GONE]
    assert sink.mails() == []


def test_what_is_refused_costs_nothing_of_a_limit(place: Place) -> None:
    relay, _ = bounced(place, {"limits": {"transactional": {"recipients": ["3/hour"]}}})
    with relay.logged_in() as client:
        assert client.ask(f"MAIL FROM:<{ANN}>").code == 250
        for _ in range(5):
            assert client.ask(f"RCPT TO:<{GONE}>").heading == "550 5.1.1"
        assert client.ask("RCPT TO:<bob@example.org>").code == 250


def test_a_removed_accounts_list_goes_with_it(place: Place) -> None:
    relay, _ = bounced(place)
    relay.cli("account", "remove", ANN)
    assert listed(relay) == []
    relay.add_account()
    assert ask(relay).code == 250


@pytest.mark.parametrize(("arguments", "code"), [
    (("add", ANN), 2),
    (("add", ANN, "nobody"), 2),
    (("add", "none", GONE), 1),
    (("add", "no@example.net", GONE), 1),
    (("remove", ANN), 2),
    (("remove", ANN, GONE, "--all"), 2),
    (("remove", ANN, GONE), 1),
    (("list", "no@example.net"), 1),
    (("frobnicate",), 2),
])
def test_what_the_command_refuses(place: Place, arguments: tuple[str, ...], code: int) -> None:
    relay, _ = place.pair()
    done = relay.cli("suppression", *arguments, expect=None)
    assert done.returncode == code and done.stdout == "" and done.stderr.startswith("postern: "), done


def test_api_pages_by_owner_and_domain(place: Place) -> None:
    relay, _ = place.pair()
    for name in ("a@one.example", "b@one.example", "c@two.example"):
        relay.cli("suppression", "add", ANN, name)
    assert listed(relay, "--rcpt", "@one.example") == ["a@one.example", "b@one.example"]
    assert listed(relay, ANN, "c@two.example") == ["c@two.example"]
    assert listed(relay, "--limit", "2") == ["a@one.example", "b@one.example"]
    assert relay.get("/api/v1/suppression?limit=2").status == 200
    assert relay.get("/api/v1/suppression?owner=x").status == 400


def test_a_suppressed_recipient_leaves_the_others_of_its_mail(place: Place) -> None:
    relay, sink = bounced(place)
    with relay.logged_in() as client:
        replies = client.mail(ANN, GONE, "bob@example.org")
        assert [reply.code for reply in replies] == [250, 550, 250]
        assert client.data(a_message()).code == 250
    assert sink.wait_for_mails(1)[0].recipients == ["bob@example.org"]
