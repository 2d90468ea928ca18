"""Salesforce's error codes: what happens next with a call or a row.

Source: SOAP API Developer Guide, Core Data Types (StatusCode); Bulk API 2.0 Developer Guide, Errors; REST API
Developer Guide, Status Codes and Error Responses.
"""

from __future__ import annotations

from typing import Any

import msgspec

from commerce_sync.errors import (
    ConfigurationError,
    QuotaError,
    RejectedError,
    RetryableError,
    SyncError,
)
from commerce_sync.systems.answers import PASSING, excerpt

CLASSES: dict[str, str] = {
    "UNABLE_TO_LOCK_ROW": "lock",
    **dict.fromkeys(
        (
            "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "TXN_SECURITY_METERING_ERROR", "API_TEMPORARILY_UNAVAILABLE",
            "REQUEST_RUNNING_TOO_LONG", "ALL_OR_NONE_OPERATION_ROLLED_BACK", "UNPROCESSED",
        ),
        "transient",
    ),
    **dict.fromkeys(
        ("REQUEST_LIMIT_EXCEEDED", "LIMIT_EXCEEDED", "EXCEEDEDQUOTA", "EXCEEDED_QUOTA", "STORAGE_LIMIT_EXCEEDED"),
        "limit",
    ),
    **dict.fromkeys(("INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED", "NOT_FOUND", "NO_TARGET_ID"), "reference"),
    **dict.fromkeys(
        (
            "REQUIRED_FIELD_MISSING", "STRING_TOO_LONG", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "FIELD_CUSTOM_VALIDATION_EXCEPTION", "INVALID_EMAIL_ADDRESS", "NUMBER_OUTSIDE_VALID_RANGE",
            "INVALID_TYPE_ON_FIELD_IN_RECORD", "FIELD_INTEGRITY_EXCEPTION", "MISSING_ARGUMENT", "JSON_PARSER_ERROR",
            "MALFORMED_ID", "STANDARD_PRICE_NOT_DEFINED", "INVALID_CURRENCY_ISO", "NO_EXTERNAL_ID",
            "CANNOT_UPDATE_CONVERTED_LEAD",
        ),
        "validation",
    ),
    **dict.fromkeys(("DUPLICATES_DETECTED", "DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID"), "duplicate"),
    **dict.fromkeys(
        (
            "INVALID_FIELD", "INVALID_TYPE", "INVALID_FIELD_FOR_INSERT_UPDATE", "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_OR_READONLY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        ),
        "permission",
    ),
}  # fmt: skip
"""Row code -> reason class. ``INVALID_FIELD`` is "reference" when it names a foreign key (see ``reason_class``)."""

FOREIGN_KEY = "Foreign key external ID"
GONE = ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND")
"""What a delete by id answers when the record is not there any more."""
REDRIVEN = ("lock", "transient")


def reason_class(code: str, message: str) -> str:
    """Our class of a row's error."""
    if code == "INVALID_FIELD" and FOREIGN_KEY in message:
        return "reference"
    if code.startswith("INSUFFICIENT_ACCESS"):
        return "permission"
    return CLASSES.get(code, "unknown")


def no_such_column(code: str, message: str) -> bool:
    """Whether a row error in truth says that a field of the mapping does not exist."""
    return code == "INVALID_FIELD" and "No such column" in message


def classify(status: int, body: bytes) -> SyncError | None:
    """Error for an answer outside 2xx, None when the body says nothing Salesforce-like (proxy page, empty)."""
    code, message = _first_error(body)
    if not code:
        return None
    text = f"Salesforce answered {status} {code}: {message}"
    if code == "REQUEST_LIMIT_EXCEEDED" and "Concurrent" in message:
        return RetryableError(f"{text}; too many calls run at once")
    kind = reason_class(code, message)
    if kind == "limit":
        return QuotaError(f"{text}; the org's allowance is a rolling 24 hours: run later or raise it")
    if kind in REDRIVEN or status in PASSING:
        return RetryableError(text)
    if kind in ("unknown", "permission") or code in ("NOT_FOUND", "MALFORMED_ID"):
        return ConfigurationError(f"{text}; correct the object, the field or the user's rights")
    return RejectedError(text, code=code, reason_class=kind)


def job_failure(message: str, *, object_name: str) -> SyncError | None:
    """Error for a job in state Failed, None when its rows may simply be sent again.

    Source of the texts: "InvalidBatch : Field name not found : X", "ClientInputError : LineEnding is invalid ...".
    """
    if "Field name not found" in message:
        name = message.rsplit(":", 1)[-1].strip().split(". ")[0]
        return ConfigurationError(
            f"Salesforce object {object_name} has no field {name!r} that this user may write: correct the mapping "
            "or give the integration user's permission set edit access to it"
        )
    if "quota" in message.lower() or "LIMIT_EXCEEDED" in message:
        return QuotaError(f"Salesforce refused a bulk job of {object_name}: {message}")
    if message.replace(" ", "").startswith(("InvalidBatch:", "ClientInputError:", "InvalidJob:")):
        return ConfigurationError(f"Salesforce refused a bulk job of {object_name}: {message}")
    return None


def _first_error(body: bytes) -> tuple[str, str]:
    try:
        decoded: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "", ""
    first = decoded[0] if isinstance(decoded, list) and decoded else decoded
    if not isinstance(first, dict):
        return "", ""
    return str(first.get("errorCode") or ""), excerpt(str(first.get("message") or "").encode(), length=500)
