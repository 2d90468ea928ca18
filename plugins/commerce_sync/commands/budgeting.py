"""``budget``: what is left of every system's allowance, who used it, and what is expected."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from commerce_sync.commands.built import table

HEAD = ("connection", "of", "limit", "used 24 h", "ours", "others'", "reserve", "room", "lowest ahead", "at (UTC)")


def budget(options: Namespace) -> int:
    """Print every allowance and who waits; 1 when the forecast goes below a reserve."""
    from commerce_sync import places

    found = places.open_ledger().standings(list(places.budgets().values()))
    if options.json:
        print(json.dumps([_as_json(item) for item in found], indent=2, default=str))
    else:
        table(HEAD, [_row(item) for item in found])
        waiting = [leg for item in found for leg in item.legs if leg.since]
        if waiting:
            print()
            table(("waits", "priority", "since (UTC)", "looks again (UTC)", "why"), [_wait(leg) for leg in waiting])
    return int(any(item.forecast is not None and item.forecast.breach is not None for item in found))


def _row(item: Any) -> tuple[str, ...]:
    level, ahead = item.level, item.forecast
    limit = f"{level.limit:,}" if level.limit is not None else ("not told yet" if item.is_limited else "none")
    if item.per_second:
        limit += f", {item.per_second:g}/s"
    room = (f"{level.reserve:,}", f"{max(0, level.room):,}") if level.limit is not None else ("", "")
    low = (f"{ahead.lowest.left:,}", f"{ahead.lowest.at:%m-%d %H:%M}") if ahead is not None else ("", "")
    return (item.connection, item.resource, limit, f"{level.used:,}", f"{item.ours:,}", f"{item.others:,}", *room, *low)


def _wait(leg: Any) -> tuple[str, ...]:
    until = f"{leg.look_again:%H:%M}" if leg.look_again else ""
    return leg.leg, leg.priority, f"{leg.since:%Y-%m-%d %H:%M}", until, leg.reason or ""


def _as_json(item: Any) -> dict[str, Any]:
    level, ahead = item.level, item.forecast
    return {
        "connection": item.connection, "resource": item.resource, "limit": level.limit, "used": level.used,
        "ours": item.ours, "others": item.others, "leased": level.leased, "reserve": level.reserve,
        "cushion": level.cushion, "room": max(0, level.room) if level.limit is not None else None,
        "per_second": item.per_second, "reported_at": level.reported_at.isoformat() if level.reported_at else None,
        "lowest": _point(ahead.lowest) if ahead else None, "end": _point(ahead.end) if ahead else None,
        "breach": _point(ahead.breach) if ahead and ahead.breach else None,
        "legs": [
            {"leg": leg.leg, "priority": leg.priority, "used": leg.used, "typical": leg.typical,
             "waits_since": leg.since.isoformat() if leg.since else None,
             "looks_again": leg.look_again.isoformat() if leg.look_again else None, "reason": leg.reason}
            for leg in item.legs
        ],
    }  # fmt: skip


def _point(point: Any) -> dict[str, Any]:
    return {"at": point.at.isoformat(timespec="minutes"), "left": point.left}
