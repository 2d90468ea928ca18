"""Reads a mapping file: YAML with line numbers, checked against a closed list of keys, its SQL bound by DuckDB.

Every fault is a ConfigurationError that names the file, the line, the value and the legal names.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from commerce_sync import schema_file
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import (
    Approval,
    Check,
    Checks,
    Compare,
    Field,
    Guards,
    Limit,
    Lookup,
    Mapping,
    Retries,
    RowRule,
    Shards,
    Shared,
    Source,
    Target,
)

UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
NIGHTLY = "0 2 * * *"


def load(path: Path) -> Mapping:
    """The mapping in ``path``. Raises ConfigurationError with file, line, value and legal names."""
    text = _read(path)
    content, lines = schema_file.parse(path, text, _schema(), what="a mapping file")
    try:
        mapping = _build(path, content)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    from commerce_sync import binding

    binding.check(mapping, lines)
    return mapping


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = sorted(str(item.relative_to(path.parent.parent).with_suffix("")) for item in path.parent.glob("*.yaml"))
        raise ConfigurationError(f"no mapping file {path}; that folder has: {', '.join(known) or 'none'}") from None


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    text = resources.files("commerce_sync").joinpath("mapping_schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _build(path: Path, content: dict[str, Any]) -> Mapping:
    optional = {name: content[name] for name in ("where", "transform", "memory", "pair", "undo") if name in content}
    _check_pair(content)
    _check_compare(content)
    return Mapping(
        leg=content["leg"],
        path=str(path),
        version=content.get("version", 1),
        sources=_sources(content["from"]),
        key=content["key"],
        target=_target(content["to"]),
        fields=tuple(_field(name, value) for name, value in content["fields"].items()),
        aggregate=_aggregate(path, content),
        complete_scan=content.get("complete_scan", NIGHTLY),
        checks=_checks(content.get("checks", {})),
        guards=_guards(content.get("guards", {})),
        retries=_retries(content.get("retries", {})),
        approval=_approval(content["approval"]) if "approval" in content else None,
        priority=content.get("priority"),
        shards=_shards(content),
        **optional,
    )


def _check_pair(content: dict[str, Any]) -> None:
    """Shared values are agreed between two legs, so the leg has to say which pair it belongs to."""
    shared = [name for name, value in content["fields"].items() if isinstance(value, dict) and "shared" in value]
    if shared and "pair" not in content:
        raise ValueError(f"field {shared[0]!r} is shared, but the leg names no `pair`; give both legs the same one")
    owners: dict[str, str] = {}
    for item in (content["fields"][name]["shared"] for name in shared):
        if owners.setdefault(item["name"], item["owner"]) != item["owner"]:
            raise ValueError(f"shared value {item['name']!r} has two owners; all its fields have the same one")
    if "memory" in content and "aggregate" not in content:
        raise ValueError("`memory` is for legs with an `aggregate`; this one has none")


def _check_compare(content: dict[str, Any]) -> None:
    """Marks are the leg's own: no value of the mapping may stand in their fields."""
    target, fields = content["to"], content["fields"]
    if "compare" not in target:
        return
    if target["system"] != "salesforce":
        raise ValueError(f"`compare`, but {target['system']} cannot add marks up; only salesforce can")
    if target["external_id"] not in fields:
        raise ValueError(f"`compare` needs the external id {target['external_id']!r} among the fields")
    names = Compare(**target["compare"]).names
    if len({*names, *fields}) < len(names) + len(fields):
        raise ValueError(f"`compare` keeps its marks in {', '.join(names)}: name three fields that nothing else fills")


def _sources(content: dict[str, Any]) -> tuple[Source, ...]:
    if isinstance(content.get("system"), str):
        return (_source("source", content),)
    return tuple(_source(name, item) for name, item in content.items())


def _source(name: str, content: dict[str, Any]) -> Source:
    given = ("modified", "filter", "owner", "options")
    optional: dict[str, Any] = {key: content[key] for key in given if key in content}
    if "overlap" in content:
        optional["overlap"] = _duration(content["overlap"])
    for role in ("key", "modified"):
        column = content.get(role)
        if column is not None and column not in content["columns"]:
            names = ", ".join(content["columns"])
            raise ValueError(f"{role} {column!r} of source {name!r} is not among its columns: {names}")
    return Source(
        name=name,
        system=content["system"],
        conn_id=content.get("connection", f"{content['system']}_default"),
        service=content.get("service", ""),
        entity_set=content["entity_set"],
        columns=dict(content["columns"]),
        key=content["key"],
        **optional,
    )


def _target(content: dict[str, Any]) -> Target:
    optional: dict[str, Any] = {key: content[key] for key in ("bulk_from", "options", "on_leave") if key in content}
    deletion = content.get("on_delete", "ignore")
    if isinstance(deletion, dict):
        deletion = {name: _literal(value) for name, value in deletion.items()}
    if "compare" in content:
        optional["compare"] = Compare(**content["compare"])
    return Target(
        system=content["system"],
        conn_id=content.get("connection", f"{content['system']}_default"),
        object=content["object"],
        external_id=content["external_id"],
        on_delete=deletion,
        **optional,
    )


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _field(name: str, content: Any) -> Field:
    if not isinstance(content, dict):
        return Field(name=name, value=_literal(content))
    lookup = None
    if "lookup" in content:
        parent, _, external_id = content["lookup"].partition(".")
        lookup = Lookup(object=parent, external_id=external_id)
    shared = Shared(**content["shared"]) if "shared" in content else None
    return Field(
        name=name,
        value=_literal(content["value"]),
        on_null=content.get("on_null", "clear"),
        pii=content.get("pii", False),
        lookup=lookup,
        shared=shared,
    )


def _aggregate(path: Path, content: dict[str, Any]) -> str | None:
    if "aggregate" not in content:
        return None
    file = path.parent / content["aggregate"]
    if not file.is_file():
        raise ValueError(f"aggregate {content['aggregate']!r}: no such file beside the mapping ({file})")
    missing = [name for name, item in content["from"].items() if not isinstance(item, dict) or "owner" not in item]
    if missing:
        raise ValueError(
            f"a leg that aggregates needs `owner` (SQL) for every source; missing for: {', '.join(missing)}"
        )
    text: str = file.read_text(encoding="utf-8")
    return text


def _checks(content: dict[str, Any]) -> Checks:
    rules = (RowRule(item["name"], item["sql"], item.get("on_fail", "quarantine")) for item in content.get("rows", ()))
    return Checks(
        source=tuple(_check(item, "stop") for item in content.get("source", ())),
        changes=tuple(_check(item, "quarantine") for item in content.get("changes", ())),
        rows=tuple(rules),
    )


def _check(content: dict[str, Any], on_fail: Any) -> Check:
    return Check(content["expect"], dict(content.get("with", {})), content.get("on_fail", on_fail))


def _guards(content: dict[str, Any]) -> Guards:
    return Guards(**{name: _limit(value) for name, value in content.items()})


def _limit(value: Any) -> Limit | None:
    if value is None or isinstance(value, int):
        return None if value is None else Limit(absolute=value)
    if isinstance(value, str):
        return Limit(share=_share(value))
    return Limit(share=_share(value["share"]) if "share" in value else None, absolute=value.get("absolute"))


def _share(text: str) -> float:
    return float(text.rstrip(" %")) / 100


def _duration(text: str) -> timedelta:
    number, unit = re.match(r"^(\d+) ?(\w+)$", text).groups()  # type: ignore[union-attr]  # the schema checked it
    return timedelta(**{UNITS[unit]: int(number)})


def _approval(content: dict[str, Any]) -> Approval:
    changes = _limit(content.get("changes"))
    waiting = {"timeout": _duration(content["timeout"])} if "timeout" in content else {}
    return Approval(rows=content.get("rows"), changes=changes, **waiting)


def _shards(content: dict[str, Any]) -> Shards | None:
    """Refuses what cannot be loaded in shards: their rows would have to wait for rows of other shards."""
    if (given := content.get("shards")) is None:
        return None
    shards, target = Shards(**given) if isinstance(given, dict) else Shards(given), content["to"]
    if style := target.get("options", {}).get("style"):
        raise ValueError(f"`shards`, but a target of style {style!r} takes a batch as a whole; remove `shards`")
    fields = {name: value for name, value in content["fields"].items() if isinstance(value, dict)}
    own = [name for name, value in fields.items() if value.get("lookup", "").partition(".")[0] == target["object"]]
    if own:
        raise ValueError(
            f"`shards`, but {own[0]!r} refers to records of this same load ({target['object']}), which have to arrive "
            "first; remove `shards`"
        )
    if shards.by is not None and shards.by not in content["fields"]:
        raise ValueError(f"shards.by {shards.by!r} is none of the fields: {', '.join(content['fields'])}")
    return shards


def _retries(content: dict[str, Any]) -> Retries:
    values: dict[str, Any] = dict(content)
    if "first_pause" in values:
        values["first_pause"] = _duration(values["first_pause"])
    return Retries(**values)
