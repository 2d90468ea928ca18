"""Row locks: what a running chunk of one job touches, another job's chunk may not write meanwhile.

Writing a child locks its parent for the length of the transaction, and every updated record locks itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from simulators.salesforce.errors import RowError


class Locks:
    """The locks held now, by owner (a job id)."""

    def __init__(self) -> None:
        self._held: dict[str, set[str]] = {}
        self.contended = False  # two jobs at work at once; alone, a job need not remember its locks

    def clear(self) -> None:
        self._held.clear()

    def hold(self, owner: str, keys: Iterable[str]) -> None:
        self._held.setdefault(owner, set()).update(keys)

    def release(self, owner: str) -> None:
        self._held.pop(owner, None)

    def foreign(self, owner: str | None) -> set[str]:
        """Everything held by others than ``owner``."""
        return set().union(*(keys for holder, keys in self._held.items() if holder != owner))


def lock_error(keys: list[str]) -> RowError:
    named = ",".join(keys)
    message = f"unable to obtain exclusive access to this record or {len(keys)} records: {named}"
    return RowError("UNABLE_TO_LOCK_ROW", message)
