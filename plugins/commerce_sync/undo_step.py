"""The undo of a run as an Airflow task: leg and run come from the trigger form."""

from __future__ import annotations

from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from commerce_sync import error_desk, flow, steps, undo
from commerce_sync.company import LegBusy
from commerce_sync.errors import ConfigurationError
from commerce_sync.steps import Done, LegStep

SHOWN = 20
FORM = ("leg", "run", "plan", "by", "reason")


class UndoRun(LegStep):
    """Undo one run of one leg; a task that is tried again goes on with the undo it had begun."""

    ui_color = "#fdebd0"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(path="", **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        asked = self._asked(context)
        site, mapping = steps.site(), error_desk.mapping_of(asked["leg"])
        if asked["plan"]:
            self._say(undo.plan(site, mapping, asked["run"], targets=flow.target_system))
            raise AirflowSkipException("a plan sends nothing; what it found is in this log")
        try:
            done = undo.run(site, mapping, asked["run"], targets=flow.target_system, run_id=context["dag_run"].run_id,
                            by=asked["by"] or "somebody", reason=asked["reason"])  # fmt: skip
        except LegBusy as error:
            self.wait(context, error)
            raise
        if (found := undo.found_by(site, done)) is not None:
            self._say(found)
        return {"status": done.status, **done.counts}

    def _asked(self, context: Context) -> dict[str, Any]:
        unknown = sorted(set(context["dag_run"].conf or {}) - set(FORM))
        params = {name: context["params"].get(name) for name in FORM}
        if unknown or not params["leg"] or not params["run"]:
            raise ConfigurationError(
                f"an undo needs a leg and the name of one of its runs, got {params['leg']!r} and {params['run']!r}"
                + (f", and knows nothing of {', '.join(unknown)}" if unknown else "")
                + "; the monitor's page of a run has a button for it"
            )
        return params

    def _say(self, found: undo.Found) -> None:
        """Counts, and the keys and fields that were left; no values."""
        self.log.info("undo of %s: %s fields and records go back, %s are left alone", found.undoes, found.restored,
                      found.conflicts)  # fmt: skip
        for row in found.rows[:SHOWN]:
            if row["verdict"] in ("conflict", "left"):
                self.log.info("left: %s %s (%s)", row["key"], row["field"] or "", row["reason"] or "changed since")


class Undone(Done):
    """The last task: an undo has no legs that others follow."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(moves=[], **kwargs)

    def execute(self, context: Context) -> dict[str, int]:
        if context["params"].get("plan"):
            raise AirflowSkipException("a plan moves nothing")
        return {}
