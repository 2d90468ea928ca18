"""alembic migrations of the ledger; ``database.migrate`` runs them, there is no alembic.ini."""
