"""Fixtures of the harness, and a table of clients and results at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from postern.fixtures import *  # noqa: E402, F403

_RESULTS: list[tuple[str, str]] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Iterator[None]:
    yield
    if report.when == "call" or report.outcome != "passed":
        _RESULTS.append((report.nodeid.rpartition("::")[2], report.outcome))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("")
    for name, outcome in _RESULTS:
        terminalreporter.write_line(f"| {name.removeprefix('test_'):60} | {outcome:8} |")
