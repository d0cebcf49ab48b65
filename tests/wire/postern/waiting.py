"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Sanitizers and a busy machine make everything slower; deadlines are stretched, never the sleeps.
PATIENCE = float(os.environ.get("POSTERN_PATIENCE", "1"))


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 10.0) -> T:
    """The first truthy value of `probe`; an AssertionError naming `what` when there is none in time."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds * PATIENCE:g} s")
        time.sleep(0.02)
