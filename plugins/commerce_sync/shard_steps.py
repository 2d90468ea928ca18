"""Gate and load of a leg with ``shards`` as Airflow operators: the load is mapped over what the gate gives.

A run with few changes has one shard, so it starts as many tasks as a leg without ``shards``; a run with none skips
both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from commerce_sync import sharding
from commerce_sync.leg import LegRun
from commerce_sync.steps import Check, Load

GATE = "gate"
"""XCom of the gate's own facts; its return value is the list of shards."""
LABEL = "shard {{ task.shard.number }} of {{ task.shard.of }}"


class CheckShards(Check):
    """The gate of a leg with shards; gives the shards of the run."""

    def finish(self, context: Context, result: dict[str, Any], *, idle: bool, skip: Sequence[str] = ()) -> Any:
        """Skips nothing: Airflow takes a list to map over only from a task that returns it.

        A question that need not be asked therefore ends by itself (see ``Approve``).
        """
        self.log.info("%s: %s", self.task_id, result)
        context["ti"].xcom_push(key=GATE, value=result)
        return sharding.plan(self.resume(context))


class LoadShard(Load):
    """Send one shard. shard: its number, from 1, and of how many."""

    def __init__(self, *, shard: dict[str, int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard or {"number": 1, "of": 1}

    def resume(self, context: Context) -> LegRun:
        """The leg's run as this shard sees it."""
        return sharding.part(super().resume(context), **self.shard)

    def send(self, leg: LegRun) -> Any:
        """What the target gives: it is done, or it waits for remote jobs."""
        return sharding.load(leg, self.target, wait_s=self.wait_s)


def load(check: BaseOperator, **options: Any) -> Any:
    """The mapped task ``load``; check: the gate whose shards it takes.   options: of ``Load``."""
    return LoadShard.partial(task_id="load", map_index_template=LABEL, **options).expand(shard=check.output)
