"""InboundRequest records: what the API was asked to write, and what came of it.

Source: fact sheet section 2.12: one record per ChangeSet or single write; GETs are not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulators.sap_commerce.errors import ODataError
from simulators.sap_commerce.store import Store


def record_request(
    store: Store,
    *,
    settings: dict[str, Any],
    service: str,
    method: str,
    headers: Mapping[str, str],
    user: str,
    key: str,
    body: bytes,
    error: ODataError | None,
) -> None:
    """Write one monitoring record, unless monitoring is switched off."""
    if not settings["monitoring"]:
        return
    outcome = "ERROR" if error else "SUCCESS"
    (status,) = store.find(["IntegrationRequestStatus"], {"code": outcome})
    keeps = settings["error_payload_retention" if error else "success_payload_retention"]
    request = store.insert(
        "InboundRequest",
        {
            "messageId": headers.get("integrationMessageId", ""),
            "requestIntegrationKey": (error.innererror if error and error.innererror else key) or "",
            "type": service,
            "status": status,
            "user": user,
            "sapPassport": headers.get("SAP-PASSPORT", ""),
            "httpMethod": method,
            "payload": body.decode("utf-8", "replace") if keeps else None,
        },
    )
    if error:
        row = {"inboundRequest": request, "code": error.code, "message": error.message[:4000]}
        store.insert("InboundRequestError", row)
