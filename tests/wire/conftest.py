"""Fixtures: the binary, scratch folders, relays with a sink behind them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postern.certificates import Certificate, make_certificate
from postern.relay import Relay, upstream
from postern.scratch import fresh_address, hand_over, make_scratch, reachable_binary
from postern.settings import Settings, merge
from postern.sink import Sink

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    folder = make_scratch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def binary(session_folder: Path) -> Path:
    path = Path(os.environ.get("POSTERN_BINARY", ROOT / "build" / "release" / "postern"))
    assert path.exists(), f"{path} is missing: cmake --preset release && cmake --build --preset release"
    return reachable_binary(path.resolve(), session_folder)


@pytest.fixture(scope="session")
def certificate(session_folder: Path) -> Certificate:
    return make_certificate(session_folder, "relay", algorithm="ecdsa")


@pytest.fixture(scope="session")
def rsa_certificate(session_folder: Path) -> Certificate:
    return make_certificate(session_folder, "relay-rsa", algorithm="rsa")


@dataclass
class Place:
    """A scratch folder in which relays and sinks are made; all of them are stopped at its end."""

    binary: Path
    folder: Path
    certificate: Certificate

    def __post_init__(self) -> None:
        self.relays: list[Relay] = []
        self.sinks: list[Sink] = []

    def sink(self, name: str = "sink", **options: object) -> Sink:
        made = Sink(self.binary, self.folder, fresh_address(), name=name, **options)  # type: ignore[arg-type]
        self.sinks.append(made)
        return made

    def relay(self, settings: Settings | None = None, *, name: str = "relay") -> Relay:
        tls = {"certificate": str(self.certificate.certificate), "key": str(self.certificate.key)}
        made = Relay(self.binary, self.folder, merge({"tls": tls}, settings or {}), name=name)
        self.relays.append(made)
        return made

    def pair(self, settings: Settings | None = None, *faults: str, **upstream_keys: object) -> tuple[Relay, Sink]:
        """A relay with Ann's account and one sink behind it, both started."""
        sink = self.sink().start(*faults)
        relay = self.relay(merge({"upstream": [upstream(sink, **upstream_keys)]}, settings or {}))
        relay.add_account()
        return relay.start(), sink

    def end(self) -> None:
        try:
            for relay in self.relays:
                relay.stop()
            for sink in self.sinks:
                sink.stop()
        finally:
            for relay in self.relays:
                relay.kill()
            for sink in self.sinks:
                sink.kill()

    def logs(self) -> str:
        return "\n".join(each.program.tail() for each in self.relays)


def make_place(binary: Path, certificate: Certificate) -> Place:
    folder = make_scratch()
    hand_over(folder)
    return Place(binary, folder, certificate)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing test shows the end of its relays' logs."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for place in {id(v): v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Place)}.values():
            report.sections.append(("relay logs", place.logs()))
        for pair in getattr(item, "funcargs", {}).values():
            if isinstance(pair, tuple) and pair and isinstance(pair[0], Relay):
                report.sections.append(("relay log", pair[0].program.tail()))


@pytest.fixture
def place(binary: Path, certificate: Certificate) -> Iterator[Place]:
    made = make_place(binary, certificate)
    yield made
    made.end()
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(binary: Path, certificate: Certificate) -> Iterator[tuple[Relay, Sink]]:
    """One well-behaved relay and sink for all tests of a module that do not disturb each other."""
    made = make_place(binary, certificate)
    yield made.pair()
    made.end()
    shutil.rmtree(made.folder, ignore_errors=True)


