"""Budgets: what an allowance stands at, leases of it, consumption by hour, who waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _one() -> list[sa.Column[str]]:
    return [sa.Column("connection", sa.Text, nullable=False), sa.Column("resource", sa.Text, nullable=False)]


def upgrade() -> None:
    op.create_table(
        "ledger_budget",
        *_one(),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("reported_limit", sa.BigInteger),
        sa.Column("reported_used", sa.BigInteger),
        sa.Column("reported_at", MOMENT),
        sa.Column("spent_then", sa.BigInteger, nullable=False),
        sa.Column("surplus", sa.Float, nullable=False),
        sa.Column("next_slot", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("connection", "resource", name="pk_ledger_budget"),
    )
    op.create_table(
        "ledger_budget_lease",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        *_one(),
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("granted", sa.BigInteger, nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_budget_lease"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_budget_lease_connection_resource", "ledger_budget_lease", ["connection", "resource"])
    op.create_table(
        "ledger_budget_usage",
        *_one(),
        sa.Column("hour", MOMENT, nullable=False),
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("connection", "resource", "hour", "leg", name="pk_ledger_budget_usage"),
    )
    op.create_table(
        "ledger_budget_leg",
        *_one(),
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("typical", sa.Float, nullable=False),
        sa.Column("since", MOMENT),
        sa.Column("look_again", MOMENT),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("connection", "resource", "leg", name="pk_ledger_budget_leg"),
    )


def downgrade() -> None:
    for name in ("ledger_budget_leg", "ledger_budget_usage", "ledger_budget_lease", "ledger_budget"):
        op.drop_table(name)
