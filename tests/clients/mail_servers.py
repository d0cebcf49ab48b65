"""Postfix and Exim from scratch configurations: as clients of the relay, and as its upstreams."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from postern.certificates import Certificate
from postern.program import Program
from postern.scratch import NOBODY, hand_over, runs_as_root
from postern.waiting import wait_for
from site_under_test import needs, run

ROOT = Path(__file__).resolve().parents[2]
LIBEXEC = "/usr/lib/postfix/sbin"

MASTER = """{listener}
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """One instance; its log is in `log`."""

    def __init__(self, folder: Path, settings: dict[str, str], listener: str = "") -> None:
        if not runs_as_root():
            pytest.skip("Postfix needs root")
        needs("postfix")
        self.config = folder / "postfix"
        self.log = folder / "postfix.log"
        queue, data = folder / "postfix.queue", folder / "postfix.data"
        for path in (self.config, queue, data):
            path.mkdir(exist_ok=True)
        os.chown(data, pwd.getpwnam("postfix").pw_uid, 0)
        everything = {
            "compatibility_level": "3.6", "queue_directory": str(queue), "data_directory": str(data),
            "daemon_directory": LIBEXEC, "command_directory": "/usr/sbin", "mail_owner": "postfix",
            "setgid_group": grp.getgrnam("postdrop").gr_name, "myhostname": "mta.example.net",
            "mydestination": "", "mynetworks": "127.0.0.0/8", "inet_protocols": "ipv4", "local_transport": "error",
            "local_recipient_maps": "", "maillog_file": str(self.log), "maillog_file_prefixes": str(folder),
            "smtputf8_enable": "no", "multi_instance_name": f"postfix-{folder.name}", "syslog_name": "postfix",
            "alias_maps": "", "smtp_host_lookup": "native", "lmtp_host_lookup": "native",
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C", "shlib_directory": "/usr/lib/postfix",
            "meta_directory": "/etc/postfix", "minimal_backoff_time": "2s", "queue_run_delay": "2s", **settings,
        }
        (self.config / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in everything.items()))
        (self.config / "master.cf").write_text(MASTER.format(listener=listener))

    def start(self) -> Postfix:
        done = self._postfix("start")
        assert done.returncode == 0, done.stdout + done.stderr + self.logged()
        return self

    def stop(self) -> None:
        self._postfix("stop")

    def abort(self) -> None:
        """At once: `stop` lets those end that have a client, and a relay keeps its connections."""
        self._postfix("abort")

    def _postfix(self, command: str) -> subprocess.CompletedProcess[str]:
        # Its own environment: Postfix takes MAIL_CONFIG from there.
        return subprocess.run(["postfix", "-c", str(self.config), command], capture_output=True, text=True, timeout=60,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def logged(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def hand_in(self, sender: str, recipient: str, text: str) -> None:
        """As a local program does: by its sendmail command."""
        run("/usr/sbin/sendmail", "-C", str(self.config), "-f", sender, "-i", recipient, stdin=text)

    def wait_sent(self) -> None:
        wait_for("Postfix has sent it", lambda: "status=sent" in self.logged() or self._failed(), 40)
        assert "status=sent" in self.logged(), self.logged()

    def _failed(self) -> bool:
        return "status=bounced" in self.logged() or "fatal:" in self.logged()


def relayhost(host: str, port: int, tls: str, user: str, password: str, certificate: Certificate,
              folder: Path) -> dict[str, str]:
    """Settings of a Postfix that sends all mail through a submission service."""
    where = f"[{host}]:{port}"
    secrets = folder / "sasl_passwd"
    secrets.write_text(f"{where} {user}:{password}\n")
    secrets.chmod(0o600)
    settings = {
        "relayhost": where, "smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": f"texthash:{secrets}",
        "smtp_sasl_security_options": "noanonymous", "smtp_tls_security_level": "verify",
        "smtp_tls_CAfile": str(certificate.certificate), "smtp_tls_verify_cert_match": "relay.example.net",
        "smtp_tls_secure_cert_match": "relay.example.net", "smtp_tls_loglevel": "1",
    }
    if tls == "implicit":
        settings |= {"smtp_tls_wrappermode": "yes"}
    return settings


def submission_server(folder: Path, port: int, certificate: Certificate, user: str, password: str) -> dict[str, str]:
    """Settings of a Postfix that asks for STARTTLS and AUTH, against a sasldb of its own."""
    needs("saslpasswd2")
    # Debian's Postfix looks in its configuration's own folder.
    sasl = folder / "postfix" / "sasl"
    sasl.mkdir(parents=True)
    database = sasl / "sasldb2"
    run("saslpasswd2", "-p", "-c", "-f", str(database), "-u", "mta.example.net", user, stdin=password)
    os.chown(database, pwd.getpwnam("postfix").pw_uid, 0)
    (sasl / "smtpd.conf").write_text(
        f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: PLAIN LOGIN\n")
    return {
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_local_domain": "mta.example.net",
        "smtpd_tls_security_level": "encrypt", "smtpd_tls_auth_only": "yes", "mynetworks": "192.0.2.1/32",
        "smtpd_tls_cert_file": str(certificate.certificate), "smtpd_tls_key_file": str(certificate.key),
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject", "smtpd_tls_loglevel": "1",
    }


class Exim:
    """Exim, unpacked beside the system (deploy/install-deps), run by an unprivileged user."""

    def __init__(self, folder: Path, host: str, port: int, tls: str, user: str, password: str,
                 certificate: Certificate) -> None:
        self.program = ROOT / "build" / "exim4" / "usr" / "sbin" / "exim4"
        if not self.program.exists():
            pytest.skip("Exim is not unpacked: deploy/install-deps --test")
        self.uid = NOBODY if runs_as_root() else os.getuid()
        self.spool = folder / "exim"
        self.spool.mkdir()
        os.chown(self.spool, self.uid, -1)
        self.config = folder / "exim.conf"
        self.config.write_text(f"""
spool_directory = {self.spool}
log_file_path = {self.spool}/log-%s
primary_hostname = mta.example.net
qualify_domain = example.net
trusted_users = exim
never_users =
exim_user = exim
exim_group = exim
keep_environment =
host_lookup =
tls_advertise_hosts =
begin routers
smarthost:
  driver = manualroute
  route_list = * {host}::{port} byname
  self = send
  transport = smarthost
begin transports
smarthost:
  driver = smtp
  protocol = {'smtps' if tls == 'implicit' else 'smtp'}
  hosts_require_auth = *
  hosts_require_tls = *
  tls_verify_hosts = *
  tls_verify_certificates = {certificate.certificate}
  tls_verify_cert_hostnames =
  tls_sni = relay.example.net
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
""")
        self._users = folder / "exim.passwd"
        self._groups = folder / "exim.group"
        self._users.write_text(f"root:x:0:0::/root:/bin/sh\nexim:x:{self.uid}:{self.uid}::/:/bin/false\n"
                               f"Debian-exim:x:{self.uid}:{self.uid}::/:/bin/false\n")
        self._groups.write_text(f"root:x:0:\nmail:x:8:\nexim:x:{self.uid}:\nDebian-exim:x:{self.uid}:\n")

    def send(self, sender: str, recipient: str, text: str) -> str:
        """Hands a message in and delivers it in the foreground; what Exim said while it did."""
        done = subprocess.run(
            [str(self.program), "-C", str(self.config), "-odf", "-f", sender, "-v", recipient], input=text, text=True,
            capture_output=True, timeout=60,
            env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_PASSWD": str(self._users),
                 "NSS_WRAPPER_GROUP": str(self._groups)},
            **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if runs_as_root() else {}),
        )
        logs = "".join(path.read_text("utf-8", "replace") for path in sorted(self.spool.glob("log-*")))
        assert done.returncode == 0 and "=>" in logs, done.stdout + done.stderr + logs
        return done.stdout + done.stderr + logs


class EximServer:
    """Exim as a server on an address of its own that hands on everything to one host; from Debian's unpacked one."""

    def __init__(self, folder: Path, host: str, port: int, next_host: str, next_port: int) -> None:
        program = ROOT / "build" / "exim4" / "usr" / "sbin" / "exim4"
        if not program.exists():
            pytest.skip("Exim is not unpacked: deploy/install-deps --test")
        self._address = (host, port)
        uid = NOBODY if runs_as_root() else os.getuid()
        spool = folder / "spool"
        spool.mkdir()
        config = folder / "exim.conf"
        config.write_text(f"""
spool_directory = {spool}
log_file_path = {folder}/log-%s
pid_file_path = {folder}/pid
primary_hostname = fallback.example.net
local_interfaces = {host}
daemon_smtp_ports = {port}
exim_user = exim
exim_group = exim
never_users =
deliver_drop_privilege
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
smtp_accept_max = 100
acl_smtp_rcpt = accept_all
begin acl
accept_all:
  accept
begin routers
on:
  driver = manualroute
  route_list = * {next_host}::{next_port} byname
  self = send
  transport = on
begin transports
on:
  driver = smtp
begin retry
* * F,1h,2s
""")
        users, groups = folder / "passwd", folder / "group"
        users.write_text(f"root:x:0:0::/root:/bin/sh\nexim:x:{uid}:{uid}::/:/bin/false\n"
                         f"Debian-exim:x:{uid}:{uid}::/:/bin/false\n")
        groups.write_text(f"root:x:0:\nmail:x:8:\nexim:x:{uid}:\nDebian-exim:x:{uid}:\n")
        hand_over(folder)
        self._program = Program("exim", [str(program), "-C", str(config), "-bdf", "-q2s"], folder, env={
            "PATH": "/usr/bin:/bin", "LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_PASSWD": str(users),
            "NSS_WRAPPER_GROUP": str(groups)})

    def start(self) -> EximServer:
        self._program.start()

        def greets() -> bool:
            assert self._program.running, self._program.tail()
            with socket.socket() as probe:
                return probe.connect_ex(self._address) == 0

        wait_for("Exim listens", greets, 20)
        return self

    def stop(self) -> None:
        """With those that serve a client: the daemon would leave them to their kept connections."""
        if not self._program.running:
            return
        pid = self._program.pid
        serving = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._program.stop()
        for child in serving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
