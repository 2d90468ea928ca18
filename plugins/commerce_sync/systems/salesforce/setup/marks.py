"""The fields legs keep their marks in: what they are follows from the mapping, so no list has to name them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from commerce_sync.mapping import Mapping
from commerce_sync.systems.salesforce.setup.org_file import OrgFile, Spec


def added(org: OrgFile, mappings: Iterable[Mapping]) -> OrgFile:
    """The list with the fields of every leg that leaves marks; those it names already stay as it says."""
    fields = {
        (mapping.target.object, str(spec["field"])): spec
        for mapping in mappings
        if mapping.target.system == "salesforce"
        for spec in _specs(mapping)
    }
    return replace(org, fields=fields | org.fields) if fields else org


def _specs(mapping: Mapping) -> list[Spec]:
    """Number of 10 digits and two short texts; the bucket is an external id because those have an index."""
    compare = mapping.target.compare
    if compare is None:
        return []
    about = {"object": mapping.target.object}
    return [
        about | {"field": compare.mark, "type": "Number", "precision": 10, "scale": 0, "label": _label(compare.mark)},
        about | {"field": compare.bucket, "type": "Text", "length": 3, "external_id": True,
                 "label": _label(compare.bucket)},
        about | {"field": compare.cell, "type": "Text", "length": 2, "label": _label(compare.cell)},
    ]  # fmt: skip


def _label(name: str) -> str:
    return name.removesuffix("__c").replace("_", " ")
