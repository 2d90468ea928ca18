"""Histories: what happens, drawn from a seed. Acts are plain lists, so that a shrunk history can be kept as JSON."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

Act = list[Any]
"""``[name, ...]``: edit key values delay_s | delete key | wait s | skew s | restart | refuse key times outcome |
allow | map | run {...} | nudge (only within a run: a doubled webhook starts another one)."""
KEYS = ("a", "b", "c", "d", "e", "f", "g", "h", "Ä", "k 1")
POOLS: dict[str, tuple[Any, ...]] = {
    "name": (None, "", "Ada", "Grace", "Ren\u00e9", "Rene\u0301", "x\u001fy", "null", "#N/A"),
    "note": (None, "", "hello", "\u0000", "a\u001fb"),
    "city": (None, "", "Berlin", "Rome", "y"),
    "amount": (None, 0.0, -0.0, 0.1, 1 / 3, 12.5, -7.0, 1e15),
    "number": (None, 0, 1, 13, -1, 2**40),
    "since": (None, datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1000), datetime(1969, 12, 31, 23, 59, 59)),
    "hidden": (False, False, False, True),
}
LATEST_COMMIT_S = 900


@dataclass
class History:
    """One history: how leg and far sides are set up, and what happens."""

    seed: int
    setting: dict[str, Any]
    acts: list[Act] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def history(seed: int) -> History:
    """The history of a seed: the same on every machine."""
    draw = random.Random(seed)
    setting = _setting(draw)
    acts = [["edit", key, _values(draw, 7), 0] for key in draw.sample(KEYS, draw.randint(1, 6))]
    acts += [["wait", draw.choice((1, 60, 1200))], _run(draw, "auto", calm=True)]
    for _ in range(draw.randint(2, 4)):
        acts += [_act(draw) for _ in range(draw.randint(1, 6))]
        acts += [["wait", draw.choice((0, 1, 1, 5, 60, 400, 900))], _run(draw, _mode(draw))]
    return History(seed, setting, acts)


def _setting(draw: random.Random) -> dict[str, Any]:
    return {
        "overlap_s": draw.choice((0, 300, 300, 900, 1200)),
        "page_rows": draw.choice((1, 2, 3, 5, 1000)),
        "paging": draw.choice(("keyset", "keyset", "keyset", "next")),
        "grain_ms": draw.choice((1000, 1000, 60_000, 1)),
        "precision": draw.choice(("seconds", "seconds", "milliseconds")),
        "concurrency": draw.choice((1, 4)),
        "on_delete": draw.choice(("delete", "delete", "ignore", "clear")),
        "on_leave": draw.choice(("ignore", "delete")),
        "skew_s": draw.choice((0, 0, 0, -240, 90, 600)),
        "held": draw.random() < 0.1,
    }


def _values(draw: random.Random, most: int) -> dict[str, Any]:
    names = draw.sample(sorted(POOLS), draw.randint(1, most))
    return {name: draw.choice(POOLS[name]) for name in names}


def _act(draw: random.Random) -> Act:
    kind = draw.choices(("edit", "touch", "late", "delete", "wait", "skew", "restart", "refuse", "allow", "map"),
                        (10, 1, 4, 3, 3, 0.3, 0.4, 2, 1, 0.3))[0]  # fmt: skip
    key = draw.choice(KEYS)
    if kind in ("edit", "late", "touch"):
        values = {} if kind == "touch" else _values(draw, 3)
        return ["edit", key, values, draw.choice((1, 20, 290, 600, LATEST_COMMIT_S)) if kind == "late" else 0]
    made: dict[str, Act] = {
        "delete": ["delete", key],
        "wait": ["wait", draw.choice((0.2, 1, 7, 120, 901))],
        "skew": ["skew", draw.choice((-240, -5, 0, 30, 600))],
        "refuse": ["refuse", key, draw.randint(1, 3), draw.choice(("rejected", "rejected", "unprocessed"))],
    }
    return made.get(kind, [kind])


def _mode(draw: random.Random) -> str:
    return draw.choices(("changes", "complete", "backfill", "replay"), (6, 2, 1, 0.5))[0]


def _run(draw: random.Random, mode: str, *, calm: bool = False) -> Act:
    run: dict[str, Any] = {"mode": mode}
    if not calm and draw.random() < 0.5:
        run["read"] = [[draw.randint(1, 12), _within(draw)] for _ in range(draw.randint(1, 4))]
    if not calm and draw.random() < 0.3:
        run["load"] = [[draw.randint(1, 4), _within(draw)] for _ in range(draw.randint(1, 3))]
    if draw.random() < 0.2:
        where = draw.choice(("read", "load", "settle-before", "settle-after"))
        run |= {"fault": [where, draw.randint(1, 4)], "again": draw.random() < 0.6}
    if mode == "backfill":
        start = draw.choice((600, 3600))
        run["window"] = [start, start - draw.choice((300, 600))]
    return ["run", run]


def _within(draw: random.Random) -> Act:
    """What happens while a run is at work; deletes move the pages behind them."""
    kind = draw.random()
    if kind < 0.3:
        return ["nudge"] if kind < 0.1 else ["delete", draw.choice(KEYS)]
    act = _act(draw)
    while act[0] == "map":
        act = _act(draw)
    return act
