"""Signatures of varied mail, checked by three verifiers of others: dkimpy, OpenDKIM and rspamd.

POSTERN_DKIM_MESSAGES=1000 makes a campaign of it.
"""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

pytest.importorskip("dkim", reason="python3-dkim is not installed")
pytest.importorskip("nacl", reason="python3-nacl is not installed")

from dkim_verifiers import OpenDkim, Rspamd, how_many  # noqa: E402
from postern.place import Place  # noqa: E402
from postern.relay import ANN, Relay  # noqa: E402
from postern.signatures import records, tags, verified  # noqa: E402
from postern.sink import Sink  # noqa: E402
from postern.smtp import Client, stuff  # noqa: E402
from postern.waiting import wait_for  # noqa: E402
from varied_mail import NUMBER, Varied, varied  # noqa: E402

SEED = 1
BOTH = ["rsa example.net", "ed25519 example.net"]


def send(client: Client, message: Varied, chance: random.Random) -> None:
    keywords = " BODY=8BITMIME" + (" SMTPUTF8" if message.smtputf8 else "")
    assert client.ask(f"MAIL FROM:<{ANN}>{keywords}").code == 250
    assert client.ask("RCPT TO:<bob@example.org>").code == 250
    whole = message.head + message.body
    if not message.by_bdat:
        # A lone LF is a line end to the relay (bare_newline is "normalize"), so a dot behind it is stuffed, too.
        assert client.ask("DATA").code == 354
        client.send(stuff(whole))
        reply = client.reply()
    else:
        cut = chance.randrange(1, len(whole))
        client.send(b"BDAT %d\r\n" % cut + whole[:cut] + b"BDAT %d LAST\r\n" % (len(whole) - cut) + whole[cut:])
        assert client.reply().code == 250
        reply = client.reply()
    assert reply.code == 250, f"{reply}: {message.what}\n{whole[:2000]!r}"


def sent(relay: Relay, sink: Sink, count: int) -> dict[int, bytes]:
    """What arrived, by number."""
    chance = random.Random(SEED)
    for first in range(0, count, 50):
        with relay.logged_in(timeout=60) as client:
            for number in range(first, min(count, first + 50)):
                send(client, varied(number, SEED), chance)
    wait_for(f"{count} mails", lambda: len(list(sink.mail_folder.glob("*.json"))) >= count, 120)
    arrived: dict[int, bytes] = {}
    for mail in sink.mails():
        match = re.search(rb"(?m)^%s: (\d+)\r$" % NUMBER.encode(), mail.raw)
        assert match is not None, mail.raw[:2000]
        arrived[int(match.group(1))] = mail.raw
    return arrived


@pytest.mark.parametrize("mode", ["cut-through", "spool"])
def test_three_verifiers_agree(place: Place, mode: str) -> None:
    relay, sink = place.pair({"message": {"bare_newline": "normalize"}, "delivery": {"mode": mode}})
    relay.cli("dkim", "new", "example.net")
    published = records(relay, "example.net")
    selectors = {name.partition("._domainkey.")[0] for name in published}
    assert len(selectors) == 2
    open_dkim = OpenDkim(place.folder, published)
    rspamd = Rspamd(place.folder, published)
    try:
        count = how_many(60)
        arrived = sent(relay, sink, count)
        assert sorted(arrived) == list(range(count))
        # They have to be able to say no.
        changed = arrived[0].replace(b"\r\n\r\n", b"\r\n\r\nmore", 1)
        assert verified(changed, published) == [f"not {each}" for each in BOTH]
        assert open_dkim.verify(changed).good == set() == rspamd.verify(changed).good
        tally: Counter[str] = Counter({"rspamd not asked": 0})
        wrong = []
        for number, raw in sorted(arrived.items()):
            assert {each["s"] for each in tags(raw)} == selectors
            said = {"dkimpy": verified(raw, published) == BOTH}
            verdicts = {"OpenDKIM": open_dkim.verify(raw)}
            if not varied(number, SEED).rspamd_differs:
                verdicts["rspamd"] = rspamd.verify(raw)
            tally["rspamd not asked"] += "rspamd" not in verdicts
            said |= {name: each.good == selectors and not each.bad for name, each in verdicts.items()}
            for name, good in said.items():
                tally[f"{name} {'verified' if good else 'did not verify'}"] += 1
                if not good:
                    wrong.append(f"{name}, message {number} ({varied(number, SEED).what}): "
                                 f"{verdicts[name].said[-1500:] if name in verdicts else ''}\n{raw[:3000]!r}")
    finally:
        rspamd.stop()
    print(f"{count} messages, {mode}: " + ", ".join(f"{what} {n}" for what, n in sorted(tally.items())))
    assert not wrong, f"{len(wrong)} of {tally}\n" + "\n\n".join(wrong[:5])
    # And the way back from any of them to who sent it.
    for number in range(0, count, max(1, count // 10)):
        token = re.search(rb"(?i)\r\nx-abuse:(?:[^\r]|\r\n[ \t])*ref=([0-9a-f]{32})\r", arrived[number])
        assert token is not None, arrived[number][:2000]
        [traced] = relay.cli_json("trace", token.group(1).decode())
        assert traced["account"] == ANN and [each["rcpt"] for each in traced["rcpts"]] == ["bob@example.org"]
