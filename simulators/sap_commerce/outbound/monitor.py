"""OutboundRequest records, and how long records of either direction are kept.

Source: fact sheet section 2.12. The cleanup jobs run at midnight of the simulated clock (UTC).
"""

from __future__ import annotations

from typing import Any

from simulators.sap_commerce.store import Store

_SECOND_MS = 1000
_BATCH = 100
# cleanup job -> (type, whether only the payload goes)
CLEANUPS = {
    "inboundRequestMediaCleanupCronJob": ("InboundRequest", True),
    "inboundRequestCleanupCronJob": ("InboundRequest", False),
    "outboundRequestMediaCleanupJob": ("OutboundRequest", True),
    "outboundRequestCleanupJob": ("OutboundRequest", False),
    "outboundRetryCleanupJob": ("OutboundSyncRetry", False),
}


def record_outbound(
    store: Store,
    *,
    settings: dict[str, Any],
    message_id: str,
    passport: str,
    service: str,
    key: str,
    destination: str,
    source: str,
    method: str,
    payload: bytes,
    error: str,
) -> None:
    """Write one record, unless monitoring is switched off."""
    if not settings["outbound_monitoring"]:
        return
    (status,) = store.find(["IntegrationRequestStatus"], {"code": "ERROR" if error else "SUCCESS"})
    (origin,) = store.find(["OutboundSource"], {"code": source})
    keeps = settings["outbound_error_payload_retention" if error else "outbound_success_payload_retention"]
    store.insert(
        "OutboundRequest",
        {
            "requestIntegrationKey": key,
            "type": service,
            "destination": destination,
            "messageId": message_id,
            "sapPassport": passport,
            "status": status,
            "error": error or None,
            "source": origin,
            "httpMethod": method,
            "user": settings["outbound_user"],
            "payload": payload.decode("utf-8", "replace") if keeps else None,
        },
    )


def clean_up(store: Store, *, settings: dict[str, Any]) -> dict[str, int]:
    """Run every cleanup job once; gives how many records each one touched."""
    oldest = store.now_ms() - int(settings["retention_s"]) * _SECOND_MS
    return {job: _clean(store, kind, media=media, oldest=oldest) for job, (kind, media) in CLEANUPS.items()}


def _clean(store: Store, kind: str, *, media: bool, oldest: int) -> int:
    tests = f'SELECT pk FROM "{kind}" WHERE modifiedtime < ?' + (" AND payload IS NOT NULL" if media else "")
    pks = [pk for (pk,) in store.db.execute(tests, (oldest,))]
    for start in range(0, len(pks), _BATCH):
        with store.transaction():
            for pk in pks[start : start + _BATCH]:
                if media:
                    store.update(pk, {"payload": None, "modifiedtime": store.value(pk, "modifiedtime")})
                else:
                    store.delete(pk)
    return len(pks)
