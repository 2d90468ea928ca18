"""Operators of the inbox for any DAG.

PollFeed(task_id="poll", feed="storefront")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from commerce_sync.systems.later import or_later

if TYPE_CHECKING:
    from airflow.sdk import Context


class PollFeed(BaseOperator):
    """Bring a feed's new events into the inbox. Returns ``{"new", "doubled", "refused"}``.

    A retry goes on where the killed one wrote last. Events that are not valid are set aside (rejects of
    ``feed/<feed>``) and do not fail the task.
    """

    template_fields: Sequence[str] = ("feed",)
    ui_color = "#e8f4e5"

    def __init__(self, *, feed: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feed = feed

    def execute(self, context: Context) -> dict[str, int]:
        """Poll once."""
        from commerce_sync.systems.inbox.polling import poll

        with or_later(context, log=self.log):
            added = asdict(poll(self.feed))
        self.log.info("feed %s polled: %s", self.feed, added)
        return added
