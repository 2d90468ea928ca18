"""Who closed a conflict and when; an index by which a hundred thousand rejects are grouped without reading them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEX = "ix_ledger_reject_status_reason_class_code_leg_updated"


def upgrade() -> None:
    op.add_column("ledger_conflict", sa.Column("closed_by", sa.Text))
    op.add_column("ledger_conflict", sa.Column("closed_at", sa.DateTime(timezone=True)))
    op.create_index(INDEX, "ledger_reject", ["status", "reason_class", "code", "leg", "updated"])


def downgrade() -> None:
    op.drop_index(INDEX, "ledger_reject")
    op.drop_column("ledger_conflict", "closed_at")
    op.drop_column("ledger_conflict", "closed_by")
