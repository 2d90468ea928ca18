"""How a far side describes its fields, in one shape for all systems; what ``drift`` compares from night to night.

A system that can tell has ``objects_of(source or target, fields)``, which gives the objects a mapping names, the main
one first, each with the document that describes it, and ``document(name)``, which reads one. Of a system that has
neither, nothing is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Seen:
    """A field as a far side describes it; None is what it does not tell.

    required: a new record needs it.   values: what a closed list takes, None for open ones.   refers: to what.
    """

    type: str
    label: str | None = None
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    required: bool = False
    createable: bool = True
    updateable: bool = True
    unique: bool = False
    values: tuple[str, ...] | None = None
    refers: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(document: Mapping[str, Any]) -> Seen:
        """What ``as_json`` wrote."""
        values = document["values"]
        lists = {"values": None if values is None else tuple(values), "refers": tuple(document["refers"])}
        return Seen(**{**document, **lists})


Objects = dict[str, dict[str, Seen]]
"""Object -> field -> how it is described."""
