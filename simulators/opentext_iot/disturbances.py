"""Faults that act on stored events at once; further ones stand and are asked for where they act."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from simulators.opentext_iot.platform import Platform

STANDING = {
    "index_lag",
    "version_conflict",
    "lose_events",
    "count_mismatch",
    "truncate_search",
    "duplicate_results",
    "reorder_events",
    "lose_pushes",
    "duplicate_pushes",
    "reorder_pushes",
}
Spec = dict[str, Any]


def at_once(platform: Platform) -> dict[str, Callable[[Spec], Any]]:
    """Action -> what it does; each gives how many events or tokens it touched."""
    return {
        "expire_tokens": lambda _spec: platform.tokens.clear(),
        "duplicate_events": lambda spec: duplicate(platform, spec),
        "erase_events": lambda spec: erase(platform, spec),
        "delay_events": lambda spec: delay(platform, spec),
        "corrupt_events": lambda spec: corrupt(platform, spec),
    }


def _drawn(platform: Platform, spec: Spec) -> list[int]:
    """A share of the visible events, drawn by seed; ``eventType`` and ``limit`` narrow it."""
    sql, values = "SELECT seq FROM events WHERE visible_ms <= ?", [platform.now_ms()]
    if spec.get("eventType"):
        wanted = platform.documents.select(
            "eventTemplate", where="json_extract(body, '$.name') = ?", values=(spec["eventType"],)
        )
        numbers = [platform.database.number(one.id) for one in wanted]
        sql += f" AND template IN ({', '.join('?' * len(numbers))})"
        values += numbers
    draw, share = random.Random(int(spec.get("seed", 1))), float(spec.get("share", 1.0))
    rows = platform.database.db.execute(f"{sql} ORDER BY seq", values).fetchall()
    found = [seq for (seq,) in rows if draw.random() < share]
    return found[: int(spec["limit"])] if "limit" in spec else found


def duplicate(platform: Platform, spec: Spec) -> int:
    """The same messages once more, ``seconds`` later (0 by default); ``payload`` gives them another content."""
    later = int(float(spec.get("seconds", 0)) * 1000)
    other = spec.get("payload")
    if other is not None and not isinstance(other, str):
        raise ValueError("payload of duplicate_events must be a JSON text")
    payload = "payload, message" if other is None else "?, NULL"
    rows = [(later, later, *((other,) if other is not None else ()), seq) for seq in _drawn(platform, spec)]
    _many(
        platform,
        "INSERT INTO events (created_ms, visible_ms, device, template, stream, message_id, payload, message, encoding)"
        " SELECT created_ms + ?, visible_ms + ?, device, template, stream, message_id,"
        f" {payload}, encoding FROM events WHERE seq = ?",
        rows,
    )
    return len(rows)


def erase(platform: Platform, spec: Spec) -> int:
    """Accepted events nobody will ever see."""
    rows = [(seq,) for seq in _drawn(platform, spec)]
    _many(platform, "DELETE FROM events WHERE seq = ?", rows)
    return len(rows)


def delay(platform: Platform, spec: Spec) -> int:
    """Searches show the events only ``seconds`` from now, at their old place."""
    shown = platform.now_ms() + int(float(spec.get("seconds", 600)) * 1000)
    rows = [(shown, seq) for seq in _drawn(platform, spec)]
    _many(platform, "UPDATE events SET visible_ms = ? WHERE seq = ?", rows)
    return len(rows)


def corrupt(platform: Platform, spec: Spec) -> int:
    """Make messages unsound: bad_base64, bad_json, missing_field (``field``), unknown_template, same_message_id."""
    changes: dict[str, str] = {
        "bad_base64": "message = '%%%not base64%%%', payload = NULL",
        "bad_json": "message = 'eyJmYXVsdENvZGUiOg==', payload = NULL",
        "missing_field": "payload = json_remove(payload, '$.' || ?), message = NULL",
        "unknown_template": "template = ?",
        "same_message_id": "message_id = 'MSG12345'",
    }
    how = spec.get("how")
    if how not in changes:
        raise ValueError(f"how is {how!r}; legal: {', '.join(changes)}")
    extra: tuple[Any, ...] = ()
    if how == "missing_field":
        extra = (str(spec.get("field", "occurredAt")),)
    elif how == "unknown_template":
        extra = (platform.database.number(str(spec.get("template", "00000000-0000-4000-8000-000000000000"))),)
    rows = [(*extra, seq) for seq in _drawn(platform, spec)]
    _many(platform, f"UPDATE events SET {changes[how]} WHERE seq = ?", rows)
    return len(rows)


def _many(platform: Platform, sql: str, rows: list[tuple[Any, ...]]) -> None:
    db = platform.database.db
    db.execute("BEGIN")
    try:
        db.executemany(sql, rows)
    finally:
        db.execute("COMMIT")
