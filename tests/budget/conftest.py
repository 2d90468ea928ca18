"""Budgets on both databases: see the ledger's own tests."""

from ledger.conftest import ledger, postgresql, processes, url

__all__ = ["ledger", "postgresql", "processes", "url"]
