"""What the receiver was sent, and what it answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "ledger_receipt",
        sa.Column("seq", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
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
        sa.PrimaryKeyConstraint("seq", name="pk_ledger_receipt"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_receipt_at", "ledger_receipt", ["at"])
    op.create_index("ix_ledger_receipt_source_at", "ledger_receipt", ["source", "at"])


def downgrade() -> None:
    op.drop_table("ledger_receipt")
