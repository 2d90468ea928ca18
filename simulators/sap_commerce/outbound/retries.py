"""Retry records of outbound sync: how often a root item failed, and when it is given up.

Source: fact sheet section 3.2: sent again by the next run, ``outboundsync.max.retries`` times (5), then dropped
until the item changes again.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulators.sap_commerce.store import Store


@dataclass(frozen=True, slots=True)
class Retries:
    """The records of one channel. ``limit`` counts the sends after the first one."""

    store: Store
    channel: int
    limit: int

    def _find(self, pk: int) -> int | None:
        found = self.store.find(["OutboundSyncRetry"], {"itemPk": pk, "channel": self.channel})
        return found[0] if found else None

    def forget(self, pk: int) -> None:
        """The item was delivered."""
        if (record := self._find(pk)) is not None:
            self.store.delete(record)

    def failed(self, pk: int, *, version: int) -> bool:
        """Count one failure; True when that was the last attempt."""
        record = self._find(pk)
        if record is None:
            row = {"itemPk": pk, "channel": self.channel, "syncAttempts": 0, "reachedMaxRetries": 0}
            record = self.store.insert("OutboundSyncRetry", row)
        given_up = bool(self.store.value(record, "reachedMaxRetries"))
        attempts = 0 if given_up else int(self.store.value(record, "syncAttempts"))
        attempts += 1
        last = attempts > self.limit
        self.store.update(record, {"syncAttempts": attempts, "reachedMaxRetries": int(last), "version": version})
        return last
