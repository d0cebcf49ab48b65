"""Life of the process: start, lock, drain, reload, rights, full disk, HTTP on the admin socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from postern.place import Place
from postern.admin import http_get
from postern.program import Program, environment, unprivileged
from postern.relay import ANN, Relay, upstream
from postern.scratch import NOBODY, free_port, fresh_address, runs_as_root
from postern.settings import to_toml
from postern.smtp import Client, Closed, a_message
from postern.waiting import PATIENCE, wait_for

needs_root = pytest.mark.skipif(not runs_as_root(), reason="needs root")


def test_version(binary: Path) -> None:
    done = subprocess.run([binary, "version"], capture_output=True, text=True, env=environment())
    assert done.returncode == 0
    major, minor, patch = done.stdout.strip().split(".")
    assert all(part.isdigit() for part in (major, minor, patch))
    assert set(json.loads(subprocess.run([binary, "version", "--json"], capture_output=True, text=True,
                                         env=environment()).stdout)) >= {"version", "commit", "built"}


def test_help_names_the_commands(binary: Path) -> None:
    done = subprocess.run([binary, "--help"], capture_output=True, text=True, env=environment())
    assert done.returncode == 0
    for command in ("serve", "check", "account", "queue", "trace", "sink", "version"):
        assert command in done.stdout


def test_an_idle_relay_ends_at_once(place: Place) -> None:
    relay, _ = place.pair()
    began = time.monotonic()
    relay.stop()
    assert time.monotonic() - began < 5


def test_sigterm_says_goodbye_to_idle_clients(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        relay.program.signal(signal.SIGTERM)
        assert client.reply().heading == "421 4.3.2"
        assert client.closed()
    relay.stop()


def test_sigterm_lets_a_message_under_way_finish(place: Place) -> None:
    relay, sink = place.pair()
    with relay.logged_in() as client:
        client.mail("ann@example.net", "bob@example.org")
        assert client.ask("DATA").code == 354
        client.send(a_message(subject="last"))
        relay.program.signal(signal.SIGTERM)
        time.sleep(0.5)
        client.send(b".\r\n")
        assert client.reply().code == 250
        assert client.reply().heading == "421 4.3.2"
    relay.stop()
    relay.start()  # It may have gone to the spool: nothing waits for an upstream in a drain.
    assert [mail.message["Subject"] for mail in sink.wait_for_mails(1, 30)] == ["last"]


def test_mail_that_waits_for_an_upstream_is_queued_at_sigterm(place: Place) -> None:
    relay, sink = place.pair({"delivery": {"cut_through_deadline": "60s"}}, "mail:hang")
    with relay.logged_in(timeout=40) as client:
        client.mail("ann@example.net", "bob@example.org")
        client.ask("DATA")
        client.send(a_message() + b".\r\n")
        time.sleep(0.5)
        began = time.monotonic()
        relay.program.signal(signal.SIGTERM)
        assert "queued as" in client.reply().text
        assert time.monotonic() - began < 5
    relay.stop()
    sink.restart()
    relay.start()
    sink.wait_for_mails(1, 90)


def test_queued_mail_whose_dot_has_gone_at_sigterm_stays_with_its_path(place: Place) -> None:
    primary, fallback = place.sink("primary").start("dot:hang"), place.sink("fallback").start()
    relay = place.relay({"delivery": {"mode": "spool", "retry": {"first": "1s", "factor": 1.0, "max": "1s",
                                                                 "jitter": 0.0}},
                         "upstream": [upstream(primary), upstream(fallback, role="fallback")]})
    relay.add_account()
    relay.start()
    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message(subject="doubt")).code == 250
    wait_for("it is on its way", lambda: [entry["state"] for entry in relay.queue()] == ["active"], 20)
    time.sleep(0.5)
    relay.stop()
    relay.start()
    [entry] = relay.queue()
    assert entry["upstream"] == "primary"
    assert [told["upstream"] for told in relay.events("delivery") if told["result"] == "in_doubt"] == ["primary"]
    primary.restart()
    wait_for("an empty queue", lambda: relay.queue() == [], 90)
    assert len(primary.mails()) == 1 and fallback.mails() == []


def test_a_connection_to_the_admin_socket_that_stays_open_does_not_disturb_the_end(place: Place) -> None:
    relay, _ = place.pair()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as idle:
        idle.settimeout(10)
        idle.connect(str(relay.socket_path))
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        relay.stop()


def test_sigint_drains_too(place: Place) -> None:
    relay, _ = place.pair()
    relay.program.signal(signal.SIGINT)
    assert relay.program.wait() == 0


def test_a_second_serve_on_the_same_state_refuses(place: Place) -> None:
    relay, _ = place.pair()
    other = place.folder / "other.toml"
    settings = {**relay.settings, "server": {**relay.settings["server"],
                                            "listen": [f"{relay.host}:{free_port(relay.host)} tls"]}}
    other.write_text(to_toml(settings))
    done = subprocess.run([relay.binary, "serve", "-c", other], capture_output=True, text=True, timeout=30,
                          env=environment(), **unprivileged())
    assert done.returncode == 1
    assert str(relay.program.pid) in done.stderr or "lock" in done.stderr
    with relay.logged_in():
        pass


def test_a_port_in_use_is_named(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink())]})
    with socket.socket() as taken:
        taken.bind(relay.submission)
        taken.listen()
        done = relay.cli("serve", expect=None)
    assert done.returncode == 1 and str(relay.submission[1]) in done.stderr


def test_any_number_of_listeners_and_ipv6(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    ports = [free_port("::1"), free_port(relay.host), free_port(relay.host)]
    relay.configure({"server": {"listen": [*relay.settings["server"]["listen"], f"[::1]:{ports[0]} tls",
                                           f"{relay.host}:{ports[1]} starttls name=office",
                                           f"{relay.host}:{ports[2]} tls"]}})
    relay.add_account()
    relay.start()
    for address, implicit in ((("::1", ports[0]), True), ((relay.host, ports[1]), False), ((relay.host, ports[2]), True)):
        with Client(address, tls=implicit) as client:
            assert client.reply().code == 220
            assert client.ehlo()


def test_state_and_socket_are_closed_to_others(place: Place) -> None:
    relay, _ = place.pair()
    assert stat.S_IMODE(relay.state.stat().st_mode) == 0o700
    assert stat.S_IMODE(relay.socket_path.stat().st_mode) == 0o660
    for path in relay.state.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        allowed = 0o700 if path.is_dir() else 0o660 if path.is_socket() else 0o600
        assert mode & ~allowed == 0, f"{path} {mode:o}"


def test_the_admin_socket_answers(place: Place) -> None:
    relay, _ = place.pair()
    assert relay.get("/healthz").status == 200 and relay.get("/readyz").status == 200
    assert relay.get("/nowhere").status == 404
    assert http_get(relay.socket_path, "/metrics", method="POST", body="").status in (404, 405)
    listed = relay.get("/api/v1/queue")
    assert listed.status == 200 and json.loads(listed.body)["items"] == []
    problem = relay.get("/api/v1/account/nobody@example.net")
    assert problem.status == 404 and problem.headers["content-type"].startswith("application/problem+json")


def test_the_admin_port_gives_nothing_away(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    port = free_port(relay.host)
    relay.configure({"server": {"admin": [f"{relay.host}:{port}"]}})
    relay.add_account()
    relay.start()
    where = (relay.host, port)
    for target in ("/healthz", "/readyz", "/metrics"):
        assert http_get(where, target).status == 200
    assert http_get(where, "/api/v1/account").status in (401, 403, 404)
    with socket.create_connection(where, 5) as noise:
        noise.sendall(b"\0\1\2\3" * 1000 + b"\r\n\r\n")
        noise.settimeout(10)
        assert noise.recv(100)[:9] in (b"", b"HTTP/1.1 ")
    assert relay.get("/healthz").status == 200


def test_readyz_while_draining(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        client.mail("ann@example.net", "bob@example.org")
        client.ask("DATA")
        relay.program.signal(signal.SIGTERM)

        def draining() -> bool:
            try:
                return relay.get("/readyz").status == 503 and relay.get("/healthz").status == 200
            except OSError:
                return False

        wait_for("draining shows", draining, 5)
        client.send(a_message() + b".\r\n")
        client.reply()
    relay.stop()


def test_reload_takes_new_values(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as before:
        relay.configure({"message": {"max_recipients": 2}})
        relay.cli("reload")
        with relay.logged_in() as client:
            assert [r.code for r in client.mail("ann@example.net", "a@x.org", "b@x.org", "c@x.org")] == [250, 250, 250, 452]
        assert before.ask("NOOP").code == 250
    relay.configure({"message": {"max_recipients": 3}})
    relay.program.signal(signal.SIGHUP)
    wait_for("the second reload", lambda: len(relay.events("reload")) >= 2)


def test_a_bad_reload_changes_nothing(place: Place) -> None:
    relay, _ = place.pair()
    good = relay.config.read_text()
    relay.config.write_text(good.replace("hostname =", "hostnam ="))
    done = relay.cli("reload", expect=None)
    assert done.returncode != 0
    assert "hostnam" in done.stderr
    relay.config.write_text(good)
    relay.configure({"server": {"threads": 3}})
    done = relay.cli("reload", expect=None)
    assert done.returncode == 1 and "threads" in done.stderr
    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250


def test_the_log_moves_at_a_reload(place: Place) -> None:
    relay, _ = place.pair()
    log = place.folder / "moved.log"
    relay.configure({"log": {"target": f"file:{log}"}})
    if runs_as_root():
        log.touch()
        os.chown(log, NOBODY, NOBODY)
    relay.cli("reload")
    wait_for("the log is there", lambda: log.exists() and "reload" in log.read_text(), 10)
    with relay.logged_in():
        pass
    wait_for("a login", lambda: '"login"' in log.read_text(), 10)


def test_an_upstream_that_swallows_connections_does_not_hold_up_the_end(place: Place) -> None:
    """Nobody accepts: a connection attempt of a spooled mail hangs when the relay is told to end."""
    with socket.socket() as full:
        host = fresh_address()
        full.bind((host, 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        relay = place.relay({"upstream": [{"address": f"{host}:{full.getsockname()[1]}", "tls": "none"}],
                             "delivery": {"mode": "spool"}, "server": {"drain": "1s"}})
        relay.add_account()
        relay.start()
        with relay.logged_in() as client:
            assert client.submit(ANN, ["bob@example.org"], a_message()).code == 250
        wait_for("an attempt", lambda: relay.queue()[0]["state"] == "active", 10)
        began = time.monotonic()
        relay.stop()
        assert time.monotonic() - began < 10 * PATIENCE, "the connection attempt was waited for"
        for each in fillers:
            each.close()


@needs_root
def test_root_binds_and_becomes_another(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    os.chown(relay.state, 0, 0)
    relay.configure({"server": {"user": "nobody"}})
    relay.program = Program("root", relay.program.argv, place.folder, as_root=True)
    relay.start()
    status = Path(f"/proc/{relay.program.pid}/status").read_text()
    ids = {line.split()[0]: line.split()[1:] for line in status.splitlines() if line.startswith(("Uid", "Gid", "Cap"))}
    assert set(ids["Uid:"]) == {str(NOBODY)} and set(ids["Gid:"]) == {str(NOBODY)}
    assert int(ids["CapEff:"][0], 16) == 0 and int(ids["CapPrm:"][0], 16) == 0
    done = subprocess.run([relay.binary, "-c", relay.config, "account", "add", ANN, "--password-stdin"],
                          input="x y z\n", text=True, capture_output=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert [path for path in relay.state.rglob("*") if path.lstat().st_uid != NOBODY] == []
    with relay.logged_in(password="x y z"):
        pass


@needs_root
def test_root_as_the_user_is_refused(place: Place) -> None:
    relay = place.relay({"server": {"user": "root"}, "upstream": [upstream(place.sink())]})
    done = subprocess.run([relay.binary, "serve", "-c", relay.config], text=True, capture_output=True,
                          env=environment(), timeout=20)
    assert done.returncode in (1, 2) and "root" in done.stderr


@needs_root
def test_check_as_root_knows_a_key_that_the_user_cannot_read(place: Place) -> None:
    relay = place.relay({"server": {"user": "nobody"}, "upstream": [upstream(place.sink().start())]})
    hidden = place.folder / "hidden"
    hidden.mkdir(mode=0o700)
    os.chown(hidden, 0, 0)
    key = hidden / "key.pem"
    key.write_bytes(place.certificate.key.read_bytes())
    relay.configure({"tls": {"key": str(key)}})
    done = subprocess.run([relay.binary, "check", "-c", relay.config], text=True, capture_output=True, env=environment())
    told = done.stdout + done.stderr
    assert "key.pem" in told and "nobody" in told


@pytest.fixture
def small_disk(place: Place) -> object:
    if not runs_as_root():
        pytest.skip("mounting a small file system needs root")
    folder = place.folder / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0755", "none", folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.strip()}")
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_452_and_heals(place: Place, small_disk: Path) -> None:
    sink = place.sink()
    relay = place.relay({"delivery": {"mode": "spool"}, "upstream": [upstream(sink)],
                         "spool": {"path": str(small_disk / "spool"), "reserve": "1MiB"}})
    relay.add_account()
    relay.start()
    filler = small_disk / "filler"
    body = "x" * 998 + "\r\n"
    accepted = 0
    with relay.logged_in(timeout=60) as client:
        for reply in client.mail("ann@example.net", "bob@example.org"):
            assert reply.code == 250
        assert client.data(a_message()).code == 250
        accepted += 1
        free = os.statvfs(small_disk)
        filler.write_bytes(b"x" * max(0, free.f_bavail * free.f_bsize - 512 * 1024))
        refused = 0
        for _ in range(5):
            reply = client.ask("MAIL FROM:<ann@example.net>")
            if reply.code == 250:
                client.ask("RCPT TO:<bob@example.org>")
                reply = client.data(a_message(body=body * 400))
            assert reply.heading in ("452 4.3.1", "250 2.0.0"), reply
            refused += reply.code == 452
            accepted += reply.code == 250
            client.ask("RSET")
        assert refused > 0
        assert relay.metrics().total("postern_spool_errors_total", kind="full") > 0
        filler.unlink()

        def again() -> bool:
            reply = client.ask("MAIL FROM:<ann@example.net>")
            if reply.code != 250:
                return False
            client.ask("RCPT TO:<bob@example.org>")
            done = client.data(a_message(subject="again")).code == 250
            client.ask("RSET")
            return done

        wait_for("space is used again", again, 30)
        accepted += 1
    assert len(relay.queue()) == accepted
    sink.start()
    relay.cli("queue", "retry", "--all")
    sink.wait_for_mails(accepted, 60)


def test_a_spool_that_cannot_be_written_at_start(place: Place) -> None:
    blocked = place.folder / "blocked"
    blocked.write_text("a file where a folder should be")
    relay = place.relay({"upstream": [upstream(place.sink())], "spool": {"path": str(blocked)}})
    done = relay.cli("serve", expect=None)
    assert done.returncode in (1, 4) and "blocked" in done.stderr


def test_logs_are_json_lines_that_can_be_followed(place: Place) -> None:
    relay, sink = place.pair()
    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
    message = relay.wait_event("message")
    assert set(message) >= {"t", "event", "session", "ref", "account", "source", "mail_from", "header_from", "rcpts",
                            "bytes", "outcome"}
    delivery = relay.wait_event("delivery", lambda e: e["ref"] == message["ref"])
    assert delivery["rcpt"] == "bob@example.org" and delivery["code"] == 250
    login = relay.wait_event("login")
    assert login["ok"] is True and login["mechanism"] == "PLAIN" and login["session"] == message["session"]
    assert b"id " + message["ref"].encode() in sink.wait_for_mails(1)[0].raw
    seqs = [entry["seq"] for entry in relay.events() if "seq" in entry]
    assert len(seqs) == len(set(seqs))


def test_metrics(place: Place) -> None:
    relay, _ = place.pair()
    with relay.logged_in() as client:
        assert client.submit("ann@example.net", ["bob@example.org", "eve@example.org"], a_message()).code == 250
        client.ask("MAIL FROM:<eve@example.com>")
        metrics = relay.metrics()
        assert metrics.total("postern_connections") == 1
    assert metrics.total("postern_connections_total", result="accepted") >= 1
    assert metrics.total("postern_tls_handshakes_total") >= 1
    assert metrics.total("postern_logins_total", mechanism="PLAIN", result="ok") == 1
    assert metrics.total("postern_messages_total", outcome="accepted") == 1
    assert metrics.total("postern_recipients_total", outcome="accepted") == 2
    assert metrics.total("postern_deliveries_total", result="delivered") == 2
    assert metrics.total("postern_replies_total", command="MAIL", code="550") == 1
    assert metrics.total("postern_queue_entries") == 0
    assert metrics.names() >= {"postern_build_info", "postern_spool_free_bytes", "postern_upstream_breaker",
                               "postern_certificate_expiry_timestamp_seconds", "postern_accept_seconds_count",
                               "process_resident_memory_bytes", "postern_body_memory_bytes"}


def test_a_stuck_log_does_not_stop_mail(place: Place) -> None:
    """stdout is a pipe that nobody reads: lines are dropped, mail goes on."""
    sink = place.sink().start()
    relay = place.relay({"upstream": [upstream(sink)], "log": {"level": "debug"}})
    relay.add_account()
    reading, writing = os.pipe()
    process = subprocess.Popen(relay.program.argv, stdout=writing, stderr=subprocess.DEVNULL, env=environment(),
                               **unprivileged())
    os.close(writing)
    try:
        wait_for("ready", lambda: relay.socket_path.exists() and _ready(relay), 20)
        with relay.logged_in() as client:
            for n in range(300):
                assert client.submit("ann@example.net", ["bob@example.org"], a_message(subject=f"n{n}")).code == 250
        assert len(sink.mails()) == 300
    finally:
        process.terminate()
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(reading)


def _ready(relay: Relay) -> bool:
    try:
        return relay.get("/readyz").status == 200
    except OSError:
        return False


def test_file_descriptors_run_out_with_a_clear_answer(place: Place) -> None:
    if b"__ubsan_" in place.binary.read_bytes():
        pytest.skip("UBSan's own checks need a file descriptor, and report a fault where there is none left")
    relay = place.relay({"upstream": [upstream(place.sink().start())], "resources": {"max_connections_per_source": 1000}})
    relay.add_account()
    relay.program.argv = ["prlimit", "--nofile=128:128", *relay.program.argv]
    relay.start()
    held: list[socket.socket] = []
    answers = set()
    try:
        for _ in range(160):
            sock = socket.create_connection(relay.submission, 5)
            sock.settimeout(5)
            held.append(sock)
            try:
                answers.add(sock.recv(100)[:3])
            except (TimeoutError, ConnectionError):
                answers.add(b"")
                break
        assert b"421" in answers
    finally:
        for sock in held:
            sock.close()

    def open_again() -> bool:
        try:
            with relay.logged_in() as client:
                return client.submit("ann@example.net", ["bob@example.org"], a_message()).code == 250
        except (OSError, AssertionError, Closed):
            return False

    wait_for("the relay serves again", open_again, 20)


def test_sd_notify(place: Place) -> None:
    relay = place.relay({"upstream": [upstream(place.sink().start())]})
    path = place.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.settimeout(20)
        relay.program = Program("notify", relay.program.argv, place.folder, env={"NOTIFY_SOCKET": str(path)})
        relay.start()
        said = b""
        while b"READY=1" not in said:
            said += listener.recv(4096)
        relay.stop()
        while b"STOPPING=1" not in said:
            said += listener.recv(4096)
