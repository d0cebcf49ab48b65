"""Mail programs as people use them, each through STARTTLS (587) and implicit TLS (465)."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from postern.place import Place
from postern.relay import ANN, PASSWORD
from postern.scratch import free_port
from postern.smtp import b64
from site_under_test import Site, make_site, needs, run

TLS = ("starttls", "implicit")


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    yield make_site(place)


def message(subject: str) -> str:
    return f"From: {ANN}\r\nTo: bob@example.org\r\nSubject: {subject}\r\n\r\nHello\r\n"


@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(site: Site, tls: str, mechanism: str) -> None:
    run(needs("swaks"), "--server", site.relay.host, "--port", str(site.port(tls)),
        "--tls" if tls == "starttls" else "--tls-on-connect", "--tls-verify", "--tls-ca-path",
        str(site.certificate.certificate), "--auth", mechanism, "--auth-user", ANN, "--auth-password", PASSWORD,
        "--from", ANN, "--to", "bob@example.org", "--header", "Subject: swaks")
    site.arrives("swaks")


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_swaks_as_a_device_that_cannot_log_in(site: Site, tls: str) -> None:
    port = free_port(site.relay.host)
    site.relay.configure({"server": {"listen": [
        *site.relay.settings["server"]["listen"], f"{site.relay.host}:{port} starttls devices name=printers"]}})
    site.relay.restart()
    site.relay.cli("account", "credential", "add", ANN, "copier", "--kind", "device", "--source", "127.0.0.8",
                   "--listener", "printers", "--rcpt", "@example.org")
    run(needs("swaks"), "--server", site.relay.host, "--port", str(port), "--local-interface", "127.0.0.8",
        *(["--tls"] if tls == "starttls" else []), "--from", ANN, "--to", "bob@example.org",
        "--header", "Subject: scan")
    assert (b"with ESMTPS " if tls == "starttls" else b"with ESMTP ") in b" ".join(site.arrives("scan").split())


@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("mechanism", ["on", "plain", "scram-sha-256"])
def test_msmtp(site: Site, tls: str, mechanism: str) -> None:
    program = needs("msmtp")
    if mechanism.startswith("scram") and "SCRAM-SHA-256" not in run(program, "--version").upper():
        pytest.skip("this msmtp has no SCRAM-SHA-256")
    config = site.folder / "msmtprc"
    config.write_text(f"""account default
host {site.relay.host}
port {site.port(tls)}
from {ANN}
user {ANN}
password "{PASSWORD}"
auth {mechanism}
tls on
tls_starttls {'on' if tls == 'starttls' else 'off'}
tls_trust_file {site.certificate.certificate}
""")
    config.chmod(0o600)
    run(program, "-C", str(config), "bob@example.org", stdin=message("msmtp"), env={"HOME": str(site.folder)})
    site.arrives("msmtp")


@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("mechanism", ["*", "PLAIN", "LOGIN"])
def test_curl(site: Site, tls: str, mechanism: str) -> None:
    scheme = "smtp" if tls == "starttls" else "smtps"
    run(needs("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", str(site.certificate.certificate),
        "--user", f"{ANN}:{PASSWORD}", "--login-options", f"AUTH={mechanism}", "--mail-from", ANN,
        "--mail-rcpt", "bob@example.org", "--upload-file", "-", f"{scheme}://{site.relay.host}:{site.port(tls)}",
        stdin=message("curl"))
    site.arrives("curl")


@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("mechanism", ["scram-sha-256:plain", "plain", "login", "scram-sha-256"])
def test_mutt(site: Site, tls: str, mechanism: str) -> None:
    """Debian's mutt takes the strongest mechanism that it is offered, and has no channel binding for
    SCRAM-SHA-256-PLUS over TLS 1.3: it must be told what to use, by `smtp_authenticators`."""
    rc = site.folder / "muttrc"
    scheme = "smtp" if tls == "starttls" else "smtps"
    user = ANN.replace("@", "%40")
    rc.write_text(f"""set from = "{ANN}"
set use_envelope_from = yes
set envelope_from_address = "{ANN}"
set smtp_url = "{scheme}://{user}@{site.relay.host}:{site.port(tls)}/"
set smtp_pass = "{PASSWORD}"
set smtp_authenticators = "{mechanism}"
set ssl_starttls = yes
set ssl_force_tls = yes
set certificate_file = "{site.certificate.certificate}"
set record = ""
set copy = no
""")
    run(needs("mutt"), "-n", "-F", str(rc), "-s", "mutt", "--", "bob@example.org", stdin="Hello\n",
        env={"HOME": str(site.folder), "TERM": "dumb"})
    site.arrives("mutt")


@pytest.mark.parametrize("tls", TLS)
def test_python_smtplib(site: Site, tls: str) -> None:
    context = ssl.create_default_context(cafile=str(site.certificate.certificate))
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = ANN, "bob@example.org", "smtplib"
    mail.set_content("Gr\u00fc\u00dfe\n")
    address = (site.relay.host, site.port(tls))
    client: smtplib.SMTP
    if tls == "implicit":
        client = smtplib.SMTP_SSL(*address, context=context)
    else:
        client = smtplib.SMTP(*address)
        client.starttls(context=context)
    with client:
        client.login(ANN, PASSWORD)
        assert client.send_message(mail) == {}
    site.arrives("smtplib")


@pytest.mark.parametrize("tls", TLS)
def test_nodemailer(site: Site, tls: str) -> None:
    if not Path("/usr/share/nodejs/nodemailer").exists():
        pytest.skip("node-nodemailer is not installed")
    run(needs("node"), str(Path(__file__).with_name("send.js")), site.relay.host, str(site.port(tls)), tls,
        str(site.certificate.certificate), ANN, PASSWORD, "nodemailer", env={"NODE_PATH": "/usr/share/nodejs"})
    site.arrives("nodemailer")


@pytest.mark.parametrize("tls", TLS)
def test_openssl_s_client(site: Site, tls: str) -> None:
    argv = ["openssl", "s_client", "-quiet", "-crlf", "-verify_return_error", "-CAfile",
            str(site.certificate.certificate), "-connect", f"{site.relay.host}:{site.port(tls)}"]
    if tls == "starttls":
        argv += ["-starttls", "smtp"]
    lines = ["EHLO client", "AUTH PLAIN " + b64(f"\0{ANN}\0{PASSWORD}"), f"MAIL FROM:<{ANN}>",
             "RCPT TO:<bob@example.org>", "DATA", message("s_client").replace("\r\n", "\n") + ".", "QUIT"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdin is not None
        for line in lines:
            time.sleep(0.3)
            client.stdin.write(line.encode() + b"\n")
            client.stdin.flush()
        out, errors = client.communicate(timeout=30)
    assert b"221 2.0.0" in out, (out, errors)
    site.arrives("s_client")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_gsasl_logs_in(site: Site, mechanism: str) -> None:
    run(needs("gsasl"), "--client", "--smtp", "--quiet", "--starttls",
        "--connect", f"{site.relay.host}:{site.port('starttls')}", "--mechanism", mechanism,
        "--authentication-id", ANN, "--password", PASSWORD, "--x509-ca-file", str(site.certificate.certificate),
        *([] if mechanism.endswith("-PLUS") else ["--no-cb"]))
    login = site.relay.wait_event("login")
    assert login["ok"] is True and login["mechanism"] == mechanism
