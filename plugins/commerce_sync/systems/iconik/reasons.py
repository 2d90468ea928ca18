"""What iconik's refusals mean: both forms of its error body, and what happens next.

Source: the published OpenAPI documents: ``{"errors": ["..."]}`` or ``{"errors": {field: text or texts}}``, and
``{"detail": [{"loc", "msg"}]}`` from the v2 services.
"""

from __future__ import annotations

from typing import Any

import msgspec

from commerce_sync.errors import RejectedError, SyncError
from commerce_sync.systems.answers import excerpt

CLASSES = {400: "validation", 403: "permission", 404: "reference", 409: "duplicate", 422: "validation"}
"""Status -> reason class of a refusal that concerns one object."""
NOT_FOUND = "not_found"
CODES = {400: "bad_request", 403: "forbidden", 404: NOT_FOUND, 409: "conflict", 422: "invalid"}


class IconikRefusal(RejectedError):
    """iconik refused one object; ``fields`` are the names it complained about."""

    def __init__(self, message: str, *, code: str, reason_class: str = "unknown", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, code=code, reason_class=reason_class)
        self.fields = fields


def complaints(body: bytes) -> list[tuple[str, str]]:
    """``(field or "", sentence)`` of an error body in any of its forms; empty when it has none of them."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return []
    if not isinstance(decoded, dict):
        return []
    if isinstance(detail := decoded.get("detail"), list):
        found = [item for item in detail if isinstance(item, dict)]
        return [(".".join(str(part) for part in item.get("loc", ())), str(item.get("msg"))) for item in found]
    return _flat(decoded.get("errors"), "")


def _flat(value: Any, at: str) -> list[tuple[str, str]]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [pair for name, item in value.items() for pair in _flat(item, f"{at}.{name}" if at else str(name))]
    if isinstance(value, list):
        return [pair for item in value for pair in _flat(item, at)]
    return [(at, str(value))]


def classify(status: int, body: bytes) -> SyncError | None:
    """Error for an answer outside 2xx that concerns one object; None for the usual reading (401, 429, 5xx)."""
    if status not in CLASSES:
        return None
    found = complaints(body)
    said = "; ".join(f"{field}: {text}" if field else text for field, text in found) or excerpt(body)
    return IconikRefusal(
        f"iconik answered {status}: {said}",
        code=CODES[status],
        reason_class=CLASSES[status],
        fields=tuple(dict.fromkeys(field.removeprefix("metadata_values.") for field, _ in found if field)),
    )
