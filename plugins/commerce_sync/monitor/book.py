"""The ledger and the history as the pages read them: opened anew once a minute at most, or once."""

from __future__ import annotations

import time
from functools import lru_cache

from commerce_sync import places
from commerce_sync.history import History
from commerce_sync.ledger import Ledger
from commerce_sync.ledger.browsing import Browser

KEPT_S = 60


def ledger() -> Ledger:
    """The ledger. Raises RetryableError when its database does not answer, ConfigurationError for a wrong one."""
    return _opened(int(time.monotonic() // KEPT_S))


def browser() -> Browser:
    """What pages through the ledger."""
    return Browser(ledger())


@lru_cache(maxsize=1)
def history() -> History:
    """The history of records; one for the process, because it remembers what it has read of files."""
    return places.history()


@lru_cache(maxsize=1)
def _opened(_minute: int) -> Ledger:
    # Asking Airflow for the connection is a query of its own; a failure is not remembered.
    return places.open_ledger()


def forget() -> None:
    """Open both again at the next request."""
    _opened.cache_clear()
    history.cache_clear()
