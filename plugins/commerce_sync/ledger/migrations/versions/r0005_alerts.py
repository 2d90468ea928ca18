"""What somebody was told about flows, so that nothing is told twice and nothing is forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "ledger_alert",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("flow", sa.Text, nullable=False),
        sa.Column("leg", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.Column("told_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("key", name="pk_ledger_alert"),
    )
    op.create_index("ix_ledger_alert_kind_ended_at", "ledger_alert", ["kind", "ended_at"])
    op.create_index("ix_ledger_alert_first_at", "ledger_alert", ["first_at"])


def downgrade() -> None:
    op.drop_table("ledger_alert")
