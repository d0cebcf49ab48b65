"""Medians, and the table with its goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

Rounds = dict[str, list[dict[str, float]]]


def medians(rounds: Rounds) -> dict[str, dict[str, float]]:
    """Of each figure of each case over its rounds."""
    return {case: {figure: statistics.median(one[figure] for one in runs) for figure in runs[0]}
            for case, runs in rounds.items() if runs}


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    beside: str
    ratio: float
    goal: float | None = None
    at_least: bool = False  # the goal is a least value, else a most
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        met = self.ratio >= self.goal if self.at_least else self.ratio <= self.goal
        return "reached" if met else "goal missed"

    @property
    def goal_text(self) -> str:
        if self.goal is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.goal:.3g}{self.unit}"


def rows(found: dict[str, dict[str, float]], loads: dict[str, str]) -> list[Row]:
    """`loads`: the loads that went through both servers, by key, with their titles."""
    goals = {"long": 1 / 8, "session": 1 / 5, "large": 1 / 5}
    table = []
    for key, title in loads.items():
        ours, theirs = found[f"postern {key}"], found[f"postfix {key}"]
        table.append(Row(f"CPU s per 1,000 mails, {title}", f"{ours['cpu_per_1000']:.3f}",
                         f"Postfix {theirs['cpu_per_1000']:.3f}", ours["cpu_per_1000"] / theirs["cpu_per_1000"],
                         goals[key]))
    for key, title in loads.items():
        ours, theirs = found[f"postern {key}"], found[f"postfix {key}"]
        table.append(Row(f"accepted mails a second, {title}", f"{ours['rate']:.0f} (core {ours['core_used']:.0%})",
                         f"Postfix {theirs['rate']:.0f} (core {theirs['core_used']:.0%})",
                         ours["rate"] / theirs["rate"], unit=""))
    idle = found["idle"]
    table += [
        Row("idle connection, KiB resident", f"{idle['postern'] / 1024:.1f}",
            f"Postfix {idle['postfix'] / 1024:.1f}", idle["postern"] / 1024, 24, unit=" KiB"),
        Row("idle connection, KiB above a bare SSL", f"{idle['postern'] / 1024:.1f}",
            f"bare {idle['bare'] / 1024:.1f}", (idle["postern"] - idle["bare"]) / 1024, 8, unit=" KiB"),
    ]
    spool, alone, straight = found["durable"], found["alone"], found["through"]
    table += [
        Row("durable accepts a second, of our cut-through", f"{spool['rate']:.0f}",
            f"cut-through {spool['cut_through_rate']:.0f}", spool["rate"] / spool["cut_through_rate"], 0.8,
            at_least=True),
        Row("durable accepts a second, of batched fdatasync", f"{spool['rate']:.0f}",
            f"disk {spool['raw_rate']:.0f}", spool["rate"] / spool["raw_rate"]),
        Row("one client, durable, dot to 250, ms above one fdatasync", f"{alone['reply_us'] / 1000:.3f}",
            f"sync {alone['sync_us'] / 1000:.3f}", (alone["reply_us"] - alone["sync_us"]) / 1000, 0.3, unit=" ms"),
        Row("one client, cut-through, dot to 250, ms above the sink's own", f"{straight['reply_us'] / 1000:.3f}",
            f"sink {straight['sink_us'] / 1000:.3f}", (straight["reply_us"] - straight["sink_us"]) / 1000, 0.3,
            unit=" ms"),
    ]
    return table


def render(table: list[Row]) -> str:
    cells: list[list[str]] = [["", "Postern", "beside", "ratio or difference", "goal", ""]]
    cells += [[row.what, row.ours, row.beside, f"{row.ratio:.3f}{row.unit}", row.goal_text, row.verdict]
              for row in table]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    pad: Callable[[list[str]], str] = lambda line: "  ".join(
        cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
    return "\n".join(pad(line) for line in cells)
