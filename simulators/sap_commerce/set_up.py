"""The project's integration objects, read from the file that sets up a real shop, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from simulators.sap_commerce.records import Records, Row

SETUP = Path(__file__).parents[2] / "include" / "setup" / "sap_commerce.yaml"
Content = dict[str, Any]


def load_objects(path: Path, *, records: Records) -> None:
    """Load all integration objects of the file with their inbound channels."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for code, spec in content["integration_objects"].items():
        records.load("IntegrationObject", {"code": code, "integrationType": spec.get("type", "INBOUND")})
        for name, item in spec["items"].items():
            records.load("IntegrationObjectItem", _item(code, name, item))
        for name, item in spec["items"].items():
            for attribute, detail in item["attributes"].items():
                kind = item.get("type", name)
                records.load("IntegrationObjectItemAttribute", _attribute(code, name, attribute, kind, detail))
        if "authentication" in spec:
            channel = {"integrationObject": code, "authenticationType": spec["authentication"]}
            records.load("InboundChannelConfiguration", channel)


def _item(code: str, name: str, spec: Content) -> Row:
    row = {"integrationObject": code, "code": name, "type": spec.get("type", name), "root": spec.get("root", False)}
    return row | ({"itemTypeMatch": spec["match"]} if "match" in spec else {})


def _attribute(code: str, name: str, attribute: str, kind: str, spec: Content) -> Row:
    return {
        "integrationObjectItem": {"integrationObject": code, "code": name},
        "attributeName": attribute,
        "attributeDescriptor": {"qualifier": spec.get("of", attribute), "enclosingType": kind},
        "returnIntegrationObjectItem": {"integrationObject": code, "code": spec["returns"]}
        if "returns" in spec
        else None,
        "unique": spec.get("key", False),
        "autoCreate": spec.get("auto_create", False),
    }
