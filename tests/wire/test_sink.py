"""`postern sink` itself: it does what its options say."""

from __future__ import annotations

import json

import pytest

from postern.certificates import make_certificate
from postern.place import Place
from postern.sink import Sink
from postern.smtp import Client, a_message

ANN = "ann@example.net"
BOB = "bob@example.org"


def offered(sink: Sink, *, tls: bool = False) -> dict[str, str]:
    with Client(sink.address, tls=tls) as client:
        assert client.reply().code == 220
        return client.ehlo()


@pytest.mark.parametrize("word", ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"])
def test_an_extension_can_be_left_out(place: Place, word: str) -> None:
    sink = place.sink().start()
    everything = set(offered(sink))
    assert word in everything
    sink.options += [f"--no-{word.lower()}"]
    sink.restart()
    assert set(offered(sink)) == everything - {word}


def test_a_size_is_announced_and_kept_to(place: Place) -> None:
    sink = place.sink()
    sink.options += ["--size", "2000"]
    sink.start()
    assert offered(sink)["SIZE"] == "2000"
    with Client(sink.address) as client:
        client.reply()
        client.ehlo()
        assert client.submit(ANN, [BOB], a_message()).code == 250
        assert client.submit(ANN, [BOB], a_message(body="x" * 70 + "\r\n" + "y" * 2000 + "\r\n")).code == 552
        assert client.ask(f"MAIL FROM:<{ANN}> SIZE=2001").code == 552


def test_mail_is_counted_and_not_kept(place: Place) -> None:
    sink = place.sink()
    sink.options += ["--discard"]
    sink.start()
    with Client(sink.address) as client:
        client.reply()
        client.ehlo()
        assert client.submit(ANN, [BOB], a_message()).code == 250
    assert sink.mails() == [] and list(sink.mail_folder.iterdir()) == []


def test_tls_from_the_first_octet_and_no_mail_before_a_login(place: Place) -> None:
    sink = place.sink()
    sink.use_tls(make_certificate(place.folder, "sink"), implicit=True, require_auth=True)
    sink.start()
    with Client(sink.address, tls=True) as client:
        assert client.reply().code == 220
        assert "STARTTLS" not in client.ehlo()
        assert client.ask(f"MAIL FROM:<{ANN}>").code == 530
        assert client.auth_plain("relay", "any").code == 235
        assert client.submit(ANN, [BOB], a_message()).code == 250
    assert json.loads((sink.mail_folder / "1.json").read_text())["rcpts"]
