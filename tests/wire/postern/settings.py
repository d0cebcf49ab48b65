"""A configuration as nested dictionaries, written as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Settings:
    """`over` laid upon `base`, table by table; lists are replaced whole; None removes a key."""
    merged: Settings = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(value if isinstance(value, (bool, int, float)) else str(value))


def to_toml(settings: Mapping[str, Any]) -> str:
    lines: list[str] = []
    for section, body in settings.items():
        tables = body if isinstance(body, list) else [body]
        heading = f"[[{section}]]" if isinstance(body, list) else f"[{section}]"
        for table in tables:
            lines.append(heading)
            lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"
