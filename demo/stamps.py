"""Which records of Salesforce were touched since a moment, by Salesforce's own time stamps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from demo.crm import Record
from demo.folder import PROJECT


class Reader(Protocol):
    """What is needed of Salesforce."""

    def count(self, sobject: str, *, where: str = "") -> int:
        """Number of records that meet a SOQL condition."""

    def query(self, soql: str) -> list[Record]:
        """Rows of a query."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """An object's number of records, and when the newest of them was touched; None: there is none."""

    records: int
    newest: str | None


def written_objects(mappings: Path = PROJECT / "include" / "mappings" / "salesforce") -> list[str]:
    """Objects of Salesforce that the flows write, by name, as the mapping files say."""
    targets = (yaml.safe_load(path.read_text())["to"] for path in sorted(mappings.glob("*.yaml")))
    return sorted({target["object"] for target in targets if target["system"] == "salesforce"})


def take(crm: Reader, objects: list[str]) -> dict[str, Stamp]:
    """The state of each object now."""
    return {name: Stamp(crm.count(name), _newest(crm, name)) for name in objects}


def touched(crm: Reader, since: Mapping[str, Stamp]) -> dict[str, int]:
    """Records touched, come or gone since ``since`` was taken, by object; objects without any are left out."""
    found = {name: _touched(crm, name, stamp) for name, stamp in since.items()}
    return {name: number for name, number in found.items() if number}


def _touched(crm: Reader, name: str, before: Stamp) -> int:
    where = f"SystemModstamp > {before.newest}" if before.newest else ""
    changed = crm.count(name, where=where)
    return max(changed, abs(crm.count(name) - before.records))


def _newest(crm: Reader, name: str) -> str | None:
    rows = crm.query(f"SELECT SystemModstamp FROM {name} ORDER BY SystemModstamp DESC LIMIT 1")
    return str(rows[0]["SystemModstamp"]).replace("+0000", "Z") if rows else None
