"""The servers side by side: Postern, Debian's Postfix, and the sink behind both."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.account import Account

USER = "ann@example.net"
HOSTNAME = "bench.example.net"


class Failed(Exception):
    """The bench cannot go on, or what it counted does not add up."""


@dataclass(frozen=True)
class Place:
    """Where everything runs."""

    folder: Path
    binary: Path
    programs: Path  # the folder of bench_load and its like
    certificate: Path
    key: Path
    server_cpu: int
    other_cpu: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(cpu: int, enter: Callable[[], None] | None = None) -> Callable[[], None]:
    """To be run in a child before it becomes a program."""

    def prepare() -> None:
        os.sched_setaffinity(0, {cpu})
        if enter is not None:
            enter()

    return prepare


def run(*argv: str | Path, stdin: str = "", prepare: Callable[[], None] | None = None, seconds: float = 60) -> str:
    done = subprocess.run([str(word) for word in argv], input=stdin, capture_output=True, text=True, timeout=seconds,
                          preexec_fn=prepare, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    if done.returncode != 0:
        raise Failed(f"{argv[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_for(what: str, ready: Callable[[], bool], seconds: float = 20, every: float = 0.02) -> None:
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise Failed(f"not in {seconds:g} s: {what}")
        time.sleep(every)


def greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as peer:
            return peer.recv(4) == b"220 "
    except OSError:
        return False


class Sink:
    """Counts mails and keeps none."""

    def __init__(self, place: Place, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [place.binary, "sink", "--listen", f"127.0.0.1:{port}", "--discard"], stdout=subprocess.PIPE, text=True,
            preexec_fn=pinned(place.other_cpu))
        line = self._line()
        if not line.startswith("listening on "):
            raise Failed(f"the sink does not start: {line!r}")
        self.port = int(line.rsplit(":", 1)[1])

    def mails(self) -> int:
        self._process.send_signal(signal.SIGUSR1)
        return int(json.loads(self._line())["mails"])

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Postern:
    """`upstream` is the port of a sink, or one at which nothing listens."""

    name = "Postern"

    def __init__(self, place: Place, upstream: int, label: str = "postern") -> None:
        self.port = free_port()
        self.folder = place.folder / label
        state = self.folder / "state"
        state.mkdir(parents=True)
        self._place = place
        self._config = self.folder / "postern.toml"
        self._config.write_text(f"""
[server]
hostname = "{HOSTNAME}"
state = "{state}"
listen = ["127.0.0.1:{self.port} starttls"]
admin = ["unix:{state}/admin.sock"]
threads = 1
[tls]
certificate = "{place.certificate}"
key = "{place.key}"
[resources]
max_connections_per_source = 16000
max_connections_per_account = 16000
[limits.transactional]
messages = ["1000000/min", "100000000/day"]
recipients = ["1000000/min", "100000000/day"]
[[upstream]]
address = "127.0.0.1:{upstream}"
tls = "none"
""")
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(state, nobody.pw_uid, nobody.pw_gid)
        self.password = self.command("account", "add", USER).strip()
        self.account = Account(label)
        self._start()

    def _start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._place.binary, "serve", "-c", self._config], stdout=log, stderr=log,
                preexec_fn=pinned(self._place.server_cpu, self.account.enter))
        self.account.root = self.pid = self._process.pid
        wait_for("Postern greets", lambda: self._process.poll() is not None or greets(self.port))
        if self._process.poll() is not None:
            raise Failed(f"Postern ended with {self._process.returncode}; its log is {self.folder}/log")

    def restart(self) -> None:
        self._end()
        self._start()

    def command(self, *words: str) -> str:
        return run(self._place.binary, "-c", self._config, *words)

    def stop(self) -> None:
        self._end()
        self.account.close()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# What one instance needs, none of it in a chroot; the names and limits are Debian's.
MASTER = """
127.0.0.1:{port} inet n - n - {smtpds} smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""

SASL = """pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {database}
mech_list: PLAIN
"""


class Postfix:
    """Debian's Postfix as a submission server: parallel delivery over cached connections, no delays, nothing looked up,
    no limits to ask anvil about, and no log (nobody listens at /dev/log), which spares it work that Postern does."""

    name = "Postfix"

    def __init__(self, place: Place, upstream: int, smtpds: int = 200) -> None:
        if os.getuid() != 0:
            raise Failed("Postfix needs root")
        self.port = free_port()
        self.password = "correct-horse-battery"
        self._place = place
        folder = place.folder / "postfix"
        self._config = folder / "etc"
        queue, data, sasl = folder / "queue", folder / "data", self._config / "sasl"
        for path in (queue, data, sasl):
            path.mkdir(parents=True)
        postfix = pwd.getpwnam("postfix").pw_uid
        os.chown(data, postfix, 0)
        database = sasl / "sasldb2"
        user, domain = USER.split("@")
        run("saslpasswd2", "-p", "-c", "-f", database, "-u", domain, user, stdin=self.password)
        os.chown(database, postfix, 0)
        (sasl / "smtpd.conf").write_text(SASL.format(database=database))
        settings = {
            "compatibility_level": "3.6", "queue_directory": queue, "data_directory": data,
            "daemon_directory": "/usr/lib/postfix/sbin", "command_directory": "/usr/sbin",
            "shlib_directory": "/usr/lib/postfix", "meta_directory": "/etc/postfix", "mail_owner": "postfix",
            "setgid_group": "postdrop", "multi_instance_name": "postfix-bench", "syslog_name": "postfix-bench",
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C",
            "myhostname": HOSTNAME, "mydestination": "", "mynetworks": "", "inet_protocols": "ipv4",
            "inet_interfaces": "127.0.0.1", "alias_maps": "", "local_recipient_maps": "", "local_transport": "error",
            "relayhost": f"[127.0.0.1]:{upstream}", "smtp_host_lookup": "native", "smtp_tls_security_level": "none",
            "smtp_connection_cache_destinations": f"[127.0.0.1]:{upstream}", "smtp_destination_concurrency_limit": "20",
            "initial_destination_concurrency": "20", "in_flow_delay": "0s", "smtputf8_enable": "yes",
            "default_process_limit": "200", "qmgr_message_active_limit": "200000",
            "qmgr_message_recipient_limit": "200000",
            "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes", "smtpd_tls_cert_file": place.certificate,
            "smtpd_tls_key_file": place.key, "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "cyrus",
            "smtpd_sasl_path": "smtpd", "cyrus_sasl_config_path": sasl, "smtpd_sasl_local_domain": domain,
            "smtpd_client_restrictions": "", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject", "smtpd_peername_lookup": "no",
            "smtpd_client_event_limit_exceptions": "static:all", "smtpd_timeout": "300s",
            "message_size_limit": "26214400",
        }
        (self._config / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self._config / "master.cf").write_text(MASTER.format(port=self.port, smtpds=smtpds))
        self.account = Account("postfix")
        run("postfix", "-c", self._config, "start", prepare=pinned(place.server_cpu, self.account.enter))
        self.account.root = int((queue / "pid" / "master.pid").read_text())
        wait_for("Postfix greets", lambda: greets(self.port))

    def stop(self) -> None:
        run("postfix", "-c", self._config, "stop", seconds=90)
        self.account.close()
