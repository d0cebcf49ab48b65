"""The loads, and what one run of each gives."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from harness.account import rss
from harness.servers import USER, Failed, Place, Postern, Postfix, Sink, pinned, run, wait_for

Figures = dict[str, float]


@dataclass(frozen=True)
class Load:
    """`connections` clients at a time, sessions of `mails`, `total` mails of `size` octets."""

    name: str
    connections: int
    mails: int
    total: int
    size: int


def generate(place: Place, port: int, password: str, load: Load) -> Figures:
    """Sends it all; every mail was accepted, or this fails."""
    text = run(place.programs / "bench_load", "--connect", f"127.0.0.1:{port}", "--tls", "starttls", "--user", USER,
               "--password", password, "--from", USER, "--connections", str(load.connections), "--mails",
               str(load.mails), "--total", str(load.total), "--size", str(load.size), "--timeout", "300",
               prepare=pinned(place.other_cpu), seconds=330)
    said = json.loads(text)
    if said["accepted"] != load.total:
        raise Failed(f"{load.name}: {said['accepted']} of {load.total} mails were accepted")
    return {"rate": said["accepted"] / said["seconds"], "seconds": said["seconds"],
            "reply_us": said["reply_us"]["p50"], "mail_us": said["mail_us"]["p50"]}


def through(place: Place, server: Postern | Postfix, sink: Sink, load: Load) -> Figures:
    """One load through a server to the sink; CPU from the first connection until the last mail is there."""
    before = sink.mails()
    cpu = server.account.cpu_seconds()
    figures = generate(place, server.port, server.password, load)
    at_end = server.account.cpu_seconds()
    wait_for(f"{load.total} mails of {server.name} at the sink", lambda: sink.mails() - before >= load.total, 120, 0.1)
    time.sleep(0.3)
    if (arrived := sink.mails() - before) != load.total:
        raise Failed(f"{server.name}, {load.name}: {load.total} mails accepted and {arrived} at the sink")
    figures["cpu_per_1000"] = (server.account.cpu_seconds() - cpu) / load.total * 1000
    # Near 1 the server's core was what bounded the rate.
    figures["core_used"] = (at_end - cpu) / figures["seconds"]
    return figures


def durable(place: Place, server: Postern, load: Load) -> Figures:
    """One load with the upstream down, beside what the disk allows with as many records in each sync."""
    with_syncs = disk_around(place, load.size + 512, load.connections, load.total)
    next(with_syncs)
    figures = generate(place, server.port, server.password, load)
    figures["raw_rate"] = next(with_syncs)["records_per_second"]
    return figures


def alone(place: Place, server: Postern, load: Load) -> Figures:
    """One client with the upstream down, beside the fastest sync of as much."""
    with_syncs = disk_around(place, load.size + 512, 1, load.total)
    next(with_syncs)
    figures = generate(place, server.port, server.password, load)
    figures["sync_us"] = next(with_syncs)["fastest_us"]
    return figures


def alone_through(place: Place, server: Postern, sink: Sink, load: Load) -> Figures:
    """One client through the relay, beside the same client with the sink alone, before and after."""
    before = straight(place, sink, load)
    figures = through(place, server, sink, load)
    after = straight(place, sink, load)
    figures["sink_us"] = (before["reply_us"] + after["reply_us"]) / 2
    return figures


def straight(place: Place, sink: Sink, load: Load) -> Figures:
    """One load into the sink. The client is on the server's core: as through the relay, its peer is on the other."""
    before = sink.mails()
    said = json.loads(run(place.programs / "bench_load", "--connect", f"127.0.0.1:{sink.port}", "--tls", "none",
                          "--from", USER, "--connections", str(load.connections), "--mails", str(load.mails),
                          "--total", str(load.total), "--size", str(load.size), "--timeout", "300",
                          prepare=pinned(place.server_cpu), seconds=330))
    if said["accepted"] != load.total or sink.mails() - before != load.total:
        raise Failed(f"{load.name}: the sink took {said['accepted']} of {load.total} mails")
    return {"reply_us": said["reply_us"]["p50"]}


def disk_around(place: Place, size: int, batch: int, count: int) -> Iterator[Figures]:
    """The disk before and after something: it is not the same from one minute to the next. The mean of both."""
    before = disk(place, size, batch, count)
    yield before
    after = disk(place, size, batch, count)
    yield {figure: (before[figure] + after[figure]) / 2 for figure in before}


def disk(place: Place, size: int, batch: int, count: int) -> Figures:
    return json.loads(run(place.programs / "bench_disk", place.folder, str(size), str(batch), str(count),
                          prepare=pinned(place.server_cpu)))


def deliver_spooled(place: Place, server: Postern, port: int, expected: int) -> None:
    """The upstream comes back: every mail that was accepted without it has to arrive, once."""
    sink = Sink(place, port)
    try:
        until = time.monotonic() + 150
        while (arrived := sink.mails()) < expected and time.monotonic() < until:
            with contextlib.suppress(Failed):  # entries that leave meanwhile count as failed
                server.command("queue", "retry", "--all")
            time.sleep(2)
        time.sleep(1)
        if (arrived := sink.mails()) != expected:
            raise Failed(f"{expected} mails were spooled and {arrived} came to the upstream")
    finally:
        sink.stop()


def idle(place: Place, server: Postern | Postfix, count: int, settle: float) -> float:
    """Resident octets of a server for each of `count` connections that logged in and are still."""
    warm = Load("warming up", 1, 1, 1, 1024)
    generate(place, server.port, server.password, warm)
    time.sleep(settle)

    def resident() -> int:
        return rss(server.pid) if isinstance(server, Postern) else server.account.resident()

    before = resident()
    holder = subprocess.Popen(
        [place.programs / "bench_load", "--connect", f"127.0.0.1:{server.port}", "--tls", "starttls", "--user", USER,
         "--password", server.password, "--from", USER, "--connections", str(count), "--size", "1024", "--hold"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(place.other_cpu))
    assert holder.stdin is not None and holder.stdout is not None
    try:
        held = json.loads(holder.stdout.readline() or "{}")
        if held.get("held") != count or held.get("errors") != 0:
            raise Failed(f"{server.name} holds {held} instead of {count} connections")
        time.sleep(settle)
        return (resident() - before) / count
    finally:
        holder.stdin.close()
        holder.wait(60)


def bare_tls(place: Place, count: int) -> float:
    """Resident octets for each bare SSL object."""
    return float(json.loads(run(place.programs / "bench_idle_tls", str(count), place.certificate, place.key,
                                prepare=pinned(place.server_cpu)))["bytes_each"])
