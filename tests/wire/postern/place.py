"""A scratch folder in which relays and sinks live and end together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .certificates import Certificate
from .relay import Relay, upstream
from .scratch import fresh_address, hand_over, make_scratch
from .settings import Settings, merge
from .sink import Sink


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

    def relay(self, settings: Settings | None = None, *, name: str = "relay",
              env: dict[str, str] | None = None) -> Relay:
        tls = {"certificate": str(self.certificate.certificate), "key": str(self.certificate.key)}
        made = Relay(self.binary, self.folder, merge({"tls": tls}, settings or {}), name=name, env=env)
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
