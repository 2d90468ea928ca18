"""Which rights each flow needs, read from its DAG file, its mappings and the integration objects."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import yaml

ROOT = Path(__file__).resolve().parents[1]
OCC = {"customer_group": "OCC: customer groups", "saved_cart": "OCC: carts of customers"}
Table = tuple[tuple[str, ...], list[list[str]]]


@dataclass(slots=True)
class Flow:
    """A DAG with its legs' mappings."""

    name: str
    legs: list[dict[str, Any]] = field(default_factory=list)


@cache
def flows() -> list[Flow]:
    """Every flow built by ``sync_dag``, in the order of the files."""
    found = []
    for path in sorted((ROOT / "dags").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "sync_dag":
                legs = next(item.value for item in node.keywords if item.arg == "legs")
                names = [item.value for item in ast.walk(legs) if isinstance(item, ast.Constant)]
                found.append(Flow(ast.literal_eval(node.args[0]), [_mapping(name) for name in sorted(names)]))
    return found


def _mapping(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / f"include/mappings/{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def sources(mapping: dict[str, Any], system: str) -> Iterator[dict[str, Any]]:
    """The sources of a leg that are read from one system."""
    given = mapping["from"]
    for item in [given] if isinstance(given.get("system"), str) else given.values():
        if item["system"] == system:
            yield item


def of(system: str) -> Table:
    """Head and rows of a system's table of rights."""
    return TABLES[system]()


def _commerce() -> Table:
    objects = _Objects()
    rows = []
    for flow in flows():
        read, write, remove, services = set[str](), set[str](), set[str](), set[str]()
        for mapping in flow.legs:
            for source in sources(mapping, "sap_commerce"):
                services.add(source["service"])
                read |= objects.read(source)
            if mapping["to"]["system"] == "sap_commerce":
                _write(objects, mapping, services, read, write, remove)
        if services:
            rows.append([f"`{flow.name}`", *(_names(item) for item in (services, read, write, remove))])
    return ("flow", "integration objects", "read", "create, change", "remove"), rows


def _write(
    objects: _Objects, mapping: dict[str, Any], services: set[str], read: set[str], write: set[str], remove: set[str]
) -> None:
    target = mapping["to"]
    options = target.get("options", {})
    if options.get("style") in OCC:
        write.add(OCC[options["style"]])
        return
    services.add(options["service"])
    sets = options.get("entity_sets") if isinstance(options.get("entity_sets"), dict) else None
    for entity_set in sets or [options.get("entity_set", target["object"])]:
        written, touched = objects.write(options["service"], entity_set, mapping["fields"])
        write |= written
        read |= touched | written
        if target.get("on_delete") == "delete":
            remove.add(objects.types[options["service"], objects.item(options["service"], entity_set)])
    for place in options.get("unlink", ()):
        services.add(place["service"])
        written, _ = objects.write(place["service"], place["entity_set"], {})
        write |= written


class _Objects:
    """The integration objects of ``include/setup/sap_commerce.yaml``: items, their types, references between them."""

    def __init__(self) -> None:
        self.types: dict[tuple[str, str], str] = {}
        self.references: dict[tuple[str, str, str], tuple[str, bool]] = {}
        content = yaml.safe_load((ROOT / "include/setup/sap_commerce.yaml").read_text(encoding="utf-8"))
        for service, spec in content["integration_objects"].items():
            for name, item in spec["items"].items():
                self.types[service, name] = item.get("type", name)
                for attribute, detail in item["attributes"].items():
                    if "returns" in detail:
                        reference = detail["returns"], detail.get("auto_create", False)
                        self.references[service, name, attribute] = reference

    def item(self, service: str, entity_set: str) -> str:
        """The item of an entity set, whose name is the item's in the plural."""
        for owner, item in self.types:
            if owner == service and entity_set in (f"{item}s", f"{item}es", re.sub("y$", "ies", item)):
                return item
        raise LookupError(f"{service} has no entity set {entity_set}")

    def read(self, source: dict[str, Any]) -> set[str]:
        """Types a source reads: the set's own and those its columns reach."""
        service, item = source["service"], self.item(source["service"], source["entity_set"])
        found = {self.types[service, item]}
        for name, kind in source["columns"].items():
            found |= self._below(service, item, name, duckdb.sqltype(kind))
        return found

    def _below(self, service: str, item: str, name: str, kind: Any) -> set[str]:
        if (service, item, name) not in self.references:
            return set()
        inner, _ = self.references[service, item, name]
        found = {self.types[service, inner]}
        while kind.id == "list":
            kind = kind.child
        for column, below in kind.children if kind.id == "struct" else ():
            found |= self._below(service, inner, column, below)
        return found

    def write(self, service: str, entity_set: str, fields: dict[str, Any]) -> tuple[set[str], set[str]]:
        """Types a target changes, and those it only refers to."""
        item = self.item(service, entity_set)
        written, touched = {self.types[service, item]}, set[str]()
        for name in fields:
            at = item
            for part in name.split("."):
                if (service, at, part) not in self.references:
                    break
                at, creates = self.references[service, at, part]
                (written if creates else touched).add(self.types[service, at])
        return written, touched


def _salesforce() -> Table:
    used: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for flow in flows():
        for mapping in flow.legs:
            for source in sources(mapping, "salesforce"):
                used[source["entity_set"]]["read"].add(flow.name)
            target = mapping["to"]
            if target["system"] == "salesforce":
                kinds = ["read", "write", *(["delete"] if target.get("on_delete") == "delete" else [])]
                for kind in kinds:
                    used[target["object"]][kind].add(flow.name)
                for item in mapping["fields"].values():
                    if isinstance(item, dict) and "lookup" in item:
                        used[item["lookup"].partition(".")[0]]["read"].add(flow.name)
    head = ("object", "read, for", "create and edit, for", "delete, for")
    return head, [[f"`{name}`", *(_names(kinds[kind]) for kind in ("read", "write", "delete"))]
                  for name, kinds in sorted(used.items())]  # fmt: skip


def _iconik() -> Table:
    def reads(source: dict[str, Any]) -> str:
        view = source.get("options", {}).get("view")
        return f"{source['entity_set']}{f' (view {view})' if view else ''}"

    def writes(target: dict[str, Any]) -> str:
        view = target.get("options", {}).get("view")
        return f"{target['object']}{f' (view {view})' if view else ''}"

    rows = _rows("iconik", reads, writes)
    bytes_too = {flow.name for flow in flows() for item in flow.legs
                 if item["to"].get("options", {}).get("binaries", {}).get("system") == "iconik"}  # fmt: skip
    for row in rows:
        if row[0].strip("`") in bytes_too:
            row[1] += ", files with download addresses"
    return ("flow", "read", "write"), rows


def _opentext_iot() -> Table:
    rows = _rows("opentext_iot", lambda source: source["entity_set"], lambda target: target["object"])
    rows.insert(0, ["`iot_inbox`", "events, event templates", ""])
    return ("flow", "read", "write"), rows


KNOWN = {
    "alt_text": "text",
    "campaign_report": "text",
    "campaign_revision": "integer",
    "campaign_tags": "tag_cloud",
    "channels": "string_exact, multi",
    "commerce_last_used": "datetime",
    "commerce_status": "drop_down: draft, in_review, ready_for_commerce, published, withdrawn, expired",
    "commerce_usage_count": "integer",
    "language": "drop_down (BCP 47)",
    "media_role": "drop_down: hero, gallery, thumbnail, video, datasheet, banner",
    "rights_end": "date",
    "rights_start": "date",
    "usage_rights": "drop_down: all_channels, web_only, internal_only, editorial",
}
MANY = (
    "territories",
    "sku",
    "variant_skus",
    "category_codes",
    "commerce_placements",
    "campaign_slots",
    "campaign_locales",
)


def views() -> Table:
    """The metadata views: which fields are read and written."""
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for flow in flows():
        for mapping in flow.legs:
            for source in sources(mapping, "iconik"):
                for name in _children(source["columns"], "metadata"):
                    found[source["options"]["view"], name]["read"].add(flow.name)
            for name in _written_values(mapping):
                found[mapping["to"]["options"]["view"], name]["write"].add(flow.name)
    rows = [[view, f"`{name}`", KNOWN.get(name, "string_exact, multi" if name in MANY else "string_exact"),
             _names(kinds["read"]), _names(kinds["write"])]
            for (view, name), kinds in sorted(found.items())]  # fmt: skip
    return ("view", "field", "type", "read by", "written by"), rows


def _written_values(mapping: dict[str, Any]) -> Iterator[str]:
    target = mapping["to"]
    if target["system"] == "iconik":
        for name in mapping["fields"]:
            if target["object"] == "metadata" and name != target["external_id"]:
                yield name.partition(".")[0]
            elif name.startswith("metadata."):
                yield name.split(".")[1]


def _children(columns: dict[str, str], name: str) -> list[str]:
    return [child for child, _ in duckdb.sqltype(columns[name]).children] if name in columns else []


def attributes() -> Table:
    """The device attributes: which are read and written."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for flow in flows():
        for mapping in flow.legs:
            for source in sources(mapping, "opentext_iot"):
                for name in _children(source["columns"], "attributes"):
                    found[name]["read"].add(flow.name)
            if mapping["to"]["object"] == "device_attributes":
                for name in set(mapping["fields"]) - {mapping["to"]["external_id"]}:
                    found[name]["write"].add(flow.name)
    head = ("attribute", "read by", "written by")
    return head, [[f"`{name}`", _names(kinds["read"]), _names(kinds["write"])] for name, kinds in sorted(found.items())]


def _rows(system: str, reads: Callable[[Any], str], writes: Callable[[Any], str]) -> list[list[str]]:
    rows = []
    for flow in flows():
        read = {reads(source) for mapping in flow.legs for source in sources(mapping, system)}
        write = {writes(mapping["to"]) for mapping in flow.legs if mapping["to"]["system"] == system}
        if read or write:
            rows.append([f"`{flow.name}`", ", ".join(sorted(read | write)), ", ".join(sorted(write))])
    return rows


def _names(found: set[str]) -> str:
    return ", ".join(f"`{name}`" if not name.startswith("OCC") else name for name in sorted(found))


TABLES: dict[str, Callable[[], Table]] = {
    "sap_commerce": _commerce,
    "salesforce": _salesforce,
    "iconik": _iconik,
    "opentext_iot": _opentext_iot,
}
