"""The ledger, the only memory: markers, runs, rejects, jobs, budget, events, aliases, conflicts and holds.

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

    ledger.add_events("storefront", events, seen=ledger.feed_state("storefront"), cursor={"next": "e81"})
    ledger.put_aliases("salesforce", "Account", [{"lost": "A", "now": "B"}])
    con.register("aliases", ledger.aliases_table("salesforce", "Account"))

The mass of markers lives in Parquet files (see ``markers``), found through one pointer row per leg that moves
in one transaction (see ``state`` and ``settle``); what people look at is ordinary rows (see ``tables``).
"""

from __future__ import annotations

from commerce_sync.ledger.alarms import FAILURE, Alert, Finding
from commerce_sync.ledger.aliases import Linked
from commerce_sync.ledger.answers import RejectAnswer
from commerce_sync.ledger.budget_leases import Ask, Grant, Level, Refusal, Reported
from commerce_sync.ledger.budget_usage import LegUsage
from commerce_sync.ledger.budgets import Standing
from commerce_sync.ledger.conflicts import Conflict, PairMove, PairState
from commerce_sync.ledger.events import REFUSED, Added, FeedState, Refused, feed_leg
from commerce_sync.ledger.events import schema as event_schema
from commerce_sync.ledger.holds import Hold
from commerce_sync.ledger.jobs import Job, RunJobs
from commerce_sync.ledger.ledger import Ledger
from commerce_sync.ledger.receipts import Receipt, ReceiptCount
from commerce_sync.ledger.rejected import Said
from commerce_sync.ledger.rejects import Reject, RejectGroup, RejectStatus
from commerce_sync.ledger.rejects import schema as reject_schema
from commerce_sync.ledger.runs import Kind, Run, Status, Window
from commerce_sync.ledger.settle import KEEP
from commerce_sync.ledger.state import LegState, MarkerFile
from commerce_sync.ledger.tables import COUNTS

__all__ = [
    "COUNTS",
    "FAILURE",
    "KEEP",
    "REFUSED",
    "Added",
    "Alert",
    "Ask",
    "Conflict",
    "FeedState",
    "Finding",
    "Grant",
    "Hold",
    "Job",
    "Kind",
    "Ledger",
    "LegState",
    "LegUsage",
    "Level",
    "Linked",
    "MarkerFile",
    "PairMove",
    "PairState",
    "Receipt",
    "ReceiptCount",
    "Reject",
    "RejectAnswer",
    "RejectGroup",
    "Refusal",
    "Refused",
    "RejectStatus",
    "Reported",
    "Run",
    "RunJobs",
    "Said",
    "Standing",
    "Status",
    "Window",
    "event_schema",
    "feed_leg",
    "reject_schema",
]
