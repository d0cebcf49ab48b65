"""The relay that real clients are let loose on: a certificate they can verify, and a sink behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from postern.certificates import Certificate, make_certificate
from postern.place import Place
from postern.relay import Relay, upstream
from postern.sink import Sink


@dataclass
class Site:
    relay: Relay
    sink: Sink
    certificate: Certificate
    folder: Path

    def port(self, tls: str) -> int:
        """`starttls` is what stands on 587, `implicit` on 465."""
        return (self.relay.submissions if tls == "implicit" else self.relay.submission)[1]

    def arrives(self, subject: str) -> bytes:
        """The mail with this subject once it has arrived; exactly one."""
        found = [mail for mail in self.sink.wait_for_mails(1, 30) if mail.message["Subject"] == subject]
        assert len(found) == 1, f"{len(found)} mails {subject!r} of {len(self.sink.mails())}"
        return found[0].raw


def make_site(place: Place) -> Site:
    sink = place.sink().start()
    relay = place.relay({"upstream": [upstream(sink)]})
    made = make_certificate(place.folder, "site", names=("relay.example.net", "localhost"), addresses=(relay.host,))
    relay.configure({"tls": {"certificate": str(made.certificate), "key": str(made.key)}})
    relay.add_account()
    return Site(relay.start(), sink, made, place.folder)


def needs(program: str) -> str:
    """The program's path; the test is skipped where it is not installed."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def run(*argv: str, stdin: str | bytes = b"", env: dict[str, str] | None = None, seconds: float = 60) -> str:
    """Runs a client; its failure is the test's, with all that it said."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(list(argv), input=data, capture_output=True, timeout=seconds,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(env or {})})
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, f"{argv[0]}: {done.returncode}\n{said}"
    return said
