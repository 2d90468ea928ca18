"""The four ways of paging: by page, by sort keys, by last id, by last field name.

Source: fact sheet section 1.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from simulators.iconik.call import Call, Row
from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.store import public


def page_asked(call: Call) -> tuple[int, int]:
    """(page from 1, rows per page)."""
    per_page = call.number("per_page", call.site.settings["page_size"], least=1)
    return call.number("page", 1, least=1), min(per_page, call.site.settings["largest_page"])


def page_of(call: Call, rows: Sequence[Row]) -> Row:
    """One page of rows that are all at hand; a page beyond the last one is 404."""
    page, per_page = page_asked(call)
    start = (page - 1) * per_page
    if start >= len(rows) and page > 1:
        raise not_found("Page number does not exist")
    return envelope(call, list(rows[start : start + per_page]), total=len(rows))


def envelope(call: Call, objects: list[Row], *, total: int) -> Row:
    """The page form. Addresses are relative to the host."""
    page, per_page = page_asked(call)
    pages = max(1, -(-total // per_page))
    return {
        "objects": [public_row(row) for row in objects],
        "page": page,
        "pages": pages,
        "per_page": per_page,
        "total": total,
        "first_url": _address(call, 1),
        "last_url": _address(call, pages),
        "next_url": _address(call, page + 1) if page < pages else None,
        "prev_url": _address(call, page - 1) if page > 1 else None,
    }


def public_row(row: Row) -> Row:
    """Without the simulator's own keys; the index's ``_sort`` and ``_highlight`` stay."""
    kept = {name: row[name] for name in ("_sort", "_highlight") if name in row}
    return public(row) | kept


def _address(call: Call, page: int) -> str:
    return f"{call.path}?{urlencode({**call.query, 'page': page})}"


def after_last_id(call: Call, rows: Sequence[Row]) -> Row:
    """The files service: ``last_id`` is the last object of the page before; 10 rows unless asked otherwise."""
    per_page = min(call.number("per_page", 10, least=1), call.site.settings["largest_page"])
    rows = _behind(rows, name="id", last=call.query.get("last_id"))
    objects = [public(row) for row in rows[:per_page]]
    return {"objects": objects, "per_page": per_page, "total": None, "page": None, "pages": None}


def after_last_name(call: Call, rows: Sequence[Row]) -> Row:
    """Metadata fields: ordered by name, 500 rows unless asked otherwise."""
    per_page = min(call.number("per_page", 500, least=1), call.site.settings["largest_page"])
    last = call.query.get("last_field_name")
    ordered = sorted(rows, key=lambda row: row["name"])
    objects = [public(row) for row in ordered if last is None or row["name"] > last]
    return {"objects": objects[:per_page], "per_page": per_page}


def _behind(rows: Sequence[Row], *, name: str, last: str | None) -> Sequence[Row]:
    if not last:
        return rows
    for place, row in enumerate(rows):
        if row[name] == last:
            return rows[place + 1 :]
    return []


def listed(call: Call, rows: list[Row]) -> list[Row]:
    """``sort=a,desc;b`` and ``filter=a,eq,x;b,eq,y`` of list calls, applied."""
    for clause in filter(None, call.query.get("filter", "").split(";")):
        name, operator, value = _three(clause)
        rows = [row for row in rows if _equal(row.get(name), value) == (operator == "eq")]
    for clause in reversed([part for part in call.query.get("sort", "").split(";") if part]):
        name, _, order = clause.partition(",")
        if order not in ("", "asc", "desc"):
            raise bad_request(f"Bad request: sort order {order!r} must be asc or desc")
        present = [row for row in rows if row.get(name) is not None]
        absent = [row for row in rows if row.get(name) is None]
        rows = sorted(present, key=lambda row: _sortable(row[name]), reverse=order == "desc") + absent
    return rows


def _three(clause: str) -> tuple[str, str, str]:
    parts = clause.split(",", 2)
    if len(parts) != 3 or parts[1] not in ("eq", "ne"):
        raise bad_request(f"Bad request: filter {clause!r} must be field,eq,value")
    return parts[0], parts[1], parts[2]


def _equal(stored: Any, asked: str) -> bool:
    if isinstance(stored, bool):
        return str(stored).lower() == asked.lower()
    return stored is not None and str(stored) == asked


def _sortable(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool | int | float):
        return (0, value)
    return (1, str(value))
