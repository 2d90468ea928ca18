"""Waits for iconik's jobs (transcodes, exports) without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from commerce_sync.errors import RetryableError, SyncError
from commerce_sync.systems.iconik.media import JOB_ENDED

LONGEST_POLL_S = 60.0


class IconikJobsTrigger(BaseTrigger):
    """Fires once all ``job_ids`` have ended: ``{"status": "ended", "states": {id: {status, error_message}}}``.

    poll_s: first pause between two rounds of questions, growing by half up to a minute.   timeout_s: after it
    fires ``{"status": "timeout", ...}``.   Trouble that passes is waited out; anything else fires
    ``{"status": "error", "message": ...}``.
    """

    def __init__(
        self, iconik_conn_id: str, *, job_ids: list[str], poll_s: float = 5.0, timeout_s: float = 14_400.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.iconik_conn_id = iconik_conn_id
        self.job_ids = list(job_ids)
        self.poll_s = poll_s
        self.timeout_s = timeout_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as the triggerer wants them."""
        arguments = {name: getattr(self, name) for name in ("iconik_conn_id", "job_ids", "poll_s", "timeout_s")}
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until every job has ended."""
        from commerce_sync.systems.iconik.hook import IconikHook

        hook = IconikHook(self.iconik_conn_id)
        states: dict[str, Any] = {}
        pause, until = self.poll_s, time.monotonic() + self.timeout_s
        while time.monotonic() < until:
            waiting = [job for job in self.job_ids if not _has_ended(states, job)]
            try:
                states.update(await hook.job_states(waiting))
            except RetryableError:
                self.log.warning("iconik does not answer; asking again in %.0f s", pause)
            except SyncError as error:
                yield _event(status="error", message=str(error))
                return
            if all(_has_ended(states, job) for job in self.job_ids):
                yield _event(status="ended", states=states)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_S)
        yield _event(status="timeout", states=states)


def _has_ended(states: dict[str, Any], job: str) -> bool:
    return states.get(job, {}).get("status") in JOB_ENDED


def _event(**payload: Any) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
