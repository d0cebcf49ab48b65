"""The fault table: what an upstream does wrong at which stage, what the client hears, where the mail is.

Each row sends one mail, looks at the answer and the queue, mends the upstream and then finds the mail
at it exactly as often as the row says. `python3 -m pytest test_faults.py -s` prints the table.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from postern.place import Place
from postern.certificates import make_certificate
from postern.relay import upstream
from postern.smtp import a_message
from postern.waiting import wait_for

STAGES = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot")
ACTIONS = ("4xx", "5xx", "hang", "drop", "slow")
CODES = {"connect": ("421", "554"), "ehlo": ("421", "550"), "starttls": ("454", "554"), "auth": ("454", "535"),
         "mail": ("451", "550"), "rcpt": ("451", "550"), "data": ("451", "554"), "dot": ("451", "554")}


@dataclass(frozen=True)
class Expected:
    heard: tuple[str, ...]
    arrives: tuple[int, ...]


def expected(stage: str, action: str) -> Expected:
    """`queued`: durable here. `refused`: never sent. `sent`: the upstream's own yes."""
    judges = stage in ("mail", "rcpt", "data", "dot")
    if action == "5xx" and judges:
        return Expected(("refused",), (0,))
    if action == "slow":
        return Expected(("sent", "queued"), (1, 2) if stage == "dot" else (1,))
    if action == "lose":
        return Expected(("queued",), (2,))
    if stage == "dot" and action in ("hang", "drop"):
        # The answer to the final dot was lost: the one place where SMTP itself makes duplicates.
        return Expected(("queued",), (1, 2))
    return Expected(("queued",), (1,))


def kind(reply: str) -> str:
    if reply.startswith("5"):
        return "refused"
    return "queued" if reply.startswith("250") and "queued as" in reply else "sent" if reply.startswith("250") else reply


@pytest.mark.parametrize(("stage", "action"), [
    *((stage, action) for stage in STAGES for action in ACTIONS),
    ("dot", "lose"),  # The upstream keeps the mail and says nothing.
])
def test_a_fault(place: Place, stage: str, action: str) -> None:
    code = {"4xx": CODES[stage][0], "5xx": CODES[stage][1]}.get(action, action)
    sink = place.sink()
    keys: dict[str, object] = {}
    if stage in ("starttls", "auth"):
        made = make_certificate(place.folder, "upstream", addresses=(sink.address[0],))
        sink.use_tls(made, require_auth=stage == "auth")
        keys = {"tls": "verify", "ca": str(made.certificate)}
        if stage == "auth":
            secret = place.folder / "secret"
            secret.write_text("let me in\n")
            secret.chmod(0o644)
            keys |= {"username": "relay", "password_file": str(secret)}
    sink.start(f"{stage}:{code}")
    relay = place.relay({
        "delivery": {"cut_through_deadline": "3s",
                     "retry": {"first": "1s", "factor": 1.0, "max": "2s", "jitter": 0.0, "give_up": "1h",
                               "warn_after": "30m"}},
        "upstream": [upstream(sink, **keys)]})
    relay.add_account()
    relay.start()

    began = time.monotonic()
    with relay.logged_in(timeout=60) as client:
        reply = client.submit("ann@example.net", ["bob@example.org"], a_message(subject=f"{stage} {action}"))
    waited = time.monotonic() - began
    heard = kind(str(reply))
    states = [entry["state"] for entry in relay.queue()]
    want = expected(stage, action)
    print(f"| {stage} | {action} | {reply.heading} {heard} | {', '.join(states) or '-'} | {waited:.1f} s |", end="")
    assert heard in want.heard, reply
    assert waited < 12
    if heard == "queued":
        assert len(states) == 1
    else:
        assert states == [] or heard == "sent"

    sink.restart()
    if want.arrives != (0,):
        sink.wait_for_mails(1, 90)
        wait_for("an empty queue", lambda: relay.queue() == [], 90)
    else:
        time.sleep(2)
    arrived = len([mail for mail in sink.mails() if mail.recipients == ["bob@example.org"]])
    print(f" {arrived} |")
    assert arrived in want.arrives


@pytest.mark.parametrize("reply", ["535", "530", "538"])
def test_a_login_that_fails_upstream_never_refuses_a_mail(place: Place, reply: str) -> None:
    sink = place.sink().start(f"mail:{reply}")
    relay = place.relay({"delivery": {"cut_through_deadline": "2s"}, "upstream": [upstream(sink)]})
    relay.add_account()
    relay.start()
    with relay.logged_in(timeout=40) as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
    assert len(relay.queue()) == 1
