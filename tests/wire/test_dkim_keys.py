"""`postern dkim`: keys by command, on a relay that runs and on one that does not."""

from __future__ import annotations

import base64
import re
import stat

import pytest

from postern.place import Place
from postern.relay import ANN
from postern.scratch import hand_over
from postern.smtp import a_message

FIELDS = {"domain", "selector", "algorithm", "state", "created", "name", "value"}


def states(keys: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(key["algorithm"], key["state"]) for key in keys]


@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_the_life_of_keys(place: Place, runs: bool) -> None:
    relay, _ = place.pair()
    if not runs:
        relay.stop()
    [made] = relay.cli_json("dkim", "new", "Example.net")
    assert (made["matched"], made["changed"], made["failed"]) == (2, 2, 0)
    keys = relay.cli_json("dkim", "list")
    assert states(keys) == [("rsa", "active"), ("ed25519", "active")]
    for key in keys:
        assert FIELDS <= set(key) and key["domain"] == "example.net"
        assert key["name"] == f"{key['selector']}._domainkey.example.net"
        assert key["value"].startswith(f"v=DKIM1; k={key['algorithm']}; p=")
        octets = base64.b64decode(key["value"].rpartition("p=")[2], validate=True)
        assert len(octets) == (294 if key["algorithm"] == "rsa" else 32)
    assert relay.cli("dkim", "rotate", "example.net", expect=None).returncode == 1
    relay.cli("dkim", "new", "example.net")
    assert relay.cli("dkim", "new", "example.net", expect=None).returncode == 1
    assert sorted(states(relay.cli_json("dkim", "list", "example.net"))) == [
        ("ed25519", "active"), ("ed25519", "new"), ("rsa", "active"), ("rsa", "new")]
    relay.cli("dkim", "rotate", "example.net")
    assert sorted(states(relay.cli_json("dkim", "dns", "example.net"))) == [
        ("ed25519", "active"), ("ed25519", "retired"), ("rsa", "active"), ("rsa", "retired")]
    relay.cli("dkim", "remove", "example.net")
    assert relay.cli_json("dkim", "list") == []
    assert not (relay.state / "dkim" / "example.net").exists()
    assert relay.cli("dkim", "remove", "example.net", expect=None).returncode == 1


def test_records_as_a_zone_has_them(place: Place) -> None:
    relay, _ = place.pair()
    printed = relay.cli("dkim", "new", "example.net").stdout
    assert relay.cli("dkim", "dns", "example.net").stdout == printed
    lines = printed.splitlines()
    assert len(lines) == 2
    values = {key["name"]: key["value"] for key in relay.cli_json("dkim", "dns", "example.net")}
    for line in lines:
        match = re.fullmatch(r'(\S+)\. IN TXT ("[^"]*"(?: "[^"]*")*)', line)
        assert match is not None, line
        strings = re.findall(r'"([^"]*)"', match.group(2))
        assert all(len(each) <= 255 for each in strings)
        assert "".join(strings) == values[match.group(1)]
        assert len(strings) == (2 if "k=rsa" in line else 1)


def test_private_keys_are_nobodys_business(place: Place) -> None:
    relay, _ = place.pair()
    shown = [relay.cli("dkim", "new", "example.net", "--json").stdout]
    shown += [relay.cli("dkim", verb, "example.net", "--json").stdout for verb in ("list", "dns")]
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    folder = relay.state / "dkim"
    secrets = [path.read_text() for path in folder.rglob("*.pem")]
    assert len(secrets) == 2
    shown.append(relay.program.output())
    for secret in secrets:
        inside = secret.splitlines()[1]
        assert not [text for text in shown if "PRIVATE" in text or inside in text]
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_changes_are_told_with_their_reason(place: Place) -> None:
    relay, _ = place.pair()
    relay.cli("dkim", "new", "example.net", "--reason", "first keys")
    told = relay.wait_event("admin", lambda entry: entry["what"] == "dkim_new")
    assert told["subject"] == "example.net" and told["reason"] == "first keys"


@pytest.mark.parametrize(("arguments", "code"), [
    (("new", "no domain"), 1),
    (("new", "../../x"), 1),
    (("new", "[192.0.2.1]"), 1),
    (("dns", "none.example"), 1),
    (("rotate", "none.example"), 1),
    (("list", "none.example"), 0),
    (("new",), 2),
    (("publish", "example.net"), 2),
])
def test_what_is_refused(place: Place, arguments: tuple[str, ...], code: int) -> None:
    relay, _ = place.pair()
    done = relay.cli("dkim", *arguments, expect=None)
    assert done.returncode == code, done
    assert code == 0 or (done.stdout == "" and done.stderr.startswith("postern: ")), done
    assert not (relay.state / "dkim").exists()


def test_international_domains_are_one_with_their_ascii_form(place: Place) -> None:
    relay, _ = place.pair()
    relay.cli("dkim", "new", "M\u00fcller.example")
    assert {key["domain"] for key in relay.cli_json("dkim", "list", "xn--mller-kva.example")} == {"xn--mller-kva.example"}


def test_check_tells_of_keys_that_do_not_sign(place: Place) -> None:
    relay, _ = place.pair({"dkim": {"default_domain": "example.net"}})

    def said() -> list[tuple[str, str]]:
        found = relay.cli_json_any("check", "--offline")
        return [(each["status"], each["text"]) for each in found if each["check"] == "dkim"]

    [(status, text)] = said()
    assert status == "warn" and "example.net" in text
    relay.cli("dkim", "new", "example.net")
    assert [status for status, _ in said()] == ["ok"]
    relay.configure({"dkim": {"algorithms": ["rsa"]}})
    for path in (relay.state / "dkim" / "example.net").glob("r*.pem"):
        path.write_text("no key")
    found = said()
    assert ("fail" in {status for status, _ in found}) and any(".pem" in text for _, text in found)


def test_thousands_of_domains_are_listed_whole(place: Place) -> None:
    """Their folders are made here: making the keys is not what is tested."""
    relay, _ = place.pair({"dkim": {"algorithms": ["ed25519"]}})
    relay.cli("dkim", "new", "d0.example")
    relay.stop()
    root = relay.state / "dkim"
    first = {path.name: path.read_bytes() for path in (root / "d0.example").iterdir()}
    for number in range(1, 3000):
        folder = root / f"d{number}.example"
        folder.mkdir(mode=0o700)
        for name, octets in first.items():
            (folder / name).write_bytes(octets)
    hand_over(root)
    relay.start()
    keys = relay.cli_json("dkim", "list")
    assert len({key["domain"] for key in keys}) == 3000
    assert len(relay.cli_json("dkim", "list", "--limit", "1234")) == 1234
    assert [key["domain"] for key in relay.cli_json("dkim", "list", "d2999.example")] == ["d2999.example"]
