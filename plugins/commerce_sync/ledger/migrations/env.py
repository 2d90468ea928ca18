"""What alembic runs for every command: our tables, on the connection the ledger handed over."""

from __future__ import annotations

from alembic import context

from commerce_sync.ledger.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
