"""No 250 leaves before the sync that covers it has returned, as the kernel sees it (strace)."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from postern.place import Place
from postern.program import unprivileged
from postern.relay import ANN
from postern.smtp import a_message
from postern.waiting import wait_for

MAILS = 20
CALL = re.compile(r"^(\d+) +([\d.]+) (?:<\.\.\. )?(\w+)(.*)$")


def trace(pid: int, log: Path) -> subprocess.Popen[bytes]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tracer = subprocess.Popen(
        ["strace", "-f", "-ttt", "-yy", "-o", str(log), "-p", str(pid),
         "-e", "trace=fdatasync,fsync,sync_file_range,write,writev,sendmsg,sendto,linkat"],
        stderr=subprocess.PIPE, **unprivileged())
    time.sleep(0.5)
    if tracer.poll() is not None:
        assert tracer.stderr is not None
        pytest.skip(f"strace does not attach here: {tracer.stderr.read().decode().strip()[:200]}")
    return tracer


def syncs_and_sends(log: Path, client_port: int) -> list[str]:
    """`sync` where a sync of a file has returned, `send` where octets for our client leave, in order."""
    order: list[str] = []
    for line in log.read_text("utf-8", "replace").splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        name, rest = match.group(3), match.group(4)
        if name in ("fdatasync", "fsync") and re.search(r"= 0$|= 0 ", rest):
            order.append("sync")
        elif name in ("write", "writev", "sendmsg", "sendto") and f":{client_port}" in rest and "<... " not in line:
            order.append("send")
    return order


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
def test_every_answer_comes_after_its_sync(place: Place, size: int) -> None:
    sink = place.sink()
    relay = place.relay({"delivery": {"mode": "spool"}, "server": {"threads": 1},
                         "upstream": [{"address": sink.where, "tls": "none"}]})
    relay.add_account()
    relay.start()
    log = place.folder / "trace"
    log.touch()
    log.chmod(0o666)
    message = a_message(body=("x" * 70 + "\r\n") * size)
    with relay.logged_in(timeout=60) as client:
        port = client.sock.getsockname()[1]
        tracer = trace(relay.program.pid, log)
        try:
            for _ in range(MAILS if size == 1 else 3):
                client.send(f"MAIL FROM:<{ANN}>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n".encode())
                assert [client.reply().code for _ in range(3)] == [250, 250, 354]
                client.send(message + b".\r\n")
                assert client.reply().code == 250
        finally:
            tracer.terminate()
            tracer.wait(20)
    order = syncs_and_sends(log, port)
    sends = order.count("send")
    assert sends >= 2 * (MAILS if size == 1 else 3), log.read_text()[-4000:]
    # The envelope's replies leave in one write, then the answer to the message in another: each
    # second one must have a sync since the one before it.
    since_envelope: list[str] = []
    seen = 0
    for step in order:
        if step == "sync":
            since_envelope.append(step)
            continue
        seen += 1
        if seen % 2 == 0:
            assert since_envelope, f"answer {seen // 2} left without a sync"
        since_envelope = []
    assert seen % 2 == 0
    wait_for("the relay is well after the trace", lambda: relay.get("/healthz").status == 200, 10)
