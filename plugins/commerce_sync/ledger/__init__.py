"""The ledger, the only memory: markers, runs, rejects, jobs and budget.

    ledger = Ledger.open("sqlite:////var/lib/sync/ledger.db", files="/var/lib/sync/ledger")
    run = ledger.begin(leg, run_id, kind="changes", window=Window(since, until), mapping_version=1)
    state = ledger.state(leg)
    con.sql(ledger.markers_sql(state))                      # what the target has acknowledged
    con.register("rejects", ledger.rejects_table(leg))      # what did not arrive
    ...                                                     # map, check, load
    delta = ledger.stage_delta(leg, con, "SELECT key, fingerprint, target_id, gone FROM ...")
    ledger.settle(run, state_version=state.version, status="green", delta=delta, clear=keys,
                  rejects=refused, carry=uri, high_water=until, **counts)
    ledger.compact(leg)

The mass of markers lives in Parquet files (see ``markers``), found through one pointer row per leg that moves
in one transaction (see ``state`` and ``settle``); what people look at is ordinary rows (see ``tables``).
"""

from __future__ import annotations

from commerce_sync.ledger.jobs import Job, RunJobs
from commerce_sync.ledger.ledger import Ledger
from commerce_sync.ledger.rejects import Reject, RejectStatus
from commerce_sync.ledger.rejects import schema as reject_schema
from commerce_sync.ledger.runs import Kind, Run, Status, Window
from commerce_sync.ledger.settle import KEEP
from commerce_sync.ledger.state import LegState, MarkerFile
from commerce_sync.ledger.tables import COUNTS

__all__ = [
    "COUNTS",
    "KEEP",
    "Job",
    "Kind",
    "Ledger",
    "LegState",
    "MarkerFile",
    "Reject",
    "RejectStatus",
    "Run",
    "RunJobs",
    "Status",
    "Window",
    "reject_schema",
]
