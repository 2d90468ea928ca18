"""Runs, legs, rejects, jobs and calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTS = (
    "read", "carried", "extracted", "unchanged", "filtered", "waiting", "quarantined", "sent", "delivered",
    "rejected", "unprocessed", "new", "modified", "deleted", "created",
)  # fmt: skip


def upgrade() -> None:
    _runs()
    _legs()
    _rejects()
    _jobs()
    _calls()


def _runs() -> None:
    op.create_table(
        "ledger_run",
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("mapping_version", sa.BigInteger),
        sa.Column("since", MOMENT),
        sa.Column("until", MOMENT),
        sa.Column("started", MOMENT, nullable=False),
        sa.Column("ended", MOMENT),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("settled_version", sa.BigInteger),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0")) for name in COUNTS),
        sa.Column("digest", sa.Text),
        sa.Column("calls", sa.JSON, nullable=False),
        sa.Column("seconds", sa.JSON, nullable=False),
        sa.Column("message", sa.Text),
        sa.PrimaryKeyConstraint("leg", "run", name="pk_ledger_run"),
    )
    op.create_index("ix_ledger_run_leg_started", "ledger_run", ["leg", "started"])
    op.create_index("ix_ledger_run_started", "ledger_run", ["started"])


def _legs() -> None:
    op.create_table(
        "ledger_leg",
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("high_water", MOMENT),
        sa.Column("complete_at", MOMENT),
        sa.Column("markers", sa.JSON, nullable=False),
        sa.Column("carry", sa.Text),
        sa.Column("replica", sa.JSON, nullable=False),
        sa.Column("retired", sa.JSON, nullable=False),
        sa.Column("mapping_version", sa.BigInteger),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("leg", name="pk_ledger_leg"),
    )


def _rejects() -> None:
    op.create_table(
        "ledger_reject",
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("reason_class", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("fields", sa.Text),
        sa.Column("payload", sa.Text),
        sa.Column("fingerprint", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt", MOMENT),
        sa.Column("first_run", sa.Text, nullable=False),
        sa.Column("last_run", sa.Text, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("leg", "key", name="pk_ledger_reject"),
    )


def _jobs() -> None:
    op.create_table(
        "ledger_job",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("leg", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("remote_id", sa.Text),
        sa.Column("state", sa.Text),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_job"),
        sa.UniqueConstraint("leg", "run", "name", name="uq_ledger_job_leg_run_name"),
    )


def _calls() -> None:
    op.create_table(
        "ledger_calls",
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("system", "day", name="pk_ledger_calls"),
    )


def downgrade() -> None:
    for table in ("ledger_calls", "ledger_job", "ledger_reject", "ledger_leg", "ledger_run"):
        op.drop_table(table)
