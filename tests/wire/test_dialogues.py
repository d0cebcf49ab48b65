"""The dialogues of tests/dialogues on the live relay: the same files as the session machine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from postern.dialogue import play
from postern.relay import Relay
from postern.sink import Sink

FOLDER = Path(__file__).resolve().parents[1] / "dialogues"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dialogue(shared: tuple[Relay, Sink], path: Path) -> None:
    play(shared[0], path)
