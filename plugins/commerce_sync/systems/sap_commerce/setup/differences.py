"""What differs between the file and the shop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from commerce_sync.systems.sap_commerce.setup import SECTIONS, kinds
from commerce_sync.systems.sap_commerce.setup.kinds import Kind, Row
from commerce_sync.systems.sap_commerce.setup.live import Found, Shop
from commerce_sync.systems.sap_commerce.setup.references import Connections
from commerce_sync.systems.sap_commerce.setup.resources import Id, Key, Resource, resources
from commerce_sync.systems.sap_commerce.setup.setup_file import SetupFile

Action = Literal["create", "change", "extra"]
HIDDEN = "(not shown)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. changes: (value, old, new); secrets never stand in it.

    resource: what is wanted, None for something extra.   row: what the shop has, None for something new.
    """

    action: Action
    kind: Kind
    key: Key
    changes: tuple[tuple[str, Any, Any], ...] = ()
    resource: Resource | None = field(default=None, repr=False)
    row: Row | None = field(default=None, repr=False)

    @property
    def id(self) -> Id:
        return self.kind.name, self.key

    @property
    def name(self) -> str:
        """``attribute OrderSync/Order/status``."""
        return f"{self.kind.name} {'/'.join(self.key)}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        changes = [{"value": name, "old": old, "new": new} for name, old, new in self.changes]
        return {"action": self.action, "kind": self.kind.name, "key": list(self.key), "changes": changes}


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences, in the order of making. by_hand: what this shop's services have no place for."""

    differences: tuple[Difference, ...]
    by_hand: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[Difference]:
        """What is to be made or changed."""
        return [item for item in self.differences if item.action != "extra"]

    @property
    def extra(self) -> list[Difference]:
        """What the shop has besides."""
        return [item for item in self.differences if item.action == "extra"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked at. sections: of the file.   send_secrets: every secret counts as changed."""

    file: SetupFile
    connections: Connections
    sections: tuple[str, ...] = SECTIONS
    send_secrets: bool = False

    @property
    def present(self) -> list[str]:
        """The chosen sections that stand in the file."""
        return [name for name in self.sections if name in self.file.content]


async def plan(shop: Shop, asked: Asked) -> Plan:
    """Compare the file with the shop. Raises ConfigurationError when either cannot be read."""
    wanted = resources(asked.file, asked.present, connections=asked.connections)
    found: list[Difference] = []
    by_hand: list[str] = []
    state: dict[str, Found] = {}
    for kind in _looked_at(asked):
        mine = [item for item in wanted if item.kind == kind]
        offered = await shop.offered(kind)
        if offered is None:
            by_hand += [f"{kind.name} {'/'.join(item.key)}: {shop.service(kind)} has no {kind.entity_set}"
                        for item in mine]  # fmt: skip
            continue
        by_hand += _unsettable(mine, kind, offered, shop.service(kind))
        rows = state[kind.name] = await shop.rows(offered)
        found += [item for one in mine for item in _compared(one, offered, rows.get(one.key), asked)]
        found += _extra(asked, kind, {item.key for item in mine}, rows)
    return Plan(tuple(_without_generated(found)), tuple(by_hand))


def _looked_at(asked: Asked) -> list[Kind]:
    of_section = {
        "scripts": (kinds.SCRIPT,), "integration_objects": kinds.MODEL, "credentials": (kinds.BASIC, kinds.OAUTH),
        "destinations": (kinds.TARGET, kinds.ENDPOINT, kinds.DESTINATION), "outbound_channels": kinds.CHANNELS,
        "webhooks": (kinds.HOOK,),
    }  # fmt: skip
    chosen = {kind for name in asked.present for kind in of_section[name]}
    return [kind for kind in kinds.KINDS if kind in chosen]


def _unsettable(mine: Iterable[Resource], kind: Kind, offered: Kind, service: str) -> Iterator[str]:
    missing = [name for name in kind.values if name not in offered.values]
    for item in mine:
        for name in missing:
            if item.values.get(name):
                place = "/".join(kind.values[name].place)
                yield f"{kind.name} {'/'.join(item.key)}: {name} is to be {item.values[name]}; {service} has no {place}"


def _compared(one: Resource, kind: Kind, row: Row | None, asked: Asked) -> Iterator[Difference]:
    values = {name: value for name, value in one.values.items() if name in kind.values}
    if row is None:
        yield Difference("create", kind, one.key, _shown(values, one), one)
        return
    changes = [(name, kind.values[name].of(row), value) for name, value in values.items()
               if kind.values[name].of(row) != value]  # fmt: skip
    changes += [(name, HIDDEN, HIDDEN) for name in one.secrets if _is_stale(one, name, row, asked)]
    if changes:
        yield Difference("change", kind, one.key, tuple(changes), one, row)


def _shown(values: dict[str, Any], one: Resource) -> tuple[tuple[str, Any, Any], ...]:
    told = {name: f"from {reference}" for name, reference in one.secrets.items()}
    shown = {**values, **one.once, **told}
    return tuple((name, None, value) for name, value in shown.items() if value not in (None, (), {}))


def _is_stale(one: Resource, name: str, row: Row, asked: Asked) -> bool:
    """A secret is compared only in memory, and only with shops that give it in clear."""
    if asked.send_secrets:
        return True
    if not asked.file.compares_secrets:
        return False
    return bool(one.kind.secrets[name].of(row) != one.secrets[name].resolve(asked.connections))


def _without_generated(found: list[Difference]) -> Iterator[Difference]:
    """What the shop makes by itself along with something new is not ours to make."""
    new = {item.id for item in found if item.action == "create"}
    for item in found:
        generator = item.resource.generated_by if item.resource else None
        if not (item.action == "create" and generator in new):
            yield item


def _extra(asked: Asked, kind: Kind, wanted: Collection[Key], rows: Found) -> Iterator[Difference]:
    for key, row in rows.items():
        if key not in wanted and _is_ours(asked, kind, key, row):
            yield Difference("extra", kind, key, row=row)


def _is_ours(asked: Asked, kind: Kind, key: Key, row: Row) -> bool:
    """Whether something that the file does not name stands where only what it names should stand."""
    objects = asked.file.section("integration_objects")
    if kind in (kinds.ITEM, kinds.ATTRIBUTE, kinds.CLASSIFICATION, kinds.VIRTUAL):
        return key[0] in objects and not objects[key[0]].get("shared")
    if kind == kinds.INBOUND and key[0] in objects:
        return not objects[key[0]].get("shared")
    if kind == kinds.HOOK:
        return key[1] in asked.file.section("destinations") or _owned(asked, key[1])
    if kind in kinds.CHANNELS[1:]:
        return _of_our_channel(asked, kind, key, row)
    return _owned(asked, key[0])


def _of_our_channel(asked: Asked, kind: Kind, key: Key, row: Row) -> bool:
    """Parts of a channel of the file belong to it, generated streams included; those of one that is gone are extra."""
    ends = {"stream container": "Container", "job": "Job", "cron job": "CronJob", "trigger": "CronJob"}
    code = kinds.STREAM.values["channel"].of(row) if kind == kinds.STREAM else key[0].removesuffix(ends[kind.name])
    known = asked.file.section("outbound_channels").get(code)
    if known is None:
        return bool(code) and _owned(asked, code)
    if kind == kinds.STREAM:
        return not known.get("auto_generate", True)
    return kind == kinds.TRIGGER


def _owned(asked: Asked, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in asked.file.owns)
