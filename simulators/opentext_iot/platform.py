"""The simulated tenant: everything handlers share, and the switches tests may set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.opentext_iot.database import Database
from simulators.opentext_iot.documents import Documents
from simulators.opentext_iot.events import Events
from simulators.opentext_iot.tokens import Tokens

if TYPE_CHECKING:
    from simulators.opentext_iot.fleet_running import RunningFleet

REALM = "ACME"
# Every switch with its default: most stand for what nobody could verify. POST /_sim/options changes them.
SETTINGS: dict[str, Any] = {
    "token_ttl_s": 899,
    "check_realm": True,  # 403 when x-realm names another realm
    "media": "strict",  # strict: 406 and 415 for other media types; lenient: anything goes
    "conflict_status": 409,  # 409 | 412 | 400 for a stale version in a PUT
    "create_status": 201,
    "unknown_filters": "reject",  # reject with 400 | ignore
    "max_page_size": 0,  # 0: as large as asked for
    "index_delay_ms": 300,  # new documents and events are searchable after that much simulated time
    "value_form": "string",  # attribute values on the wire: string | native
    "put_tags": "ignore",  # tags in a PUT: ignore | replace
    "data_types": ["decimal", "bool", "string"],
    "update_bound_attributes": False,  # an event field bound to an attribute changes it
    "check_events": True,  # refuse messages the device or stream cannot send; false: take anything
    "search_time_unit": "epoch_ms",  # epoch_ms | epoch_s | iso8601
    "search_envelope": "",  # "" bare array | events | content | items
    "search_paging": "none",  # none | page
    "search_max_items": 10_000,  # further events are left out without an error; 0: no limit
    "command_delay_s": 2,
    "command_outcome": "DONE",  # DONE | FAILED
    "rate_limit_per_s": 0,  # 0: none
    "rate_limit_retry_after": True,
    "subscription_retry_s": 1,
}


@dataclass(slots=True)
class Platform:
    """State of the tenant."""

    database: Database
    documents: Documents
    events: Events
    clock: Clock
    faults: Faults
    settings: dict[str, Any]
    tokens: Tokens
    fleet: RunningFleet
    recent_calls: tuple[int, int] = (0, 0)  # (second, calls in it)
    answered: dict[str, Any] = field(default_factory=dict)  # Idempotency-Key -> answer

    def now_ms(self) -> int:
        return self.documents.now_ms()

    def shown_ms(self) -> int:
        """Up to which moment lists and searches see; the fault index_lag holds it back."""
        held_ms = 0
        for rule in self.faults.active("index_lag"):
            if rule.spend():
                held_ms = max(held_ms, int(float(rule.spec.get("seconds", 5)) * 1000))
        return self.now_ms() - held_ms

    def admits_another_call(self) -> bool:
        """False when the calls of this second are used up."""
        limit = int(self.settings["rate_limit_per_s"])
        second = int(self.clock.timestamp())
        known, calls = self.recent_calls
        self.recent_calls = (second, calls + 1 if known == second else 1)
        return not limit or self.recent_calls[1] <= limit
