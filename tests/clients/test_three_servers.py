"""Three real mail servers as ways out: Postfix the primary, Exim the fallback, another Postfix the standby."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mail_servers import EximServer, Postfix
from postern.place import Place
from postern.relay import ANN, Relay
from postern.scratch import free_port, fresh_address, hand_over
from postern.settings import Settings
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for


COLD: Settings = {"warm_share": 0, "warm_per_day": 0}
# More than a day of this test has: its cap is what bounds it.
WARM: Settings = {"warm_per_day": 100_000}


@dataclass
class Servers:
    """Each hands on to a sink of its own, so that it shows which way a mail went."""

    relay: Relay
    sinks: dict[str, Sink]
    start: dict[str, Callable[[], object]]
    stop: dict[str, Callable[[], object]]

    def count(self, name: str) -> int:
        return len(self.sinks[name].mails())

    def send(self, subject: str) -> None:
        with self.relay.logged_in(timeout=60) as client:
            reply = client.submit(ANN, ["bob@example.org"], a_message(subject=subject))
            assert reply.code == 250, reply

    def send_by(self, name: str, subject: str) -> None:
        """It arrives behind this server, once, and behind no other."""
        self.send(subject)

        def arrived() -> list[str]:
            return [each for each, sink in self.sinks.items()
                    for mail in sink.mails() if mail.message["Subject"] == subject]

        wait_for(f"{subject} behind {name}", arrived, 40)
        assert arrived() == [name], subject


def postfix(place: Place, name: str, address: str, port: int, sink: Sink) -> Postfix:
    folder = place.folder / name
    folder.mkdir(mode=0o755)
    host, sink_port = sink.address
    settings = {"relayhost": f"[{host}]:{sink_port}", "smtpd_relay_restrictions": "permit_mynetworks, reject",
                "smtpd_recipient_restrictions": "permit_mynetworks, reject", "myhostname": f"{name}.example.net"}
    return Postfix(folder, settings, listener=f"{address}:{port} inet n - n - - smtpd")


def upstream_at(name: str, address: str, port: int, keys: Settings) -> Settings:
    return {"name": name, "role": name, "address": f"{address}:{port}", "tls": "none", **keys}


def servers(place: Place, standby: Settings) -> Servers:
    sinks = {name: place.sink(name).start() for name in ("primary", "fallback", "standby")}
    # The standby has an address of its own, as it would be elsewhere.
    where = {name: (address := fresh_address(), free_port(address)) for name in sinks}
    first = postfix(place, "primary", *where["primary"], sinks["primary"])
    third = postfix(place, "standby", *where["standby"], sinks["standby"])
    folder = place.folder / "fallback"
    folder.mkdir(mode=0o755)
    hand_over(folder)
    second = EximServer(folder, *where["fallback"], *sinks["fallback"].address)
    ways = [upstream_at(name, *where[name], standby if name == "standby" else {}) for name in where]
    relay = place.relay({"delivery": {"cut_through_deadline": "10s"}, "upstream": ways})
    relay.add_account()
    return Servers(relay, sinks, {"primary": first.start, "fallback": second.start, "standby": third.start},
                   {"primary": first.abort, "fallback": second.stop, "standby": third.abort})


@pytest.fixture
def three(place: Place) -> Iterator[Callable[..., Servers]]:
    made: list[Servers] = []

    def make(standby: Settings) -> Servers:
        made.append(servers(place, standby))
        for start in made[-1].start.values():
            start()
        made[-1].relay.start()
        return made[-1]

    yield make
    for each in made:
        for stop in each.stop.values():
            stop()


def test_mail_goes_to_the_next_one_that_stands(three: Callable[..., Servers]) -> None:
    site = three(COLD)
    site.send_by("primary", "all are up")
    site.stop["primary"]()
    site.send_by("fallback", "the primary is down")
    site.stop["fallback"]()
    site.send_by("standby", "primary and fallback are down")
    site.stop["standby"]()
    site.send("all are down")
    assert len(site.relay.queue()) == 1
    site.start["primary"]()

    def back() -> bool:
        site.relay.cli("queue", "retry", "--all", expect=None)
        return site.relay.queue() == []

    wait_for("the queue is empty once the primary is back", back, 90)
    wait_for("it has arrived", lambda: sum(map(site.count, site.sinks)) >= 4, 40)
    time.sleep(1)  # A second copy would have come by then.
    assert sum(map(site.count, site.sinks)) == 4


def test_the_standby_gets_a_little_while_all_are_up(three: Callable[..., Servers]) -> None:
    site = three(WARM)
    total = 100
    for number in range(total):
        site.send(f"n{number}")
    wait_for("all have arrived", lambda: sum(map(site.count, site.sinks)) >= total, 60)
    assert sum(map(site.count, site.sinks)) == total
    assert site.count("fallback") == 0
    assert 1 <= site.count("standby") <= total // 10
