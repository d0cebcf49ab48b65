"""The relay logs in to Postfix with Cyrus SASL: SCRAM-SHA-256 by somebody else's server."""

from __future__ import annotations

import pytest

from mail_servers import Postfix, submission_server
from postern.certificates import make_certificate
from postern.place import Place
from postern.relay import ANN
from postern.scratch import free_port, fresh_address
from postern.smtp import a_message


@pytest.mark.parametrize(("offered", "named", "taken"), [
    ("PLAIN LOGIN SCRAM-SHA-256", None, "SCRAM-SHA-256"), ("SCRAM-SHA-256", "SCRAM-SHA-256", "SCRAM-SHA-256"),
    ("PLAIN LOGIN SCRAM-SHA-256", "LOGIN", "LOGIN")])
def test_postfix_as_the_upstream_by_a_mechanism(place: Place, offered: str, named: str | None, taken: str) -> None:
    sink = place.sink().start()
    address = fresh_address()
    port = free_port(address)
    made = make_certificate(place.folder, "postfix", names=("mta.example.net",), addresses=(address,))
    settings = submission_server(place.folder, port, made, "relay", "let me in")
    (place.folder / "postfix" / "sasl" / "smtpd.conf").write_text(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
        f"sasldb_path: {place.folder / 'postfix' / 'sasl' / 'sasldb2'}\nmech_list: {offered}\n")
    host, sink_port = sink.address
    postfix = Postfix(place.folder, settings | {"relayhost": f"[{host}]:{sink_port}"},
                      listener=f"{address}:{port} inet n - n - - smtpd").start()
    try:
        keys = {"mechanism": named} if named else {}
        relay = place.relay({"upstream": [{
            "address": f"{address}:{port}", "tls": "verify", "ca": str(made.certificate),
            "username": "relay@mta.example.net", "password": "let me in", **keys}]})
        relay.add_account()
        relay.start()
        with relay.logged_in(timeout=40) as client:
            reply = client.submit(ANN, ["bob@example.org"], a_message())
        assert reply.code == 250 and "Ok: queued as" in reply.text, postfix.logged()
        assert f"sasl_method={taken}," in postfix.logged()
        sink.wait_for_mails(1, 40)
    finally:
        postfix.stop()
