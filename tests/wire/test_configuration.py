"""Wrong configurations: each is refused with file, line, key, and what would be right."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from postern.place import Place
from postern.program import Program, environment, unprivileged
from postern.relay import Relay, upstream

GOOD = """[server]
hostname = "smtp.example.net"
state = "{state}"
listen = ["127.0.0.1:10587 starttls"]
[tls]
certificate = "{certificate}"
key = "{key}"
[[upstream]]
address = "127.0.0.1:2525"
tls = "none"
"""


@pytest.fixture
def file(place: Place) -> Path:
    path = place.folder / "postern.toml"
    path.write_text(GOOD.format(state=place.folder / "state", certificate=place.certificate.certificate,
                                key=place.certificate.key))
    return path


def run(binary: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(binary), *arguments], capture_output=True, text=True, timeout=60,
                          env=environment(env), **unprivileged())


def test_the_good_one_passes(binary: Path, file: Path) -> None:
    done = run(binary, "check", "--offline", "-c", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("old", "new", "told"), [
    ("hostname", "hostnam", ("2", "hostnam", "hostname")),
    ('hostname = "smtp.example.net"', 'hostname = "smtp"', ("2", "hostname")),
    ('tls = "none"', 'tls = "maybe"', ("10", "tls", "verify")),
    ('tls = "none"', 'role = "primry"', ("10", "role", "primary")),
    ('"127.0.0.1:10587 starttls"', '"127.0.0.1:10587 startls"', ("4", "listen", "starttls")),
    ('"127.0.0.1:10587 starttls"', '"127.0.0.1:99999 tls"', ("4", "listen")),
    ("[tls]", '[delivery]\ncut_through_deadline = "20 parsecs"\n[tls]', ("6", "cut_through_deadline")),
    ("[tls]", '[message]\nmax_size = "big"\n[tls]', ("6", "max_size")),
    ("[tls]", '[limits.transactional]\nmessages = ["60/fortnight"]\n[tls]', ("6", "messages")),
    ("[tls]", '[delivery]\nmode = "cut-trough"\n[tls]', ("6", "mode", "cut-through")),
    ("[tls]", "[serverr]\n[tls]", ("5", "serverr")),
    ("[tls]", "[tls", ("5",)),
    ("[tls]", '[auth]\nmechanisms = ["CRAM-MD5"]\n[tls]', ("6", "mechanisms")),
    ('address = "127.0.0.1:2525"\n', "", ("address",)),
])
def test_what_is_wrong_is_named(binary: Path, file: Path, old: str, new: str, told: tuple[str, ...]) -> None:
    file.write_text(file.read_text().replace(old, new, 1))
    for command, code in ((("serve",), 2), (("check", "--offline"), 1)):
        done = run(binary, *command, "-c", str(file))
        text = done.stdout + done.stderr
        assert done.returncode == code, text
        assert file.name in text
        for word in told:
            assert word in text


def test_no_upstream_at_all(binary: Path, file: Path) -> None:
    file.write_text(file.read_text().partition("[[upstream]]")[0])
    done = run(binary, "serve", "-c", str(file))
    assert done.returncode == 2 and "upstream" in done.stderr


def test_a_file_that_is_missing(binary: Path, place: Place) -> None:
    done = run(binary, "serve", "-c", str(place.folder / "nowhere.toml"))
    assert done.returncode == 2 and "nowhere.toml" in done.stderr


@pytest.mark.parametrize("which", ["certificate", "key"])
@pytest.mark.parametrize("fault", ["missing", "garbage", "other"])
def test_certificates_that_do_not_serve(binary: Path, place: Place, file: Path, which: str, fault: str,
                                        rsa_certificate: object) -> None:
    bad = place.folder / f"bad-{which}.pem"
    if fault == "garbage":
        bad.write_text("no PEM\n")
    elif fault == "other":
        bad.write_bytes(getattr(rsa_certificate, which).read_bytes())
    good = getattr(place.certificate, which)
    file.write_text(file.read_text().replace(str(good), str(bad), 1))
    for command in (("serve",), ("check", "--offline")):
        done = run(binary, *command, "-c", str(file))
        assert done.returncode in (1, 2)
        assert "bad-" in done.stdout + done.stderr


def test_environment_overrides(binary: Path, place: Place, file: Path) -> None:
    done = run(binary, "check", "--offline", "-c", str(file), env={"POSTERN_MESSAGE_MAX_SIZE": "big"})
    assert done.returncode == 1 and "POSTERN_MESSAGE_MAX_SIZE" in done.stdout + done.stderr
    done = run(binary, "check", "--offline", "-c", str(file), env={"POSTERN_MESSAGE_MAX_SIZ": "1MiB"})
    assert done.returncode == 1 and "POSTERN_MESSAGE_MAX_SIZE" in done.stdout + done.stderr
    relay: Relay = place.relay({"upstream": [upstream(place.sink().start())]})
    size = place.folder / "size"
    size.write_text("1MiB\n")
    relay.program = Program("env", relay.program.argv, place.folder, env={"POSTERN_MESSAGE_MAX_SIZE_FILE": str(size)})
    relay.start()
    with relay.plain() as client:
        assert client.ehlo()["SIZE"] == str(1024 * 1024)


def test_a_key_of_a_later_capability_is_named_and_without_effect(binary: Path, place: Place) -> None:
    relay = place.relay({"alerts": {"queue_age": "2h"}, "upstream": [upstream(place.sink().start())]})
    relay.start()
    relay.stop()
    assert "queue_age" in relay.program.output() or "alerts" in relay.program.output()


def test_check_logs_in_upstream(binary: Path, place: Place) -> None:
    relay, sink = place.pair()
    found = relay.cli_json("check")
    assert all({"check", "status", "text"} <= set(each) for each in found)
    sink.stop()
    done = relay.cli("check", expect=None)
    assert done.returncode == 1 and sink.where.split(":")[0] in done.stdout + done.stderr


def test_check_says_who_listens_already(binary: Path, place: Place) -> None:
    relay, _ = place.pair()
    assert not [each for each in relay.cli_json("check") if each["check"] == "listen"]
    relay.stop()
    with socket.socket() as other:
        other.bind(relay.submission)
        other.listen()
        found = [each for each in relay.cli_json("check") if each["check"] == "listen"]
        assert len(found) == 1 and str(relay.submission[1]) in found[0]["text"]
        assert found[0]["status"] == "warn"
