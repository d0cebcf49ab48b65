"""TLS on both ports: versions, certificates by algorithm and name, tickets, reload."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import time
import warnings

import pytest

from postern.place import Place
from postern.certificates import Certificate, make_certificate
from postern.relay import Relay, upstream
from postern.sink import Sink
from postern.smtp import Client, trusting_nothing
from postern.waiting import wait_for

Pair = tuple[Relay, Sink]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("implicit", [True, False])
def test_tls_1_2_and_1_3_are_spoken(shared: Pair, version: ssl.TLSVersion, implicit: bool) -> None:
    context = trusting_nothing(version, version)
    relay = shared[0]
    if implicit:
        client = Client(relay.submissions, tls=True, context=context)
        assert client.reply().code == 220
    else:
        client = relay.plain(context=context)
        client.ehlo()
        client.starttls()
    with client:
        assert client.sock.version() == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")
        assert "AUTH" in client.ehlo()


@pytest.mark.parametrize("option", ["-tls1_1", "-tls1"])
def test_older_tls_is_refused(shared: Pair, option: str) -> None:
    host, port = shared[0].submissions
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", option, "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "alert protocol version" in done.stderr


def test_a_broken_handshake_ends_that_connection_alone(shared: Pair) -> None:
    relay = shared[0]
    with socket.create_connection(relay.submissions, 5) as raw:
        raw.sendall(b"\x16\x03\x01\xff\xff" + b"\x00" * 600)
        raw.settimeout(10)
        while True:
            try:
                if not raw.recv(4096):
                    break
            except ConnectionError:
                break
    with relay.encrypted() as client:
        assert client.ask("NOOP").code == 250


def test_renegotiation_is_refused(shared: Pair) -> None:
    """The client's second hello gets no hello back, whether it hears an alert or waits."""
    host, port = shared[0].submissions
    with subprocess.Popen(
            ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-msg"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
        assert client.stdin is not None and client.stdout is not None
        said = ""
        for line in client.stdout:
            said += line
            if "ESMTP" in line:
                break
        client.stdin.write("R\n")
        client.stdin.flush()
        time.sleep(2)
        client.kill()
        said += client.stdout.read()
    assert said.count(", ClientHello") == 2 and said.count(", ServerHello\n") == 1


def test_sessions_are_resumed_by_ticket(shared: Pair) -> None:
    relay = shared[0]
    context = trusting_nothing()
    with relay.encrypted(context=context) as client:
        session = client.sock.session
        assert session is not None and session.has_ticket
    raw = socket.create_connection(relay.submissions, 5)
    with context.wrap_socket(raw, server_hostname="relay.example.net", session=session) as again:
        assert again.recv(100).startswith(b"220 ")
        assert again.session_reused


def _served(relay: Relay, context: ssl.SSLContext, name: str) -> bytes:
    with Client(relay.submissions, tls=True, context=context, name=name) as client:
        client.reply()
        return client.sock.getpeercert(binary_form=True)  # type: ignore[no-any-return]


def _der(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.certificate.read_text())


def test_ecdsa_and_rsa_side_by_side_and_several_names(place: Place, rsa_certificate: Certificate) -> None:
    other = make_certificate(place.folder, "other", names=("mail.example.com",))
    relay = place.relay({
        "tls": {"certificate": None, "key": None, "certificates": [
            {"certificate": str(each.certificate), "key": str(each.key)}
            for each in (place.certificate, rsa_certificate, other)]},
        "upstream": [upstream(place.sink().start())],
    }).start()
    assert _served(relay, trusting_nothing(), "relay.example.net") == _der(place.certificate)
    assert _served(relay, trusting_nothing(), "mail.example.com") == _der(other)
    assert _served(relay, trusting_nothing(), "unheard.of.example") == _der(place.certificate)
    only_rsa = trusting_nothing(maximum=ssl.TLSVersion.TLSv1_2)
    only_rsa.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    assert _served(relay, only_rsa, "relay.example.net") == _der(rsa_certificate)


def test_a_client_that_verifies_is_content(place: Place) -> None:
    relay, _ = place.pair()
    context = ssl.create_default_context(cafile=str(place.certificate.certificate))
    with relay.plain(context=context) as client:
        client.ehlo()
        client.starttls()
        assert "AUTH" in client.ehlo()


@pytest.mark.parametrize("by", ["signal", "watch"])
def test_a_new_certificate_is_served_without_a_restart(place: Place, by: str) -> None:
    served = make_certificate(place.folder, "served")
    relay, _ = place.pair({"tls": {"certificate": str(served.certificate), "key": str(served.key)}})
    first = _served(relay, trusting_nothing(), "relay.example.net")
    with relay.encrypted() as kept:
        fresh = make_certificate(place.folder, "fresh")
        served.key.write_bytes(fresh.key.read_bytes())
        served.certificate.write_bytes(fresh.certificate.read_bytes())
        if by == "signal":
            relay.program.signal(signal.SIGHUP)
        wait_for("the new certificate", lambda: _served(relay, trusting_nothing(), "relay.example.net") != first, 30)
        assert _served(relay, trusting_nothing(), "relay.example.net") == _der(fresh)
        assert kept.ask("NOOP").code == 250


def test_a_new_certificate_brings_nothing_else_of_the_file(place: Place) -> None:
    """What somebody is just writing into the configuration waits for a reload; a renewal does not."""
    served = make_certificate(place.folder, "served")
    relay, _ = place.pair({"tls": {"certificate": str(served.certificate), "key": str(served.key)}})
    relay.config.write_text(relay.config.read_text() + "\n[half\n")
    fresh = make_certificate(place.folder, "fresh")
    served.key.write_bytes(fresh.key.read_bytes())
    served.certificate.write_bytes(fresh.certificate.read_bytes())
    wait_for("the new certificate",
             lambda: _served(relay, trusting_nothing(), "relay.example.net") == _der(fresh), 40)


def test_old_versions_by_python_too(shared: Pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = trusting_nothing(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(shared[0].submissions, 5) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw)


def test_a_half_handshake_holds_nobody_up(shared: Pair) -> None:
    relay = shared[0]
    idle = [socket.create_connection(relay.submissions, 5) for _ in range(20)]
    try:
        began = time.monotonic()
        with relay.encrypted() as client:
            assert client.ask("NOOP").code == 250
        assert time.monotonic() - began < 3
    finally:
        for each in idle:
            each.close()
