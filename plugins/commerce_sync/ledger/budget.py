"""Budget: API calls per system and UTC day, shared by all flows and workers."""

from __future__ import annotations

from datetime import UTC, date, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import CALLS


def today() -> date:
    """The current day in UTC."""
    return datetime.now(UTC).date()


def spend(connection: Connection, system: str, *, calls: int, day: date) -> int:
    """Add calls to a day in one statement; gives the day's new total."""
    statement = insert(connection, CALLS).values(system=system, day=day, calls=calls)
    added = {"calls": CALLS.c.calls + statement.excluded.calls}
    counted = statement.on_conflict_do_update(index_elements=["system", "day"], set_=added).returning(CALLS.c.calls)
    return int(connection.execute(counted).scalar_one())


def spent(connection: Connection, system: str, *, day: date) -> int:
    """Calls noted for a system on a day."""
    found = connection.scalar(sa.select(CALLS.c.calls).where(CALLS.c.system == system, CALLS.c.day == day))
    return int(found or 0)


def prune(connection: Connection, *, before: date) -> int:
    """Forget days before one; gives their number."""
    return connection.execute(sa.delete(CALLS).where(CALLS.c.day < before)).rowcount
