"""How the Integration API spells things: keys and literals in addresses, headers, dates, errors.

Pure functions without I/O. Source of the facts: SAP Commerce Cloud 2211 documentation, "Integrations and Data
Management" (2024-07), chapters on the inbound Integration API; OData 2.0 for literals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote
from xml.etree import ElementTree

import msgspec

from commerce_sync.errors import ConfigurationError, RejectedError, SyncError

Precision = Literal["seconds", "milliseconds"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_PAGE = 1000
"""Rows per page: a larger ``$top`` is cut to it (``odata2services.page.size.max``)."""
MAX_CHANGESETS = 200
"""ChangeSets per ``$batch`` (``odata2services.batch.limit``)."""

REASON_CLASSES = {
    "missing_key": "validation",
    "missing_property": "validation",
    "missing_nav_property": "reference",
    "invalid_property": "validation",
    "invalid_attribute_value": "validation",
    "invalid_key": "validation",
    "invalid_language": "validation",
    "odata_error": "validation",
    "hook_not_found": "validation",
    "pre_persist_error": "validation",
    "post_persist_error": "validation",
    "deletion_failure": "reference",
    "root_in_use": "reference",
    "not_found": "reference",
    "forbidden": "permission",
    "batch_limit_exceeded": "limit",
    "method_not_allowed": "validation",
    "internal_error": "transient",
}
_LOCKED = re.compile(r"deadlock|lock wait|could not obtain lock|optimistic lock", re.IGNORECASE)
_BRACKETED = re.compile(r"(?:[Pp]roperty|[Kk]ey|attribute|contains) \[([^\]]+)\]")


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error answer says. ``item`` is ``innererror``: the key of the failing item, or None."""

    status: int
    code: str
    message: str
    item: str | None = None

    @property
    def reason_class(self) -> str:
        """transient, lock, limit, validation, reference, permission, duplicate or unknown."""
        if "ambiguous unique keys" in self.message:
            return "duplicate"
        if _LOCKED.search(self.message):
            return "lock"
        if self.code in REASON_CLASSES:
            return REASON_CLASSES[self.code]
        return _by_status(self.status)

    @property
    def fields(self) -> str:
        """Names of the properties the message complains about, comma separated; empty when it names none."""
        return ",".join(dict.fromkeys(_BRACKETED.findall(self.message)))

    def rejected(self, what: str) -> RejectedError:
        """The error for one refused record."""
        item = f" (item {self.item})" if self.item else ""
        text = f"{what}: {self.status} {self.code}: {self.message}{item}"
        return RejectedError(text, code=self.code, reason_class=self.reason_class)


def _by_status(status: int) -> str:
    if status in (401, 403):
        return "permission"
    if status == 429:
        return "limit"
    return "transient" if status in (408, 500, 502, 503, 504) else "unknown"


def failure(status: int, body: bytes) -> Failure:
    """Read an error body: ``{"error": {"code", "message": {"value"}, "innererror"}}`` or its XML form."""
    try:
        decoded = msgspec.json.decode(body)
        error = decoded["error"]
        message = error.get("message")
        text = message.get("value", "") if isinstance(message, dict) else str(message or "")
        return Failure(status, str(error.get("code") or f"http_{status}"), text, error.get("innererror"))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return _failure_xml(status, body)


def _failure_xml(status: int, body: bytes) -> Failure:
    plain = Failure(status, f"http_{status}", " ".join(body[:1000].decode("utf-8", "replace").split())[:300])
    if b"<error" not in body[:500]:
        return plain
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return plain
    found = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in root}
    return Failure(status, found.get("code") or f"http_{status}", found.get("message", ""))


def entity_path(entity_set: str, key: str) -> str:
    """``Products('Staged%7CDefault%7Cp1')``: the integration key is encoded once more, quotes doubled."""
    return f"{entity_set}('{quote(key.replace(chr(39), chr(39) * 2), safe='')}')"


def query_string(options: Mapping[str, str | int | None]) -> str:
    """System query options, percent-encoded; options that are None or empty are left out."""
    used = {name: value for name, value in options.items() if value is not None and value != ""}
    return "&".join(f"{name}={quote(str(value), safe=chr(39) + '(),:/')}" for name, value in used.items())


def literal(value: Any, *, long: bool = False) -> str:
    """A ``$filter`` literal: 'text' with quotes doubled, 5L, 4.1M, true, datetime'...' (UTC, no zone)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L" if long else str(value)
    if isinstance(value, float | Decimal):
        return f"{value}{'d' if isinstance(value, float) else 'M'}"
    if isinstance(value, datetime):
        return moment(value, precision="milliseconds" if value.microsecond else "seconds")
    return "'" + str(value).replace("'", "''") + "'"


def moment(value: datetime, *, precision: Precision) -> str:
    """A DateTime literal; seconds are what SAP's samples show, milliseconds what OData 2.0 allows."""
    text = as_utc(value).replace(tzinfo=None).isoformat(timespec=precision)
    return f"datetime'{text}'"


def as_utc(value: datetime) -> datetime:
    """The same moment in UTC; one without a zone counts as UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def unit_us(precision: Precision) -> int:
    """Microseconds between two neighbouring literals."""
    return 1_000_000 if precision == "seconds" else 1000


def to_us(value: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (as_utc(value) - EPOCH) // timedelta(microseconds=1)


def from_us(value: int) -> datetime:
    """The moment that many microseconds after 1970, in UTC."""
    return EPOCH + timedelta(microseconds=value)


def json_date(value: datetime) -> str:
    """``/Date(ms)/``, as bodies spell DateTime."""
    return f"/Date({to_us(value) // 1000})/"


def write_headers(
    *,
    message_id: str | None = None,
    content_language: str | None = None,
    accept_language: str | None = None,
    pre_persist_hook: str | None = None,
    post_persist_hook: str | None = None,
) -> dict[str, str]:
    """Headers of a POST or PATCH, alone or in a batch; ``message_id`` shows up in SAP's monitoring."""
    named = {
        "integrationMessageId": message_id,
        "Content-Language": content_language,
        "Accept-Language": accept_language,
        "Pre-Persist-Hook": pre_persist_hook,
        "Post-Persist-Hook": post_persist_hook,
    }
    return {name: value for name, value in named.items() if value}


def foremost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of several failures the one to act on: what a person must correct before what passes by itself."""
    flat: list[BaseException] = []
    stack: list[BaseException] = [errors]
    while stack:
        item = stack.pop()
        stack += item.exceptions if isinstance(item, BaseExceptionGroup) else []
        flat += [] if isinstance(item, BaseExceptionGroup) else [item]
    return min(flat, key=lambda error: (not isinstance(error, ConfigurationError), not isinstance(error, SyncError)))
