"""The dialogues of tests/dialogues on the live relay: the same files as the session machine's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.place import make_place
from postern.certificates import Certificate
from postern.dialogue import is_for_machines, play
from postern.relay import ANN, Relay, upstream

FOLDER = Path(__file__).resolve().parents[1] / "dialogues"
FILES = [path for path in sorted(FOLDER.glob("*.txt")) if not is_for_machines(path)]


@pytest.fixture(scope="module")
def relay(binary: Path, certificate: Certificate) -> Iterator[Relay]:
    place = make_place(binary, certificate)
    made = place.relay({"server": {"hostname": "smtp.example.net"}, "upstream": [upstream(place.sink().start())]})
    made.add_account(ANN, "correct horse")
    yield made.start()
    place.end()
    shutil.rmtree(place.folder, ignore_errors=True)


def test_there_are_dialogues() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dialogue(relay: Relay, path: Path) -> None:
    play(relay, path)
