"""`postern backup`: a copy made while the relay works, put in the state's place, serves the same logins."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from postern import scram
from postern.place import Place
from postern.relay import ANN, PASSWORD, Relay
from postern.scratch import hand_over
from postern.smtp import Closed, a_message

HASH = "{BLF-CRYPT}$2y$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2"  # pencil


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_manifest(folder: Path) -> None:
    kept = files(folder)
    manifest = json.loads(kept.pop("MANIFEST"))
    assert manifest["version"] and manifest["schema"] >= 4
    assert {each["path"] for each in manifest["files"]} == set(kept)
    for each in manifest["files"]:
        content = kept[each["path"]]
        assert len(content) == each["bytes"] and hashlib.sha256(content).hexdigest() == each["sha256"]
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def restored(place: Place, relay: Relay, backup: Path) -> Relay:
    """Another relay whose state is the backup."""
    other = place.relay({"upstream": relay.settings["upstream"]}, name="restored")
    shutil.rmtree(other.state)
    shutil.copytree(backup, other.state)
    for path in [other.state, *other.state.rglob("*")]:
        hand_over(path)
    other.state.chmod(0o700)
    return other.start()


@pytest.mark.parametrize("running", [True, False])
def test_restored_elsewhere_it_serves_the_same_logins(place: Place, running: bool) -> None:
    relay, _ = place.pair()
    phone = relay.cli("account", "credential", "add", ANN, "phone").stdout.strip()
    (place.folder / "old").write_text(f"old@example.net:{HASH}\n")
    (place.folder / "old").chmod(0o644)
    relay.cli("account", "import", "old", "--format", "dovecot")
    with relay.logged_in() as client:
        assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
    with relay.encrypted() as client:
        told = client.ask("AUTH PLAIN AG5vYm9keUBleGFtcGxlLm5ldAB4")
        assert told.code == 535
    if not running:
        relay.stop()
    done = relay.cli("backup", "--to", "copy")  # A path of the caller's folder.
    copy = place.folder / "copy"
    assert str(copy) in done.stdout
    check_manifest(copy)
    kept = files(copy)
    assert "accounts.db" in kept and "keys/fake_salt.key" in kept
    assert not {"lock", "admin.sock"} & set(kept) and not any(name.startswith("spool") for name in kept)
    journal = b"".join(text for name, text in sorted(kept.items()) if name.startswith("events/"))
    assert journal.endswith(b"\n")
    events = [json.loads(line) for line in journal.splitlines()]
    assert any(each["event"] == "message" for each in events)
    assert relay.cli_json("events", "--event", "admin")[-1]["what"] == "backup"

    other = restored(place, relay, copy)
    for account, password in ((ANN, PASSWORD), (f"{ANN}+phone", phone), ("old@example.net", "pencil")):
        with other.logged_in(account, password, timeout=60):
            pass
    with other.encrypted() as client:
        assert scram.login(client, ANN, PASSWORD).code == 235
    [shown] = other.cli_json("account", "show", ANN)
    assert shown["last_source"] == "127.0.0.1"
    assert other.cli_json("events", "--event", "message")


def test_taken_while_people_log_in_and_accounts_change(place: Place) -> None:
    relay, _ = place.pair()
    names = [f"u{n}" for n in range(200)]
    (place.folder / "many").write_text("".join(f"{name}@example.net:{HASH}\n" for name in names))
    (place.folder / "many").chmod(0o644)
    relay.cli("account", "import", "many", "--format", "dovecot")
    stop = threading.Event()
    failures: list[str] = []

    def log_in(names: list[str]) -> None:
        while not stop.is_set():
            for name in names:
                if stop.is_set():
                    return
                try:
                    with relay.encrypted(timeout=60) as client:
                        reply = client.auth_plain(f"{name}@example.net", "pencil")
                    if reply.code != 235:
                        failures.append(f"{name}: {reply}")
                except (OSError, Closed) as error:
                    failures.append(f"{name}: {error}")

    threads = [threading.Thread(target=log_in, args=(names[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for n in range(5):
            relay.cli("account", "add", f"new{n}@example.net", "--password-stdin", stdin="pencil\n")
            relay.cli("backup", "--to", f"copy{n}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    for n in range(5):
        check_manifest(place.folder / f"copy{n}")
    other = restored(place, relay, place.folder / "copy4")
    there = {each["account"] for each in other.cli_json("account", "list")}
    assert there == {ANN, *(f"{name}@example.net" for name in names), *(f"new{n}@example.net" for n in range(5))}
    for name in ["u0", "u99", "u199", "new4"]:
        with other.logged_in(f"{name}@example.net", "pencil", timeout=60):
            pass


@pytest.mark.parametrize("running", [True, False])
def test_a_place_that_does_not_fit_is_refused(place: Place, running: bool) -> None:
    relay, _ = place.pair()
    if not running:
        relay.stop()
    full = place.folder / "full"
    full.mkdir()
    hand_over(full)
    (full / "x").write_text("x")
    for to, why in ((full, "not empty"), (place.folder / "relay.toml", "Not a directory"),
                    (place.folder / "none" / "deeper", "No such file"), (relay.state / "copy", "is within")):
        done = relay.cli("backup", "--to", str(to), expect=1)
        assert why in done.stderr and done.stderr.startswith("postern: ") and done.stdout == ""
    assert list(full.iterdir()) == [full / "x"] and not (relay.state / "copy").exists()
    assert relay.cli("backup", expect=None).returncode == 2
    [done_json] = relay.cli_json("backup", "--to", str(place.folder / "copy"))
    assert done_json["files"] == len(files(place.folder / "copy")) - 1


@pytest.mark.skipif(os.geteuid() != 0, reason="as root there is a folder that the relay's user may not write")
def test_where_the_relay_may_not_write(place: Place) -> None:
    relay, _ = place.pair()
    closed = place.folder / "closed"
    closed.mkdir(mode=0o755)
    for to in (closed, closed / "copy"):
        done = relay.cli("backup", "--to", str(to), expect=1)
        assert "relay's user" in done.stderr
    assert list(closed.iterdir()) == []
