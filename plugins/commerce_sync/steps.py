"""The steps of a leg as Airflow operators, free of any system.

    extract -> [aggregate] -> map_changes -> check -> [approve] -> load -> commit

A leg with nothing to send settles its run in ``map_changes`` (or already in ``extract``) and skips the rest. A step
whose leg is busy with another run is put back for a minute, which uses up none of its retries.
Constructors only keep their arguments; everything else happens in ``execute``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Asset, BaseOperator, Param
from airflow.sdk.bases.operatorlink import BaseOperatorLink
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException, DownstreamTasksSkipped

from commerce_sync import (
    aim_check,
    approval,
    attempts,
    delivery,
    detection,
    mapping_file,
    places,
    planned,
    planning,
    portion,
    sharding,
    upkeep,
)
from commerce_sync import leg as legs
from commerce_sync.approval import Answer
from commerce_sync.budget import Priority
from commerce_sync.company import BUSY_FOR, LOOK_AGAIN_S, LegBusy
from commerce_sync.delivery import Targets
from commerce_sync.errors import ConfigurationError
from commerce_sync.leg import LegRun, Site, Sources
from commerce_sync.mapping import Mapping
from commerce_sync.systems.later import or_later
from commerce_sync.window import Request

POLL_S = 20.0
"""How long ``load`` waits for remote jobs itself before it frees its worker and lets the triggerer wait."""


def site() -> Site:
    """The stores of this installation."""
    stores = places.batches(), places.stores(), places.pages()
    return Site(places.open_ledger(), *stores, memory_limit=places.memory(), history=places.history(),
                budgets=places.budgets(), undo=places.undo())  # fmt: skip


def request(context: Context) -> Request:
    """What this DAG run was asked to do: params, a backfill's data interval, or nothing in particular.

    Raises ConfigurationError for a conf key that no param of the DAG declares; Airflow itself accepts any.
    """
    dag_run, params = context["dag_run"], context["params"]
    legal = {"mode", "since", "until", "keys", "limit", "plan"}
    unknown = sorted(set(dag_run.conf or {}) - legal)
    if unknown:
        raise ConfigurationError(
            f"run {dag_run.run_id}: conf has {', '.join(unknown)}; legal keys: {', '.join(sorted(legal))}"
        )
    # In a task it is an enumeration whose text is "DagRunType.BACKFILL", not its value.
    if getattr(dag_run.run_type, "value", dag_run.run_type) == "backfill":
        since, until = context.get("data_interval_start"), context.get("data_interval_end")
        return Request(mode="changes", since=since, until=until, backfill=True)
    return Request(
        mode=params.get("mode") or "auto",
        since=_moment(params, "since"),
        until=_moment(params, "until"),
        keys=_keys(params),
        limit=_limit(params),
        plan=params.get("plan") or None,
    )


def _keys(params: Any) -> tuple[str, ...]:
    keys = params.get("keys") or ()
    if isinstance(keys, str) or not all(isinstance(key, str) and key for key in keys):
        raise ConfigurationError(f'param keys is {keys!r}; give a list of keys like ["C0001", "C0002"]')
    return tuple(dict.fromkeys(keys))


def _limit(params: Any) -> int | None:
    limit = params.get("limit")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise ConfigurationError(f"param limit is {limit!r}; give a whole number of changes, or nothing")
    return limit


def _moment(params: Any, name: str) -> datetime | None:
    text = params.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise ConfigurationError(f"param {name} is {text!r}; give a date-time like 2026-01-31T00:00:00+00:00") from None
    if moment.tzinfo is None:
        raise ConfigurationError(f"param {name} is {text!r} without a time zone; add one, for example +00:00")
    return moment


class LegStep(BaseOperator):
    """One step of one leg. path: the leg's mapping file.

    priority: of its calls, unless the mapping says otherwise.   within: how long they may wait for others.
    """

    ui_color = "#eef4fb"

    def __init__(
        self, *, path: str, priority: Priority | None = None, within: timedelta | None = None, **kwargs: Any
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.path = path
        self.priority = priority
        self.within = within

    @property
    def mapping(self) -> Mapping:
        """The mapping, read when the step runs."""
        found = mapping_file.load(Path(self.path))
        return replace(found, priority=found.priority or self.priority, within=self.within)

    def resume(self, context: Context) -> LegRun:
        """The leg's run that ``extract`` opened."""
        try:
            return legs.resume(site(), self.mapping, context["dag_run"].run_id)
        except LegBusy as error:
            self.wait(context, error)
            raise

    def wait(self, context: Context, error: LegBusy) -> None:
        """Put the step back until the leg may be free; returns when it has waited long enough to give up."""
        first = context["ti"].get_first_reschedule_date(context)
        now = datetime.now(UTC)
        if first is not None and now - first > BUSY_FOR:
            return
        self.log.info("%s: %s", self.task_id, error)
        again = now + timedelta(seconds=error.retry_after or LOOK_AGAIN_S)
        raise AirflowRescheduleException(again) from None  # type: ignore[no-untyped-call]

    def finish(
        self, context: Context, result: dict[str, Any], *, idle: bool, skip: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Log the step's facts; an idle leg ends here, green. skip: tasks that are not needed this time."""
        self.log.info("%s: %s", self.task_id, result)
        skipped = self._rest_of_the_leg() if idle else list(skip)
        if skipped:
            context["ti"].xcom_push(key="return_value", value=result)
            raise DownstreamTasksSkipped(tasks=skipped)  # type: ignore[no-untyped-call]
        return result

    def _rest_of_the_leg(self) -> list[str]:
        """Only this leg's later steps: the legs after it go on."""
        group = self.task_id.rpartition(".")[0]
        return [
            task.task_id for task in self.get_flat_relatives(upstream=False) if task.task_id.rpartition(".")[0] == group
        ]


class Extract(LegStep):
    """Read every source of the leg into its batch. source: gives the system for a source of the mapping.

    target: the system to write to, asked first whether it still has what the mapping names.
    """

    def __init__(self, *, source: Sources, target: Targets | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.target = target

    def execute(self, context: Context) -> dict[str, Any]:
        asked = request(context)
        if asked.plan and not planned.takes_part(site().ledger, self.mapping.leg, asked.plan, flow=self._flow()):
            return self.finish(context, {"idle": True, "no part in plan": asked.plan}, idle=True)
        leg = self._begin(context, asked)
        with or_later(context, log=self.log):
            aim_check.before_reading(leg, self.target)
            found = legs.extract(leg, self.source)
        if found["idle"]:
            delivery.commit_nothing(leg)
        return self.finish(context, found, idle=found["idle"])

    def _flow(self) -> set[str]:
        """The legs of the flow: each is a group of tasks with its name."""
        return {task_id.partition(".")[0] for task_id in self.dag.task_ids if "." in task_id}

    def _begin(self, context: Context, asked: Request) -> LegRun:
        try:
            return legs.begin(site(), self.mapping, context["dag_run"].run_id, request=asked)
        except LegBusy as error:
            self.wait(context, error)
            raise


class Aggregate(LegStep):
    """Merge what was read into the replica; compute the figures of the touched owners.

    When that touched nobody, only time can have changed what is to be sent: it looks itself, and mostly ends the leg.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        leg = self.resume(context)
        facts = legs.aggregate(leg)
        if leg.planned or facts["touched"]:
            return self.finish(context, facts, idle=False)
        found = detection.map_changes(leg)
        if found.send:  # the next step finds it again, as after a retry
            return self.finish(context, facts, idle=False)
        delivery.commit(leg)
        return self.finish(context, facts | asdict(found), idle=True)


class MapChanges(LegStep):
    """Map the records, compare them with the markers, write the change batch. target: whom a plan asks."""

    def __init__(self, *, target: Targets | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def execute(self, context: Context) -> dict[str, Any]:
        leg = self.resume(context)
        found = portion.postpone(leg, detection.map_changes(leg))
        if leg.planned:
            plan = planning.make(leg, found, self.target)
            return self.finish(context, asdict(found) | {"plan": plan.brief()}, idle=True)
        if found.send == 0:
            delivery.commit(leg)
        return self.finish(context, asdict(found), idle=found.send == 0)


class GateLink(BaseOperatorLink):
    """The gate's result page."""

    name = "Gate result"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        return str(getattr(operator, "report_url", ""))


class Check(LegStep):
    """The gate: Great Expectations between detection and load; failing rows are quarantined."""

    ui_color = "#fdf6e3"
    operator_extra_links = (GateLink(),)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report_url = ""

    def execute(self, context: Context) -> dict[str, Any]:
        leg = self.resume(context)
        self.report_url = f"/commerce-sync/gates/{leg.leg}/{leg.id}"
        found, asked = delivery.check(leg), approval.hold(leg)
        if asked is None:
            return self.finish(context, found, idle=False)
        unasked = () if asked.waits else (f"{self.task_id.rpartition('.')[0]}.approve",)
        return self.finish(context, found | asked.brief(), idle=False, skip=unasked)


class Approve(LegStep, HITLOperator):
    """Ask a person about what is held. timeout: how long to wait for the answer; after it the answer is no."""

    APPROVE, REFUSE = "Approve", "Refuse"
    FORM: ClassVar = {
        "reason": Param(None, type=["null", "string"], title="Reason", description="Kept with the answer.")
    }
    """What the form asks beside yes and no; Airflow wants it from outside the constructor."""
    ui_color = "#fdebd0"

    def __init__(self, *, timeout: timedelta, **kwargs: Any) -> None:
        super().__init__(
            subject="Approve what this leg is about to send?",
            options=[self.APPROVE, self.REFUSE],
            response_timeout=timeout,
            **kwargs,
        )

    def execute(self, context: Context) -> Any:
        asked = approval.question(self.resume(context))
        if not asked.waits:
            return self.finish(context, asked.brief(), idle=False)
        self.subject = f"Leg {asked.leg}: send {sum(asked.held.values())} changes?"
        self.body = approval.markdown(asked)
        return HITLOperator.execute(self, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Goes on with the answer, or with the time being over."""
        leg = self.resume(context)
        asked, answer = approval.question(leg), self._answer(event)
        done = approval.settle(leg, asked, answer)
        return self.finish(context, {**asked.brief(), **done, "by": answer.by}, idle=False)

    def _answer(self, event: dict[str, Any]) -> Answer:
        if event.get("error_type") == "timeout" or event.get("timedout"):
            return Answer(False, None)
        if "error" in event:
            self.process_trigger_event_error(event)
        self.validate_chosen_options(event["chosen_options"])
        user = event.get("responded_by_user") or {}
        said = (event.get("params_input") or {}).get("reason")
        return Answer(event["chosen_options"] == [self.APPROVE], user.get("name") or user.get("id") or "somebody", said)


class Load(LegStep):
    """Send what passed the gate; waits for remote jobs without a worker. target: the system to write to."""

    ui_color = "#eaf7ec"

    def __init__(self, *, target: Targets, wait_s: float = POLL_S, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.wait_s = wait_s

    def execute(self, context: Context, event: Any = None) -> dict[str, Any]:
        leg = self.resume(context)
        approval.refuse_unapproved(leg)
        with or_later(context, log=self.log):
            aim_check.before_sending(leg, self.target)
            done = self.send(leg)
        if trigger := getattr(done, "trigger", None):
            self.log.info("%s: waiting for remote jobs %s", self.task_id, ", ".join(done.jobs))
            self.defer(trigger=trigger, method_name="execute")
        return self.finish(context, asdict(done), idle=False)

    def send(self, leg: LegRun) -> Any:
        """What the target gives: it is done, or it waits for remote jobs."""
        return delivery.load(leg, self.target, wait_s=self.wait_s)


class Commit(LegStep):
    """Prove the balance, consume what the target confirmed, move the high water."""

    def execute(self, context: Context) -> dict[str, Any]:
        run = sharding.commit(self.resume(context))
        return self.finish(context, {"status": run.status, **run.counts}, idle=False)


class Done(BaseOperator):
    """Tells the flows that follow this one that it succeeded. outlets: its asset.   moves: its legs."""

    ui_color = "#eef4fb"

    def __init__(self, *, moves: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.moves = list(moves)

    def execute(self, context: Context) -> dict[str, int]:
        if request(context).plans:
            raise AirflowSkipException("a plan moves nothing: no flow has to follow it")
        ledger, run_id = places.open_ledger(), context["dag_run"].run_id
        runs = (ledger.find_run(leg, attempts.latest(ledger, leg, run_id)) for leg in self.moves)
        delivered = {leg: run.delivered for leg, run in zip(self.moves, runs, strict=True) if run is not None}
        for asset in self.outlets:
            if isinstance(asset, Asset):
                context["outlet_events"][asset].extra = {"run": run_id, "delivered": sum(delivered.values())}
        return delivered


class Upkeep(BaseOperator):
    """Remove what is older than it is kept (see ``places``); gives what went."""

    ui_color = "#eef4fb"

    def execute(self, context: Context) -> dict[str, int]:
        kept = upkeep.Kept(
            **{what: places.kept(what.upper()) for what in ("batch", "payload", "run", "event", "image", "receipt")}
        )
        gone = upkeep.sweep(site(), kept=kept, now=datetime.now(UTC))
        self.log.info("%s: %s", self.task_id, gone)
        return gone
