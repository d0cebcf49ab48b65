"""`postern account import` and `export`: files of other servers, hashes that log in as they are, and what holds meanwhile."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from postern import scram
from postern.admin import http_get
from postern.place import Place
from postern.program import unprivileged
from postern.relay import ANN, PASSWORD, upstream
from postern.smtp import Client, b64
from postern.waiting import wait_for

# All of "pencil", as other programs made them.
SHA512 = ("$6$saltsalt$rD9fW1BwIrjB90WCgCTdIQc3phTBhf04I6Iw/XlgKD9E9aEbzqGZipjiFxGo/"
          "4wWXDA6jV6/vZO.kKdDSfUJb0")
SHA256 = "$5$saltsalt$hl9BvcGsj7AkON13nbqeQHDgRpHyFxt7WDzLoS.OCQ/"
BCRYPT = "$2y$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2"
SCRAM = ("4096,MDEyMzQ1Njc4OWFiY2RlZg==,nQpbZ77WudtqufPwikHXGRt6g2QJ4zns8bZLw273DRM=,"
         "jn2amWP1q1h+jgjy0YTO14S6/F02SV7taipOeB7ef20=")
HASHES = {"sha512": "{SHA512-CRYPT}" + SHA512, "sha256": "{SHA256-CRYPT}" + SHA256, "blf": "{BLF-CRYPT}" + BCRYPT}
OTHERS = {"scram": "{SCRAM-SHA-256}" + SCRAM, "plain": "{PLAIN}pencil"}


def write(place: Place, text: str | bytes, name: str = "accounts") -> str:
    path = place.folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o644)
    return str(path)


def offered(client: Client) -> set[str]:
    return set(client.ehlo().get("AUTH", "").split())


def bare_login(client: Client, account: str, password: str, mechanism: str = "PLAIN") -> int:
    if mechanism == "PLAIN":
        return client.auth_plain(account, password).code
    assert client.ask("AUTH LOGIN").code == 334
    assert client.ask(b64(account)).code == 334
    return client.ask(b64(password)).code


def plain(account: str, password: str) -> bytes:
    return f"AUTH PLAIN {b64(f'{chr(0)}{account}{chr(0)}{password}')}\r\n".encode()


def dovecot(accounts: dict[str, str], domain: str = "example.net") -> str:
    return "".join(f"{name}@{domain}:{proof}:1000:1000::/home/{name}::\n" for name, proof in accounts.items())


def test_each_kind_of_hash_logs_in_by_password_and_then_by_scram(place: Place) -> None:
    relay, _ = place.pair()
    accounts = HASHES | OTHERS | {"locked": "!" + SHA512}
    done = relay.cli("account", "import", write(place, dovecot(accounts)), "--format", "dovecot")
    assert "added 6 accounts" in done.stdout and "SCRAM" in done.stderr
    [warned] = [line for line in relay.cli("check", "--offline", expect=None).stdout.splitlines() if "crypt hash" in line]
    assert warned.startswith("warn") and "3 accounts have only a crypt hash: SCRAM is not offered" in warned
    names = list(HASHES | OTHERS)
    for number, name in enumerate(names):
        with relay.encrypted(timeout=60) as client:
            assert not any(each.startswith("SCRAM") for each in offered(client)) or number >= len(HASHES)
            assert bare_login(client, f"{name}@example.net", "pencil", "PLAIN" if number % 2 else "LOGIN") == 235
    with relay.encrypted(timeout=60) as client:
        assert {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} <= offered(client)
    assert "crypt hash" not in relay.cli("check", "--offline", expect=None).stdout
    relay.restart()
    for name in names:
        with relay.encrypted(timeout=60) as client:
            assert scram.login(client, f"{name}@example.net", "pencil").code == 235
        with relay.encrypted(timeout=60) as client:
            assert bare_login(client, f"{name}@example.net", "pencil") == 235
    with relay.encrypted(timeout=60) as client:
        assert bare_login(client, "locked@example.net", "pencil") == 535
    assert b"pencil" not in (relay.state / "accounts.db").read_bytes()
    assert "pencil" not in relay.program.output() and "$6$" not in relay.program.output()


def test_a_connection_hears_of_it_at_its_next_ehlo_and_stays_when_its_hash_goes(place: Place) -> None:
    relay, _ = place.pair()
    with relay.encrypted(timeout=60) as early:
        assert "SCRAM-SHA-256" in offered(early)
        relay.cli("account", "import", write(place, dovecot({"old": HASHES["blf"]})), "--format", "dovecot")
        # What EHLO said holds until the next one.
        assert early.ask("AUTH SCRAM-SHA-256").code == 334
        assert early.ask("*").code == 501
        assert offered(early) == {"PLAIN", "LOGIN"}
        assert early.ask("AUTH SCRAM-SHA-256").heading == "504 5.5.4"
        with relay.logged_in("old@example.net", "pencil", timeout=60) as first:
            assert "SCRAM-SHA-256" in offered(early)
            relay.cli("account", "credential", "add", "old@example.net", "phone")
            time.sleep(0.5)
            assert first.ask("NOOP").code == 250
            relay.cli("account", "passwd", "old@example.net", "--password-stdin", stdin="another\n")
            assert first.reply().heading == "421 4.7.0"


def test_scram_beside_hashes_where_it_is_wanted(place: Place) -> None:
    relay, _ = place.pair({"auth": {"scram_beside_crypt": True}})
    relay.cli("account", "import", write(place, dovecot({"old": HASHES["sha512"]})), "--format", "dovecot")
    with relay.encrypted(timeout=60) as client:
        assert "SCRAM-SHA-256" in offered(client)
        assert scram.login(client, ANN, PASSWORD).code == 235
    with relay.encrypted(timeout=60) as client:
        assert scram.login(client, "old@example.net", "pencil").code == 535
    with relay.encrypted(timeout=60) as client:
        assert bare_login(client, "old@example.net", "pencil") == 235


def test_failing_logins_are_held_to_the_floor_and_no_thread_with_them(place: Place) -> None:
    relay, _ = place.pair({"auth": {"failure_floor": "1500ms"}, "rules": {"login_guard": "off"}})
    relay.cli("account", "import", write(place, dovecot({"old": HASHES["sha512"]})), "--format", "dovecot")
    for account in ("old@example.net", ANN, "nobody@example.net"):
        for mechanism in ("PLAIN", "LOGIN"):
            with relay.encrypted(timeout=60) as client:
                began = time.monotonic()
                assert bare_login(client, account, "wrong", mechanism) == 535
                assert time.monotonic() - began >= 1.5
    # More of them than threads, and a right login in the midst.
    clients = [relay.encrypted(timeout=60) for _ in range(16)]
    for client in clients:
        client.send(plain("nobody@example.net", "wrong"))
    with relay.logged_in(timeout=60):
        pass
    for client in clients:
        assert client.reply().code == 535
        client.close()
    with relay.encrypted(timeout=60) as client:
        assert bare_login(client, "old@example.net", "pencil") == 235
    with relay.encrypted(timeout=60) as client:  # Its last hash is gone, and with it the floor.
        assert bare_login(client, ANN, "wrong") == 535
    assert relay.cli_json("account", "show", "old@example.net")[0]["state"] == "active"


FORMATS = {
    "csv": f"account,hash\nann2@example.net,{SHA512}\nbob@example.net,{{PLAIN}}pencil\n",
    "dovecot": f"ann2@example.net:{SHA512}\nbob@example.net:{{PLAIN}}pencil\n",
    "htpasswd": f"ann2@example.net:{BCRYPT}\nbob@example.net:{SHA256}\n",
    "shadow": f"ann2@example.net:{SHA512}:19000:0:99999:7:::\nbob@example.net:{SHA256}:19000::::::\n",
    "sasldb": "VERSION=3\nformat=print\ntype=hash\nHEADER=END\n ann2\\00example.net\\00userPassword\n pencil\n"
              " bob\\00example.net\\00userPassword\n pencil\nDATA=END\n",
}


@pytest.mark.parametrize("kind", sorted(FORMATS))
@pytest.mark.parametrize("running", [True, False])
def test_every_format_running_and_stopped(place: Place, kind: str, running: bool) -> None:
    relay, _ = place.pair()
    if not running:
        relay.stop()
    file = write(place, FORMATS[kind])
    [dry] = relay.cli_json("account", "import", file, "--format", kind, "--dry-run")
    assert (dry["matched"], dry["changed"]) == (2, 0)
    assert [a["account"] for a in relay.cli_json("account", "list")] == [ANN]
    [done] = relay.cli_json("account", "import", file, "--format", kind)
    assert (done["matched"], done["changed"], done["failed"]) == (2, 2, 0)
    if not running:
        relay.start()
    for account in ("ann2@example.net", "bob@example.net"):
        with relay.logged_in(account, "pencil", timeout=60):
            pass
    [told] = [e for e in relay.cli_json("events", "--event", "admin") if e["what"] == "account_import"]
    assert "pencil" not in str(told)
    again = relay.cli("account", "import", file, "--format", kind, expect=1)
    assert "is there already" in again.stderr


@pytest.mark.parametrize("running", [True, False])
def test_bad_lines_are_named_and_nothing_is_imported(place: Place, running: bool) -> None:
    relay, _ = place.pair()
    if not running:
        relay.stop()
    file = write(place, f"good@example.net:{SHA512}\n"
                        "a@example.net:{SSHA}hunter2\n"
                        "b:{PLAIN}x\n"
                        f"{ANN}:*\n"
                        "c@example.net:$6$rounds=999999999$salt$" + "a" * 86 + "\n"
                        "d@example.net:$2y$31$" + "a" * 53 + "\n"
                        f"good@example.net:{SHA512}\n"
                        "e@example.net:{PLAIN}OCTET\n")
    Path(file).write_bytes(Path(file).read_bytes().replace(b"OCTET", b"\xff"))
    done = relay.cli("account", "import", file, "--format", "dovecot", expect=1)
    assert done.stdout == "" and "hunter2" not in done.stderr
    for line in range(2, 9):
        assert f"{file}:{line}: " in done.stderr, done.stderr
    assert f"{file}:1: " not in done.stderr and "nothing was imported" in done.stderr
    assert [a["account"] for a in relay.cli_json("account", "list")] == [ANN]
    told = relay.cli("account", "import", file, "--format", "dovecot", "--json", expect=1)
    problem = json.loads(told.stderr)
    assert problem["code"] == "invalid" and [each["line"] for each in problem["lines"]] == list(range(2, 9))
    many = write(place, "x\n" * 5000)
    assert relay.cli("account", "import", many, "--format", "dovecot", expect=1).stderr.count(f"{many}:") == 100 + 1


@pytest.mark.parametrize(("arguments", "code"), [
    (("accounts", "--format", "passwd"), 2),
    (("accounts",), 2),
    (("none", "--format", "csv"), 2),
    (("accounts", "--format", "dovecot", "--domain", "no domain"), 2),
])
def test_what_is_refused_before_a_line_is_read(place: Place, arguments: tuple[str, ...], code: int) -> None:
    relay, _ = place.pair()
    write(place, "")
    done = relay.cli("account", "import", *arguments, expect=None)
    assert done.returncode == code and done.stderr.startswith("postern: ") and done.stdout == ""


def test_a_file_of_many_parts_is_one_import(place: Place) -> None:
    relay, _ = place.pair()
    lines = [f"user{n}:{SHA512}:1000:1000:{'x' * 60}:/home/{n}:\n" for n in range(12_000)]
    file = write(place, "".join(lines) + "last:{SSHA}x\n")
    done = relay.cli("account", "import", file, "--format", "dovecot", "--domain", "example.net", expect=1)
    assert f"{file}:12001: " in done.stderr
    assert len(relay.cli_json("account", "list")) == 1
    file = write(place, "".join(lines))
    # Whoever logs in meanwhile is served.
    process = subprocess.Popen(
        [str(relay.binary), "-c", str(relay.config), "account", "import", file, "--format", "dovecot", "--domain",
         "example.net"], stdout=subprocess.PIPE, text=True, **unprivileged())
    logins = 0
    while process.poll() is None:
        with relay.logged_in(timeout=60):
            logins += 1
    assert process.returncode == 0 and logins > 0
    assert "added 12000 accounts" in (process.stdout.read() if process.stdout else "")
    with relay.logged_in("user11999@example.net", "pencil", timeout=60):
        pass
    whole = json.loads(relay.cli("account", "export").stdout)
    assert len(whole["accounts"]) == 12_001


@pytest.mark.skipif(shutil.which("saslpasswd2") is None or shutil.which("db_dump") is None,
                    reason="needs saslpasswd2 (sasl2-bin) and db_dump (db-util)")
@pytest.mark.parametrize("form", [["-p"], []])
def test_a_real_sasldb2(place: Place, form: list[str]) -> None:
    relay, _ = place.pair()
    database = place.folder / "sasldb2"
    for user, realm, password in (("eve", "example.net", "a:b\\c d"), ("gus", "mailhost", "grün")):
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", str(database), "-u", realm, user],
                       input=password.encode(), check=True)
    dump = subprocess.run(["db_dump", *form, str(database)], check=True, capture_output=True).stdout
    relay.cli("account", "import", write(place, dump), "--format", "sasldb", "--domain", "example.org")
    for account, password in (("eve@example.net", "a:b\\c d"), ("gus@example.org", "grün")):
        with relay.encrypted(timeout=60) as client:
            assert scram.login(client, account, password).code == 235


@pytest.mark.skipif(shutil.which("htpasswd") is None, reason="needs htpasswd (apache2-utils)")
def test_what_a_real_htpasswd_makes(place: Place) -> None:
    relay, _ = place.pair()
    file = place.folder / "htpasswd"
    run = lambda *options: subprocess.run(["htpasswd", "-b", *options, str(file), "eve@example.net", "pencil"],
                                          check=True, capture_output=True)
    for option in ("-m", "-s", "-d"):
        run("-c", option)
        refused = relay.cli("account", "import", str(file), "--format", "htpasswd", expect=1)
        assert f"{file}:1: " in refused.stderr
    run("-c", "-B", "-C", "5")
    relay.cli("account", "import", str(file), "--format", "htpasswd")
    with relay.logged_in("eve@example.net", "pencil", timeout=60):
        pass


def test_export_is_the_file_of_replay(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink())]})
    assert json.loads(relay.cli("account", "export").stdout) == {"customers": [], "accounts": []}
    relay.cli("customer", "add", "shop", "--domain", "shop.example", "--contact", "ops@shop.example")
    relay.add_account(ANN, owns=("example.org",))
    relay.cli("account", "set", ANN, "--customer", "shop")
    relay.add_account("bob@example.net")
    for running in (False, True):
        if running:
            relay.start()
        done = relay.cli("account", "export")
        whole = json.loads(done.stdout)
        [shop] = whole["customers"]
        assert shop == {"customer": "shop", "domains": ["shop.example"]}
        ann, bob = whole["accounts"]
        assert ann["account"] == ANN and ann["customer"] == "shop" and ann["owns"] == [ANN, "example.org"]
        assert ann["created"].endswith("Z") and "customer" not in bob
        assert json.loads(relay.cli("account", "export", "--json").stdout) == whole
        assert PASSWORD not in done.stdout


def test_the_api_takes_parts_too(place: Place) -> None:
    relay, _ = place.pair()

    def post(**fields: object) -> tuple[int, dict[str, object]]:
        answer = http_get(relay.socket_path, "/api/v1/account/import", method="POST", body=json.dumps(fields))
        return answer.status, json.loads(answer.body)

    data = base64.b64encode(f"eve@example.net:{SHA512}\n".encode()).decode()
    status, first = post(format="dovecot", data=data, more=True)
    assert status == 200
    assert post(format="dovecot", data=data)[0] == 409
    assert post(**{"import": "0" * 16, "data": data})[0] == 404
    status, last = post(**{"import": first["import"], "data": ""})
    assert (status, last["changed"]) == (200, 1)
    # A stop in the midst of one leaves nothing.
    assert post(format="dovecot", data=data, more=True)[0] == 200
    relay.restart()
    assert len(relay.cli_json("account", "list")) == 2


def test_all_owners_log_in_at_once(place: Place) -> None:
    """Right after an import each first login writes a verifier; all of them get in."""
    relay, _ = place.pair()
    names = [f"u{n}" for n in range(10)]
    relay.cli("account", "import", write(place, dovecot({name: HASHES["blf"] for name in names})), "--format", "dovecot")

    def all_log_in() -> bool:
        clients = [relay.encrypted(timeout=60) for _ in names]
        for name, client in zip(names, clients):
            client.send(plain(f"{name}@example.net", "pencil"))
        for client in clients:
            assert client.reply().code == 235
            client.close()
        with relay.encrypted(timeout=60) as client:
            return "SCRAM-SHA-256" in offered(client)

    # Where another change takes long, the next login writes it.
    wait_for("all hashes are verifiers", all_log_in)
