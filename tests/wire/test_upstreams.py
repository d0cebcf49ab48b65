"""The ways out: a standby's warm mail, what operators set, routes, rates, source addresses, path replies."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from postern.place import Place
from postern.relay import ANN, Relay, upstream
from postern.settings import Settings, merge
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

QUICK: Settings = {"delivery": {"cut_through_deadline": "4s",
                                "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "30m"}}}
SPOOL: Settings = merge(QUICK, {"delivery": {"mode": "spool"}})
#: One mail in so many to a standby, whatever the hour.
HALF: Settings = {"role": "standby", "warm_share": 0.5, "warm_per_day": 0, "warm_cap": 0.5}
QUARTER: Settings = {"role": "standby", "warm_share": 0.25, "warm_per_day": 0, "warm_cap": 0.25}
COLD: Settings = {"role": "standby", "warm_share": 0, "warm_per_day": 0}


def start(place: Place, upstreams: list[Settings], settings: Settings = QUICK, *, owns: tuple[str, ...] = ()) -> Relay:
    relay = place.relay(merge(settings, {"upstream": upstreams}))
    relay.add_account(owns=owns)
    return relay.start()


def send(relay: Relay, count: int = 1, *, sender: str = ANN, account: str = ANN) -> list[str]:
    """The last replies to so many mails in one session; their subjects are n0, n1 and so on."""
    with relay.logged_in(account, timeout=60) as client:
        return [str(client.submit(sender, ["bob@example.org"], a_message(sender, subject=f"n{n}")))
                for n in range(count)]


def taken(replies: list[str]) -> bool:
    return all(reply.startswith("250 2.") and "queued" not in reply for reply in replies)


def row(relay: Relay, name: str) -> dict[str, Any]:
    [found] = [each for each in relay.cli_json("upstream", "list") if each["upstream"] == name]
    return found


def pair(place: Place, *faults: str) -> tuple[Sink, Sink]:
    return place.sink("primary").start(*faults), place.sink("other").start()


# --- a standby's share ---

def test_a_standby_gets_its_share_of_the_mail(place: Place) -> None:
    primary, standby = pair(place)
    relay = start(place, [upstream(primary), upstream(standby, **QUARTER)])
    assert taken(send(relay, 40))
    assert len(standby.mails()) == 10 and len(primary.mails()) == 30
    shown = row(relay, "standby")
    assert shown["role"] == "standby" and shown["messages_today"] == 10 and shown["share"] == 0.25
    assert shown["latency_s"] > 0 and shown["address"] == standby.where
    assert relay.metrics().total("postern_upstream_share", upstream="standby") == 0.25
    assert relay.metrics().total("postern_upstream_share", upstream="primary") == 0.75


def test_a_standby_warms_with_spooled_mail_too(place: Place) -> None:
    primary, standby = pair(place)
    relay = start(place, [upstream(primary, concurrency=1), upstream(standby, concurrency=1, **QUARTER)], SPOOL)
    send(relay, 20)
    wait_for("all of it at one or the other", lambda: len(primary.mails()) + len(standby.mails()) == 20, 30)
    assert 1 <= len(standby.mails()) <= 5


def test_without_warming_a_standby_gets_nothing(place: Place) -> None:
    primary, standby = pair(place)
    relay = start(place, [upstream(primary), upstream(standby, **COLD)])
    assert taken(send(relay, 20))
    assert standby.mails() == []


@pytest.mark.parametrize("fault", ["connect:drop", "ehlo:hang", "mail:451", "mail:hang", "rcpt:450", "data:421",
                                   "dot:451", "dot:554 5.7.1 client host [127.0.0.1] blocked using zen.example"])
def test_what_a_standby_does_not_take_the_primary_has_at_once(place: Place, fault: str) -> None:
    primary, standby = place.sink("primary").start(), place.sink("other").start(fault)
    relay = start(place, [upstream(primary), upstream(standby, **HALF)])
    assert taken(send(relay, 6))
    assert [mail.message["Subject"] for mail in primary.mails()] == [f"n{n}" for n in range(6)]
    assert standby.mails() == [] and relay.queue() == []


def test_what_a_standby_does_not_take_of_the_queue_the_primary_has(place: Place) -> None:
    primary, standby = place.sink("primary").start(), place.sink("other").start("rcpt:450")
    relay = start(place, [upstream(primary), upstream(standby, **HALF)], SPOOL)
    send(relay, 6)
    assert len(primary.wait_for_mails(6, 30)) == 6
    wait_for("an empty queue", lambda: relay.queue() == [])
    assert standby.mails() == []


def test_a_refusal_of_the_mail_itself_is_final_from_a_standby_too(place: Place) -> None:
    primary, standby = place.sink("primary").start(), place.sink("other").start("rcpt:550 5.1.1 no such user")
    relay = start(place, [upstream(primary), upstream(standby, **HALF)])
    first, second = send(relay, 2)
    assert first.startswith("250") and second.startswith("550 5.1.1")


def test_when_nobody_else_can_a_standby_takes_all(place: Place) -> None:
    primary, fallback, standby = place.sink("primary"), place.sink("fallback"), place.sink("other").start()
    relay = start(place, [upstream(primary), upstream(fallback, role="fallback"), upstream(standby, **COLD)])
    assert taken(send(relay, 8))
    assert len(standby.mails()) == 8
    assert row(relay, "standby")["role"] == "standby"


def test_a_standby_warms_only_with_mail_that_its_route_lets_go_there(place: Place) -> None:
    primary, standby = pair(place)
    relay = start(place, [upstream(primary), upstream(standby, **HALF)],
                  merge(QUICK, {"route": [{"sender_domains": ["example.net"], "upstreams": ["primary"]}]}),
                  owns=("other.example",))
    assert taken(send(relay, 10))
    assert standby.mails() == []
    assert taken(send(relay, 2, sender="ann@other.example"))
    assert {mail.sender for mail in standby.mails()} == {"ann@other.example"}


# --- roles and weights ---

def test_primaries_share_the_mail_by_weight_and_stand_in_for_each_other(place: Place) -> None:
    first, second = pair(place)
    relay = start(place, [upstream(first), upstream(second, weight=3)])
    assert taken(send(relay, 80))
    assert len(first.mails()) + len(second.mails()) == 80
    assert first.mails() and len(second.mails()) > len(first.mails())
    second.stop()
    assert taken(send(relay, 6))
    assert len(first.mails()) + len(second.mails()) == 86


# --- what operators set ---

def test_a_paused_upstream_gets_no_mail_until_it_is_resumed(place: Place) -> None:
    primary, fallback = pair(place)
    relay = start(place, [upstream(primary), upstream(fallback, role="fallback")])
    assert taken(send(relay, 1))
    relay.cli("upstream", "pause", "primary", "--reason", "moving house")
    shown = row(relay, "primary")
    assert shown["paused"] is True and shown["until"] is None
    told = relay.wait_event("admin", lambda each: each["what"] == "upstream_pause")
    assert told["subject"] == "primary" and told["reason"] == "moving house"
    wait_for("its connections have ended", lambda: row(relay, "primary")["connections"] == 0)
    assert taken(send(relay, 3))
    assert len(primary.mails()) == 1 and len(fallback.mails()) == 3
    relay.cli("upstream", "resume", "primary")
    assert row(relay, "primary")["paused"] is False
    assert taken(send(relay, 2))
    assert len(primary.mails()) == 3 and len(fallback.mails()) == 3


def test_queued_mail_waits_while_all_are_paused_and_goes_when_one_is_not(place: Place) -> None:
    primary, _ = pair(place)
    relay = start(place, [upstream(primary)])
    relay.cli("upstream", "pause", "primary")
    [reply] = send(relay, 1)
    assert "queued as" in reply
    [entry] = relay.queue()
    assert entry["attempts"] == 0 and "paused" in entry["last_reply"]
    relay.cli("upstream", "resume", "primary")
    primary.wait_for_mails(1, 30)


def test_a_pause_for_a_while_ends_by_itself(place: Place) -> None:
    primary, fallback = pair(place)
    relay = start(place, [upstream(primary), upstream(fallback, role="fallback")])
    relay.cli("upstream", "pause", "primary", "--for", "2s")
    wait_for("the pause ends", lambda: not row(relay, "primary")["paused"])
    assert row(relay, "primary")["until"] is None
    assert taken(send(relay, 1))
    assert len(primary.mails()) == 1


def test_a_promoted_standby_is_a_primary_until_it_is_demoted(place: Place) -> None:
    primary, standby = pair(place)
    relay = start(place, [upstream(primary), upstream(standby, **COLD)])
    relay.cli("upstream", "promote", "standby")
    relay.cli("upstream", "pause", "primary", "--for", "1h")
    shown = row(relay, "standby")
    assert shown["role"] == "primary" and shown["promoted"] is True and shown["until"] is None
    assert row(relay, "primary")["until"] is not None
    assert taken(send(relay, 3))
    relay.cli("upstream", "resume", "primary")
    relay.cli("upstream", "demote", "standby")
    assert row(relay, "standby")["role"] == "standby"
    assert taken(send(relay, 3))
    assert len(standby.mails()) == 3 and len(primary.mails()) == 3


def test_what_is_set_outlives_a_reload_and_ends_with_the_process(place: Place) -> None:
    primary, standby = pair(place)
    keys: Settings = {"upstream": [upstream(primary), upstream(standby, **COLD)]}
    relay = start(place, keys["upstream"])
    relay.cli("upstream", "pause", "primary")
    relay.cli("upstream", "promote", "standby", "--for", "1h")
    relay.configure({"upstream": [upstream(primary, concurrency=3, weight=2), upstream(standby, weight=5, **COLD)]})
    relay.cli("reload")
    assert row(relay, "primary")["paused"] is True and row(relay, "standby")["promoted"] is True
    relay.restart()
    assert row(relay, "primary")["paused"] is False and row(relay, "standby")["promoted"] is False


def test_what_cannot_be_set_is_refused_with_its_exit_code(place: Place) -> None:
    primary, _ = pair(place)
    relay = start(place, [upstream(primary)])
    assert "gone" in relay.cli("upstream", "pause", "gone", expect=1).stderr
    relay.cli("upstream", "resume", "primary", expect=1)
    relay.cli("upstream", "promote", "primary", expect=1)
    relay.cli("upstream", "demote", "primary", expect=1)
    relay.cli("upstream", "pause", "primary", "--for", "soon", expect=2)
    relay.cli("upstream", "resume", "primary", "--for", "2h", expect=2)
    relay.cli("upstream", "pause", expect=2)
    [done] = relay.cli_json("upstream", "pause", "primary")
    assert done == {"matched": 1, "changed": 1, "failed": 0}
    relay.stop()
    relay.cli("upstream", "list", expect=3)
    relay.cli("upstream", "pause", "primary", expect=3)


# --- routes ---

NEWS = "ann@news.example"


def routed(place: Place, route: Settings, settings: Settings = QUICK) -> tuple[Relay, Sink, Sink]:
    primary, news = place.sink("primary").start(), place.sink("news").start()
    relay = start(place, [upstream(primary), upstream(news, name="news", default=False)],
                  merge(settings, {"route": [merge(route, {"upstreams": ["news"]})]}), owns=("news.example",))
    return relay, primary, news


def test_mail_is_routed_by_the_domain_of_its_sender(place: Place) -> None:
    relay, primary, news = routed(place, {"sender_domains": ["NEWS.example"]})
    assert taken(send(relay, 3))
    assert taken(send(relay, 2, sender=NEWS))
    assert len(primary.mails()) == 3 and {mail.sender for mail in news.mails()} == {NEWS}
    assert len(news.mails()) == 2


def test_mail_is_routed_by_its_customer_and_never_goes_elsewhere(place: Place) -> None:
    relay, primary, news = routed(place, {"customers": ["shop"]})
    relay.cli("customer", "add", "shop")
    relay.cli("account", "set", ANN, "--customer", "shop")
    news.stop()
    [reply] = send(relay, 1)
    assert "queued as" in reply
    wait_for("an attempt, or a look", lambda: relay.queue()[0]["last_reply"])
    news.start()
    assert len(news.wait_for_mails(1, 90)) == 1
    assert primary.mails() == []


@pytest.mark.parametrize("by", ["sender_domains", "customers", "plans"])
def test_queued_mail_is_routed_as_it_was(place: Place, by: str) -> None:
    value = {"sender_domains": "news.example", "customers": "shop", "plans": "bulk"}[by]
    relay, primary, news = routed(place, {by: [value]},
                                  merge(SPOOL, {"limits": {"bulk": {"messages": [], "recipients": []}}}))
    relay.cli("customer", "add", "shop", "--plan", "bulk" if by == "plans" else "transactional")
    relay.cli("account", "set", ANN, "--customer", "shop")
    news.restart("rcpt:451")
    send(relay, 1, sender=NEWS)
    wait_for("an attempt", lambda: relay.queue()[0]["attempts"] > 0)
    relay.kill()
    relay.start()
    news.restart()
    assert len(news.wait_for_mails(1, 60)) == 1
    assert primary.mails() == []


def test_a_reload_brings_new_routes(place: Place) -> None:
    relay, primary, news = routed(place, {"sender_domains": ["news.example"]})
    relay.configure({"route": [{"sender_domains": ["example.net"], "upstreams": ["news"]}]})
    relay.cli("reload")
    assert taken(send(relay, 1)) and taken(send(relay, 1, sender=NEWS))
    assert [mail.sender for mail in news.mails()] == [ANN]
    assert [mail.sender for mail in primary.mails()] == [NEWS]


# --- rates, source addresses, replies ---

def test_beyond_a_rate_a_waiting_client_takes_the_next_way(place: Place) -> None:
    primary, fallback = pair(place)
    relay = start(place, [upstream(primary, rate=["2/hour"]), upstream(fallback, role="fallback")])
    assert taken(send(relay, 5))
    assert len(primary.mails()) == 2 and len(fallback.mails()) == 3


def test_beyond_a_rate_queued_mail_waits_and_spends_no_attempts(place: Place) -> None:
    primary, fallback = pair(place)
    keys = [upstream(primary, rate=["2/hour"]), upstream(fallback, role="fallback")]
    relay = start(place, keys, SPOOL)
    send(relay, 5)
    primary.wait_for_mails(2, 30)
    wait_for("nothing is under way", lambda: all(each["state"] != "active" for each in relay.queue()))
    assert [each["attempts"] for each in relay.queue()] == [0, 0, 0]
    assert len(primary.mails()) == 2 and fallback.mails() == []
    relay.configure({"upstream": [upstream(primary), upstream(fallback, role="fallback")]})
    relay.cli("reload")
    relay.cli("queue", "retry", "--all")
    primary.wait_for_mails(5, 30)
    assert fallback.mails() == []


def test_a_rate_lets_queued_mail_pass_as_it_refills(place: Place) -> None:
    primary, _ = pair(place)
    relay = start(place, [upstream(primary, rate=["2/2s"])], SPOOL)
    send(relay, 6)
    primary.wait_for_mails(6, 30)
    wait_for("an empty queue", lambda: relay.queue() == [])


def test_connections_come_from_the_address_that_is_configured(place: Place) -> None:
    peers: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        while True:
            try:
                peer, (host, _) = listener.accept()
            except OSError:
                return
            peers.append(host)
            with peer:
                peer.sendall(b"421 4.3.2 not now\r\n")

    threading.Thread(target=refuse, daemon=True).start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    relay = start(place, [{"address": address, "tls": "none", "source_address": "127.0.0.77"}])
    [reply] = send(relay, 1)
    assert "queued as" in reply
    assert set(peers) == {"127.0.0.77"}
    # accept() notices a shutdown, not a close.
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_reply_that_path_replies_names_sends_mail_the_next_way(place: Place) -> None:
    fault = "dot:554 5.7.1 Not from here, please"
    primary, fallback = pair(place, fault)
    relay = start(place, [upstream(primary, path_replies=["554 5.7.1 not FROM here"]),
                          upstream(fallback, role="fallback")])
    assert taken(send(relay, 2))
    assert len(fallback.mails()) == 2
    relay.wait_event("upstream", lambda each: each["upstream"] == "primary" and each["state"] == "open")
    told = relay.wait_event("delivery", lambda each: each.get("code") == 554)
    assert told["judges"] == "path"


def test_the_same_reply_judges_the_mail_where_it_is_not_named(place: Place) -> None:
    primary, fallback = pair(place, "dot:554 5.7.1 Not from here, please")
    relay = start(place, [upstream(primary), upstream(fallback, role="fallback")])
    [reply] = send(relay, 1)
    assert reply.startswith("554 5.7.1") and fallback.mails() == []


def test_a_connection_carries_as_many_messages_as_it_may(place: Place) -> None:
    primary, _ = pair(place)
    relay = start(place, [upstream(primary, messages_per_connection=2)])
    assert taken(send(relay, 5))
    sessions: dict[Any, int] = {}
    for mail in primary.mails():
        sessions[mail.facts["session"]] = sessions.get(mail.facts["session"], 0) + 1
    assert max(sessions.values()) == 2
