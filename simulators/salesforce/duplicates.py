"""Duplicate rules: a create whose fields equal those of a living record is refused.

Rules are the option ``duplicate_rules``: ``[{"object", "fields": [..], "rule", "message", "block"}]``.
The header ``Sforce-Duplicate-Rule-Header: allowSave=true`` passes alert rules, never blocking ones.
"""

from __future__ import annotations

from typing import Any

from simulators.salesforce.call import Call
from simulators.salesforce.errors import ApiError
from simulators.salesforce.query import attributes
from simulators.salesforce.schema import SObject

MESSAGE = "Use one of these records?"


class Duplicates(ApiError):
    """DUPLICATES_DETECTED; REST spells the key ``duplicateResut``, and so do we."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(400, "DUPLICATES_DETECTED", message)
        self.result = result

    def body(self) -> list[dict[str, Any]]:
        return [{"duplicateResut": self.result, "errorCode": self.code, "message": self.message}]


def check_duplicates(call: Call, item: SObject, record: dict[str, Any]) -> None:
    """Raise Duplicates when a rule of the object finds a match."""
    allowed = "allowsave=true" in call.header("Sforce-Duplicate-Rule-Header").replace(" ", "").lower()
    for rule in call.org.settings["duplicate_rules"]:
        if rule["object"] != item.name or (allowed and not rule.get("block")):
            continue
        if found := _matches(call, item, record, names=rule["fields"]):
            message = rule.get("message", MESSAGE)
            raise Duplicates(message, _result(call, item, rule=rule, message=message, found=found))


def _matches(call: Call, item: SObject, record: dict[str, Any], *, names: list[str]) -> list[str]:
    if any(record.get(name) in (None, "") for name in names):
        return []
    tests = " AND ".join(f'"{name}" = ?' for name in names)
    sql = f'SELECT "Id" FROM "{item.name}" WHERE {tests} AND "IsDeleted" = 0 LIMIT 10'
    return [key for (key,) in call.org.store.db.execute(sql, [record[name] for name in names])]


def _result(call: Call, item: SObject, *, rule: dict[str, Any], message: str, found: list[str]) -> dict[str, Any]:
    records = [
        {
            "additionalInformation": [],
            "fieldDiffs": [],
            "matchConfidence": 100.0,
            "record": {"attributes": attributes(item.name, key, call=call), "Id": key},
        }
        for key in found
    ]
    match = {
        "entityType": item.name,
        "errors": [],
        "matchEngine": "ExactMatchEngine",
        "matchRecords": records,
        "rule": rule.get("rule", "Match"),
        "size": len(records),
        "success": True,
    }
    return {
        "allowSave": not rule.get("block", False),
        "duplicateRule": rule.get("rule", "Duplicate_Rule"),
        "duplicateRuleEntityType": item.name,
        "errorMessage": message,
        "matchResults": [match],
    }
