"""Operators for the IoT platform that need no mapping: poll events into the inbox, extract, send an event.

    PollIotEvents(task_id="poll")

Constructors only keep their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import DownstreamTasksSkipped

from commerce_sync import budget_meter, places
from commerce_sync.batches import Batches
from commerce_sync.ledger import feed_leg
from commerce_sync.mapping import Source
from commerce_sync.systems.later import or_later
from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook
from commerce_sync.systems.opentext_iot.polling import FEED, Pace

if TYPE_CHECKING:
    from commerce_sync.ledger import Ledger

DEFAULT_CONN = OpenTextIotHook.default_conn_name


class PollIotEvents(BaseOperator):
    """Bring the platform's new events into the inbox, once for all flows; returns counts.

    ledger: gives the ledger when the task runs, default the installation's.   feed: name of the feed.
    lag_s: how far behind now a poll ends.   overlap_s: how far before the cursor it begins, for events the index shows
    late.   first_s: how far back the very first poll begins.   step_s: how far the cursor moves at least at a time.
    at_once: windows read at a time.   is_quiet: a poll that brought nothing new skips the tasks behind it.
    """

    ui_color = "#efe6fb"
    template_fields: Sequence[str] = ("feed", "conn_id")

    def __init__(
        self,
        *,
        ledger: Callable[[], Ledger] = places.open_ledger,
        feed: str = FEED,
        lag_s: float = 120,
        overlap_s: float = 900,
        first_s: float = 86_400,
        step_s: float = 21_600,
        at_once: int = 4,
        is_quiet: bool = False,
        conn_id: str = DEFAULT_CONN,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ledger = ledger
        self.feed = feed
        self.lag_s = lag_s
        self.overlap_s = overlap_s
        self.first_s = first_s
        self.step_s = step_s
        self.at_once = at_once
        self.is_quiet = is_quiet
        self.conn_id = conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Poll; raises RetryableError when the platform's count is not met, with the cursor where it is proven."""
        ledger = self.ledger()
        calls: list[Any] = []
        pace = Pace(
            lag=timedelta(seconds=self.lag_s), overlap=timedelta(seconds=self.overlap_s),
            step=timedelta(seconds=self.step_s), first=timedelta(seconds=self.first_s), at_once=self.at_once,
        )  # fmt: skip
        try:
            hook = OpenTextIotHook(self.conn_id, on_call=calls.append)
            budget = budget_meter.metered(ledger, places.budgets(), leg=feed_leg(self.feed), priority="high")
            with or_later(context, log=self.log), budget:
                polled = hook.poll(ledger, feed=self.feed, pace=pace, run=str(context["run_id"]))
        finally:
            ledger.spend("opentext_iot", len(calls))
        self.log.info("%s: %s", self.task_id, polled.brief())
        if self.is_quiet and not polled.new and self.downstream_task_ids:
            context["ti"].xcom_push(key="return_value", value=polled.brief())
            raise DownstreamTasksSkipped(tasks=sorted(self.downstream_task_ids))  # type: ignore[no-untyped-call]
        return polled.brief()


class OpenTextIotExtractOperator(BaseOperator):
    """Read events, devices or templates into a batch; returns its address and counts.

    entity_set: events, devices, templates.   columns: name -> DuckDB type.   since (closed), until (open): of events.
    root: folder or object storage address below which the batch is written, as ``<dag>/<run>/<task>``.
    options: see ``asked.ReadOptions``.
    """

    template_fields: Sequence[str] = ("entity_set", "since", "until", "root", "conn_id")

    def __init__(
        self,
        *,
        entity_set: str,
        columns: Mapping[str, str],
        root: str,
        key: str = "id",
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        options: Mapping[str, Any] | None = None,
        conn_id: str = DEFAULT_CONN,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.entity_set = entity_set
        self.columns = dict(columns)
        self.root = root
        self.key = key
        self.since = since
        self.until = until
        self.options = dict(options or {})
        self.conn_id = conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Read; a batch that is short of the platform's count is never published."""
        source = Source(
            name=self.task_id, system="opentext_iot", conn_id=self.conn_id, entity_set=self.entity_set,
            columns=self.columns, key=self.key, options=self.options,
        )  # fmt: skip
        since, until = _moment(self.since), _moment(self.until)
        batches, address = Batches(self.root), (self.dag_id, str(context["run_id"]), self.task_id)
        with batches.write(*address) as into:
            found = OpenTextIotHook(self.conn_id).extract(
                source, since=since, until=until, complete=since is None, into=into
            )
            into.facts = {"complete": found.complete, "calls": found.calls, **found.facts}
        return batches.read(*address).brief()


class OpenTextIotSendEventOperator(BaseOperator):
    """Send one event on behalf of a device; the run and task make its id, so that a retry sends the same event."""

    template_fields: Sequence[str] = ("device_id", "event_type", "values", "stream_id", "conn_id")

    def __init__(
        self,
        *,
        device_id: str,
        event_type: str,
        values: Mapping[str, Any],
        stream_id: str | None = None,
        conn_id: str = DEFAULT_CONN,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.device_id = device_id
        self.event_type = event_type
        self.values = values
        self.stream_id = stream_id
        self.conn_id = conn_id

    def execute(self, context: Context) -> str:
        """Send it; returns the message id."""
        message_id = f"{self.dag_id}/{context['run_id']}/{self.task_id}"
        OpenTextIotHook(self.conn_id).send_event(
            device_id=self.device_id, event_type=self.event_type, values=dict(self.values), message_id=message_id,
            stream_id=self.stream_id,
        )  # fmt: skip
        return message_id


def _moment(value: datetime | str | None) -> datetime | None:
    """A template renders to text: ISO 8601, empty for none."""
    if value is None or isinstance(value, datetime):
        return value
    return None if value in ("", "None") else datetime.fromisoformat(value)
