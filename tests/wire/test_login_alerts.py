"""Alerts of right logins: after failures, from new networks and countries, from many networks at once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from postern.mmdb import database, write_asn, write_countries
from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay
from postern.scratch import hand_over
from postern.smtp import a_message

KINDS = ("success_after_failures", "success_new_network", "success_new_country", "many_networks")
BOB = "bob@example.net"


def log_in(relay: Relay, source: str, account: str = ANN, password: str = PASSWORD) -> int:
    with relay.encrypted(source=source, timeout=60) as client:
        return client.auth_plain(account, password).code


def alerts(relay: Relay) -> list[dict[str, Any]]:
    """All that were told until its end: the relay is stopped."""
    relay.stop()
    return [each for each in relay.events("alert") if each["kind"] in KINDS]


def databases(place: Place, asn: dict[str, int], countries: dict[str, str]) -> list[str]:
    files = [write_asn(place.folder / "asn.mmdb", asn), write_countries(place.folder / "country.mmdb", countries)]
    for file in files:
        hand_over(file)
    return [str(file) for file in files]


def test_a_login_from_a_new_network_is_told_once_an_hour(place: Place) -> None:
    relay, _ = place.pair()
    for source in ("127.0.0.1", "127.0.0.77", "127.7.0.1", "127.7.0.1", "127.7.0.9", "127.8.0.1"):
        assert log_in(relay, source) == 235
    [told] = alerts(relay)
    assert told["kind"] == "success_new_network" and told["subject"] == ANN and told["state"] == "firing"
    assert told["severity"] == "warning" and told["source"] == "127.7.0.1"
    assert "asn" not in told and "country" not in told
    assert ANN in told["text"] and "127.7.0.1" in told["text"] and told["action"]


def test_what_was_used_before_a_restart_is_known(place: Place) -> None:
    relay, _ = place.pair()
    relay.add_account(BOB)
    for source in ("127.0.0.1", "127.7.0.1"):
        assert log_in(relay, source) == 235
    relay.restart()
    for source in ("127.7.0.1", "127.0.0.1", "127.7.0.30"):
        assert log_in(relay, source) == 235
    assert log_in(relay, "127.9.0.1", BOB) == 235
    assert log_in(relay, "127.9.0.1") == 235
    assert [each["source"] for each in alerts(relay)] == ["127.7.0.1", "127.9.0.1"]


def test_a_success_after_many_failures_is_told_but_not_the_owners(place: Place) -> None:
    relay, _ = place.pair({"rules": {"login_guard": "observe"}})
    assert log_in(relay, "127.0.0.1") == 235
    for number in range(12):
        assert log_in(relay, "127.0.0.9", password=f"guess {number}") == 535
    assert log_in(relay, "127.0.0.1") == 235
    assert log_in(relay, "127.0.0.2", BOB) == 535
    assert log_in(relay, "127.0.0.9") == 235
    [told] = alerts(relay)
    assert told["kind"] == "success_after_failures" and told["source"] == "127.0.0.9" and told["subject"] == ANN


def test_one_that_tried_other_accounts_before_is_told(place: Place) -> None:
    relay, _ = place.pair({"rules": {"login_guard": "observe"}})
    for name in ("a", "b", "c"):
        assert log_in(relay, "127.0.0.9", f"{name}@example.net", "guess") == 535
    assert log_in(relay, "127.0.0.9") == 235
    [told] = alerts(relay)
    assert told["kind"] == "success_after_failures"


def test_where_the_guard_is_off_nothing_is_told(place: Place) -> None:
    relay, _ = place.pair()
    relay.cli("account", "set", ANN, "--rule", "login_guard=off")
    for source in ("127.0.0.1", "127.7.0.1", "127.8.0.1"):
        assert log_in(relay, source) == 235
    assert alerts(relay) == []


def test_many_networks_within_minutes(place: Place) -> None:
    relay, _ = place.pair()
    assert log_in(relay, "127.0.0.1") == 235
    for number in range(20, 25):
        assert log_in(relay, f"127.{number}.0.1") == 235
    told = {each["kind"]: each for each in alerts(relay)}
    assert set(told) == {"success_new_network", "many_networks"}
    assert told["many_networks"]["networks"] >= 5
    assert told["many_networks"]["source"] in ("127.23.0.1", "127.24.0.1")


def test_a_database_tells_of_providers_and_countries(place: Place) -> None:
    files = databases(place, {"127.0.0.0/16": 64500, "127.5.0.0/16": 64500, "127.6.0.0/16": 64511},
                      {"127.0.0.0/15": "DE", "127.5.0.0/16": "DE", "127.6.0.0/16": "FR"})
    relay, _ = place.pair({"login_guard": {"geoip": files}})
    with relay.logged_in(source="127.0.0.1") as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    assert log_in(relay, "127.5.0.1") == 235  # Another network of the same provider.
    assert log_in(relay, "127.6.0.1", password="wrong") == 535
    assert log_in(relay, "127.6.0.1") == 235
    assert log_in(relay, "127.99.0.1") == 235  # Nobody knows where that is.
    told = {each["kind"]: each for each in alerts(relay)}
    assert set(told) == {"success_new_network", "success_new_country"}
    for each in told.values():
        assert (each["source"], each["asn"], each["country"]) == ("127.6.0.1", 64511, "FR")
    [message] = relay.events("message")
    assert (message["asn"], message["country"]) == (64500, "DE")
    logins = [(e["source"], e["ok"], e.get("asn"), e.get("country")) for e in relay.events("login")]
    assert logins == [("127.0.0.1", True, 64500, "DE"), ("127.5.0.1", True, 64500, "DE"),
                      ("127.6.0.1", False, 64511, "FR"), ("127.6.0.1", True, 64511, "FR"),
                      ("127.99.0.1", True, None, None)]


def reload(relay: Relay) -> str:
    before = len(relay.events("reload"))
    relay.program.signal(signal.SIGHUP)
    relay.wait_event("reload", lambda _: len(relay.events("reload")) > before)
    return str(relay.events("reload")[-1]["result"])


def asn_now(relay: Relay) -> int | None:
    before = len(relay.events("login"))
    assert log_in(relay, "127.0.0.1") == 235
    relay.wait_event("login", lambda _: len(relay.events("login")) > before)
    found = relay.events("login")[-1].get("asn")
    return None if found is None else int(found)


def test_files_are_read_anew_at_a_reload_and_never_between(place: Place) -> None:
    files = databases(place, {"127.0.0.0/16": 64500}, {})
    relay, _ = place.pair({"login_guard": {"geoip": files[:1]}})
    assert asn_now(relay) == 64500
    # Overwritten in place, cut short: what was read is still there.
    Path(files[0]).write_bytes(Path(files[0]).read_bytes()[:100])
    assert asn_now(relay) == 64500
    assert reload(relay) == "failed"
    assert "asn.mmdb" in relay.events("reload")[-1]["error"] and asn_now(relay) == 64500
    databases(place, {"127.0.0.0/16": 64501}, {})
    assert reload(relay) == "ok" and asn_now(relay) == 64501
    relay.configure({"login_guard": {"geoip": []}})
    assert reload(relay) == "ok" and asn_now(relay) is None
    relay.configure({"login_guard": {"geoip": files}})
    assert reload(relay) == "ok" and asn_now(relay) == 64501
    assert alerts(relay) == []


def check(relay: Relay) -> tuple[int, list[dict[str, Any]]]:
    done = relay.cli("check", "--offline", "--json", expect=None)
    assert done.returncode in (0, 1), done
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("octets", [None, b"", b"<html>", b"\0" * 4096])
def test_a_file_that_is_none_stops_the_start_and_is_told_by_check(place: Place, octets: bytes | None) -> None:
    file = place.folder / "broken.mmdb"
    if octets is not None:
        file.write_bytes(octets)
        hand_over(file)
    relay = place.relay({"login_guard": {"geoip": [str(file)]}, "upstream": [{"address": "127.0.0.1:1", "tls": "none"}]})
    code, findings = check(relay)
    [found] = [each for each in findings if each["check"] == "geoip"]
    assert code == 1 and found["status"] == "fail" and str(file) in found["text"] and found["fix"]
    done = relay.cli("serve", expect=None)
    assert done.returncode == 1 and "login_guard.geoip" in done.stderr and "broken.mmdb" in done.stderr


def test_a_database_of_something_else_is_refused(place: Place) -> None:
    file = place.folder / "domain.mmdb"
    file.write_bytes(database("GeoIP2-Domain", {"127.0.0.0/8": {"domain": "example.net"}}))
    hand_over(file)
    relay = place.relay({"login_guard": {"geoip": [str(file)]}, "upstream": [{"address": "127.0.0.1:1", "tls": "none"}]})
    _, findings = check(relay)
    [found] = [each for each in findings if each["check"] == "geoip"]
    assert found["status"] == "fail" and "GeoIP2-Domain" in found["text"]


def test_a_file_cut_anywhere_or_of_other_types_harms_nobody(place: Place) -> None:
    whole = Path(databases(place, {"127.0.0.0/16": 64500, "127.5.0.0/16": 64511}, {})[0]).read_bytes()
    odd = database("GeoLite2-City-ASN", {
        "127.0.0.0/16": {"autonomous_system_number": "64500", "country": {"iso_code": "deutschland"}},
        "127.1.0.0/16": {"autonomous_system_number": 1, "country": "DE"},
        "127.2.0.0/16": {"country": {"iso_code": "d\x1b"}}, "127.3.0.0/16": {}})
    file = place.folder / "cut.mmdb"
    relay = place.relay({"login_guard": {"geoip": [str(file)]}, "upstream": [{"address": "127.0.0.1:1", "tls": "none"}]})
    step = max(1, len(whole) // 24)
    for length in range(0, len(whole), step):
        file.write_bytes(whole[:length])
        os.chmod(file, 0o644)
        check(relay)
    file.write_bytes(odd)
    relay.add_account()
    relay.start()
    for source in ("127.0.0.1", "127.1.0.1", "127.2.0.1", "127.3.0.1"):
        assert log_in(relay, source) == 235
    relay.stop()
    assert [(e.get("asn"), e.get("country")) for e in relay.events("login")] == [
        (None, None), (1, None), (None, None), (None, None)]
