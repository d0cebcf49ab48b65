"""How an upstream is found: MX, SRV, times to live, families, and name servers that fail or lie."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from postern.certificates import make_certificate
from postern.name_server import NXDOMAIN, SERVFAIL, NameServer, Zone, mx, wire_name
from postern.place import Place
from postern.relay import ANN, Relay
from postern.settings import Settings, merge
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

#: One thread: each has its own memory of names.
QUICK: Settings = {"server": {"threads": 1},
                   "delivery": {"cut_through_deadline": "8s",
                                "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "30m"}}}


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.stop()


def start(place: Place, names: NameServer, address: str, **keys: Any) -> Relay:
    relay = place.relay(merge(QUICK, {"dns": {"resolvers": [names.where]},
                                      "upstream": [merge({"address": address, "tls": "none"}, keys)]}))
    relay.add_account()
    return relay.start()


def send(relay: Relay, count: int = 1) -> list[str]:
    with relay.logged_in(timeout=60) as client:
        return [str(client.submit(ANN, ["bob@example.org"], a_message(subject=f"n{n}"))) for n in range(count)]


def taken(replies: list[str]) -> bool:
    return all(reply.startswith("250 2.") and "queued" not in reply for reply in replies)


def trouble(relay: Relay, words: str) -> str:
    """What the queue says of its one mail, once it says these words."""
    return wait_for(f"{words} in the queue",
                    lambda: next((each["last_reply"] for each in relay.queue() if words in (each["last_reply"] or "")),
                                 None), 30)


def two(place: Place) -> tuple[Sink, Sink]:
    """Sinks on one port, for one domain's exchangers."""
    first, second = place.sink("first"), place.sink("second")
    second.address = (second.address[0], first.address[1])
    return first, second


# --- MX ---

def test_the_preferred_exchanger_has_the_mail_and_the_next_one_when_it_is_away(place: Place, names: NameServer) -> None:
    first, second = two(place)
    first.start()
    second.start()
    names.mail("example.com", (20, "backup.example.com"), (10, "mx.example.com"))
    names.host("mx.example.com", first.address[0])
    names.host("backup.example.com", second.address[0])
    relay = start(place, names, f"mx:example.com:{first.address[1]}")
    assert taken(send(relay, 4))
    assert len(first.mails()) == 4 and second.mails() == []
    first.stop()
    assert taken(send(relay, 2))
    assert len(second.mails()) == 2 and relay.queue() == []
    [shown] = relay.cli_json("upstream", "list")
    assert shown["address"] == f"mx:example.com:{first.address[1]}"


def test_exchangers_of_one_preference_share_the_mail(place: Place, names: NameServer) -> None:
    first, second = two(place)
    first.start()
    second.start()
    names.mail("example.com", (10, "a.example.com"), (10, "b.example.com"))
    names.host("a.example.com", first.address[0])
    names.host("b.example.com", second.address[0])
    relay = start(place, names, f"mx:example.com:{first.address[1]}", messages_per_connection=1)
    assert taken(send(relay, 30))
    assert first.mails() and second.mails()
    assert len(first.mails()) + len(second.mails()) == 30


def test_an_exchanger_that_does_not_answer_leaves_time_for_the_next(place: Place, names: NameServer) -> None:
    _, second = two(place)
    second.start()
    # Its row is full, so that further connections get no answer.
    with socket.create_server((place.sink("deaf").address[0], second.address[1]), backlog=0) as deaf:
        waiting = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
            waiting.append(one)
        names.mail("example.com", (10, "mx.example.com"), (20, "backup.example.com"))
        names.host("mx.example.com", deaf.getsockname()[0])
        names.host("backup.example.com", second.address[0])
        relay = start(place, names, f"mx:example.com:{second.address[1]}")
        assert taken(send(relay))
        assert len(second.mails()) == 1
        for one in waiting:
            one.close()


def test_an_exchanger_that_refuses_at_its_greeting_is_followed_by_the_next(place: Place, names: NameServer) -> None:
    first, second = two(place)
    first.start("connect:554")
    second.start()
    names.mail("example.com", (10, "mx.example.com"), (20, "backup.example.com"))
    names.host("mx.example.com", first.address[0])
    names.host("backup.example.com", second.address[0])
    relay = start(place, names, f"mx:example.com:{first.address[1]}")
    assert taken(send(relay))
    assert len(second.mails()) == 1


def test_a_domain_without_exchangers_is_its_own(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.host("example.com", sink.address[0])
    relay = start(place, names, f"mx:example.com:{sink.address[1]}")
    assert taken(send(relay))
    assert len(sink.mails()) == 1


def test_a_null_mx_is_believed(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.host("example.com", sink.address[0])
    names.zones["example.com"].records["MX"] = [mx(0, ".")]
    relay = start(place, names, f"mx:example.com:{sink.address[1]}")
    [reply] = send(relay)
    assert "queued as" in reply
    assert f"mx:example.com:{sink.address[1]}: " in trouble(relay, "takes no mail")
    assert sink.mails() == [] and names.times_asked("example.com", "A") == 0


def test_check_shows_where_records_lead(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.mail("example.com", (10, "mx.example.com"))
    names.host("mx.example.com", sink.address[0])
    relay = start(place, names, f"mx:example.com:{sink.address[1]}")
    found = [each for each in relay.cli_json_any("check") if each["check"] in ("dns", "upstream")]
    assert {each["status"] for each in found if each["check"] == "dns"} == {"ok"}
    assert any(f"mx.example.com:{sink.address[1]}" in each["text"] for each in found)
    names.zones["example.com"] = Zone(rcode=NXDOMAIN)
    found = relay.cli_json_any("check")
    assert any(each["check"] == "dns" and each["status"] == "fail" and "mx:example.com" in each["text"]
               for each in found)


# --- SRV ---

def test_services_are_taken_by_priority_with_their_ports(place: Place, names: NameServer) -> None:
    first, second = place.sink("first").start(), place.sink("second").start()
    names.service("_submission._tcp.example.com", (20, 0, second.address[1], "b.example.com"),
                  (10, 0, first.address[1], "a.example.com"))
    names.host("a.example.com", first.address[0])
    names.host("b.example.com", second.address[0])
    relay = start(place, names, "srv:example.com")
    assert taken(send(relay, 2))
    assert len(first.mails()) == 2
    first.stop()
    assert taken(send(relay))
    assert len(second.mails()) == 1


@pytest.mark.parametrize("asked_for", [False, True])
def test_the_service_with_tls_is_taken_where_it_is_the_only_one_or_asked_for(place: Place, names: NameServer,
                                                                             asked_for: bool) -> None:
    made = make_certificate(place.folder, "upstream", names=("example.com",))
    sink, other = place.sink("sink"), place.sink("other").start()
    sink.use_tls(made, implicit=True)
    sink.start()
    names.service("_submissions._tcp.example.com", (0, 0, sink.address[1], "smtp.provider.example"))
    if asked_for:
        names.service("_submission._tcp.example.com", (0, 0, other.address[1], "smtp.provider.example"))
    else:
        names.service("_submission._tcp.example.com", (0, 0, 0, "."))
    names.host("smtp.provider.example", sink.address[0])
    keys: dict[str, Any] = {"implicit_tls": True} if asked_for else {}
    relay = start(place, names, "srv:example.com", tls="verify", ca=str(made.certificate), **keys)
    assert taken(send(relay))
    [mail] = sink.mails()
    assert mail.facts["tls"]


def test_a_domain_without_services_is_told(place: Place, names: NameServer) -> None:
    names.host("example.com", "127.0.0.1")
    relay = start(place, names, "srv:example.com")
    assert "queued as" in send(relay)[0]
    assert "name does not exist" in trouble(relay, "srv:example.com: ")


# --- whose certificate ---

@pytest.mark.parametrize(("host", "certified", "good"), [
    ("mx.example.com", "mx.example.com", True),
    ("mx.example.com", "example.com", True),
    ("mx.provider.example", "example.com", True),
    ("mx.provider.example", "mx.provider.example", False),
    ("mx.example.com", "mx2.example.com", False),
])
def test_a_name_that_dns_alone_vouches_for_proves_nothing(place: Place, names: NameServer, host: str, certified: str,
                                                          good: bool) -> None:
    made = make_certificate(place.folder, "upstream", names=(certified,))
    sink = place.sink()
    sink.use_tls(made)
    sink.start()
    names.mail("example.com", (10, host))
    names.host(host, sink.address[0])
    relay = start(place, names, f"mx:example.com:{sink.address[1]}", tls="verify", ca=str(made.certificate))
    [reply] = send(relay)
    assert taken([reply]) == good
    if not good:
        told = trouble(relay, host)
        assert f"{host} [{sink.address[0]}]:{sink.address[1]}" in told
        if certified == host:
            assert f'address = "{host}:{sink.address[1]}"' in told
        assert sink.mails() == []


# --- times to live ---

def test_a_new_address_is_found_when_the_old_one_is_over(place: Place, names: NameServer) -> None:
    first, second = two(place)
    first.start()
    second.start()
    names.host("smtp.example.com", first.address[0], ttl=1)
    relay = start(place, names, f"smtp.example.com:{first.address[1]}", messages_per_connection=1)
    assert taken(send(relay, 3))
    assert len(first.mails()) == 3
    names.host("smtp.example.com", second.address[0], ttl=1)

    def moved() -> bool:
        assert taken(send(relay))
        return bool(second.mails())

    wait_for("mail at the new address", moved, 30)


def test_an_answer_is_asked_for_once_while_it_holds(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.host("smtp.example.com", sink.address[0])
    relay = start(place, names, f"smtp.example.com:{sink.address[1]}", messages_per_connection=1)
    assert taken(send(relay, 10))
    assert names.times_asked("smtp.example.com", "A") == 1


@pytest.mark.parametrize("fault", ["servfail", "silence"])
def test_the_last_good_answer_serves_while_name_servers_fail(place: Place, names: NameServer, fault: str) -> None:
    sink = place.sink().start()
    names.mail("example.com", (10, "mx.example.com"), ttl=1)
    names.host("mx.example.com", sink.address[0], ttl=1)
    relay = start(place, names, f"mx:example.com:{sink.address[1]}", messages_per_connection=1)
    assert taken(send(relay, 4))
    for zone in ("example.com", "mx.example.com"):
        names.zones[zone] = Zone(rcode=SERVFAIL) if fault == "servfail" else Zone(silent=True)

    def stale() -> bool:
        assert taken(send(relay))
        return all(relay.metrics().total("postern_dns_lookups_total", kind=kind, result="stale") > 0
                   for kind in ("mx", "address"))

    wait_for("an answer past its time", stale, 40)
    assert relay.queue() == []


def test_mail_waits_for_name_servers_and_goes_when_they_answer(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.zones["smtp.example.com"] = Zone(rcode=SERVFAIL)
    relay = start(place, names, f"smtp.example.com:{sink.address[1]}")
    assert "queued as" in send(relay)[0]
    assert f"smtp.example.com:{sink.address[1]}" in trouble(relay, "no usable answer from name servers")
    names.host("smtp.example.com", sink.address[0])
    sink.wait_for_mails(1, 90)


# --- families ---

def test_a_dead_family_keeps_no_mail_waiting(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.host("smtp.example.com", "fd00::dead", "fd00::beef", sink.address[0])
    relay = start(place, names, f"smtp.example.com:{sink.address[1]}", messages_per_connection=1)
    assert taken(send(relay, 3))
    assert len(sink.mails()) == 3


def test_a_source_address_keeps_to_its_family(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.host("smtp.example.com", "::1", sink.address[0])
    names.host("six.example.com", "::1")
    relay = start(place, names, f"smtp.example.com:{sink.address[1]}", source_address="127.0.0.78")
    assert taken(send(relay))
    relay.configure({"upstream": [{"address": f"six.example.com:{sink.address[1]}", "tls": "none",
                                   "source_address": "127.0.0.78"}]})
    relay.cli("reload")
    assert "queued as" in send(relay)[0]
    assert "127.0.0.78" in trouble(relay, "has no address of the family")


def test_an_error_names_the_host_and_the_address_that_failed(place: Place, names: NameServer) -> None:
    sink = place.sink()
    names.host("smtp.example.com", sink.address[0])
    relay = start(place, names, f"smtp.example.com:{sink.address[1]}")
    assert "queued as" in send(relay)[0]
    told = trouble(relay, "smtp.example.com")
    assert f"smtp.example.com [{sink.address[0]}]:{sink.address[1]}: " in told


# --- lies ---

def test_a_huge_answer_is_cut_to_what_is_needed(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    many = [(10, "mx.example.com"), *((20 + n, f"mx{n}.example.com") for n in range(1200))]
    names.mail("example.com", *many)
    names.zones["mx.example.com"] = Zone({"A": [socket.inet_aton(f"127.250.{n // 250}.{1 + n % 250}")
                                                for n in range(1000)]})
    names.zones["mx.example.com"].records["A"].insert(0, socket.inet_aton(sink.address[0]))
    relay = start(place, names, f"mx:example.com:{sink.address[1]}")
    assert taken(send(relay))
    assert len(sink.mails()) == 1
    assert names.times_asked("mx9.example.com", "A") == 0


LIES: dict[str, list[bytes]] = {
    "root": [mx(10, "."), mx(20, ".")],
    "not ascii": [mx(10, b"m\xfcx.example.com")],
    "controls": [mx(10, b"a\r\nb.example.com")],
    "a literal": [mx(10, "127.0.0.1")],
    "cut": [b"\0\x0a\x3fshort"],
    "itself": [b"\0\x0a\xc0\x0c"],
    "loop": [b"\0\x0a\xff\xff"],
    "nothing": [b""],
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_about_exchangers_cost_no_mail_and_no_relay(place: Place, names: NameServer, lie: str) -> None:
    sink = place.sink().start()
    names.zones["example.com"] = Zone({"MX": LIES[lie]}, ttl=1)
    relay = start(place, names, f"mx:example.com:{sink.address[1]}")
    assert "queued as" in send(relay)[0]
    trouble(relay, "mx:example.com" if lie != "itself" else "example.com")
    assert sink.mails() == []
    names.mail("example.com", (10, "mx.example.com"))
    names.host("mx.example.com", sink.address[0])
    sink.wait_for_mails(1, 90)


@pytest.mark.parametrize("where", ["exchangers", "addresses"])
def test_aliases_that_go_round_end(place: Place, names: NameServer, where: str) -> None:
    sink = place.sink().start()
    round_name = "example.com" if where == "exchangers" else "mx.example.com"
    names.mail("example.com", (10, "mx.example.com"))
    names.zones[round_name] = Zone({"CNAME": [wire_name("round.example.com")]})
    names.zones["round.example.com"] = Zone({"CNAME": [wire_name(round_name)]})
    relay = start(place, names, f"mx:example.com:{sink.address[1]}")
    assert "queued as" in send(relay)[0]
    trouble(relay, "example.com")
    names.mail("example.com", (10, "mx.example.com"))
    names.host("mx.example.com", sink.address[0])
    sink.wait_for_mails(1, 90)


def test_an_alias_is_followed_to_its_exchangers(place: Place, names: NameServer) -> None:
    sink = place.sink().start()
    names.zones["example.com"] = Zone({"CNAME": [wire_name("example.org")]})
    names.mail("example.org", (10, "mx.example.org"))
    names.host("mx.example.org", sink.address[0])
    relay = start(place, names, f"mx:example.com:{sink.address[1]}")
    assert taken(send(relay))
