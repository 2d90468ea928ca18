"""The set-up file: its faults are found with file, line and legal names; the one that ships covers the mappings."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from setting import ROOT, SHIPPED, SMALL

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.sap_commerce.setup import setup_file
from commerce_sync.systems.sap_commerce.setup.impex import impex
from simulators.clock import Clock
from simulators.sap_commerce.impex import load_impex
from simulators.sap_commerce.records import Records
from simulators.sap_commerce.schema import Schemas
from simulators.sap_commerce.seeding import essential_store
from simulators.sap_commerce.set_up import load_objects

MAPPINGS = sorted((ROOT / "include/mappings").rglob("*.yaml"))


def content() -> dict[str, Any]:
    return setup_file.load(SHIPPED).content


FAULTS = {
    "an unknown key": ("root: true", "rooot: true", r":\d+: unknown key 'rooot' .*did you mean 'root'.*legal keys: .*root"),
    "an unknown scheme": ("authentication: OAUTH", "authentication: OAUT", "is 'OAUT'; legal values: OAUTH, BASIC"),
    "an item that is none": ("returns: Country", "returns: Cuontry", "no item 'Cuontry'.*did you mean 'Country'.*Address"),
    "an item without key": ("publicKey: {key: true}", "publicKey: {}", "item UnitSync/Address has no key attribute"),
    "two roots": ("Address: {", "Address: {root: true, ", "two root items"),
    "a webhook of nothing": ("webhooks:\n- {integration_object: UnitSync", "webhooks:\n- {integration_object: Unit",
                             "no integration object 'Unit'"),
    "a channel to nowhere": ("destination: commerceSyncOut", "destination: nowhere", "no destination 'nowhere'.*commerceSyncOut"),
    "a destination without credential": ("credential: commerceSyncCred", "credential: hers", "no credential 'hers'"),
    "a webhook to another target": ("target: webhookServices", "target: elsewhere", "webhooks need 'webhookServices'"),
    "a secret in the file": ("password:\n      connection: commerce_sync_receiver_sap_commerce\n      field: password",
                             "password: in-clear", "credentials.commerceSyncCred.password"),
    "half a reference": ("field: password", "fields: password", "unknown key 'fields'"),
    "a key twice": ("owns:", "webhooks: []\nowns:", "key 'webhooks' stands twice"),
    "no YAML": ("owns:", "owns: [", "not readable as YAML"),
}  # fmt: skip


SAID_ELSEWHERE = ("a key twice", "an item without key", "two roots", "no YAML", "a webhook to another target")
"""Faults that are named where they matter, not where they were written."""


def small() -> str:
    """One of each, an entry a line."""
    flow = yaml.safe_dump(SMALL, sort_keys=False, width=4000)
    stream = io.StringIO()
    for key, value in SMALL.items():
        stream.write(f"{key}:{_block(value, 1)}")
    assert yaml.safe_load(stream.getvalue()) == yaml.safe_load(flow)
    return stream.getvalue()


def _block(value: Any, depth: int) -> str:
    if isinstance(value, list):
        return "\n" + "".join(f"- {_flow(item)}\n" for item in value)
    if depth > 3 or not isinstance(value, dict):
        return f" {_flow(value)}\n"
    return "\n" + "".join(f"{'  ' * depth}{key}:{_block(item, depth + 1)}" for key, item in value.items())


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    text = yaml.safe_dump(value, width=4000).strip().removesuffix("...").strip()
    return f'"{value}"' if isinstance(value, str) and "{" in value else text


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_file_and_line_and_what_is_legal(name: str, tmp_path: Path) -> None:
    right, wrong, said = FAULTS[name]
    text = small()
    assert right in text, text
    path = tmp_path / "setup.yaml"
    path.write_text(text)
    setup_file.load(path)
    path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(ConfigurationError) as caught:
        setup_file.load(path)
    assert re.search(said, str(caught.value), re.DOTALL), caught.value
    found = re.match(rf"{re.escape(str(path))}:(\d+): ", str(caught.value))
    assert found, caught.value
    line = path.read_text().splitlines()[int(found[1]) - 1]
    assert name in SAID_ELSEWHERE or wrong.splitlines()[-1].split(":")[0].strip("- {") in line


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no set-up file"):
        setup_file.load(tmp_path / "none.yaml")


def test_every_key_of_the_schema_is_closed_and_told() -> None:
    """No typing error passes as a key of its own, and each key says what it is for."""

    def walk(schema: Any, at: str) -> Iterator[str]:
        if isinstance(schema, dict):
            if "properties" in schema and "$schema" not in schema:
                yield from () if schema.get("additionalProperties") is False else [f"{at} is open"]
            for name, item in schema.get("properties", {}).items():
                yield from () if "description" in item else [f"{at}.{name} has no description"]
            for name, item in schema.items():
                if not (name == "properties" and at.endswith("if")):
                    yield from walk(item, f"{at}.{name}") if name not in ("oneOf", "not") else ()

    assert list(walk(setup_file.schema(), "")) == []


# what the mappings use


def sources(mapping: dict[str, Any]) -> list[dict[str, Any]]:
    given = mapping["from"]
    items = [given] if isinstance(given.get("system"), str) else list(given.values())
    return [item for item in items if item["system"] == "sap_commerce"]


def item_of(objects: dict[str, Any], service: str, entity_set: str) -> str:
    assert service in objects, f"{service} is not in the file"
    for name in objects[service]["items"]:
        if entity_set in (f"{name}s", f"{name}es", re.sub("y$", "ies", name)):
            return name
    raise AssertionError(f"{service} has no item for {entity_set}")


def reached(objects: dict[str, Any], service: str, item: str, path: list[str]) -> Iterator[str]:
    """What is wrong with a path of attributes, if anything."""
    for name in path:
        attributes = objects[service]["items"][item]["attributes"]
        if name not in attributes:
            yield f"{service}/{item} lacks {name}"
            return
        item = attributes[name].get("returns", item)


def paths(name: str, kind: Any) -> Iterator[list[str]]:
    while kind.id == "list":
        kind = kind.child
    if kind.id != "struct":
        yield [name]
        return
    for child, below in kind.children:
        for rest in paths(child, below):
            yield [name, *rest]


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
def test_every_service_set_and_attribute_a_mapping_uses_is_in_the_file(path: Path) -> None:
    mapping, objects, lacking = yaml.safe_load(path.read_text()), content()["integration_objects"], []
    for source in sources(mapping):
        item = item_of(objects, source["service"], source["entity_set"])
        for name, kind in source["columns"].items():
            for way in paths(name, duckdb.sqltype(kind)):
                if way != ["integrationKey"]:
                    lacking += reached(
                        objects, source["service"], item, [one for one in way if one != "integrationKey"]
                    )
        for name in re.findall(r"(\w+(?:/\w+)*) (?:eq|ne|gt|ge|lt|le) ", source.get("filter") or ""):
            way = [one for one in name.split("/") if one != "integrationKey"]
            lacking += reached(objects, source["service"], item, way)
    lacking += [fault for item in written(mapping, objects) for fault in item]
    assert lacking == []


def written(mapping: dict[str, Any], objects: dict[str, Any]) -> Iterator[Iterator[str]]:
    target = mapping["to"]
    options = target.get("options", {})
    for place in options.get("unlink", ()):
        item = item_of(objects, place["service"], place["entity_set"])
        for name in (*place.get("references", ()), *place.get("collections", ())):
            yield reached(objects, place["service"], item, [name])
    if target["system"] != "sap_commerce" or "service" not in options:
        return
    sets = options.get("entity_sets") or {options.get("entity_set", target["object"]): mapping["fields"]}
    for entity_set, names in sets.items():
        item = item_of(objects, options["service"], entity_set)
        deletion = target.get("on_delete") if isinstance(target.get("on_delete"), dict) else {}
        for name in (*names, *deletion):
            if options.get("style") in (None, "together"):
                yield reached(objects, options["service"], item, name.split("."))


def test_whatever_the_receiver_starts_flows_by_has_a_webhook_that_reaches_it() -> None:
    receiver = yaml.safe_load((ROOT / "include/receiver.yaml").read_text())
    patterns = {pattern for starts in receiver["starts"].values() for pattern in starts.get("sap_commerce", ())}
    wanted = {pattern.removesuffix(".*") for pattern in patterns if not pattern.startswith("Outbound")}
    file = content()
    assert {item["integration_object"] for item in file["webhooks"]} == wanted
    for item in file["webhooks"]:
        url = file["destinations"][item["destination"]]["url"]
        assert url["path"] == f"/commerce-sync/receive/sap_commerce/webhooks/{item['integration_object']}"
    for item in file["outbound_channels"].values():
        url = file["destinations"][item["destination"]]["url"]
        assert url["path"] == f"/commerce-sync/receive/sap_commerce/sync/{item['integration_object']}"


def test_nothing_is_sent_by_the_shop_before_somebody_asks_for_it() -> None:
    """The first run of Outbound Sync sends every item there is: it has no trigger as shipped."""
    assert not any("cron" in item for item in content()["outbound_channels"].values())


def test_the_impex_makes_the_same_objects(tmp_path: Path) -> None:
    path = tmp_path / "objects.impex"
    path.write_text(impex(setup_file.load(SHIPPED)))
    by_impex, by_file = essential_store(clock=Clock(), bare=True), essential_store(clock=Clock(), bare=True)
    load_impex(path, records=Records(by_impex))
    load_objects(SHIPPED, records=Records(by_file))
    for code in content()["integration_objects"]:
        assert described(by_impex, code) == described(by_file, code), code


def described(store: Any, code: str) -> Any:
    found = Schemas(store).get(code)
    assert found is not None
    return found.authentication, {
        name: (item.type.code, item.root, item.match, list(item.attributes.values()))
        for name, item in found.items.items()
    }


def test_impex_has_virtual_attributes_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "setup.yaml"
    unit = "{root: true, attributes: {uid: {key: true}}, virtual: {loud: {script: shout}}, classification: " + (
        "{colour: {system: F, version: '1', class: c, attribute: a}}}"
    )
    path.write_text("integration_objects:\n  UnitSync:\n    items:\n      B2BUnit: " + unit + "\n")
    text = impex(setup_file.load(path))
    assert "; UnitSync_B2BUnit_loud ; model://shout ; java.lang.String" in text
    assert "; UnitSync:B2BUnit ; loud ; UnitSync_B2BUnit_loud" in text
    assert "# not in ImpEx: classification attribute UnitSync/B2BUnit/colour" in text
    assert "InboundChannelConfiguration" not in text
