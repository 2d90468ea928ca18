"""What is left of forgotten records, so that nothing brings them back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "ledger_tombstone",
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("erased_at", MOMENT),
        sa.PrimaryKeyConstraint("mark", name="pk_ledger_tombstone"),
    )
    op.create_index("ix_ledger_tombstone_subject", "ledger_tombstone", ["subject"])
    op.create_table(
        "ledger_salt",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("salt", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_salt"),
    )


def downgrade() -> None:
    op.drop_table("ledger_salt")
    op.drop_table("ledger_tombstone")
