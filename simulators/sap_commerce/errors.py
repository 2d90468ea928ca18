"""Refusals as the Integration API words them.

Source: fact sheet section 2.9 (codes, statuses, message patterns).
"""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

_METADATA_NAMESPACE = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"


class ODataError(Exception):
    """One refusal. ``innererror`` is the integration key (or key value) of the failing item."""

    def __init__(self, status: int, code: str, message: str, *, innererror: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.innererror = status, code, message, innererror

    def as_json(self) -> bytes:
        error: dict[str, object] = {"code": self.code, "message": {"lang": "en", "value": self.message}}
        if self.innererror is not None:
            error["innererror"] = self.innererror
        return json.dumps({"error": error}).encode()

    def as_xml(self) -> bytes:
        inner = f"<innererror>{escape(self.innererror)}</innererror>" if self.innererror is not None else ""
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><error xmlns="{_METADATA_NAMESPACE}">'
            f'<code>{escape(self.code)}</code><message xml:lang="en">{escape(self.message)}</message>'
            f"{inner}</error>"
        ).encode("utf-8", "replace")


def bad_request(code: str, message: str, *, innererror: str | None = None) -> ODataError:
    return ODataError(400, code, message, innererror=innererror)


def not_found(message: str, *, innererror: str | None = None) -> ODataError:
    return ODataError(404, "not_found", message, innererror=innererror)


def not_allowed(message: str) -> ODataError:
    return ODataError(405, "method_not_allowed", message)


def forbidden(message: str = "User is not authorized for the operation.") -> ODataError:
    return ODataError(403, "forbidden", message)


def entity_not_found(entity_type: str, key: str) -> ODataError:
    return not_found(f"[{entity_type}] with integration key [{key}] was not found.", innererror=key)
