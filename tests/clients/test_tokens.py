"""Mail programs that log in by token: OAUTHBEARER and XOAUTH2, through STARTTLS (587) and implicit TLS (465)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from postern.issuer import AUDIENCE, ISSUER, Key, key_set
from postern.place import Place
from postern.relay import ANN
from site_under_test import Site, make_site, needs, run

TLS = ("starttls", "implicit")
MECHANISMS = ("OAUTHBEARER", "XOAUTH2")
KEY = Key("site", "RS256")


@pytest.fixture(params=MECHANISMS)
def mechanism(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(place: Place, mechanism: str) -> Iterator[Site]:
    """Offers one mechanism alone: curl takes OAUTHBEARER where both are there, whatever it is told."""
    made = make_site(place)
    (place.folder / "keys.json").write_text(key_set(KEY))
    made.relay.configure({"auth": {"mechanisms": [mechanism],
                                   "oauth": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "keys.json"}}})
    made.relay.cli("reload")
    yield made


def message(subject: str) -> str:
    return f"From: {ANN}\r\nTo: bob@example.org\r\nSubject: {subject}\r\n\r\nHello\r\n"


def logged_in_by(site: Site, mechanism: str) -> None:
    login = site.relay.wait_event("login")
    assert login["ok"] is True and login["mechanism"] == mechanism


@pytest.mark.parametrize("tls", TLS)
def test_curl_by_token(site: Site, tls: str, mechanism: str) -> None:
    scheme = "smtp" if tls == "starttls" else "smtps"
    run(needs("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", str(site.certificate.certificate),
        "--user", ANN, "--oauth2-bearer", KEY.token(ANN), "--login-options", f"AUTH={mechanism}", "--mail-from", ANN,
        "--mail-rcpt", "bob@example.org", "--upload-file", "-", f"{scheme}://{site.relay.host}:{site.port(tls)}",
        stdin=message("curl"))
    site.arrives("curl")
    logged_in_by(site, mechanism)


def test_curl_by_a_wrong_token(site: Site, mechanism: str) -> None:
    with pytest.raises(AssertionError, match="curl: 67"):
        run(needs("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", str(site.certificate.certificate),
            "--user", ANN, "--oauth2-bearer", Key("site").token(ANN), "--login-options", f"AUTH={mechanism}",
            "--mail-from", ANN, "--mail-rcpt", "bob@example.org", "--upload-file", "-",
            f"smtp://{site.relay.host}:{site.port('starttls')}", stdin=message("curl"))
    failed = site.relay.wait_event("login")
    assert failed["ok"] is False and failed["mechanism"] == mechanism


@pytest.mark.parametrize("tls", TLS)
def test_msmtp_by_token(site: Site, tls: str, mechanism: str) -> None:
    program = needs("msmtp")
    if mechanism not in run(program, "--version").upper():
        pytest.skip(f"this msmtp has no {mechanism}")
    # A line of its configuration has at most 500 characters.
    token = site.folder / "token"
    token.write_text(KEY.token(ANN) + "\n")
    config = site.folder / "msmtprc"
    config.write_text(f"""account default
host {site.relay.host}
port {site.port(tls)}
from {ANN}
user {ANN}
passwordeval "cat {token}"
auth {mechanism.lower()}
tls on
tls_starttls {'on' if tls == 'starttls' else 'off'}
tls_trust_file {site.certificate.certificate}
""")
    config.chmod(0o600)
    run(program, "-C", str(config), "bob@example.org", stdin=message("msmtp"), env={"HOME": str(site.folder)})
    site.arrives("msmtp")
    logged_in_by(site, mechanism)


@pytest.mark.parametrize("tls", TLS)
def test_mutt_by_token(site: Site, tls: str, mechanism: str) -> None:
    rc = site.folder / "muttrc"
    scheme = "smtp" if tls == "starttls" else "smtps"
    user = ANN.replace("@", "%40")
    rc.write_text(f"""set from = "{ANN}"
set use_envelope_from = yes
set envelope_from_address = "{ANN}"
set smtp_url = "{scheme}://{user}@{site.relay.host}:{site.port(tls)}/"
set smtp_oauth_refresh_command = "printf %s {KEY.token(ANN)}"
set smtp_authenticators = "{mechanism.lower()}"
set ssl_starttls = yes
set ssl_force_tls = yes
set certificate_file = "{site.certificate.certificate}"
set record = ""
set copy = no
""")
    run(needs("mutt"), "-n", "-F", str(rc), "-s", "mutt", "--", "bob@example.org", stdin="Hello\n",
        env={"HOME": str(site.folder), "TERM": "dumb"})
    site.arrives("mutt")
    logged_in_by(site, mechanism)
