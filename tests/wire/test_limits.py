"""Limits on messages, recipients and connections: at the bound a clear answer, true to the second."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from postern.place import Place
from postern.relay import ANN, PASSWORD
from postern.smtp import Client, Closed, a_message
from postern.waiting import wait_for


def waits(text: str) -> int:
    match = re.search(r"try again in (\d+) s", text)
    assert match, text
    return int(match.group(1))


def test_messages_by_account(place: Place) -> None:
    relay, sink = place.pair({"limits": {"transactional": {"messages": ["3/6s"]}}})
    with relay.logged_in() as client:
        for _ in range(3):
            assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
        reply = client.ask("MAIL FROM:<ann@example.net>")
        if reply.code == 250:
            client.ask("RCPT TO:<bob@example.org>")
            reply = client.data(a_message())
        assert reply.heading == "451 4.7.1"
        seconds = waits(reply.text)
        assert 1 <= seconds <= 2
        client.ask("RSET")
        time.sleep(seconds)
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
    assert len(sink.wait_for_mails(4)) == 4


def test_recipients_by_account(place: Place) -> None:
    relay, _ = place.pair({"limits": {"transactional": {"recipients": ["5/min"]}}})
    with relay.logged_in() as client:
        replies = client.mail("ann@example.net", *(f"r{n}@example.org" for n in range(5)))
        assert all(reply.code == 250 for reply in replies)
        assert client.ask("RCPT TO:<r6@example.org>").heading in ("452 4.5.3", "451 4.7.1")
        assert client.data(a_message()).code == 250
        client.ask("MAIL FROM:<ann@example.net>")
        reply = client.ask("RCPT TO:<r7@example.org>")
        assert reply.heading == "451 4.7.1" and 1 <= waits(reply.text) <= 12


def test_one_account_does_not_eat_anothers_limit(place: Place) -> None:
    relay, _ = place.pair({"limits": {"transactional": {"messages": ["1/hour"]}}})
    relay.add_account("zoe@example.net", "another password")
    for account, password in ((ANN, PASSWORD), ("zoe@example.net", "another password")):
        with relay.logged_in(account, password) as client:
            assert client.submit(account, ["bob@example.org"], a_message(account)).code == 250


def test_a_refused_message_gives_its_token_back(place: Place) -> None:
    relay, _ = place.pair({"limits": {"transactional": {"messages": ["1/hour"]}}})
    with relay.logged_in() as client:
        reply = client.submit("ann@example.net", ["bob@example.org"], a_message("eve@example.com"))
        assert reply.code == 550
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250


def test_the_rule_in_observe_mode_only_tells(place: Place) -> None:
    relay, sink = place.pair({"limits": {"transactional": {"messages": ["1/hour"]}}, "rules": {"limits": "observe"}})
    with relay.logged_in() as client:
        for _ in range(3):
            assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
    assert len(sink.wait_for_mails(3)) == 3
    assert relay.metrics().total("postern_verdicts_total", rule="limits", mode="observe", verdict="throttle") >= 1


def test_connections_by_source(place: Place) -> None:
    relay, _ = place.pair({"resources": {"max_connections_per_source": 5}})
    held = [relay.plain(source="127.0.0.21") for _ in range(5)]
    with Client(relay.submission, source="127.0.0.21") as client:
        assert client.reply().heading == "421 4.7.0"
        assert client.closed()
    with relay.plain(source="127.0.0.22"):
        pass
    held.pop().close()
    time.sleep(0.3)
    held.append(relay.plain(source="127.0.0.21"))
    for each in held:
        each.close()


def test_neighbours_do_not_keep_out_a_source_that_is_known(place: Place) -> None:
    relay, _ = place.pair({"resources": {"max_connections_per_source": 2}})
    relay.logged_in(source="127.0.0.77").close()
    held = [relay.plain(source=f"127.0.0.{41 + n // 2}") for n in range(8)]
    with Client(relay.submission, source="127.0.0.78") as stranger:
        assert stranger.reply().heading == "421 4.7.0"
    with relay.logged_in(source="127.0.0.77") as known:
        assert known.ask("NOOP").code == 250
    for each in held:
        each.close()


def test_refused_messages_are_not_to_be_had_without_end(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        for n in range(100):
            assert client.submit("ann@example.net", ["bob@example.org"], b"Subject: no From\r\n\r\n").code == 554, n
        assert client.reply().heading == "421 4.7.0"
        assert client.closed()


def test_connections_that_logged_in_do_not_count_by_source(place: Place) -> None:
    relay, _ = place.pair({"resources": {"max_connections_per_source": 3}})
    held = [relay.logged_in() for _ in range(8)]
    assert all(each.ask("NOOP").code == 250 for each in held)
    for each in held:
        each.close()


def test_connections_by_account(place: Place) -> None:
    relay, _ = place.pair({"resources": {"max_connections_per_account": 2}})
    held = [relay.logged_in() for _ in range(2)]
    with relay.encrypted() as client:
        assert client.auth_plain(ANN, PASSWORD).heading == "421 4.7.0"
        assert client.closed()
    for each in held:
        each.close()


def test_connections_in_all(place: Place) -> None:
    relay, _ = place.pair({"resources": {"max_connections": 4}})
    held = [relay.plain(source=f"127.0.0.{31 + n}") for n in range(4)]
    with Client(relay.submission, source="127.0.0.60") as client:
        assert client.reply().heading == "421 4.7.0"
    for each in held:
        each.close()


def test_bodies_beyond_the_budget_are_put_off(place: Place) -> None:
    relay, _ = place.pair({"resources": {"body_memory": "1MiB"}})
    held: list[Client] = []
    try:
        put_off = 0
        for _ in range(12):
            client = relay.logged_in()
            held.append(client)
            reply = client.ask("MAIL FROM:<ann@example.net> SIZE=240000")
            if reply.code == 250:
                client.ask("RCPT TO:<bob@example.org>")
                assert client.ask("DATA").code == 354
                client.send(b"From: ann@example.net\r\n\r\n" + b"x" * 70 + b"\r\n" * 100)
            else:
                assert reply.heading == "452 4.3.1"
                put_off += 1
        assert put_off > 0
    finally:
        for client in held:
            client.close()


def test_one_account_leaves_body_memory_to_others(place: Place) -> None:
    relay, _ = place.pair({"resources": {"body_memory": "2MiB"}})
    relay.add_account("eve@example.com")
    held = [relay.logged_in() for _ in range(12)]
    codes = [client.ask("MAIL FROM:<ann@example.net> SIZE=240000").code for client in held]
    assert codes.count(250) >= 6 and codes[-1] == 452
    with relay.logged_in("eve@example.com") as other:
        assert other.ask("MAIL FROM:<eve@example.com> SIZE=240000").code == 250
    for client in held:
        client.close()


def test_a_body_that_will_be_refused_is_not_kept(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        client.mail("ann@example.net", "bob@example.org")
        assert client.ask("DATA").code == 354
        client.send(b"From: ann@example.net\r\n\r\n" + (b"x" * 70 + b"\r\n") * 20_000)
        wait_for("the body is kept", lambda: relay.metrics().total("postern_body_memory_bytes") > 1 << 20, 10)
        client.send(b"a lone\nline feed\r\n" + (b"x" * 70 + b"\r\n") * 1000)
        wait_for("it is not any more", lambda: relay.metrics().total("postern_body_memory_bytes") < 1 << 20, 10)
        client.send(b".\r\n")
        assert client.reply().heading == "554 5.6.0"


def test_a_message_in_tiny_chunks_uses_little_memory(place: Place) -> None:
    """What a body keeps in memory is bounded by its octets, however it is cut: 20,000 chunks of one octet."""
    relay, sink = place.pair({"server": {"threads": 1}})
    message = a_message(body=("x" * 70 + "\r\n") * 280)

    def resident() -> int:
        for line in Path(f"/proc/{relay.program.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org"], message).code == 250
        before = resident()
        client.mail("ann@example.net", "bob@example.org")
        for start in range(0, len(message), 500):
            part = message[start:start + 500]
            client.send(b"".join(b"BDAT 1\r\n%c" % octet for octet in part))
            assert {client.reply().code for _ in part} == {250}
        grown = resident() - before
        assert client.ask("BDAT 0 LAST").code == 250
    assert len(sink.wait_for_mails(2)) == 2
    assert sink.mails()[-1].raw.endswith(message)
    if b"__asan_" not in place.binary.read_bytes() and b"__tsan_" not in place.binary.read_bytes():
        assert grown < 8 << 20, f"{grown} octets for a message of {len(message)}"


def test_a_client_that_never_reads_costs_little_memory(place: Place) -> None:
    """Commands without end and nobody reads the answers: they are not gathered."""
    relay, _ = place.pair({"server": {"threads": 1}})
    held = []

    def resident() -> int:
        text = Path(f"/proc/{relay.program.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]

    with relay.plain() as first:
        first.ehlo()
        before = resident()
        try:
            for _ in range(40):
                client = relay.plain()
                held.append(client)
                client.sock.setblocking(False)
                try:
                    while True:
                        client.sock.send(b"EHLO a\r\n" * 1000)
                except BlockingIOError:
                    pass
            time.sleep(0.5)
            grown = resident() - before
        finally:
            for client in held:
                client.close()
        assert first.ask("NOOP").code == 250
    if b"__asan_" not in place.binary.read_bytes() and b"__tsan_" not in place.binary.read_bytes():
        assert grown < 40 * (100 << 10), f"{grown // 40} octets a connection"


def test_messages_begun_and_given_up_have_an_end(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        code = 250
        for _ in range(120):
            client.send(b"MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nRSET\r\n")
            for _ in range(3):
                code = client.reply().code
                if code == 421:
                    break
            if code == 421:
                break
        assert code == 421
    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250


@pytest.mark.parametrize("key", ["max_connections", "max_connections_per_source"])
def test_a_refused_connection_is_counted(place: Place, key: str) -> None:
    relay, _ = place.pair({"resources": {key: 1}})
    with relay.plain():
        with Client(relay.submission) as client:
            try:
                assert client.reply().code == 421
            except Closed:
                pytest.fail("closed without an answer")
    assert relay.metrics().total("postern_connections_total", result="full") == 1
