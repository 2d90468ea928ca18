"""Tables of the ledger, the same on SQLite and PostgreSQL.

Names carry the prefix ``ledger_`` so that the ledger may share a database with others.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from commerce_sync.errors import ConfigurationError

VERSION_TABLE = "ledger_version"
"""Where alembic notes the revision; the usual name would collide with a neighbour's in a shared database."""

COUNTS = (
    "read", "carried", "extracted", "unchanged", "filtered", "waiting", "quarantined", "sent", "delivered",
    "rejected", "unprocessed", "new", "modified", "deleted", "created",
)  # fmt: skip
"""Counted per run, in rows. ``waiting`` is part of ``filtered``; ``created`` is part of ``delivered``."""

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class Utc(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets time zones, so it stores naive UTC values; naive input is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ConfigurationError(f"ledger: time {value.isoformat()} has no time zone; give an aware UTC datetime")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Fingerprint(TypeDecorator[int]):
    """An unsigned 64-bit number in a signed column: neither database has the unsigned type."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        return value - (1 << 64) if value is not None and value >= 1 << 63 else value

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return value + (1 << 64) if value is not None and value < 0 else value


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))


RUN = sa.Table(
    "ledger_run",
    metadata,
    sa.Column("leg", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("mapping_version", sa.BigInteger),
    sa.Column("since", Utc),
    sa.Column("until", Utc),
    sa.Column("started", Utc, nullable=False),
    sa.Column("ended", Utc),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("settled_version", sa.BigInteger),
    *(_count(name) for name in COUNTS),
    sa.Column("digest", sa.Text),
    sa.Column("calls", sa.JSON, nullable=False),
    sa.Column("seconds", sa.JSON, nullable=False),
    sa.Column("message", sa.Text),
    sa.Index(None, "leg", "started"),
    sa.Index(None, "started"),
)

LEG = sa.Table(
    "ledger_leg",
    metadata,
    sa.Column("leg", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("high_water", Utc),
    sa.Column("complete_at", Utc),
    sa.Column("markers", sa.JSON, nullable=False),
    sa.Column("carry", sa.Text),
    sa.Column("replica", sa.JSON, nullable=False),
    sa.Column("retired", sa.JSON, nullable=False),
    sa.Column("mapping_version", sa.BigInteger),
    sa.Column("updated", Utc, nullable=False),
)

# The payload is JSON as text: it arrives as text from DuckDB and is bulk loaded without being parsed.
REJECT = sa.Table(
    "ledger_reject",
    metadata,
    sa.Column("leg", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("reason_class", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("fields", sa.Text),
    sa.Column("payload", sa.Text),
    sa.Column("fingerprint", Fingerprint),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt", Utc),
    sa.Column("first_run", sa.Text, nullable=False),
    sa.Column("last_run", sa.Text, nullable=False),
    sa.Column("updated", Utc, nullable=False),
    sa.Index(None, "status", "reason_class", "code", "leg", "updated"),
)

JOB = sa.Table(
    "ledger_job",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("leg", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("remote_id", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("updated", Utc, nullable=False),
    sa.UniqueConstraint("leg", "run", "name"),
)

CALLS = sa.Table(
    "ledger_calls",
    metadata,
    sa.Column("system", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
)

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""A number the database gives by itself; SQLite only does that for the type named INTEGER."""

# What happened, as it was delivered; ``data`` is JSON as text, like a reject's payload.
EVENT = sa.Table(
    "ledger_event",
    metadata,
    sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("feed", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("subject", sa.Text),
    sa.Column("occurred_at", Utc, nullable=False),
    sa.Column("received_at", Utc, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.UniqueConstraint("feed", "event_id"),
    sa.Index(None, "feed", "received_at"),
    sa.Index(None, "feed", "type", "received_at"),
    sqlite_autoincrement=True,
)

FEED = sa.Table(
    "ledger_feed",
    metadata,
    sa.Column("feed", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("cursor", sa.JSON, nullable=False),
    sa.Column("polled_at", Utc, nullable=False),
    sa.Column("message", sa.Text),
)

ALIAS = sa.Table(
    "ledger_alias",
    metadata,
    sa.Column("system", sa.Text, primary_key=True),
    sa.Column("object", sa.Text, primary_key=True),
    sa.Column("lost", sa.Text, primary_key=True),
    sa.Column("now", sa.Text, nullable=False),
    sa.Column("lost_id", sa.Text),
    sa.Column("now_id", sa.Text),
    sa.Column("updated", Utc, nullable=False),
)

PAIR = sa.Table(
    "ledger_pair",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("agreed", sa.JSON, nullable=False),
    sa.Column("updated", Utc, nullable=False),
)

# ``digest`` stands for the lost value in the index: a long text does not fit into one.
CONFLICT = sa.Table(
    "ledger_conflict",
    metadata,
    sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("pair", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("losing", sa.Text, nullable=False),
    sa.Column("kept", sa.Text),
    sa.Column("lost", sa.Text),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("leg", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("first_at", Utc, nullable=False),
    sa.Column("last_at", Utc, nullable=False),
    sa.Column("closed_by", sa.Text),
    sa.Column("closed_at", Utc),
    sqlite_autoincrement=True,
)
UNSETTLED = sa.text("status != 'resolved'")
"""Text and not a bound value: the database has to see that an upsert means this index."""
sa.Index(
    "uq_ledger_conflict_unsettled",
    CONFLICT.c.pair, CONFLICT.c.key, CONFLICT.c.field, CONFLICT.c.digest,
    unique=True, sqlite_where=UNSETTLED, postgresql_where=UNSETTLED,
)  # fmt: skip
sa.Index(None, CONFLICT.c.status, CONFLICT.c.last_at)

HOLD = sa.Table(
    "ledger_hold",
    metadata,
    sa.Column("leg", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", Fingerprint, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("asked_at", Utc, nullable=False),
    sa.Column("answered_at", Utc),
    sa.Column("answered_by", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("payload", sa.Text),
)

# What people said about rejects. ``edited`` is JSON as text: {"values": {...}, "personal": [names]}; the personal ones
# are masked once the edit is over. ``noted``: whether the history has it.
ANSWER = sa.Table(
    "ledger_answer",
    metadata,
    sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("leg", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("fingerprint", Fingerprint),
    sa.Column("edited", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("answered_by", sa.Text, nullable=False),
    sa.Column("answered_at", Utc, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("run", sa.Text),
    sa.Column("closed_at", Utc),
    sa.Column("noted", sa.Boolean, nullable=False),
    sa.Index(None, "leg", "key"),
    sa.Index(None, "leg", "status"),
    sa.Index(None, "noted"),
    sqlite_autoincrement=True,
)

# What the receiver was sent and answered. ``types``: event types that were new; what starts flows reads on by ``seq``.
RECEIPT = sa.Table(
    "ledger_receipt",
    metadata,
    sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("took_ms", sa.Float, nullable=False),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("new", sa.Integer, nullable=False),
    sa.Column("doubled", sa.Integer, nullable=False),
    sa.Column("refused", sa.Integer, nullable=False),
    sa.Column("types", sa.JSON, nullable=False),
    sa.Index(None, "at"),
    sa.Index(None, "source", "at"),
    sqlite_autoincrement=True,
)

# What somebody was told, or is to be told. ``told_at`` is null until a message has left; ``ended_at`` until it is over.
ALERT = sa.Table(
    "ledger_alert",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("flow", sa.Text, nullable=False),
    sa.Column("leg", sa.Text),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("first_at", Utc, nullable=False),
    sa.Column("last_at", Utc, nullable=False),
    sa.Column("told_at", Utc),
    sa.Column("ended_at", Utc),
    sa.Index(None, "kind", "ended_at"),
    sa.Index(None, "first_at"),
)

# What is left of a forgotten record: one row per name it had, unreadable without the salt of this installation.
# ``subject`` holds the names of one record together; ``erased_at`` is null until every store was gone through.
TOMBSTONE = sa.Table(
    "ledger_tombstone",
    metadata,
    sa.Column("mark", sa.Text, primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("erased_at", Utc),
    sa.Index(None, "subject"),
)

SALT = sa.Table(
    "ledger_salt",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("salt", sa.Text, nullable=False),
)
