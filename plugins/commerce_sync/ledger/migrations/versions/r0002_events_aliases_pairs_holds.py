"""Events and feeds, aliases, pairs and their conflicts, holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _events()
    _feeds()
    _aliases()
    _pairs()
    _conflicts()
    _holds()


def _events() -> None:
    op.create_table(
        "ledger_event",
        sa.Column("seq", NUMBER, autoincrement=True, nullable=False),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_ledger_event"),
        sa.UniqueConstraint("feed", "event_id", name="uq_ledger_event_feed_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_event_feed_received_at", "ledger_event", ["feed", "received_at"])
    op.create_index("ix_ledger_event_feed_type_received_at", "ledger_event", ["feed", "type", "received_at"])


def _feeds() -> None:
    op.create_table(
        "ledger_feed",
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("cursor", sa.JSON, nullable=False),
        sa.Column("polled_at", MOMENT, nullable=False),
        sa.Column("message", sa.Text),
        sa.PrimaryKeyConstraint("feed", name="pk_ledger_feed"),
    )


def _aliases() -> None:
    op.create_table(
        "ledger_alias",
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("lost", sa.Text, nullable=False),
        sa.Column("now", sa.Text, nullable=False),
        sa.Column("lost_id", sa.Text),
        sa.Column("now_id", sa.Text),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("system", "object", "lost", name="pk_ledger_alias"),
    )


def _pairs() -> None:
    op.create_table(
        "ledger_pair",
        sa.Column("pair", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("agreed", sa.JSON, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("pair", name="pk_ledger_pair"),
    )


def _conflicts() -> None:
    op.create_table(
        "ledger_conflict",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
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
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_conflict"),
        sqlite_autoincrement=True,
    )
    unsettled = sa.text("status != 'resolved'")
    op.create_index(
        "uq_ledger_conflict_unsettled", "ledger_conflict", ["pair", "key", "field", "digest"],
        unique=True, sqlite_where=unsettled, postgresql_where=unsettled,
    )  # fmt: skip
    op.create_index("ix_ledger_conflict_status_last_at", "ledger_conflict", ["status", "last_at"])


def _holds() -> None:
    op.create_table(
        "ledger_hold",
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.BigInteger, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("answered_at", MOMENT),
        sa.Column("answered_by", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("payload", sa.Text),
        sa.PrimaryKeyConstraint("leg", "key", name="pk_ledger_hold"),
    )


def downgrade() -> None:
    for table in ("hold", "conflict", "pair", "alias", "feed", "event"):
        op.drop_table(f"ledger_{table}")
