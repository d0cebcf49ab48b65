"""Disks that fill up, turn read-only, or lose files under the running relay: what was answered is kept, nothing lies.

Small file systems of their own, so only as root, and where mounting is allowed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.place import Place
from postern.relay import ANN, Relay, upstream
from postern.scratch import NOBODY, hand_over, runs_as_root
from postern.settings import Settings, merge
from postern.sink import Sink
from postern.smtp import Client, a_message
from postern.waiting import wait_for

LINE = "x" * 98 + "\r\n"
RETRY: Settings = {"retry": {"first": "1h", "factor": 1.0, "max": "1h", "jitter": 0.0, "give_up": "4d",
                             "warn_after": "4h"}}


def mount(*words: str | Path) -> None:
    """The test is skipped where that is not allowed."""
    if not runs_as_root():
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", folder], capture_output=True)


@pytest.fixture
def small(place: Place) -> Iterator[Path]:
    """A disk in memory: 32 MiB."""
    folder = place.folder / "small"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=32m,mode=0755", "none", folder)
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    place.end()
    unmount(folder)


@pytest.fixture
def image(place: Place) -> Iterator[Path]:
    """An ext4 of 64 MiB in a file; the file is IMAGE.img."""
    if shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        pytest.skip("mkfs.ext4 is not installed")
    folder = place.folder / "disk"
    folder.mkdir()
    file = folder.with_suffix(".img")
    with file.open("wb") as made:
        made.truncate(64 << 20)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", file], check=True)
    mount("-o", "loop", file, folder)
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    place.end()
    unmount(folder)


def free(folder: Path) -> int:
    seen = os.statvfs(folder)
    return seen.f_bavail * seen.f_frsize


def fill(folder: Path, leave: int = 0) -> Path:
    """Takes all of the disk but so much."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        while (room := free(folder) - leave) > 0:
            try:
                file.write(b"x" * min(room, 1 << 20))
            except OSError:
                break
    return filler


def spooling(place: Place, spool: Path, sink: Sink, settings: Settings | None = None) -> Relay:
    """The upstream is not there yet."""
    relay = place.relay(merge({"delivery": {"mode": "spool", **RETRY}, "upstream": [upstream(sink)],
                               "spool": {"path": str(spool), "reserve": "2MiB"}}, settings or {}))
    relay.add_account()
    return relay.start()


def offer(client: Client, subject: str, octets: int = 1000) -> str:
    """The heading of what it comes to, wherever it is said; the session is ready for the next."""
    reply = client.ask(f"MAIL FROM:<{ANN}>")
    if reply.code == 250:
        reply = client.ask("RCPT TO:<bob@example.org>")
    if reply.code == 250:
        reply = client.data(a_message(subject=subject, body=LINE * (octets // 100)))
    client.ask("RSET")
    return reply.heading


def subjects(sink: Sink) -> list[str]:
    return sorted(str(mail.message["Subject"]) for mail in sink.mails())


def drain(relay: Relay, sink: Sink) -> None:
    def empty() -> bool:
        if not relay.queue():
            return True
        relay.cli("queue", "retry", "--all", expect=None)
        return False

    sink.start()
    wait_for("an empty queue", empty, 90)


def test_a_disk_that_fills_up_takes_no_mail_and_gives_all_of_it_away(place: Place, small: Path) -> None:
    """At every write: of segments, of large bodies, and (when they are emptied) of compaction."""
    sink = place.sink()
    relay = spooling(place, small / "spool", sink)
    taken: list[str] = []
    refused = 0
    with relay.logged_in(timeout=60) as client:
        for number in range(200):
            subject = f"n{number}"
            heading = offer(client, subject, 400_000 if number % 3 == 0 else 150_000)
            assert heading in ("250 2.0.0", "452 4.3.1"), heading
            if heading.startswith("250"):
                taken.append(subject)
            else:
                refused += 1
            if refused == 10:
                break
        assert refused == 10 and len(taken) >= 20
        # What the relay keeps for outcomes is taken by others, too: not an octet is left.
        filler = fill(small)

        def none_is_taken() -> bool:
            """What has a place already is taken until the relay looks at the disk again, each second."""
            if offer(client, "late").startswith("452"):
                return True
            taken.append("late")
            return False

        wait_for("no mail is taken", none_is_taken, 10)
        drain(relay, sink)
        assert subjects(sink) == sorted(taken)
        filler.unlink()
        wait_for("mail is taken again", lambda: offer(client, "again").startswith("250"), 30)
        sink.wait_for_mails(len(taken) + 1, 30)
    # The outcomes were recorded, full as the disk was: nothing is sent twice after a crash.
    wait_for("an empty queue", lambda: relay.queue() == [], 30)
    relay.kill()
    relay.start()
    assert relay.queue() == []
    assert relay.get("/healthz").status == 200
    assert subjects(sink) == sorted([*taken, "again"])


def test_a_nearly_full_disk_still_delivers(place: Place, small: Path) -> None:
    """Less is free than what is kept for outcomes, from before the mail could go until after."""
    sink = place.sink()
    relay = spooling(place, small / "spool", sink)
    with relay.logged_in(timeout=60) as client:
        for number in range(30):
            assert offer(client, f"n{number}", 20_000) == "250 2.0.0"
        fill(small, leave=1 << 20)
        wait_for("no mail is taken", lambda: offer(client, "late") == "452 4.3.1", 30)
        wait_for("it is told", lambda: relay.metrics().total("postern_spool_errors_total", kind="full") > 0, 30)
    drain(relay, sink)
    assert [each for each in subjects(sink) if each != "late"] == sorted(f"n{n}" for n in range(30))


def test_a_restart_on_a_full_disk(place: Place, small: Path) -> None:
    """It starts, or says why it does not; nothing is lost by having tried."""
    sink = place.sink()
    relay = spooling(place, small / "spool", sink)
    with relay.logged_in(timeout=60) as client:
        for number in range(10):
            assert offer(client, f"n{number}", 20_000) == "250 2.0.0"
    relay.kill()
    filler = fill(small)
    relay.program.start()
    try:
        wait_for("it starts or ends", lambda: not relay.program.running or relay.get("/readyz").status == 200, 20)
    except OSError:
        wait_for("it starts or ends", lambda: not relay.program.running or relay.socket_path.exists(), 20)
    if not relay.program.running:
        assert relay.program.exit_code in (1, 4), relay.program.tail()
        assert "spool" in relay.program.errors(), relay.program.tail()
    relay.kill()
    filler.unlink()
    relay.start()
    drain(relay, sink)
    assert subjects(sink) == sorted(f"n{n}" for n in range(10))


def test_a_disk_that_turns_read_only(place: Place, image: Path) -> None:
    """As a kernel does it after an error of the disk."""
    sink = place.sink()
    relay = spooling(place, image / "spool", sink)
    with relay.logged_in(timeout=60) as client:
        for number in range(10):
            assert offer(client, f"n{number}", 400_000 if number % 5 == 0 else 4_000) == "250 2.0.0"
        done = subprocess.run(["mount", "-o", "remount,abort", image], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no file system can be aborted here: {done.stderr.strip()}")
        for number in range(3):
            assert offer(client, f"late{number}") == "452 4.3.1"
        told = relay.wait_event("spool_error", lambda e: e["kind"] in ("write", "sync"))
        assert str(image) in told["path"] and told["error"]
        alert = relay.wait_event("alert", lambda e: e["kind"] == "spool_failed")
        assert alert["state"] == "firing"
        assert relay.metrics().total("postern_spool_errors_total", kind="write") + \
            relay.metrics().total("postern_spool_errors_total", kind="sync") > 0
        assert relay.get("/healthz").status in (200, 503)
    relay.kill()
    subprocess.run(["umount", image], check=True)
    subprocess.run(["/usr/sbin/fsck.ext4", "-fy", image.with_suffix(".img")], capture_output=True)
    mount("-o", "loop", image.with_suffix(".img"), image)
    relay.start()
    drain(relay, sink)
    assert subjects(sink) == sorted(f"n{n}" for n in range(10))


def test_segments_that_are_removed_under_it(place: Place) -> None:
    """It holds them open: their mail is delivered. What is accepted from then on survives a crash."""
    sink = place.sink()
    spool = place.folder / "spool"
    relay = spooling(place, spool, sink)
    with relay.logged_in(timeout=60) as client:
        for number in range(10):
            assert offer(client, f"n{number}") == "250 2.0.0"
        for segment in spool.glob("*.seg"):
            segment.unlink()
        headings = {f"late{number}": offer(client, f"late{number}") for number in range(5)}
    assert set(headings.values()) <= {"250 2.0.0", "452 4.3.1"}
    late = sorted(subject for subject, heading in headings.items() if heading.startswith("250"))
    sink.start()
    relay.cli("queue", "retry", "--all", expect=None)
    sink.wait_for_mails(10 + len(late), 60)
    assert subjects(sink) == sorted([*(f"n{n}" for n in range(10)), *late])
    relay.stop()
    relay.start()
    assert subjects(sink) == sorted([*(f"n{n}" for n in range(10)), *late])


def test_what_is_accepted_after_segments_were_removed_survives_a_crash(place: Place) -> None:
    sink = place.sink()
    spool = place.folder / "spool"
    relay = spooling(place, spool, sink)
    with relay.logged_in(timeout=60) as client:
        assert offer(client, "before") == "250 2.0.0"
        for segment in spool.glob("*.seg"):
            segment.unlink()

        def taken() -> str | None:
            """The subject of the first one that is accepted after that."""
            taken.count += 1  # type: ignore[attr-defined]
            subject = f"after{taken.count}"  # type: ignore[attr-defined]
            return subject if offer(client, subject) == "250 2.0.0" else None

        taken.count = 0  # type: ignore[attr-defined]
        subject = wait_for("mail is taken again", taken, 30)
    relay.kill()
    relay.start()
    drain(relay, sink)
    assert subject in subjects(sink)


def test_bodies_that_are_removed_under_it_are_named(place: Place) -> None:
    """What is whole is delivered; of the rest the operator is told, and it stays in the list until it is dropped."""
    sink = place.sink()
    spool = place.folder / "spool"
    relay = spooling(place, spool, sink)
    with relay.logged_in(timeout=60) as client:
        for number in range(6):
            assert offer(client, f"n{number}", 400_000 if number % 2 == 0 else 4_000) == "250 2.0.0"
    gone = sorted(spool.glob("bodies/*"))[0]
    gone.unlink()
    sink.start()
    relay.cli("queue", "retry", "--all")
    sink.wait_for_mails(5, 60)
    wait_for("it is named", lambda: [each["state"] for each in relay.queue()] == ["damaged"], 30)
    [entry] = relay.queue()
    assert entry["id"] == gone.name
    assert relay.metrics().total("postern_spool_errors_total", kind="damaged") == 1
    assert relay.wait_event("spool_error", lambda e: e["kind"] == "damaged")["path"]
    relay.restart()
    assert [each["state"] for each in relay.queue()] == ["damaged"]
    relay.cli("queue", "drop", gone.name)
    assert relay.queue() == []


def test_the_whole_spool_is_removed_under_it(place: Place) -> None:
    """Never a crash; mail is taken again only once it is safe again."""
    sink = place.sink()
    spool = place.folder / "spool"
    relay = spooling(place, spool, sink)
    with relay.logged_in(timeout=60) as client:
        assert offer(client, "before") == "250 2.0.0"
        while spool.exists():  # The relay may make files meanwhile.
            shutil.rmtree(spool, ignore_errors=True)
        offered: list[str] = []

        def taken() -> str | None:
            offered.append(f"after{len(offered)}")
            return offered[-1] if offer(client, offered[-1]) == "250 2.0.0" else None

        try:
            subject = wait_for("mail is taken again", taken, 15)
        except AssertionError:
            # Its parent folder belongs to somebody else, perhaps: the folder is given back.
            spool.mkdir(mode=0o700)
            hand_over(spool)
            subject = wait_for("mail is taken again", taken, 30)
    relay.kill()
    relay.start()
    drain(relay, sink)
    assert subject in subjects(sink)


def test_a_full_disk_of_the_state_stops_no_mail(place: Place, small: Path) -> None:
    """Accounts, journal, token map and guard.snap lie there; the spool is elsewhere."""
    sink = place.sink().start()
    relay = place.relay({"upstream": [upstream(sink)],
                         "spool": {"path": str(place.folder / "spool"), "reserve": "1MiB"}})
    relay.state = small / "state"
    relay.state.mkdir(mode=0o700)
    hand_over(relay.state)
    relay.configure({"server": {"state": str(relay.state)}})
    relay.add_account()
    relay.start()
    with relay.logged_in(timeout=60) as client:
        assert offer(client, "before").startswith("250")
    filler = fill(small)
    wrong = relay.encrypted()
    assert wrong.auth_plain(ANN, "wrong").code == 535
    wrong.close()
    with relay.logged_in(timeout=60) as client:
        for number in range(20):
            assert offer(client, f"n{number}").startswith("250")
    sink.wait_for_mails(21, 30)
    wait_for("lost lines are counted", lambda: relay.metrics().total("postern_events_dropped_total") > 0, 60)
    # What cannot be written is refused with the reason, and not half there.
    done = relay.cli("account", "add", "eve@example.net", "--password-stdin", stdin="a password of eve\n", expect=None)
    if done.returncode != 0:
        assert done.stderr.strip(), done
        assert "eve@example.net" not in relay.cli("account", "list").stdout
    assert relay.get("/healthz").status == 200
    # The end with a guard.snap that cannot be written is an end all the same.
    relay.stop()
    filler.unlink()
    relay.start()
    answered = len(relay.told("answered"))
    with relay.logged_in(timeout=60) as client:
        assert offer(client, "after").startswith("250")
    wait_for("it is logged", lambda: len(relay.told("answered")) > answered)
    relay.cli("account", "add", "zoe@example.net", "--password-stdin", stdin="a password of zoe\n")
    assert "zoe@example.net" in relay.cli("account", "list").stdout
    [ref] = {event["ref"] for event in relay.told("answered")[-1:]}
    token = relay.wait_event("message", lambda e: e["ref"] == ref)["token"]
    wait_for("the token leads back", lambda: relay.cli_json_any("trace", token), 30)
