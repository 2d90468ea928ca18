"""Tables of the budgets: what a connection's allowance stands at, leases of it, consumption by hour, who waits."""

from __future__ import annotations

import sqlalchemy as sa

from commerce_sync.ledger.tables import NUMBER, Utc, metadata

# One row per connection and resource; whoever draws holds it. ``spent``: by us, ever. ``reported_*``: what the far side
# said last, ``spent_then``: ``spent`` at that time. ``surplus``: what others used less than they were charged with.
# ``next_slot``: seconds since 1970 up to which calls are given out, for a limit per second.
BUDGET = sa.Table(
    "ledger_budget",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("resource", sa.Text, primary_key=True),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("reported_limit", sa.BigInteger),
    sa.Column("reported_used", sa.BigInteger),
    sa.Column("reported_at", Utc),
    sa.Column("spent_then", sa.BigInteger, nullable=False),
    sa.Column("surplus", sa.Float, nullable=False),
    sa.Column("next_slot", sa.Float, nullable=False),
)

LEASE = sa.Table(
    "ledger_budget_lease",
    metadata,
    sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("leg", sa.Text, nullable=False),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("granted", sa.BigInteger, nullable=False),
    sa.Column("taken_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    sa.Index(None, "connection", "resource"),
    sqlite_autoincrement=True,
)

# ``leg`` is empty and ``priority`` is ``others`` for what others used.
USAGE = sa.Table(
    "ledger_budget_usage",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("resource", sa.Text, primary_key=True),
    sa.Column("hour", Utc, primary_key=True),
    sa.Column("leg", sa.Text, primary_key=True),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("used", sa.Float, nullable=False),
)

# ``typical``: calls of one step, as of late. ``since`` is null when the leg does not wait.
WAIT = sa.Table(
    "ledger_budget_leg",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("resource", sa.Text, primary_key=True),
    sa.Column("leg", sa.Text, primary_key=True),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("typical", sa.Float, nullable=False),
    sa.Column("since", Utc),
    sa.Column("look_again", Utc),
    sa.Column("reason", sa.Text),
)
