"""Operators for DAGs of one's own: query, upsert, delete, bulk load, any call. They need no mapping and no ledger.

    SalesforceQueryOperator(task_id="contacts", soql="SELECT Id, Email FROM Contact", path="/data/c.parquet")
    SalesforceBulkLoadOperator(
        task_id="accounts", object_name="Account", external_id="Commerce_Id__c", path="/data/accounts.parquet",
        max_rejected=20, rejected_path="/data/refused-{{ run_id }}.parquet")

Waiting for bulk jobs is deferrable. ``ResumableJobMixin`` of ``airflow.sdk`` knows one remote job and submits a
new one when that failed; a load here has many, and part of a failed one may be committed. So its journal is in the
task state instead: a retry takes up every job where it was.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from commerce_sync.batches import Batches
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Loaded, Waiting
from commerce_sync.systems.salesforce import inputs
from commerce_sync.systems.salesforce.statejobs import StateJobs, jobs_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from commerce_sync.systems.salesforce.hook import SalesforceHook

DEFAULT_CONN = "commerce_sync_salesforce"
WHOLE_DAY_S = 86_400.0


class _SalesforceOperator(BaseOperator):
    """A connection and the hook for it, made when the task runs."""

    ui_color = "#d9f0ff"

    def __init__(self, *, salesforce_conn_id: str = DEFAULT_CONN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.salesforce_conn_id = salesforce_conn_id

    def _hook(self) -> SalesforceHook:
        from commerce_sync.systems.salesforce.hook import SalesforceHook

        return SalesforceHook(self.salesforce_conn_id)


class SalesforceQueryOperator(_SalesforceOperator):
    """Write the result of a SOQL query to a local .parquet (typed by describe) or .csv file.

    all_rows: with deleted and archived records.   bulk: True for a Bulk query job, False for pages, None by size.
    Returns ``{"path", "rows"}``.
    """

    template_fields: Sequence[str] = ("soql", "path", "salesforce_conn_id")

    def __init__(
        self, *, soql: str, path: str, all_rows: bool = False, bulk: bool | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.soql = soql
        self.path = path
        self.all_rows = all_rows
        self.bulk = bulk

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the query."""
        rows = self._hook().query_to_file(self.soql, Path(self.path), all_rows=self.all_rows, bulk=self.bulk)
        self.log.info("query done: %d rows", rows)
        return {"path": self.path, "rows": rows}


class SalesforceCallOperator(_SalesforceOperator):
    """Make one REST call below ``/services/data/vXX.0`` and return the decoded answer (keep it small).

    POST is not repeated after an unanswered attempt unless ``repeatable`` says that this is harmless.
    """

    template_fields: Sequence[str] = ("method", "path", "query", "json", "salesforce_conn_id")

    def __init__(
        self,
        *,
        path: str,
        method: str = "GET",
        query: dict[str, Any] | None = None,
        json: Any = None,
        repeatable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.method = method
        self.path = path
        self.query = query
        self.json = json
        self.repeatable = repeatable

    def execute(self, context: Context) -> Any:
        """Make the call."""
        return self._hook().call(self.method, self.path, params=self.query, json=self.json, repeatable=self.repeatable)


class _LoadOperator(_SalesforceOperator):
    """Rows in, counts out; what the three writing operators share."""

    bulk_from = 2000

    def __init__(
        self,
        *,
        object_name: str,
        max_rejected: int = 0,
        rejected_path: str | None = None,
        options: dict[str, Any] | None = None,
        deferrable: bool = False,
        wait_s: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.object_name = object_name
        self.max_rejected = max_rejected
        self.rejected_path = rejected_path
        self.options = options or {}
        self.deferrable = deferrable
        self.wait_s = wait_s

    def execute(self, context: Context) -> dict[str, Any]:
        """Load, or defer until the bulk jobs are finished and go on then."""
        scratch = tempfile.mkdtemp(prefix="salesforce-operator-")
        try:
            return self._load(Batches(scratch), context)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def resume(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on after the trigger fired; the load itself looks at the jobs again."""
        self.log.info("bulk jobs: %s", (event or {}).get("status"))
        return self.execute(context)

    def _load(self, batches: Batches, context: Context) -> dict[str, Any]:
        rows, key, kind = self._input()
        changes = inputs.stage_input(batches, rows, key=key, kind=kind)
        jobs = jobs_of(context)
        with batches.write(inputs.LEG, inputs.RUN, "load") as into:
            loaded = self._hook().load(
                self._target(), self._fields(changes), changes, jobs=jobs, into=into, wait_s=self._patience()
            )
        if isinstance(loaded, Waiting):
            self.defer(trigger=loaded.trigger, method_name="resume")
        assert isinstance(loaded, Loaded)
        if isinstance(jobs, StateJobs):
            jobs.clear()
        outcomes = batches.read(inputs.LEG, inputs.RUN, "load")
        return inputs.report(loaded, outcomes, rejected_path=self.rejected_path, max_rejected=self.max_rejected)

    def _patience(self) -> float:
        if self.wait_s is not None:
            return self.wait_s
        return 20.0 if self.deferrable else WHOLE_DAY_S

    def _input(self) -> tuple[inputs.Rows, str, Literal["MODIFIED", "DELETED"]]:
        raise NotImplementedError

    def _fields(self, changes: Any) -> tuple[Field, ...]:
        raise NotImplementedError

    def _target(self) -> Target:
        raise NotImplementedError


class SalesforceUpsertOperator(_LoadOperator):
    """Upsert records (or a .parquet or .csv file) by external id: Collections, from 2,000 rows on Bulk.

    lookups: column -> "Account.Commerce_Id__c" for parents by their external id.   on_null: what a null does.
    Returns counts. Raises GuardError above ``max_rejected``; the refused rows are in ``rejected_path`` then.
    """

    template_fields: Sequence[str] = ("records", "path", "rejected_path", "salesforce_conn_id")

    def __init__(
        self,
        *,
        external_id: str,
        records: Sequence[dict[str, Any]] | None = None,
        path: str | None = None,
        lookups: dict[str, str] | None = None,
        on_null: Literal["clear", "leave"] = "clear",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.external_id = external_id
        self.records = records
        self.path = path
        self.lookups = lookups or {}
        self.on_null = on_null

    def _input(self) -> tuple[inputs.Rows, str, Literal["MODIFIED", "DELETED"]]:
        return inputs.one_of(self.records, self.path, names="records or path"), self.external_id, "MODIFIED"

    def _fields(self, changes: Any) -> tuple[Field, ...]:
        return inputs.fields_of(changes, lookups=self.lookups, on_null=self.on_null)

    def _target(self) -> Target:
        return Target(
            system="salesforce",
            conn_id=self.salesforce_conn_id,
            object=self.object_name,
            external_id=self.external_id,
            bulk_from=self.bulk_from,
            options=self.options,
        )


class SalesforceBulkLoadOperator(SalesforceUpsertOperator):
    """Upsert a file by Bulk API 2.0 whatever its size: deferrable, and a retry takes up the jobs it finds."""

    bulk_from = 1

    def __init__(self, *, path: str, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(path=path, deferrable=deferrable, **kwargs)


class SalesforceDeleteOperator(_LoadOperator):
    """Delete records by id: a list, or the column ``Id`` of a .parquet or .csv file. Gone already is fine."""

    template_fields: Sequence[str] = ("ids", "path", "rejected_path", "salesforce_conn_id")

    def __init__(self, *, ids: Sequence[str] | None = None, path: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ids = ids
        self.path = path

    def _input(self) -> tuple[inputs.Rows, str, Literal["MODIFIED", "DELETED"]]:
        records = None if self.ids is None else [{"Id": record_id} for record_id in self.ids]
        return inputs.one_of(records, self.path, names="ids or path"), "Id", "DELETED"

    def _fields(self, changes: Any) -> tuple[Field, ...]:
        return (Field(name="Id", value="Id"),)

    def _target(self) -> Target:
        return Target(
            system="salesforce",
            conn_id=self.salesforce_conn_id,
            object=self.object_name,
            external_id="Id",
            on_delete="delete",
            bulk_from=self.bulk_from,
            options=self.options,
        )
