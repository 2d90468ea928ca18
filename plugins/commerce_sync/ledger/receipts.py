"""Receipts: one row for every delivery the receiver was sent and answered, successes and errors kept apart in time.

Receipts are numbered in the order they are committed, so that whoever reads on by number misses none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync.ledger.tables import RECEIPT

MOST_TYPES = 50
"""Types noted per receipt; a delivery with more is noted with ``ANY`` instead."""
ANY = "*"
CHUNK = 10_000
FAILED = 400
"""Statuses from here on are errors."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One delivery.

    source: name in the receiver's file.   kind: what it was, such as ``webhook``.   status: HTTP status answered.
    reason: machine-readable, None when taken without objection.   events: in the delivery; ``new`` of them were not
    known, ``doubled`` were, ``refused`` were set aside.   types: the types of its events.   seq: 0 before it is noted.
    """

    at: datetime
    source: str
    kind: str
    status: int
    reason: str | None = None
    size_bytes: int = 0
    took_ms: float = 0.0
    events: int = 0
    new: int = 0
    doubled: int = 0
    refused: int = 0
    types: tuple[str, ...] = ()
    seq: int = 0

    @property
    def failed(self) -> bool:
        """Whether the sender was told that it was not taken."""
        return self.status >= FAILED


@dataclass(frozen=True, slots=True)
class ReceiptCount:
    """The receipts of a source and kind: how many, and when the last one of each sort was."""

    source: str
    kind: str
    taken: int
    failed: int
    last_taken: datetime | None
    last_failed: datetime | None


def note(connection: Connection, receipt: Receipt) -> None:
    """Write one receipt. On PostgreSQL they take turns, so that numbers become visible in their order."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.blake2b(b"receipts", digest_size=8).digest(), signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
    values = {name: getattr(receipt, name) for name in RECEIPT.c.keys() if name not in ("seq", "types")}  # noqa: SIM118
    types = sorted(set(receipt.types))
    connection.execute(sa.insert(RECEIPT).values(values | {"types": types if len(types) <= MOST_TYPES else [ANY]}))


def listed(
    connection: Connection, *, source: str | None, failed: bool | None, limit: int, offset: int
) -> list[Receipt]:
    """Receipts, the newest first."""
    query = sa.select(RECEIPT).order_by(RECEIPT.c.seq.desc()).limit(limit).offset(offset)
    query = query.where(RECEIPT.c.source == source) if source is not None else query
    if failed is not None:
        query = query.where(RECEIPT.c.status >= FAILED if failed else RECEIPT.c.status < FAILED)
    return [_receipt(row) for row in connection.execute(query).mappings()]


def after(connection: Connection, seq: int, *, limit: int) -> list[Receipt]:
    """Receipts with a higher number, the oldest first."""
    query = sa.select(RECEIPT).where(RECEIPT.c.seq > seq).order_by(RECEIPT.c.seq).limit(limit)
    return [_receipt(row) for row in connection.execute(query).mappings()]


def newest(connection: Connection) -> int:
    """The highest number, 0 before the first."""
    return int(connection.scalar(sa.select(sa.func.max(RECEIPT.c.seq))) or 0)


def counted(connection: Connection, *, since: datetime) -> list[ReceiptCount]:
    """Receipts since a moment per source and kind, by name."""
    is_failed = RECEIPT.c.status >= FAILED
    one, at = sa.literal(1), RECEIPT.c.at
    columns = [
        sa.func.count(sa.case((~is_failed, one))), sa.func.count(sa.case((is_failed, one))),
        sa.func.max(sa.case((~is_failed, at))), sa.func.max(sa.case((is_failed, at))),
    ]  # fmt: skip
    groups = (RECEIPT.c.source, RECEIPT.c.kind)
    query = sa.select(*groups, *columns).where(at >= since).group_by(*groups).order_by(*groups)
    return [ReceiptCount(*row) for row in connection.execute(query)]


def drop(connection: Connection, *, before: datetime, failed: bool) -> int:
    """Forget up to ``CHUNK`` receipts noted before a moment, errors or successes; gives their number."""
    sort = RECEIPT.c.status >= FAILED if failed else RECEIPT.c.status < FAILED
    old = sa.select(RECEIPT.c.seq).where(RECEIPT.c.at < before, sort).limit(CHUNK)
    return connection.execute(sa.delete(RECEIPT).where(RECEIPT.c.seq.in_(old))).rowcount


def _receipt(row: Any) -> Receipt:
    return Receipt(**{**row, "types": tuple(row["types"])})
