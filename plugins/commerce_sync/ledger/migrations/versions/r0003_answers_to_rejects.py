"""What people said about rejects: retry, dismiss, edit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "ledger_answer",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.BigInteger),
        sa.Column("edited", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("answered_by", sa.Text, nullable=False),
        sa.Column("answered_at", MOMENT, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("run", sa.Text),
        sa.Column("closed_at", MOMENT),
        sa.Column("noted", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_answer"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_answer_leg_key", "ledger_answer", ["leg", "key"])
    op.create_index("ix_ledger_answer_leg_status", "ledger_answer", ["leg", "status"])
    op.create_index("ix_ledger_answer_noted", "ledger_answer", ["noted"])


def downgrade() -> None:
    op.drop_table("ledger_answer")
