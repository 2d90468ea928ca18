"""A task that meets an allowance without room is put back until there may be some: no failure, no retry used up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRescheduleException

from commerce_sync.errors import QuotaError

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

LOOK_AGAIN = timedelta(minutes=15)
"""Where nobody says when there may be room."""
LONGEST = timedelta(hours=26)
"""An allowance of 24 hours without room for so long needs a person (a storage limit always does)."""


@contextmanager
def or_later(context: Context, *, log: Any) -> Iterator[None]:
    """Do it now, or put the task back by Airflow's own means. The monitor's page *Limits* lists it meanwhile.

    Raises what it met, QuotaError, when the task has waited for 26 hours.
    """
    try:
        yield
    except QuotaError as error:
        first, now = context["ti"].get_first_reschedule_date(context), datetime.now(UTC)
        if first is not None and now - first > LONGEST:
            raise
        again = now + (timedelta(seconds=error.retry_after) if error.retry_after else LOOK_AGAIN)
        log.warning("put back until %s UTC: %s", f"{again:%Y-%m-%d %H:%M:%S}", error)
        raise AirflowRescheduleException(again) from None  # type: ignore[no-untyped-call]
