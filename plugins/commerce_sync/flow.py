"""Builds the DAG of a flow: one task group per leg, retries by kind of error, an alert when it fails.

from commerce_sync.flow import sync_dag

dag = sync_dag("salesforce_customers", legs=["salesforce/customers_to_contacts"], schedule="*/15 * * * *", doc=__doc__)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetAll,
    AssetAny,
    AssetOrTimeSchedule,
    BaseOperator,
    CronDataIntervalTimetable,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    TaskGroup,
    TriggerRule,
)
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.definitions.retry_policy import RetryDecision

from commerce_sync import mapping_file, places, shard_steps, steps
from commerce_sync.alerts import FailureNotifier, late
from commerce_sync.budget import DEFAULT_PRIORITY, Priority
from commerce_sync.delivery import Targets
from commerce_sync.errors import (
    BalanceError,
    ConfigurationError,
    GateError,
    GuardError,
    QuotaError,
    RetryableError,
)
from commerce_sync.leg import OnCall, Sources
from commerce_sync.mapping import Mapping, Source
from commerce_sync.receiver import nudging
from commerce_sync.watching import Limits, Watched
from commerce_sync.window import MODES

SYSTEMS = {
    "sap_commerce": "commerce_sync.systems.sap_commerce.hook:SapCommerceHook",
    "salesforce": "commerce_sync.systems.salesforce.hook:SalesforceHook",
    "iconik": "commerce_sync.systems.iconik.hook:IconikHook",
    "opentext_iot": "commerce_sync.systems.opentext_iot.hook:OpenTextIotHook",
    "inbox": "commerce_sync.systems.inbox.hook:InboxHook",
    "links": "commerce_sync.systems.links.hook:LinksHook",
}
POLL = "commerce_sync.systems.inbox.operators:PollFeed"
FINAL = (ConfigurationError, QuotaError, GateError, GuardError, BalanceError)
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DONE_WITHIN = timedelta(hours=4)
"""Longer than a step may take, shorter than a night."""

BUILT: dict[str, list[list[Mapping]]] = {}
"""Flows built in this process: DAG id -> stages of mappings; the command line reads it."""
FOLLOWS: dict[str, tuple[str, ...]] = {}
"""Flows built in this process: DAG id -> flows it runs after."""
WATCHED: dict[str, Watched] = {}
"""Flows built in this process, as the watch sees them."""

Stage = str | Sequence[str]
"""A leg (a mapping's name), or several that run side by side."""


class SyncRetryPolicy(ExceptionRetryPolicy):
    """Retries what passes by itself, after the pause the far side asked for; fails at once what does not."""

    def __init__(self) -> None:
        final = RetryRule(exception=list(FINAL), action=RetryAction.FAIL, reason="trying again cannot help")
        super().__init__(rules=[final])

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        if isinstance(exception, RetryableError) and exception.retry_after is not None:
            return RetryDecision.retry(timedelta(seconds=exception.retry_after), reason=str(exception)[:500])
        return super().evaluate(exception, try_number, max_tries, context)


def hook(system: str, conn_id: str, on_call: OnCall | None = None) -> Any:
    """The hook of a system. Raises ConfigurationError for a system that has none."""
    if system not in SYSTEMS:
        raise ConfigurationError(f"system {system!r} is not known; there are: {', '.join(SYSTEMS)}")
    return _imported(SYSTEMS[system])(conn_id, on_call=on_call)


def _imported(address: str) -> Any:
    """What stands at ``package.module:name``; imported when it is needed, to keep parsing cheap."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


def source_system(source: Source, on_call: OnCall | None = None) -> Any:
    """The system a mapping reads from."""
    return hook(source.system, source.conn_id, on_call)


def target_system(mapping: Mapping, on_call: OnCall | None = None) -> Any:
    """The system a mapping writes to; it knows the system that its option ``binaries`` names, which has the bytes."""
    target = hook(mapping.target.system, mapping.target.conn_id, on_call)
    if binaries := mapping.target.options.get("binaries"):
        target.binaries = hook(binaries["system"], binaries["connection"])
    return target


def flow_asset(dag_id: str) -> Asset:
    """The asset a flow updates when it has succeeded; flows that name it in ``after`` follow."""
    return Asset(name=f"flow {dag_id}", uri=f"commerce-sync://flow/{dag_id}")


def sync_dag(
    dag_id: str, *, legs: Sequence[Stage], schedule: str | None, doc: str | None, after: Sequence[str] = (),
    feeds: Sequence[str] = (), tags: Iterable[str] = (), owner: str = "commerce-sync", retries: int = 3,
    limits: Limits | None = None, done_within: timedelta = DONE_WITHIN, priority: Priority = DEFAULT_PRIORITY,
    **dag_options: Any,
) -> DAG:  # fmt: skip
    """The DAG of a flow.

    legs: mapping names like ``salesforce/customers_to_contacts`` in the order they run; a tuple runs side by side.
    schedule: cron expression (UTC) with real data intervals, or None.   doc: the runbook, shown in the UI.
    after: flows that this one follows: it also runs when all of them have succeeded since it last ran so.
    feeds: feeds of the inbox that are polled first.
    limits: when the watch speaks up (default: from the schedule).   done_within: of a run, else somebody is told.
    priority: whose calls come first when a system's allowance is short (docs/limits.md).
    Raises ConfigurationError when a mapping is broken: then only this DAG is missing.
    """
    loaded = [
        [_paced(mapping_file.load(places.mapping_path(name)), priority, done_within) for name in _names(stage)]
        for stage in legs
    ]
    BUILT[dag_id], FOLLOWS[dag_id] = loaded, tuple(after)
    names = [mapping.leg for stage in loaded for mapping in stage]
    WATCHED[dag_id] = Watched(dag_id, tuple(names), schedule, limits or Limits())
    dag = DAG(
        dag_id,
        schedule=_schedule(dag_id, schedule, after),
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        doc_md=doc,
        tags=["commerce-sync", *tags],
        params=_params(),
        on_failure_callback=FailureNotifier(legs=names),
        deadline=_deadline(names, done_within),
        default_args={**_default_args(owner, retries), "on_failure_callback": FailureNotifier(legs=names)},
        **dag_options,
    )
    with dag:
        before: list[Any] = [_poll(feed) for feed in feeds]
        for stage in loaded:
            before = _stage(stage, after=before)
        # Not all_done, which would turn a failed run green; none_failed also runs after legs that had nothing to do.
        done = steps.Done(
            task_id="done", moves=names, outlets=[flow_asset(dag_id)], trigger_rule=TriggerRule.NONE_FAILED
        )
        for group in before:
            group >> done
    return dag


def duty_dag(
    dag_id: str, *, schedule: str | None, doc: str | None, takes: timedelta, tags: Iterable[str] = ("duty",),
    retries: int = 3, retry_delay: timedelta = timedelta(minutes=10), params: dict[str, Param] | None = None,
) -> DAG:  # fmt: skip
    """The DAG of work that moves no leg: watching, sweeping, polling. Its tasks are made in its ``with`` block.

    schedule: cron expression (UTC), or None.   doc: the runbook.   takes: the most that one task may take.
    """
    return DAG(
        dag_id,
        schedule=None if schedule is None else CronDataIntervalTimetable(schedule, timezone="UTC"),
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        doc_md=doc,
        tags=["commerce-sync", *tags],
        params=params or {},
        on_failure_callback=FailureNotifier(legs=[]),
        default_args={
            "owner": "commerce-sync",
            "retries": retries,
            "retry_delay": retry_delay,
            "retry_policy": SyncRetryPolicy(),
            "execution_timeout": takes,
        },
    )


def _deadline(legs: Sequence[str], done_within: timedelta) -> DeadlineAlert:
    hours = done_within / timedelta(hours=1)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=done_within,
        callback=SyncCallback(late, kwargs={"legs": list(legs), "hours": hours}),
    )


def _schedule(dag_id: str, cron: str | None, after: Sequence[str]) -> Any:
    """Real data intervals, and what starts it besides: all flows before it, or a delivery (include/receiver.yaml).

    Only events would allow no backfill, and miss a day.
    """
    early: list[Any] = [AssetAll(*(flow_asset(name) for name in after))] if after else []
    if (deliveries := nudging.asset(dag_id)) is not None:
        early.append(deliveries)
    if cron is None and early:
        raise ConfigurationError(
            f"flow {dag_id} follows {', '.join(after) or 'deliveries'} but has no schedule of its own; give one: a "
            "flow that only follows cannot be backfilled, and waits for ever when the others fail"
        )
    if cron is None:
        return None
    timetable = CronDataIntervalTimetable(cron, timezone="UTC")
    if not early:
        return timetable
    return AssetOrTimeSchedule(timetable=timetable, assets=early[0] if len(early) == 1 else AssetAny(*early))


def _poll(feed: str) -> BaseOperator:
    operator: BaseOperator = _imported(POLL)(task_id=f"poll_{feed}", feed=feed)
    return operator


def _paced(mapping: Mapping, priority: Priority, within: timedelta) -> Mapping:
    return replace(mapping, priority=mapping.priority or priority, within=within)


def _names(stage: Stage) -> Sequence[str]:
    return (stage,) if isinstance(stage, str) else stage


def _default_args(owner: str, retries: int) -> dict[str, Any]:
    return {
        "owner": owner,
        "retries": retries,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": SyncRetryPolicy(),
        "execution_timeout": timedelta(hours=3),
    }


MODE_HELP = (
    "auto: changes since the last run, and everything when a complete scan is due. "
    "replay: only what was rejected or quarantined. plan: show what would be sent, field by field, and send nothing; "
    "plan_complete: the same for a complete scan, with the deletes that only such a scan finds."
)
PLAN_HELP = (
    "Run id of a plan (a run with mode plan, see the monitor): sends just its changes, where neither side has changed "
    "since. Leave the other fields as they are."
)
KEYS_HELP = (
    "One key a line, as the ledger has them; all legs of the flow look for them. Reads the whole source, unless a "
    "window or mode 'changes' is given; deletes nothing and does not move the high water."
)


def _params() -> dict[str, Param]:
    when: dict[str, Any] = {"type": ["null", "string"], "format": "date-time", "section": "Window"}
    overrides = "Overrides the high water for this run."
    part: dict[str, Any] = {"section": "Part of the records"}
    return {
        "mode": Param("auto", type="string", enum=list(MODES), title="What to read", description=MODE_HELP),
        "since": Param(None, title="Changed at or after", description=overrides, **when),
        "until": Param(None, title="Changed before", **when),
        "keys": Param(
            [], type="array", items={"type": "string"}, title="Only these keys", description=KEYS_HELP, **part
        ),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="At most so many changes per leg",
            description="The others wait for the next run.",
            **part,
        ),
        "plan": Param(None, type=["null", "string"], title="Apply a plan", description=PLAN_HELP, **part),
    }


def _stage(mappings: Sequence[Mapping], *, after: list[Any]) -> list[Any]:
    groups: list[Any] = []
    for mapping in mappings:
        group = leg_group(mapping, follows=bool(after))
        for earlier in after:
            earlier >> group
        groups.append(group)
    return groups


def leg_group(
    mapping: Mapping, *, follows: bool = False, source: Sources = source_system,
    target: Targets = target_system,
) -> TaskGroup:  # fmt: skip
    """The task group of one leg, for the DAG that is being built.

    follows: other legs come first; this one runs unless one of them failed.
    """
    rule = TriggerRule.NONE_FAILED if follows else TriggerRule.ALL_SUCCESS
    with TaskGroup(
        mapping.leg, tooltip=f"{mapping.source.system} -> {mapping.target.system} {mapping.target.object}"
    ) as group:
        common: dict[str, Any] = {"path": mapping.path, "priority": mapping.priority, "within": mapping.within}
        chain: list[Any] = [steps.Extract(task_id="extract", source=source, target=target, trigger_rule=rule, **common)]
        if mapping.aggregate is not None:
            chain.append(steps.Aggregate(task_id="aggregate", **common))
        chain.append(steps.MapChanges(task_id="map_changes", target=target, **common))
        gate = shard_steps.CheckShards if mapping.shards else steps.Check
        chain.append(check := gate(task_id="check", **common))
        load_rule = TriggerRule.ALL_SUCCESS
        if mapping.approval is not None:
            load_rule = TriggerRule.NONE_FAILED  # nothing held: the question is skipped, and the rest goes on
            form = dict(steps.Approve.FORM)
            chain.append(steps.Approve(task_id="approve", timeout=mapping.approval.timeout, params=form, **common))
        common_load = {"target": target, "trigger_rule": load_rule, **common}
        chain.append(
            shard_steps.load(check, **common_load) if mapping.shards else steps.Load(task_id="load", **common_load)
        )
        chain.append(steps.Commit(task_id="commit", **common))
        for first, second in zip(chain, chain[1:], strict=False):
            first >> second
    return group
