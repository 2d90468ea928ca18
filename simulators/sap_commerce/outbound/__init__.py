"""The outbound side: payloads, destinations, Outbound Sync, webhooks, the outbound service call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulators.faults import Faults
from simulators.sap_commerce.outbound.clockwork import Clockwork
from simulators.sap_commerce.outbound.control import OutboundControl
from simulators.sap_commerce.outbound.deliveries import FAULTS, Deliveries
from simulators.sap_commerce.outbound.sync import OutboundSync
from simulators.sap_commerce.outbound.transport import Sender
from simulators.sap_commerce.outbound.webhooks import Webhooks
from simulators.sap_commerce.schema import Schemas
from simulators.sap_commerce.store import Store

# the documented limits and defaults (fact sheet sections 2.12, 3.1 to 3.3), and switches for what is open
OUTBOUND_SETTINGS: dict[str, Any] = {
    "clockwork": True,
    "outbound_monitoring": True,
    "outbound_success_payload_retention": False,
    "outbound_error_payload_retention": False,
    "outbound_user": "integration",
    "retention_s": 604_800,
    "outbound_timeout_ms": 5000,
    "outbound_response_limit": 1024,
    "outbound_connections": 5,
    "outbound_verify_tls": True,
    "destination_cache_s": 7200,
    "outbound_long": "string",
    "outbound_success_statuses": [201],
    "outbound_max_retries": 5,
    "outbound_batch_limit": 200,
    "outbound_respects_inactive": False,
    "group_size_max": 50,
    "events_exporting": True,
    "webhook_consolidation": True,
    "webhook_group_timeout_ms": 500,
    "webhook_queue_size": 10_000,
    "webhook_retry_s": 10,
    "webhook_respects_inactive": True,
    "webhook_region": "default",
    "webhook_tenant": "t1",
    "webhook_type_version": "v1",
}


@dataclass(frozen=True, slots=True)
class Outbound:
    """What the rest of the system needs of the outbound side."""

    clockwork: Clockwork
    control: OutboundControl


def build_outbound(store: Store, *, schemas: Schemas, settings: dict[str, Any], faults: Faults) -> Outbound:
    """Wire everything up and start watching the store; nothing runs before the application starts."""
    sender = Sender(store, settings)
    deliveries = Deliveries(
        store, webhooks=Webhooks(store, schemas=schemas), sender=sender, settings=settings, faults=faults
    )
    store.observer = deliveries
    faults.standing |= FAULTS
    sync = OutboundSync(store, schemas, sender, settings)
    clockwork = Clockwork(store, sync=sync, deliveries=deliveries, sender=sender, settings=settings)
    control = OutboundControl(store, schemas=schemas, sender=sender, clockwork=clockwork, settings=settings)
    return Outbound(clockwork, control)
