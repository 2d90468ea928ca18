"""Lists of the classic API: filters, order, pages. Source: fact sheet 1.4.

A bare array; ``page`` counts from 1; a repeated filter means any of its values.
"""

from __future__ import annotations

from typing import Any

from multidict import MultiMapping

from simulators.opentext_iot.documents import Document, Documents
from simulators.opentext_iot.errors import invalid

LONGEST_NUMBER = 9
PAGING = ("page", "pageSize", "sortBy")
_STATE = "coalesce(json_extract(body, '$.state.lifecycleState'), '')"
ORDERS = {
    "+creation": "created_ms, seq",
    "-creation": "created_ms DESC, seq DESC",
    "+state": f"{_STATE}, created_ms, seq",
    "-state": f"{_STATE} DESC, created_ms, seq",
}
# json_tree does not fail on bodies of an unexpected shape
_IN_TREE = "EXISTS (SELECT 1 FROM json_tree(body, '{path}') t WHERE {test})"


def _field(name: str) -> str:
    return f"CAST(json_extract(body, '$.{name}') AS TEXT) IN ({{marks}})"


def _words(name: str) -> str:
    test = "t.type = 'text' AND t.key IS NOT 'lang' AND t.atom IN ({marks})"
    return _IN_TREE.format(path=f"$.{name}", test=test)


def _attribute(section: str, key: str) -> str:
    test = f"t.key = '{key}' AND CAST(t.atom AS TEXT) IN ({{marks}})"
    return _IN_TREE.format(path=f"$.attributes.{section}", test=test)


def _member(name: str) -> str:
    return _IN_TREE.format(path=f"$.{name}", test="t.type = 'text' AND t.atom IN ({marks})")


COMMON = {
    "id": "id IN ({marks})",
    "name": _words("name"),
    "description": _words("description"),
    "tag": "id IN (SELECT id FROM tags WHERE tags.kind = documents.kind AND tag IN ({marks}))",
    "creator": _field("creator"),
    "active": "json_extract(body, '$.isActive') IN ({marks})",
    "isActive": "json_extract(body, '$.isActive') IN ({marks})",
}
DEVICE = {
    "parentDeviceTemplateId": _field("parentDeviceTemplateId"),
    "state": "(json_extract(body, '$.state.lifecycleState') IN ({marks})"
    " OR json_extract(body, '$.state.operationalState') IN ({marks}))",
    "standardAttributes.attributeType.id": _attribute("standard", "attributeTypeId"),
    "standardAttributes.value": _attribute("standard", "value"),
    "extendedAttributes.attributeType.id": _attribute("extended", "attributeTypeId"),
    "extendedAttributes.value": _attribute("extended", "value"),
    "observableEvents.id": _member("observableEvents"),
    "supportedCommands.id": _member("supportedCommands"),
}
_AUDIT = ("messageId", "deviceId", "streamId", "status", "eventTemplateId", "commandId")
FILTERS: dict[str, dict[str, str]] = {
    "device": DEVICE,
    "commandAudit": {name: _field(name) for name in _AUDIT},
    "eventAudit": {name: _field(name) for name in _AUDIT},
    "ruleAudit": {name: _field(name) for name in ("ruleDefinitionId", *_AUDIT)},
    "tracking": {name: _field(name) for name in _AUDIT},
    "subprocess": {"messageId": _field("messageId")},
    "processorAudit": {"messageId": _field("messageId")},
    "analyticsAggregation": {"analyticsDefinitionId": _field("analyticsDefinitionId")},
    "stream": {name: _field(name) for name in ("ownerId", "streamType", "protocolType")},
    "route": {name: _field(name) for name in ("routeType", "streamId", "routeSourceId")},
    "attributeType": {"type": _field("type")},
}


def selection(kind: str, query: MultiMapping[str], *, shown_ms: int, strict: bool) -> tuple[str, list[Any]]:
    """SQL condition and values for the filters of a request; 400 names the legal filters."""
    legal = COMMON | FILTERS.get(kind, {})
    parts, values = ["indexed_ms <= ?"], [shown_ms]
    for name in dict.fromkeys(query):
        if name in PAGING:
            continue
        if name not in legal:
            if strict:
                raise invalid(f"The filter {name} is unknown; legal: {', '.join(sorted(legal))}")
            continue
        wanted = query.getall(name)
        found: list[Any] = [_truth(name, text) for text in wanted] if name in ("active", "isActive") else wanted
        sql = legal[name]
        parts.append(sql.replace("{marks}", ", ".join("?" * len(found))))
        values += found * sql.count("{marks}")
    return " AND ".join(parts), values


def _truth(name: str, text: str) -> int:
    if text.lower() not in ("true", "false"):
        raise invalid(f"The filter {name} is {text!r}; legal: true, false")
    return int(text.lower() == "true")


def page_of(query: MultiMapping[str], *, default_size: int, max_size: int) -> tuple[int, int]:
    """(limit, offset) of the page asked for; a size above the limit is cut to it."""
    page = _number(query, "page", fallback=1)
    size = _number(query, "pageSize", fallback=default_size)
    size = min(size, max_size) if max_size else size
    return size, (page - 1) * size


def _number(query: MultiMapping[str], name: str, *, fallback: int) -> int:
    text = query.get(name)
    if text is None:
        return fallback
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER and int(text) >= 1):
        raise invalid(f"{name} is {text!r}; legal: whole numbers from 1")
    return int(text)


def order_of(query: MultiMapping[str]) -> str:
    """SQL order; an unencoded plus arrives as a space and is refused."""
    asked = query.get("sortBy", "+creation")
    if asked not in ORDERS:
        raise invalid(f"sortBy is {asked!r}; legal: {', '.join(ORDERS)} (write + as %2B)")
    return ORDERS[asked]


def listed(
    documents: Documents,
    kind: str,
    query: MultiMapping[str],
    *,
    where: tuple[str, list[Any]],
    max_size: int,
    default_size: int,
) -> list[Document]:
    limit, offset = page_of(query, default_size=default_size, max_size=max_size)
    condition, values = where
    return documents.select(
        kind, where=condition, values=[*values, limit, offset], order=order_of(query), tail="LIMIT ? OFFSET ?"
    )
