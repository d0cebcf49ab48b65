"""DKIM signatures of what arrived, checked by dkimpy against the records that the relay says to publish."""

from __future__ import annotations

import re

import dkim

from .relay import Relay


def records(relay: Relay, *domains: str) -> dict[str, str]:
    """Name to value, as `postern dkim dns` has them."""
    return {key["name"]: key["value"] for domain in domains for key in relay.cli_json("dkim", "dns", domain)}


def tags(raw: bytes) -> list[dict[str, str]]:
    """The tags of each DKIM-Signature, from the top."""
    head = raw.partition(b"\r\n\r\n")[0] + b"\r\n"
    fields = re.findall(rb"(?im)^dkim-signature:((?:[^\r]|\r\n[ \t])*)\r\n", head)
    return [dict(re.sub(r"\s", "", tag).split("=", 1) for tag in field.decode().split(";") if tag.strip())
            for field in fields]


def verified(raw: bytes, published: dict[str, str]) -> list[str]:
    """`ALGORITHM DOMAIN` of each signature, from the top; `not ` before it where it does not verify."""
    def ask(name: bytes, timeout: int = 5) -> bytes:
        return published.get(name.decode().rstrip("."), "").encode()

    said = []
    for index, each in enumerate(tags(raw)):
        try:
            good = dkim.DKIM(raw).verify(index, dnsfunc=ask)
        except dkim.DKIMException:
            good = False
        said.append(("" if good else "not ") + f"{each['a'].partition('-')[0]} {each['d']}")
    return said
