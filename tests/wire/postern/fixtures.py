"""Fixtures: the binary, scratch folders, relays with a sink behind them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .certificates import Certificate, make_certificate
from .place import Place, make_place
from .relay import Relay
from .scratch import make_scratch, reachable_binary
from .sink import Sink

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    folder = make_scratch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def binary(session_folder: Path) -> Path:
    path = Path(os.environ.get("POSTERN_BINARY", ROOT / "build" / "release" / "postern"))
    if not path.exists():
        pytest.exit(f"{path} is missing: cmake --preset release && cmake --build --preset release", returncode=3)
    return reachable_binary(path.resolve(), session_folder)


@pytest.fixture(scope="session")
def certificate(session_folder: Path) -> Certificate:
    return make_certificate(session_folder, "relay", algorithm="ecdsa")


@pytest.fixture(scope="session")
def rsa_certificate(session_folder: Path) -> Certificate:
    return make_certificate(session_folder, "relay-rsa", algorithm="rsa")


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
