"""One customer's mail beside another's very many: by connections, by rate, from the queue and with a client that waits."""

from __future__ import annotations

import threading

from postern.place import Place
from postern.relay import ANN, Relay, upstream
from postern.settings import Settings, merge
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

BOB = "bob@other.example"
SPOOL: Settings = {"delivery": {"mode": "spool"}}
#: Nobody is queued because he waited.
PATIENT: Settings = {"delivery": {"cut_through_deadline": "2m"}}


def start(place: Place, sink: Sink, settings: Settings, **keys: object) -> Relay:
    relay = place.relay(merge(settings, {"upstream": [upstream(sink, **keys)]}))
    relay.add_account(ANN)
    relay.add_account(BOB)
    return relay.start()


def send(relay: Relay, account: str, count: int = 1) -> list[str]:
    with relay.logged_in(account, timeout=90) as client:
        return [str(client.submit(account, ["carol@example.org"], a_message(account))) for _ in range(count)]


def place_of(sink: Sink, sender: str, seconds: float = 60) -> int:
    """How many had arrived when the first of that sender had, itself included."""
    def arrived() -> int | None:
        senders = [mail.sender for mail in sink.mails()]
        return senders.index(sender) + 1 if sender in senders else None

    return wait_for(f"a mail of {sender}", arrived, seconds)


def test_one_queued_mail_does_not_wait_for_the_rest_of_anothers(place: Place) -> None:
    sink = place.sink().start()
    relay = start(place, sink, SPOOL, concurrency=2, rate=["2/s"])
    send(relay, ANN, 60)
    send(relay, BOB)
    # In the row of all it would have been the last of 61.
    assert place_of(sink, BOB) <= 45
    assert len(relay.queue()) >= 10


def test_nor_does_a_clients_where_the_rate_is_spent(place: Place) -> None:
    sink = place.sink().start()
    relay = start(place, sink, SPOOL, concurrency=2, rate=["2/s"])
    send(relay, ANN, 60)
    relay.configure({"delivery": {"mode": "cut-through"}})
    relay.cli("reload")
    [reply] = send(relay, BOB)
    assert reply.startswith("250 2.")
    assert place_of(sink, BOB) <= 45
    assert len(relay.queue()) >= 10


def test_a_client_gets_a_connection_before_those_who_have_their_half(place: Place) -> None:
    sink = place.sink().start("dot:slow=1")
    relay = start(place, sink, PATIENT, concurrency=4)
    many = [threading.Thread(target=send, args=(relay, ANN)) for _ in range(24)]
    with relay.logged_in(BOB, timeout=90) as client:
        for one in many:
            one.start()
        wait_for("four connections in use", lambda: relay.metrics().total("postern_upstream_connections") == 4)
        before = len(sink.mails())
        reply = str(client.submit(BOB, ["carol@example.org"], a_message(BOB)))
    assert reply.startswith("250 2.") and "queued" not in reply
    # Four are in hand, and four may come with it; in the row of all it would have been the last.
    assert place_of(sink, BOB) - before <= 12
    for one in many:
        one.join()
    assert len(sink.mails()) == 25


def test_who_is_alone_may_have_all_connections(place: Place) -> None:
    sink = place.sink().start("dot:slow=2")
    relay = start(place, sink, PATIENT, concurrency=4)
    many = [threading.Thread(target=send, args=(relay, ANN)) for _ in range(8)]
    for one in many:
        one.start()
    wait_for("four connections in use", lambda: relay.metrics().total("postern_upstream_connections") == 4)
    for one in many:
        one.join()
    assert len(sink.mails()) == 8
