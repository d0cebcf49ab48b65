"""Three ways out, and what each of them may do wrong: the mail takes the next one in the same wait, once.

The rows of the lies are those of "What judges a message" in the contract: a path's fault is never an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from postern.certificates import Certificate, make_certificate
from postern.liar import Liar
from postern.place import Place
from postern.relay import ANN, Relay, upstream
from postern.settings import Settings, merge
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

QUICK: Settings = {"delivery": {"cut_through_deadline": "15s",
                                "retry": {"first": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0,
                                          "give_up": "1h", "warn_after": "30m"}}}
COLD: Settings = {"role": "standby", "warm_share": 0, "warm_per_day": 0}


def start(place: Place, first: Settings, fallback: Sink, standby: Sink, settings: Settings = QUICK) -> Relay:
    relay = place.relay(merge(settings, {"upstream": [
        first, upstream(fallback, role="fallback"), upstream(standby, **COLD)]}))
    relay.add_account()
    return relay.start()


def send(relay: Relay, count: int = 1, **message: Any) -> list[str]:
    with relay.logged_in(ANN, timeout=60) as client:
        return [str(client.submit(ANN, ["bob@example.org"], a_message(subject=f"n{n}", **message)))
                for n in range(count)]


def taken(replies: list[str]) -> bool:
    return all(reply.startswith("250 2.") and "queued" not in reply for reply in replies)


def with_tls(place: Place, sink: Sink, *, login: bool = False, name: str | None = None) -> Settings:
    """The keys of an upstream that must be who its certificate says; for another `name` it is not."""
    names: dict[str, Any] = {"names": (name,)} if name else {"addresses": (sink.address[0],)}
    made = make_certificate(place.folder, "upstream", **names)
    sink.use_tls(made, require_auth=login)
    keys: Settings = {"tls": "verify", "ca": str(made.certificate)}
    if login:
        secret = place.folder / "secret"
        secret.write_text("let me in\n")
        secret.chmod(0o644)
        keys |= {"username": "relay", "password_file": str(secret)}
    return keys


def row(relay: Relay, name: str) -> dict[str, Any]:
    [found] = [each for each in relay.cli_json("upstream", "list") if each["upstream"] == name]
    return found


# --- one dead, two dead, well again ---

def test_without_a_primary_the_fallback_takes_the_mail_in_the_same_wait(place: Place) -> None:
    primary, fallback, standby = place.sink("primary"), place.sink("fallback").start(), place.sink("standby").start()
    relay = start(place, upstream(primary), fallback, standby)
    assert taken(send(relay, 6))
    assert len(fallback.mails()) == 6 and standby.mails() == [] and relay.queue() == []


def test_without_both_the_standby_takes_it(place: Place) -> None:
    primary, fallback, standby = place.sink("primary"), place.sink("fallback"), place.sink("standby").start()
    relay = start(place, upstream(primary), fallback, standby)
    assert taken(send(relay, 6))
    assert len(standby.mails()) == 6 and relay.queue() == []


def test_without_any_it_is_queued_and_goes_once_one_is_back(place: Place) -> None:
    primary, fallback, standby = place.sink("primary"), place.sink("fallback"), place.sink("standby")
    relay = start(place, upstream(primary), fallback, standby)
    [reply] = send(relay)
    assert "queued as" in reply
    standby.start()
    assert [mail.message["Subject"] for mail in standby.wait_for_mails(1, 60)] == ["n0"]
    wait_for("an empty queue", lambda: relay.queue() == [], 60)


def connections(sink: Sink) -> int:
    """Established ones at its address and port, by the kernel's table."""
    host, port = sink.address
    wanted = "".join(f"{int(part):02X}" for part in reversed(host.split("."))) + f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(1 for each in rows if each[1] == wanted and each[3] == "01")


def test_a_primary_that_is_back_gets_its_mail_again_without_a_flood(place: Place) -> None:
    primary, fallback, standby = place.sink("primary"), place.sink("fallback").start(), place.sink("standby").start()
    relay = start(place, upstream(primary, concurrency=20), fallback, standby)
    assert taken(send(relay, 6))
    wait_for("an open breaker", lambda: row(relay, "primary")["breaker"] == "open")
    primary.start("dot:slow=1")
    wait_for("a good probe", lambda: row(relay, "primary")["breaker"] != "open", 90)
    before = len(fallback.mails())
    clients = [threading.Thread(target=send, args=(relay,)) for _ in range(16)]
    for each in clients:
        each.start()
    most = 0

    def first_mail() -> bool:
        nonlocal most
        most = max(most, connections(primary))
        return bool(primary.mails())

    wait_for("the first mail at the primary", first_mail, 60)
    for each in clients:
        each.join()
    # One connection after the probe, doubled each second: sixteen clients wait for them.
    assert 1 <= most <= 8
    assert len(primary.mails()) + len(fallback.mails()) - before == 16
    assert len(primary.mails()) >= 8


# --- what a path does wrong ---

@pytest.mark.parametrize("fault", ["connect:421", "connect:554", "connect:drop", "ehlo:550", "mail:421", "mail:451",
                                   "data:421", "mail:535", "mail:drop", "rcpt:drop", "data:drop"])
def test_a_fault_before_the_dot_is_the_paths_and_the_fallback_has_the_mail(place: Place, fault: str) -> None:
    primary = place.sink("primary").start(fault)
    fallback, standby = place.sink("fallback").start(), place.sink("standby").start()
    relay = start(place, upstream(primary), fallback, standby)
    assert taken(send(relay))
    assert [len(each.mails()) for each in (primary, fallback, standby)] == [0, 1, 0]


@pytest.mark.parametrize("fault", ["starttls:454", "starttls:554", "auth:454", "auth:535", "starttls:hang",
                                   "auth:hang", "connect:hang", "ehlo:hang"])
def test_a_login_that_does_not_come_about_is_the_paths_fault(place: Place, fault: str) -> None:
    primary = place.sink("primary")
    keys = with_tls(place, primary, login=True)
    primary.start(fault)
    fallback, standby = place.sink("fallback").start(), place.sink("standby").start()
    relay = start(place, upstream(primary, **keys), fallback, standby)
    assert taken(send(relay))
    assert [len(each.mails()) for each in (primary, fallback, standby)] == [0, 1, 0]


@pytest.mark.parametrize("fault", ["mail:hang", "rcpt:hang", "data:hang"])
def test_who_hangs_before_the_dot_costs_no_mail(place: Place, fault: str) -> None:
    primary = place.sink("primary").start(fault)
    fallback, standby = place.sink("fallback").start(), place.sink("standby").start()
    relay = start(place, upstream(primary), fallback, standby, merge(QUICK, {"delivery": {"cut_through_deadline": "4s"}}))
    [reply] = send(relay)
    assert reply.startswith("250 2.")
    primary.restart()
    wait_for("an empty queue", lambda: relay.queue() == [], 60)
    assert sum(len(each.mails()) for each in (primary, fallback, standby)) == 1


def test_a_certificate_of_another_name_gets_no_mail(place: Place) -> None:
    primary = place.sink("primary")
    keys = with_tls(place, primary, name="somebody.example")
    primary.start()
    fallback, standby = place.sink("fallback").start(), place.sink("standby").start()
    relay = start(place, upstream(primary, **keys), fallback, standby)
    assert taken(send(relay))
    assert [len(each.mails()) for each in (primary, fallback, standby)] == [0, 1, 0]


@contextmanager
def a_liar(lie: str, certificate: Certificate | None = None) -> Iterator[Liar]:
    liar = Liar(lie, certificate)
    try:
        yield liar
    finally:
        liar.close()


def against(place: Place, liar: Liar, **keys: Any) -> tuple[Relay, Sink, Sink]:
    fallback, standby = place.sink("fallback").start(), place.sink("standby").start()
    return start(place, {"name": "primary", "address": liar.where, **({"tls": "none"} | keys)}, fallback,
                 standby), fallback, standby


@pytest.mark.parametrize("lie", ["early-250", "two-replies", "endless-greeting", "endless-ehlo"])
def test_octets_that_nobody_asked_for_are_no_answer(place: Place, lie: str) -> None:
    with a_liar(lie) as liar:
        relay, fallback, standby = against(place, liar)
        assert taken(send(relay))
        assert len(fallback.mails()) == 1 and standby.mails() == []
        assert liar.mails == []
        relay.stop()


def test_an_answer_behind_the_answer_is_for_no_other_mail(place: Place) -> None:
    with a_liar("talks-before-quit") as liar:
        relay, fallback, _ = against(place, liar)
        assert all(reply.startswith("250 2.") for reply in send(relay, 3))
        # Each went with a dot of its own, here or there: none was answered by what stood there already.
        assert len(liar.mails) + len(fallback.mails()) + len(relay.queue()) >= 3
        relay.stop()


def test_an_answer_without_end_to_the_dot_is_a_lost_answer(place: Place) -> None:
    with a_liar("endless-dot") as liar:
        relay, fallback, standby = against(place, liar)
        [reply] = send(relay)
        assert "queued as" in reply
        assert [entry["state"] for entry in relay.queue()] in (["in_doubt"], ["active"])
        assert fallback.mails() == [] and standby.mails() == []
        relay.stop()


@pytest.mark.parametrize("lie", ["tls-garbage", "tls-cut", "tls-cut-later"])
def test_tls_that_breaks_is_the_paths_fault(place: Place, lie: str) -> None:
    made = make_certificate(place.folder, "liar", names=("localhost",), addresses=("127.0.0.1",))
    with a_liar(lie, made) as liar:
        own = make_certificate(place.folder, "liar-own", addresses=(liar.host,))
        liar._certificate = own  # noqa: SLF001 - its address is known only now
        relay, fallback, _ = against(place, liar, tls="verify", ca=str(own.certificate))
        assert taken(send(relay))
        assert len(fallback.mails()) == 1
        assert not any(command.startswith((b"MAIL", b"AUTH")) for command in liar.commands)
        relay.stop()


def test_only_what_is_offered_in_tls_counts(place: Place) -> None:
    made = make_certificate(place.folder, "liar", names=("localhost",))
    with a_liar("shrinks", made) as liar:
        own = make_certificate(place.folder, "liar-own", addresses=(liar.host,))
        liar._certificate = own  # noqa: SLF001
        relay, fallback, _ = against(place, liar, tls="verify", ca=str(own.certificate))
        assert taken(send(relay))
        assert len(liar.mails) == 1
        assert not any(b"SIZE=" in command or b"BODY=" in command for command in liar.commands)
        # What needs 8BITMIME goes where that is.
        with relay.logged_in(ANN, timeout=60) as client:
            assert client.ask(f"MAIL FROM:<{ANN}> BODY=8BITMIME").code == 250
            assert client.ask("RCPT TO:<bob@example.org>").code == 250
            assert client.data(a_message(body="caf\u00e9\r\n")).code == 250
        assert len(liar.mails) == 1 and len(fallback.mails()) == 1
        relay.stop()


def test_octets_that_are_no_text_are_cleaned_in_a_refusal(place: Place) -> None:
    with a_liar("binary-refusal") as liar:
        relay, fallback, standby = against(place, liar)
        [reply] = send(relay)
        assert reply.startswith("550 5.7.1 no")
        assert all(" " <= each <= "~" for each in reply), reply
        assert fallback.mails() == [] and standby.mails() == [] and relay.queue() == []
        relay.stop()


@pytest.mark.parametrize("lie", ["binary-accept", "answer-and-close"])
def test_a_yes_is_a_yes_however_it_looks(place: Place, lie: str) -> None:
    with a_liar(lie) as liar:
        relay, fallback, _ = against(place, liar)
        replies = send(relay, 3)
        assert taken(replies)
        assert all(" " <= each <= "~" for reply in replies for each in reply)
        assert len(liar.mails) == 3 and fallback.mails() == [] and relay.queue() == []
        relay.stop()
