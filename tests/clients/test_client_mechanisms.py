"""Mechanisms beside PLAIN and LOGIN, spoken by real clients: by version of TLS, and with client certificates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from postern.certificates import Certificate, make_certificate
from postern.place import Place
from postern.relay import ANN, PASSWORD
from site_under_test import Site, make_site, needs, run

TLS = ("starttls", "implicit")
ALL = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "EXTERNAL", "PLAIN", "LOGIN"]
TLS_1_2 = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
TLS_1_3 = "NORMAL:-VERS-ALL:+VERS-TLS1.3"


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    made = make_site(place)
    made.relay.configure({"auth": {"mechanisms": ALL}})
    made.relay.cli("reload")
    made.relay.cli("account", "passwd", ANN, "--password-stdin", stdin=PASSWORD + "\n")
    yield made


@pytest.fixture
def laptop(site: Site) -> Certificate:
    made = make_certificate(site.folder, "laptop", algorithm="rsa")
    site.relay.cli("account", "credential", "add", ANN, "laptop", "--kind", "certificate",
                   "--certificate", str(made.certificate))
    made.key.chmod(0o600)  # As msmtp wants it.
    return made


def message(subject: str) -> str:
    return f"From: {ANN}\r\nTo: bob@example.org\r\nSubject: {subject}\r\n\r\nHello\r\n"


def logged_in_by(site: Site, mechanism: str) -> None:
    login = site.relay.wait_event("login")
    assert login["ok"] is True and login["mechanism"] == mechanism and login["account"] == ANN


def gsasl(site: Site, mechanism: str, *options: str) -> None:
    run(needs("gsasl"), "--client", "--smtp", "--quiet", "--starttls",
        "--connect", f"{site.relay.host}:{site.port('starttls')}", "--mechanism", mechanism,
        "--x509-ca-file", str(site.certificate.certificate), *options)
    logged_in_by(site, mechanism)


@pytest.mark.parametrize("priority", [TLS_1_2, TLS_1_3], ids=["tls1.2", "tls1.3"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_gsasl_by_password(site: Site, mechanism: str, priority: str) -> None:
    gsasl(site, mechanism, "--priority", priority, "--authentication-id", ANN, "--password", PASSWORD,
          *([] if mechanism.endswith("-PLUS") else ["--no-cb"]))


@pytest.mark.parametrize("priority", [TLS_1_2, TLS_1_3], ids=["tls1.2", "tls1.3"])
def test_gsasl_by_certificate(site: Site, laptop: Certificate, priority: str) -> None:
    gsasl(site, "EXTERNAL", "--priority", priority, "--authorization-id", ANN,
          "--x509-cert-file", str(laptop.certificate), "--x509-key-file", str(laptop.key))


@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_by_certificate(site: Site, laptop: Certificate, tls: str, version: str) -> None:
    scheme = "smtp" if tls == "starttls" else "smtps"
    run(needs("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", str(site.certificate.certificate),
        "--cert", str(laptop.certificate), "--key", str(laptop.key), "--tls-max", version,
        "--user", f"{ANN}:", "--login-options", "AUTH=EXTERNAL", "--mail-from", ANN,
        "--mail-rcpt", "bob@example.org", "--upload-file", "-", f"{scheme}://{site.relay.host}:{site.port(tls)}",
        stdin=message("curl"))
    site.arrives("curl")
    logged_in_by(site, "EXTERNAL")


@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("mechanism", ["external", "scram-sha-1"])
def test_msmtp(site: Site, laptop: Certificate, tls: str, mechanism: str) -> None:
    config = site.folder / "msmtprc"
    certificate = f"""tls_cert_file {laptop.certificate}
tls_key_file {laptop.key}
""" if mechanism == "external" else f'password "{PASSWORD}"\n'
    config.write_text(f"""account default
host {site.relay.host}
port {site.port(tls)}
from {ANN}
user {ANN}
auth {mechanism}
tls on
tls_starttls {'on' if tls == 'starttls' else 'off'}
tls_trust_file {site.certificate.certificate}
{certificate}""")
    config.chmod(0o600)
    run(needs("msmtp"), "-C", str(config), "bob@example.org", stdin=message("msmtp"), env={"HOME": str(site.folder)})
    site.arrives("msmtp")
    logged_in_by(site, mechanism.upper())


@pytest.mark.parametrize("tls", TLS)
def test_swaks_shows_a_certificate_and_uses_its_password(site: Site, laptop: Certificate, tls: str) -> None:
    """swaks cannot log in by EXTERNAL; that it is asked for a certificate, and shows one, harms nothing."""
    run(needs("swaks"), "--server", site.relay.host, "--port", str(site.port(tls)),
        "--tls" if tls == "starttls" else "--tls-on-connect", "--tls-verify", "--tls-ca-path",
        str(site.certificate.certificate), "--tls-cert", str(laptop.certificate), "--tls-key", str(laptop.key),
        "--auth", "PLAIN", "--auth-user", ANN, "--auth-password", PASSWORD,
        "--from", ANN, "--to", "bob@example.org", "--header", "Subject: swaks")
    site.arrives("swaks")
    logged_in_by(site, "PLAIN")


def test_openssl_s_client_by_certificate(site: Site, laptop: Certificate) -> None:
    said = run("sh", "-c", f"(sleep 1; printf 'EHLO client\\r\\n'; sleep 0.3; printf 'AUTH EXTERNAL =\\r\\n'; sleep 0.5; "
               "printf 'QUIT\\r\\n'; sleep 0.5) | openssl s_client -quiet -verify_return_error "
               f"-CAfile {site.certificate.certificate} -cert {laptop.certificate} -key {laptop.key} "
               f"-connect {site.relay.host}:{site.port('implicit')}")
    assert "235 2.7.0" in said
    logged_in_by(site, "EXTERNAL")
