"""Fixtures of the harness, the servers, and the table of back-ends and results at the end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from postern.fixtures import *  # noqa: E402, F403
from postern.scratch import hand_over, make_scratch  # noqa: E402

from servers import SERVERS, Server  # noqa: E402

# (back-end, right or wrong or slow or away, what was heard)
_ROWS: set[tuple[str, str, str]] = set()
_STATES = ["right", "wrong", "slow", "away"]


@pytest.fixture(scope="module", params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each back-end's real server in turn, with ann's and bob's passwords."""
    kind = SERVERS[request.param]
    if missing := kind.missing():
        pytest.skip(f"{request.param}: {missing} is not installed")
    folder = make_scratch()
    hand_over(folder)
    made = kind(folder)
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _ROWS.update(tuple(value) for name, value in report.user_properties if name == "row")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for backend in sorted({row[0] for row in _ROWS}):
        heard = {state: text for name, state, text in sorted(_ROWS) if name == backend}
        cells = " | ".join(f"{heard.get(state, '-'):10}" for state in _STATES)
        terminalreporter.write_line(f"| {backend:14} | {cells} |")
