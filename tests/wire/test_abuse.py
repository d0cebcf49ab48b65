"""X-Abuse and Feedback-ID: what each mail carries for outsiders, and the way back from a token to who sent it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable

import pytest

from postern.place import Place
from postern.relay import ANN, HOSTNAME, PASSWORD, Relay
from postern.settings import Settings
from postern.sink import Mail, Sink
from postern.smtp import a_message
from postern.waiting import wait_for

Pair = tuple[Relay, Sink]

BARE = b"From: ann@example.net\r\nSubject: bare\r\n\r\nHello\r\n"
SPOOL: Settings = {"delivery": {"mode": "spool"}}
SLOW_RETRY: Settings = {"delivery": {"retry": {"first": "1h", "factor": 1.0, "max": "1h", "jitter": 0.0,
                                               "give_up": "4d", "warn_after": "4h"}}}


def sent(pair: Pair, message: bytes = a_message(), *, account: str = ANN,
         recipients: tuple[str, ...] = ("bob@example.org",)) -> Mail:
    relay, sink = pair
    before = len(sink.mails())
    with relay.logged_in(account) as client:
        reply = client.submit(account, list(recipients), message)
        assert reply.code == 250, reply
    return sink.wait_for_mails(before + 1)[-1]


def only(mail: Mail, field: str) -> str:
    """The field that stands there once, unfolded."""
    values = mail.message.get_all(field) or []
    assert len(values) == 1, values
    return re.sub(r"\r?\n(?=[ \t])", "", str(values[0]))


def abuse_of(mail: Mail) -> tuple[str, str]:
    """Whom X-Abuse asks to write to, and the token."""
    match = re.fullmatch(r"report to (\S+); ref=([0-9a-f]{32})", only(mail, "X-Abuse"))
    assert match is not None, only(mail, "X-Abuse")
    return match.group(1), match.group(2)


def token_of(mail: Mail) -> str:
    return abuse_of(mail)[1]


def pseudonym_of(mail: Mail) -> str:
    match = re.fullmatch(rf"([0-9a-f]{{16}}):::{re.escape(HOSTNAME)}", only(mail, "Feedback-ID"))
    assert match is not None, only(mail, "Feedback-ID")
    return match.group(1)


@pytest.mark.parametrize("mode", ["cut-through", "spool"])
def test_both_stand_once_behind_all_else_that_is_added(place: Place, mode: str) -> None:
    pair = place.pair({"delivery": {"mode": mode}})
    mail = sent(pair, BARE)
    assert list(mail.message.keys()) == ["Received", "Date", "Message-ID", "X-Abuse", "Feedback-ID", "From", "Subject"]
    mail = sent(pair)
    assert list(mail.message.keys())[:4] == ["Received", "X-Abuse", "Feedback-ID", "From"]
    assert abuse_of(mail)[0] == "postmaster@example.net" and pseudonym_of(mail)


@pytest.mark.parametrize("case", [str.title, str.lower, str.upper])
def test_what_a_client_says_of_these_is_not_believed(shared: Pair, case: Callable[[str], str]) -> None:
    forged = "f" * 32
    head = "".join(f"{case(name)}: mine {n};\r\n\tref={forged}\r\n" for name in ("x-abuse", "feedback-id")
                   for n in range(2))
    mail = sent(shared, head.encode() + a_message())
    assert token_of(mail) != forged and pseudonym_of(mail)
    assert b"mine" not in mail.raw and forged.encode() not in mail.raw


def test_tokens_say_nothing_and_link_nothing(shared: Pair) -> None:
    mails = [sent(shared, recipients=("bob@example.org", "secret@example.org")) for _ in range(3)]
    assert len({token_of(mail) for mail in mails}) == 3
    for mail in mails:
        [traced] = shared[0].cli_json("trace", token_of(mail))
        told = only(mail, "X-Abuse") + only(mail, "Feedback-ID")
        assert not [word for word in ("ann", "bob", "secret", "127.", traced["ref"]) if word in told]


def test_a_token_leads_to_who_sent_it(shared: Pair) -> None:
    relay, _ = shared
    mail = sent(shared, BARE, recipients=("bob@example.org", "eve@example.org"))
    token = token_of(mail)
    [traced] = relay.cli_json("trace", token)
    assert traced["token"] == token and traced["account"] == ANN and traced["source"] and traced["t"]
    assert [each["rcpt"] for each in traced["rcpts"]] == ["bob@example.org", "eve@example.org"]
    assert {each["state"] for each in traced["rcpts"]} == {"delivered"}
    for same in (token.upper(), traced["ref"], traced["message_id"], traced["message_id"].strip("<>")):
        assert relay.cli_json("trace", same) == [traced]
    assert traced["message_id"] == mail.message["Message-ID"]
    said = relay.cli("trace", token).stdout
    assert ANN in said and token in said and "eve@example.org" in said
    message = relay.wait_event("message", lambda e: e.get("token") == token)
    assert message["ref"] == traced["ref"]


@pytest.mark.parametrize("settings", [{}, SPOOL], ids=["cut-through", "spool"])
def test_a_token_leads_to_queued_mail(place: Place, settings: Settings) -> None:
    relay, sink = place.pair({"delivery": {**SLOW_RETRY["delivery"], **settings.get("delivery", {})}}, "rcpt:451")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    token = relay.wait_event("message")["token"]
    wait_for("it is deferred", lambda: [entry["state"] for entry in relay.queue()] == ["deferred"], 20)
    [traced] = relay.cli_json("trace", token)
    assert traced["queued"] is True and traced["rcpts"][0]["state"] == "queued"
    assert traced["ref"] == relay.queue()[0]["ref"]
    relay.restart()
    sink.restart()
    relay.cli("queue", "retry", "--all")
    assert token_of(sink.wait_for_mails(1, 30)[0]) == token
    wait_for("it is delivered", lambda: relay.cli_json("trace", token)[0]["rcpts"][0]["state"] == "delivered")


def test_tokens_hang_on_no_key_and_outlive_a_restart(place: Place) -> None:
    relay, sink = pair = place.pair()
    first = sent(pair)
    key = relay.state / "keys" / "pseudonym.key"
    kept = key.read_bytes()
    assert len(kept) == 32 and key.stat().st_mode & 0o777 == 0o600
    for path in (relay.state / "trace", *(relay.state / "trace").iterdir()):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    relay.stop()
    assert relay.cli_json("trace", token_of(first))[0]["account"] == ANN
    relay.start()
    assert key.read_bytes() == kept and pseudonym_of(sent(pair)) == pseudonym_of(first)
    relay.stop()
    key.unlink()
    relay.start()
    assert key.read_bytes() != kept and pseudonym_of(sent(pair)) != pseudonym_of(first)
    assert relay.cli_json("trace", token_of(first))[0]["rcpts"][0]["rcpt"] == "bob@example.org"
    assert len(sink.mails()) == 3


def test_a_token_outlives_the_journal(place: Place) -> None:
    relay, _ = pair = place.pair()
    token = token_of(sent(pair, recipients=("bob@example.org", "eve@example.org")))
    ref = relay.cli_json("trace", token)[0]["ref"]
    relay.stop()
    shutil.rmtree(relay.state / "events")
    relay.start()
    [traced] = relay.cli_json("trace", token)
    assert traced["account"] == ANN and traced["source"] and traced["ref"] == ref
    assert [each["rcpt"] for each in traced["rcpts"]] == ["bob@example.org", "eve@example.org"]
    assert relay.cli("trace", ref, expect=None).returncode == 1


def test_a_backup_has_the_tokens(place: Place) -> None:
    relay, _ = pair = place.pair()
    token = token_of(sent(pair))
    relay.cli("backup", "--to", "copy")
    lines = [json.loads(line) for path in (place.folder / "copy" / "trace").iterdir()
             for line in path.read_text().splitlines()]
    assert [(line["token"], line["account"]) for line in lines] == [(token, ANN)]
    assert (place.folder / "copy" / "keys" / "pseudonym.key").exists()


def test_a_forged_token_is_not_found(shared: Pair) -> None:
    relay, _ = shared
    mail = sent(shared)
    token = token_of(mail)
    one_off = ("1" if token[0] == "0" else "0") + token[1:]
    for forged in (one_off, token[1:], token + "0", "0" * 32, "g" * 32):
        assert relay.cli("trace", forged, expect=None).returncode == 1
    # Nor one that a sender wrote where a mail may have any text.
    written = "ab" * 16
    message = BARE.replace(b"Subject: bare", f"Message-ID: <{written}>\r\nX-Abuse: ref={written}".encode())
    assert token_of(sent(shared, message, recipients=(f"{written}@example.org",))) != written
    assert relay.cli("trace", written, expect=None).returncode == 1
    [traced] = relay.cli_json("trace", f"<{written}>")
    assert traced["token"] not in (None, written)


def test_what_policy_refused_has_no_token(shared: Pair) -> None:
    relay, _ = shared
    with relay.logged_in() as client:
        refused = client.submit(ANN, ["bob@example.org"], a_message("eve@example.com"))
    assert refused.code == 550 and refused.ref is not None
    [traced] = relay.cli_json("trace", refused.ref)
    assert traced["outcome"] == "refused" and traced["token"] is None


def test_the_contact_is_the_operators_and_changes_with_a_reload(place: Place) -> None:
    relay, _ = pair = place.pair({"server": {"abuse_contact": "Abuse@mail.example"}})
    assert abuse_of(sent(pair))[0] == "Abuse@mail.example"
    relay.configure({"server": {"abuse_contact": "second@mail.example"}})
    relay.cli("reload")
    assert abuse_of(sent(pair))[0] == "second@mail.example"
    long = "a-rather-long-name-of-the-people-who-read-complaints@" + "department." * 8 + "example"
    relay.configure({"server": {"abuse_contact": long}})
    relay.cli("reload")
    assert abuse_of(sent(pair))[0] == long


@pytest.mark.parametrize("wrong", ["nobody", "abuse@", "a;b@mail.example", "\u00e4@mail.example",
                                   "<abuse@mail.example>"])
def test_check_names_a_contact_that_no_mail_can_carry(place: Place, wrong: str) -> None:
    relay = place.relay({"server": {"abuse_contact": wrong}, "upstream": [{"address": "127.0.0.1:9", "tls": "none"}]})
    done = relay.cli("check", "--offline", expect=1)
    assert "server.abuse_contact" in done.stdout + done.stderr


def test_a_customers_accounts_share_a_pseudonym_and_nobody_else_has_it(place: Place) -> None:
    relay, _ = pair = place.pair()
    for name in ("bob", "eve"):
        relay.add_account(f"{name}@example.net", PASSWORD)
    alone = pseudonym_of(sent(pair))
    assert pseudonym_of(sent(pair)) == alone
    assert pseudonym_of(sent(pair, a_message("bob@example.net"), account="bob@example.net")) != alone
    relay.cli("customer", "add", "shop")
    for account in (ANN, "bob@example.net"):
        relay.cli("account", "set", account, "--customer", "shop")
    together = [pseudonym_of(sent(pair, a_message(account), account=account))
                for account in (ANN, "bob@example.net", "eve@example.net")]
    assert together[0] == together[1] != together[2] and together[0] != alone


def test_a_notice_is_ours_and_returns_the_token_of_what_it_tells_of(place: Place) -> None:
    """A report to our own sender needs no way to complain about it; what it returns has its own."""
    relay, sink = place.pair({}, "rcpt:550:bob@example.org")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org", "eve@example.org"], a_message()).code == 250
    mails = sink.wait_for_mails(2)
    [original] = [mail for mail in mails if mail.recipients == ["eve@example.org"]]
    [notice] = [mail for mail in mails if mail.recipients == [ANN]]
    assert not {"X-Abuse", "Feedback-ID"} & set(notice.message.keys())
    assert token_of(original).encode() in notice.raw
