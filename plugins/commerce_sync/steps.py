"""The steps of a leg as Airflow operators, free of any system.

    extract -> [aggregate] -> map_changes -> check -> load -> commit

A leg with nothing to send settles its run in ``map_changes`` (or already in ``extract``) and skips the rest.
Constructors only keep their arguments; everything else happens in ``execute``.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.bases.operatorlink import BaseOperatorLink
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import DownstreamTasksSkipped

from commerce_sync import delivery, detection, mapping_file, places
from commerce_sync import leg as legs
from commerce_sync.delivery import Targets
from commerce_sync.errors import ConfigurationError
from commerce_sync.leg import LegRun, Site, Sources
from commerce_sync.mapping import Mapping
from commerce_sync.window import Request

POLL_S = 20.0
"""How long ``load`` waits for remote jobs itself before it frees its worker and lets the triggerer wait."""


def site() -> Site:
    """The stores of this installation."""
    return Site(places.open_ledger(), places.batches(), places.stores(), places.pages())


def request(context: Context) -> Request:
    """What this DAG run was asked to do: params, a backfill's data interval, or nothing in particular.

    Raises ConfigurationError for a conf key that no param of the DAG declares; Airflow itself accepts any.
    """
    dag_run, params = context["dag_run"], context["params"]
    legal = {"mode", "since", "until"}
    unknown = sorted(set(dag_run.conf or {}) - legal)
    if unknown:
        raise ConfigurationError(
            f"run {dag_run.run_id}: conf has {', '.join(unknown)}; legal keys: {', '.join(sorted(legal))}"
        )
    if str(dag_run.run_type).endswith("backfill"):
        since, until = context.get("data_interval_start"), context.get("data_interval_end")
        return Request(mode="changes", since=since, until=until, backfill=True)
    return Request(mode=params.get("mode") or "auto", since=_moment(params, "since"), until=_moment(params, "until"))


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
    """One step of one leg. path: the leg's mapping file."""

    ui_color = "#eef4fb"

    def __init__(self, *, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path

    @property
    def mapping(self) -> Mapping:
        """The mapping, read when the step runs."""
        return mapping_file.load(Path(self.path))

    def resume(self, context: Context) -> LegRun:
        """The leg's run that ``extract`` opened."""
        return legs.resume(site(), self.mapping, context["dag_run"].run_id)

    def finish(self, context: Context, result: dict[str, Any], *, idle: bool) -> dict[str, Any]:
        """Log the step's facts; an idle leg ends here, green."""
        self.log.info("%s: %s", self.task_id, result)
        if idle:
            context["ti"].xcom_push(key="return_value", value=result)
            raise DownstreamTasksSkipped(tasks=self._rest_of_the_leg())  # type: ignore[no-untyped-call]
        return result

    def _rest_of_the_leg(self) -> list[str]:
        """Only this leg's later steps: the legs after it go on."""
        group = self.task_id.rpartition(".")[0]
        return [
            task.task_id for task in self.get_flat_relatives(upstream=False) if task.task_id.rpartition(".")[0] == group
        ]


class Extract(LegStep):
    """Read every source of the leg into its batch. source: gives the system for a source of the mapping."""

    def __init__(self, *, source: Sources, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def execute(self, context: Context) -> dict[str, Any]:
        leg = legs.begin(site(), self.mapping, context["dag_run"].run_id, request=request(context))
        found = legs.extract(leg, self.source)
        if found["idle"]:
            delivery.commit_nothing(leg)
        return self.finish(context, found, idle=found["idle"])


class Aggregate(LegStep):
    """Merge what was read into the replica; compute the figures of the touched owners."""

    def execute(self, context: Context) -> dict[str, Any]:
        return self.finish(context, legs.aggregate(self.resume(context)), idle=False)


class MapChanges(LegStep):
    """Map the records, compare them with the markers, write the change batch."""

    def execute(self, context: Context) -> dict[str, Any]:
        leg = self.resume(context)
        found = detection.map_changes(leg)
        if leg.planned:
            detection.end_plan(leg, found)
        elif found.send == 0:
            delivery.commit(leg)
        return self.finish(context, asdict(found), idle=leg.planned or found.send == 0)


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
        return self.finish(context, delivery.check(leg), idle=False)


class Load(LegStep):
    """Send what passed the gate; waits for remote jobs without a worker. target: the system to write to."""

    ui_color = "#eaf7ec"

    def __init__(self, *, target: Targets, wait_s: float = POLL_S, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.wait_s = wait_s

    def execute(self, context: Context, event: Any = None) -> dict[str, Any]:
        leg = self.resume(context)
        done = delivery.load(leg, self.target, wait_s=self.wait_s)
        if trigger := getattr(done, "trigger", None):
            self.log.info("%s: waiting for remote jobs %s", self.task_id, ", ".join(done.jobs))
            self.defer(trigger=trigger, method_name="execute")
        return self.finish(context, asdict(done), idle=False)


class Commit(LegStep):
    """Prove the balance, consume what the target confirmed, move the high water."""

    def execute(self, context: Context) -> dict[str, Any]:
        run = delivery.commit(self.resume(context))
        return self.finish(context, {"status": run.status, **run.counts}, idle=False)
