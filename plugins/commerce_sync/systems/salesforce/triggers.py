"""Waits for ingest jobs without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from commerce_sync.errors import RetryableError, SyncError
from commerce_sync.systems.salesforce.bulk import TERMINAL

LONGEST_POLL_S = 60.0


class SalesforceJobsTrigger(BaseTrigger):
    """Fires once all ``job_ids`` are finished: ``{"status": "finished", "states": {id: state}}``.

    poll_s: first pause between two rounds of questions, growing by half up to a minute.   timeout_s: after it
    fires ``{"status": "timeout", ...}``; a job lives 7 days.   Trouble that passes is waited out; anything else
    fires ``{"status": "error", "message": ...}`` and the load itself says what is wrong.
    """

    def __init__(
        self,
        salesforce_conn_id: str,
        *,
        job_ids: list[str],
        poll_s: float = 10.0,
        timeout_s: float = 86_400.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.salesforce_conn_id = salesforce_conn_id
        self.job_ids = list(job_ids)
        self.poll_s = poll_s
        self.timeout_s = timeout_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as the triggerer wants them."""
        return (
            f"{type(self).__module__}.{type(self).__name__}",
            {
                "salesforce_conn_id": self.salesforce_conn_id,
                "job_ids": self.job_ids,
                "poll_s": self.poll_s,
                "timeout_s": self.timeout_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until every job is finished."""
        from commerce_sync.systems.salesforce.hook import SalesforceHook

        hook = SalesforceHook(self.salesforce_conn_id)
        states: dict[str, str] = {}
        pause, until = self.poll_s, time.monotonic() + self.timeout_s
        while time.monotonic() < until:
            waiting = [job for job in self.job_ids if states.get(job) not in TERMINAL]
            try:
                states.update(await hook.job_states(waiting))
            except RetryableError:
                self.log.warning("Salesforce does not answer; asking again in %.0f s", pause)
            except SyncError as error:
                yield _event(status="error", message=str(error))
                return
            if all(states.get(job) in TERMINAL for job in self.job_ids):
                yield _event(status="finished", states=states)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_S)
        yield _event(status="timeout", states=states)


def _event(**payload: Any) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
