"""What every handler can reach: the records, the index, the jobs, the webhooks, the switches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulators.clock import Clock
from simulators.faults import Faults

if TYPE_CHECKING:
    from simulators.iconik.call import Route
    from simulators.iconik.dispatch import Dispatcher
    from simulators.iconik.index import Index
    from simulators.iconik.job_engine import JobEngine
    from simulators.iconik.links import Links
    from simulators.iconik.store import Store

APP_ID = "5c0a1d2e-0b6f-11ef-9a3e-0a580a3c0a01"
SYSTEM_DOMAIN = "86729aec-7ff0-11ef-a5cc-2e53d2c327db"
INTEGRATION_USER = "774ac51c-f6db-11e7-b11a-0a580a3c0323"
EDITOR_USER = "e414116e-9957-11ea-b502-0a580a3c65d8"
AUTH_TOKEN = "eyJhbGciOiJIUzI1NiJ9.aW50ZWdyYXRpb24.sim"
EDITOR_TOKEN = "eyJhbGciOiJIUzI1NiJ9.ZWRpdG9y.sim"

# switches for what the fact sheet leaves open, and for limits; POST /_sim/options changes them
SETTINGS: dict[str, Any] = {
    "index_lag_s": 2.0,
    "job_duration_s": 2.0,
    "auto_transcode": True,
    "signed_url_ttl_s": 300,
    "expired_url_status": 403,
    "missing_slash": "308",
    "rate_limit": 0,
    "rate_window_s": 20.0,
    "retry_after": False,
    "field_errors_as_lists": False,
    "unknown_fields": "ignore",
    "unknown_metadata_fields": "refuse",
    "never_requested_approval": "404",
    "decision_without_request": "accept",
    "approval_as_job": False,
    "approval_realm": "approvals",
    "metadata_touches_asset": True,
    "approval_touches_asset": False,
    "raw_edits_fire_webhooks": False,
    "search_window": 10_000,
    "page_size": 10,
    "largest_page": 1_000,
    "versions_newest_first": False,
    "webhook_timeout_s": 5.0,
    "webhook_retries": 2,
    "webhook_retry_s": 0.2,
    "webhook_failing_after": 5,
}


@dataclass(slots=True)
class Site:
    """One iconik domain."""

    store: Store
    index: Index
    jobs: JobEngine
    links: Links
    hooks: Dispatcher
    clock: Clock
    faults: Faults
    settings: dict[str, Any]
    routes: list[Route] = field(default_factory=list)
    rates: dict[str, list[float]] = field(default_factory=dict)
