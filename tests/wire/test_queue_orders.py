"""What an operator does to the queue: hold, release, reroute, export, drop, by selectors."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay, upstream
from postern.scratch import hand_over
from postern.settings import merge
from postern.sink import Sink
from postern.smtp import a_message
from postern.waiting import wait_for

SLOW_RETRY = {"delivery": {"mode": "spool", "retry": {"first": "1h", "factor": 1.0, "max": "1h", "jitter": 0.0,
                                                     "give_up": "4d", "warn_after": "4h"}}}
BOB = "bob@example.com"


def submit(relay: Relay, count: int, account: str = ANN) -> None:
    with relay.logged_in(account) as client:
        for n in range(count):
            reply = client.submit(account, [f"r{n}@example.org"], a_message(account, subject=f"n{n}"))
            assert reply.code == 250, reply
            time.sleep(0.002)  # References of the same millisecond stand in any order.


def states(relay: Relay) -> list[str]:
    return [entry["state"] for entry in relay.queue()]


def loaded(place: Place, count: int = 2) -> tuple[Relay, Sink]:
    """A relay whose only upstream defers all, with `count` of Ann's mails in its queue."""
    relay, sink = place.pair(SLOW_RETRY, "rcpt:451")
    submit(relay, count)
    wait_for("all are deferred", lambda: states(relay) == ["deferred"] * count, 20)
    return relay, sink


def change(relay: Relay, *arguments: str, expect: int = 0) -> dict[str, Any]:
    done = relay.cli("--json", "queue", *arguments, expect=expect)
    [outcome] = [line for line in done.stdout.splitlines() if line]
    parsed: dict[str, Any] = json.loads(outcome)
    return parsed


def a_folder(relay: Relay) -> Path:
    """One that the command line, which is not root, may write to."""
    folder = relay.folder / "out"
    folder.mkdir()
    hand_over(folder)
    return folder


def counts(outcome: dict[str, Any]) -> tuple[int, int, int]:
    return outcome["matched"], outcome["changed"], outcome["failed"]


def test_what_is_held_stays_over_a_restart_and_goes_once_after_its_release(place: Place) -> None:
    relay, sink = loaded(place)
    first, second = (entry["id"] for entry in relay.queue())
    assert counts(change(relay, "hold", first, "--reason", "is it a spam run?")) == (1, 1, 0)
    [shown] = relay.cli_json("queue", "show", first)
    assert shown["state"] == "held" and shown["reason"] == "is it a spam run?"
    assert relay.metrics().total("postern_queue_entries", state="held") == 1
    assert relay.metrics().total("postern_queue_entries", state="deferred") == 1
    told = relay.wait_event("admin", lambda e: e["what"] == "queue_hold")
    assert told["reason"] == "is it a spam run?"

    sink.restart()
    relay.cli("queue", "retry", "--all", expect=1)
    wait_for("the other one is gone", lambda: [e["id"] for e in relay.queue()] == [first], 30)
    assert [mail.message["Subject"] for mail in sink.mails()] == ["n1"]
    relay.restart()
    assert states(relay) == ["held"]
    relay.kill()
    relay.start()
    assert states(relay) == ["held"] and len(sink.mails()) == 1

    assert counts(change(relay, "release", "--state", "held")) == (1, 1, 0)
    wait_for("an empty queue", lambda: relay.queue() == [], 30)
    assert sorted(mail.message["Subject"] for mail in sink.mails()) == ["n0", "n1"]
    assert relay.metrics().total("postern_queue_entries", state="held") == 0
    assert second not in [entry["id"] for entry in relay.queue()]


def test_the_release_of_an_account_leaves_what_is_held(place: Place) -> None:
    relay, sink = loaded(place)
    first, second = (entry["id"] for entry in relay.queue())
    change(relay, "hold", first)
    relay.cli("account", "suspend", ANN)
    wait_for("frozen", lambda: states(relay) == ["frozen", "frozen"], 10)
    refused = change(relay, "release", second, expect=1)
    assert counts(refused) == (1, 0, 1) and "account release" in refused["failures"][0]["why"], refused
    sink.restart()
    relay.cli("account", "release", ANN)
    wait_for("thawed", lambda: states(relay) == ["held", "deferred"], 10)
    relay.cli("queue", "retry", "--all", expect=1)
    sink.wait_for_mails(1, 30)
    wait_for("the held one is left", lambda: [e["id"] for e in relay.queue()] == [first], 30)
    change(relay, "release", first)
    sink.wait_for_mails(2, 30)


def two_ways(place: Place) -> tuple[Relay, Sink, Sink]:
    first = place.sink("first").start("rcpt:451")
    second = place.sink("second").start()
    ways = [upstream(first, name="first"), upstream(second, name="second", role="fallback")]
    relay = place.relay(merge({"upstream": ways}, SLOW_RETRY))
    relay.add_account()
    relay.start()
    submit(relay, 2)
    wait_for("both are deferred", lambda: states(relay) == ["deferred", "deferred"], 20)
    return relay, first, second


def test_reroute_sends_by_the_named_upstream(place: Place) -> None:
    relay, first, second = two_ways(place)
    one, other = (entry["id"] for entry in relay.queue())
    assert counts(change(relay, "reroute", one, "--to", "second", "--reason", "first is slow")) == (1, 1, 0)
    [mail] = second.wait_for_mails(1, 30)
    assert mail.message["Subject"] == "n0"
    wait_for("one is left", lambda: [e["id"] for e in relay.queue()] == [other], 30)
    assert first.mails() == []
    told = relay.wait_event("admin", lambda e: e["what"] == "queue_reroute")
    assert told["reason"] == "first is slow"


def test_a_rerouted_entry_waits_for_its_way(place: Place) -> None:
    """The way that it was sent is down, the usual one takes mail: it waits, over a restart too."""
    relay, first, second = two_ways(place)
    one, other = (entry["id"] for entry in relay.queue())
    change(relay, "hold", "--all")
    second.stop()
    first.restart()
    change(relay, "reroute", one, "--to", "second")
    [shown] = relay.cli_json("queue", "show", one)
    assert shown["upstream"] == "second" and shown["rerouted"] is True
    relay.restart()
    change(relay, "release", "--all")
    assert [mail.message["Subject"] for mail in first.wait_for_mails(1, 30)] == ["n1"]
    wait_for("its way was tried", lambda: relay.queue()[0]["state"] != "active", 30)
    assert [e["id"] for e in relay.queue()] == [one]
    second.start()

    def gone() -> bool:
        relay.cli("queue", "retry", "--all", expect=None)
        return relay.queue() == []

    wait_for("it went its way", gone, 90)
    assert [mail.message["Subject"] for mail in second.mails()] == ["n0"]
    assert len(first.mails()) == 1


def test_an_unknown_upstream_is_refused(place: Place) -> None:
    relay, _, second = two_ways(place)
    refused = relay.cli("queue", "reroute", "--all", "--to", "secnod", expect=1)
    assert "did you mean second?" in refused.stderr, refused.stderr
    assert relay.cli("queue", "reroute", "--all", expect=None).returncode == 2
    assert states(relay) == ["deferred", "deferred"] and second.mails() == []


def test_an_exported_message_is_what_is_sent(place: Place) -> None:
    relay, sink = loaded(place)
    folder = a_folder(relay) / "made"
    ids = [entry["id"] for entry in relay.queue()]
    assert counts(change(relay, "export", "--dir", str(folder))) == (2, 2, 0)
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{each}.eml" for each in ids)
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert states(relay) == ["deferred", "deferred"]
    wait_for("each is told of", lambda: sorted(
        e["subject"] for e in relay.told("admin") if e["what"] == "queue_export") == sorted(ids))

    sink.restart()
    relay.cli("queue", "retry", "--all")
    by_subject = {mail.message["Subject"]: mail.raw for mail in sink.wait_for_mails(2, 30)}
    assert (folder / f"{ids[0]}.eml").read_bytes() == by_subject["n0"]
    assert (folder / f"{ids[1]}.eml").read_bytes() == by_subject["n1"]


def test_a_large_message_is_exported_whole(place: Place) -> None:
    relay, sink = place.pair(SLOW_RETRY, "rcpt:451")
    with relay.logged_in(timeout=60) as client:
        body = "".join(f"line {n} {'x' * 60}\r\n" for n in range(130_000))
        assert client.submit(ANN, [BOB], a_message(body=body)).code == 250
    wait_for("deferred", lambda: states(relay) == ["deferred"], 30)
    [entry] = relay.queue()
    folder = a_folder(relay)
    change(relay, "export", entry["id"], "--dir", str(folder))
    sink.restart()
    relay.cli("queue", "retry", "--all")
    [mail] = sink.wait_for_mails(1, 60)
    assert (folder / f"{entry['id']}.eml").read_bytes() == mail.raw


@pytest.mark.parametrize("what", ["file", "link"])
def test_an_export_writes_over_nothing(place: Place, what: str) -> None:
    relay, _ = loaded(place)
    first, second = (entry["id"] for entry in relay.queue())
    folder = a_folder(relay)
    target = relay.folder / "precious"
    target.write_text("precious")
    there = folder / f"{first}.eml"
    if what == "link":
        there.symlink_to(target)
    else:
        os.rename(target, there)
    outcome = change(relay, "export", "--all", "--dir", str(folder), expect=1)
    assert counts(outcome) == (2, 1, 1) and outcome["failures"][0]["id"] == first
    assert there.read_text() == "precious" and there.is_symlink() == (what == "link")
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{first}.eml", f"{second}.eml"])


def test_a_folder_that_cannot_be_written_is_named(place: Place) -> None:
    relay, _ = loaded(place, 1)
    nowhere = Path("/proc/self/nowhere")
    done = relay.cli("queue", "export", "--all", "--dir", str(nowhere), expect=None)
    assert done.returncode == 4 and str(nowhere) in done.stderr, done


SELECTORS = [
    (["--account", ANN], 3),
    (["--account", BOB], 2),
    (["--account", ANN, "--account", BOB], 5),
    (["--customer", "acme"], 2),
    (["--customer", "nobody"], 0),
    (["--mail-from", ANN], 3),
    (["--mail-from", "@example.com"], 2),
    (["--rcpt", "r0@example.org"], 2),
    (["--rcpt", "r0@example.org", "--account", BOB], 1),
    (["--rcpt", "@example.org"], 5),
    (["--rcpt", "@example.net"], 0),
    (["--source", "127.0.0.0/8", "--source", "::1"], 5),
    (["--source", "192.0.2.0/24"], 0),
    (["--upstream", "primary"], 5),
    (["--upstream", "fallback"], 0),
    (["--since", "1h"], 5),
    (["--until", "1h"], 0),
    (["--since", "2020-01-01T00:00:00Z", "--until", "2021-01-01T00:00:00Z"], 0),
    (["--limit", "2", "--all"], 2),
    (["--limit", "1", "--account", BOB], 1),
    (["--all"], 5),
]


def test_selectors(place: Place) -> None:
    relay, _ = place.pair(SLOW_RETRY, "rcpt:451")
    relay.cli("customer", "add", "acme", "--domain", "example.com")
    relay.cli("account", "add", BOB, "--password-stdin", "--customer", "acme",
              stdin=PASSWORD + "\n")
    submit(relay, 3)
    submit(relay, 2, BOB)
    wait_for("all are deferred", lambda: states(relay) == ["deferred"] * 5, 20)
    every = {entry["id"] for entry in relay.queue()}
    for selectors, number in SELECTORS:
        listed = relay.cli_json("queue", "list", *(s for s in selectors if s != "--all"))
        assert len(listed) == number, selectors
        assert counts(change(relay, "hold", *selectors)) == (number, number, 0), selectors
        held = {entry["id"] for entry in relay.queue() if entry["state"] == "held"}
        assert held == {entry["id"] for entry in listed}, selectors
        assert counts(change(relay, "release", "--state", "held")) == (number, number, 0), selectors
        wait_for("deferred again", lambda: states(relay) == ["deferred"] * 5, 30)
        assert {entry["id"] for entry in relay.queue()} == every


@pytest.mark.parametrize("verb", ["hold", "release", "reroute", "drop", "retry"])
def test_a_change_needs_a_selector(place: Place, verb: str) -> None:
    relay, _ = loaded(place, 1)
    to = ["--to", "primary"] if verb == "reroute" else []
    assert relay.cli("queue", verb, *to, expect=None).returncode == 2
    assert relay.cli("queue", verb, "01ARZ3NDEKTSV4RRFFQ69G5FAV", *to, expect=None).returncode == 1
    assert states(relay) == ["deferred"]
    relay.stop()
    assert relay.cli("queue", verb, "--all", *to, expect=None).returncode == 3


def test_an_accounts_mail_is_dropped_in_one_command(place: Place) -> None:
    relay, sink = place.pair(SLOW_RETRY, "rcpt:451")
    count = 600
    with relay.logged_in() as client:
        for n in range(count):
            assert client.submit(ANN, [f"r{n}@example.org"], a_message(subject=f"n{n}")).code == 250
    wait_for("all are deferred", lambda: set(states(relay)) == {"deferred"}, 60)
    outcome = change(relay, "drop", "--account", ANN, "--reason", "a spam run")
    assert counts(outcome) == (count, count, 0)
    assert relay.queue() == []
    gone = relay.wait_event("settled", lambda e: e["rcpt"] == f"r{count - 1}@example.org")
    assert gone["how"] == "dropped" and gone["reason"] == "a spam run"
    sink.restart()
    relay.restart()
    assert relay.queue() == [] and sink.mails() == []
