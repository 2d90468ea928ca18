"""Customers for the tests: as the source describes them, and as raw records of the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from commerce_sync.mapping import Source

START = datetime(2026, 1, 1, tzinfo=UTC)


def customers(**changes: Any) -> Source:
    """The customers of the shop, by uid."""
    settings: dict[str, Any] = {
        "name": "customers", "system": "sap_commerce", "conn_id": "sap_test", "service": "CustomerSync",
        "entity_set": "Customers", "columns": {"uid": "VARCHAR", "name": "VARCHAR", "modifiedtime": "TIMESTAMP"},
        "key": "uid", "modified": "modifiedtime", "options": {"page_rows": 100},
    }  # fmt: skip
    return Source(**(settings | changes))


def customer(number: int, *, at: datetime | None = None, **values: Any) -> dict[str, Any]:
    """A raw customer, by default one a second from START on."""
    moment = at or START + timedelta(seconds=number)
    return {"uid": f"c{number:05d}", "name": f"Name {number}", "modifiedtime": moment.isoformat(), **values}
