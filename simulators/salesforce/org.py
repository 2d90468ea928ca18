"""One simulated org: everything the handlers share, and the switches tests may set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.salesforce.limits import Usage
from simulators.salesforce.locks import Locks
from simulators.salesforce.query import Cursors
from simulators.salesforce.schema import Schema
from simulators.salesforce.sessions import Sessions
from simulators.salesforce.store import Store
from simulators.salesforce.writes import Writer

# every switch with its default; POST /_sim/options changes them
SETTINGS: dict[str, Any] = {
    "session_timeout_s": 7200,
    "refresh_rotation": False,  # whether every refresh gives a new refresh token and ends the old one
    "password_flow": False,  # new orgs block it
    "soap_login": False,  # new orgs block it, API 65 and later do not have it
    "instance_url": "",  # what token answers name; empty: the address the client used
    "jwt_public_key": "",  # PEM of a key or certificate; empty: the demo key of the ready line
    "daily_api_requests": 100_000,
    "commit_lag_s": 0,  # records appear with a SystemModstamp this much in the past, as late commits do
    "child_page_rows": 2000,  # records of a child subquery that come at once; the rest by a locator of its own
    "csv_charset": False,  # whether Bulk CSV answers say charset=UTF-8
    "job_latency_ms": 0,  # simulated time between closing a job and its result
    "job_min_polls": 2,  # status reads before a job may look finished
    "lock_hold_ms": 20,  # how long a chunk keeps its locks while another job is at work
    "internal_batch_rows": 10_000,
    "parallel_batches": 1,  # internal batches of one job that are at work at once; above 1 they lock each other out
    "row_locks": True,  # whether rows that another job or batch keeps locked fail
    "duplicate_keys_fail": "all",  # all | later: which rows of a chunk fail when they share an external id
    "duplicate_rules": [],  # [{"object", "fields": [..], "rule", "message", "block": true}]
    "empty_failed_results_204": False,
}


@dataclass(slots=True)
class Org:
    """State of the org; ``jobs`` and ``classic_jobs`` are keyed by id."""

    schema: Schema
    store: Store
    clock: Clock
    faults: Faults
    settings: dict[str, Any]
    sessions: Sessions
    usage: Usage
    writer: Writer
    locks: Locks = field(default_factory=Locks)
    cursors: Cursors = field(default_factory=Cursors)
    jobs: dict[str, Any] = field(default_factory=dict)
    classic_jobs: dict[str, Any] = field(default_factory=dict)
    routes: list[Any] = field(default_factory=list)

    def keep(self, job: Any) -> None:
        """Write a Bulk 2.0 job into the state file, when there is one."""
        if self.store.state is not None and job.id in self.jobs:
            self.store.state.keep_job(job, kind="modern")

    def keep_classic(self, job: Any) -> None:
        if self.store.state is not None:
            self.store.state.keep_job(job, kind="classic")

    def forget(self, job: Any) -> None:
        self.jobs.pop(job.id, None)
        if self.store.state is not None:
            self.store.state.drop_job(job.id)
