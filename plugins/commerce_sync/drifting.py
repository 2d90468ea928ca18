"""Looks for schema drift over all flows: asks each connection once per object, compares, tells, remembers.

Fields that mappings name and a far side does not have are told as long as they are missing (kind ``drift``), changes
since the last look once (see ``drift``). A system that cannot be asked now is left for the next night.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airflow.sdk.definitions.context import Context

from commerce_sync import agreement, alerts, drift, duty, steps
from commerce_sync.errors import SyncError
from commerce_sync.flow import BUILT, source_system, target_system
from commerce_sync.ledger import FAILURE, Finding
from commerce_sync.leg import Site
from commerce_sync.mapping import Mapping as Leg
from commerce_sync.systems.metadata import Seen

MISSING = "drift"
"""Kind of the findings that last: a mapping names what a far side does not have."""
Flows = Mapping[str, Sequence[Sequence[Leg]]]


@dataclass(slots=True)
class Looked:
    """One look at all far sides.

    changes: since the last look, by flow.   faults: leg -> what a far side does not have of it.   unasked: connection
    -> why.   seen: (connection, object) -> its fields now.   first: objects seen for the first time.
    """

    changes: list[tuple[str, drift.Change, datetime]] = field(default_factory=list)
    faults: list[tuple[str, str, str]] = field(default_factory=list)
    unasked: dict[str, str] = field(default_factory=dict)
    seen: dict[tuple[str, str], dict[str, Seen]] = field(default_factory=dict)
    first: int = 0

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "changes": [{"flow": flow, "connection": one.conn_id, "object": one.object, "field": one.field,
                         "kind": one.kind, "hurts": one.hurts, "text": one.text, "legs": list(one.legs)}
                        for flow, one, _at in self.changes],
            "faults": [{"flow": flow, "leg": leg, "text": text} for flow, leg, text in self.faults],
            "unasked": self.unasked, "objects": len(self.seen), "seen_first": self.first,
        }  # fmt: skip


class DriftWatch(duty.OfAllFlows):
    """Looks at all far sides; tells what is new."""

    def execute(self, context: Context) -> dict[str, Any]:
        duty.read(self.dags_folder())
        return tell(steps.site(), BUILT, log=self.log)


SUBJECT = "Commerce Sync: fields of a far side changed"


def tell(site: Site, flows: Flows, *, log: Any) -> dict[str, Any]:
    """One night: look, tell what nobody was told, remember what was seen. Gives how many of each there are."""
    looked = look(site, flows)
    new = site.ledger.claim_alerts([_once(*change) for change in looked.changes])
    lasting = [_lasting(*fault) for fault in looked.faults]
    fresh, over = site.ledger.lasting_alerts(_of_asked(site, lasting, looked), kinds=(MISSING,))
    alerts.tell(site.ledger, [*new, *fresh], over=over, subject=SUBJECT, log=log)
    for (conn_id, name), fields in looked.seen.items():
        drift.keep(site.stores, conn_id, name, fields)
    for conn_id, why in looked.unasked.items():
        log.warning("%s was not asked for its fields: %s", conn_id, why)
    found = looked.as_json()
    return {name: len(value) if isinstance(value, list | dict) else value for name, value in found.items()} | {
        "told": len(new) + len(fresh)
    }


def _of_asked(site: Site, found: list[Finding], looked: Looked) -> list[Finding]:
    """With the troubles of connections that could not be asked: silence is no sign that they are over."""
    if not looked.unasked:
        return found
    known = [item for item in site.ledger.alerts(lasting=True, limit=10_000) if item.kind == MISSING]
    keys = {item.key for item in found}
    return found + [item for item in known
                    if item.key not in keys and item.key.split(":")[1] in looked.unasked]  # fmt: skip


def _once(flow: str, change: drift.Change, at: datetime) -> Finding:
    # The look before is part of the key: the same change made again later is told again.
    key = f"drift:{change.conn_id}:{change.object}:{change.field}:{change.kind}:{at.isoformat()}"
    return Finding(key, FAILURE, flow, None, f"{change.sentence()}{'' if change.hurts else '. No run is hurt by it'}")


def _lasting(flow: str, leg: str, text: str) -> Finding:
    conn_id, _, said = text.partition(": ")
    key = f"{MISSING}:{conn_id}:{leg}:{said}"[:250]
    return Finding(key, MISSING, flow, leg, f"{text}; the leg stops until it is corrected")


def look(site: Site, flows: Flows, *, source: Any = source_system, target: Any = target_system) -> Looked:
    """Ask every connection the flows use, each document once. Nothing is written."""
    found, asked = Looked(), _Asked()
    used: dict[tuple[str, str], tuple[str, list[drift.Use]]] = {}
    for flow, leg in ((flow, leg) for flow, stages in flows.items() for stage in stages for leg in stage):
        parts: list[Any] = [*leg.sources, agreement.plain(leg.target)]
        for part in parts:
            system = (
                target(leg) if part.conn_id == leg.target.conn_id and not hasattr(part, "columns") else source(part)
            )
            for use in _uses(leg, part, asked.objects(system, part, leg.fields)):
                used.setdefault((use.conn_id, use.object), (flow, []))[1].append(use)
        found.faults += [(flow, leg.leg, text) for text in asked.gone(target(leg), leg)]
    found.unasked, found.seen = asked.unasked, {key: asked.seen[key] for key in used if key in asked.seen}
    for (conn_id, name), (flow, uses) in used.items():
        _compare(site, found, flow, _together(uses), key=(conn_id, name))
    return found


class _Asked:
    """Connections and documents that were asked for, each once. unasked: connection -> why it gave no answer."""

    def __init__(self) -> None:
        self.unasked: dict[str, str] = {}
        self.seen: dict[tuple[str, str], dict[str, Seen]] = {}
        self._documents: set[tuple[str, str]] = set()

    def objects(self, system: Any, part: Any, fields: Any) -> list[str]:
        """The objects a source or target names that could be looked at; the main one first."""
        if not hasattr(system, "objects_of"):
            return []
        named = self._try(part.conn_id, lambda: system.objects_of(part, () if hasattr(part, "columns") else fields))
        for document in dict.fromkeys((named or {}).values()):
            self._read(system, part.conn_id, document)
        return [name for name in named or {} if (part.conn_id, name) in self.seen]

    def _read(self, system: Any, conn_id: str, document: str) -> None:
        if (conn_id, document) not in self._documents:
            self._documents.add((conn_id, document))
            objects = self._try(conn_id, lambda: system.document(document)) or {}
            self.seen |= {(conn_id, name): fields for name, fields in objects.items()}

    def gone(self, system: Any, leg: Leg) -> list[str]:
        """What the target does not have of the mapping, with the connection in front."""
        tell_ = getattr(system, "gone", None)
        if tell_ is None:
            return []
        said = self._try(leg.target.conn_id, lambda: tell_(agreement.plain(leg.target), leg.fields))
        return [f"{leg.target.conn_id}: {text}" for text in said or ()]

    def _try(self, conn_id: str, ask: Callable[[], Any]) -> Any:
        if conn_id in self.unasked:
            return None
        try:
            return ask()
        except SyncError as error:
            self.unasked[conn_id] = str(error)
        except Exception as error:  # noqa: BLE001  # Airflow has many ways to say that there is no such connection
            self.unasked[conn_id] = type(error).__name__
        return None


def _uses(leg: Leg, part: Any, objects: Sequence[str]) -> list[drift.Use]:
    """What a leg uses of the objects of its source, or of its target and the parents that are looked up."""
    if hasattr(part, "columns"):
        named = part.options.get("fields", {})
        reads = frozenset(str(named.get(name, name)) for name in part.columns)
        return [drift.Use(part.conn_id, part.system, name, (leg.leg,), reads=reads) for name in objects]
    writes: dict[str, str] = {}
    for item in leg.fields:
        top = item.name.removeprefix("metadata.").partition(".")[0]
        writes |= {top: item.value} | ({f"{top}Id": item.value} if item.lookup else {})
    main = _use_of(leg, part, objects[0], writes=writes) if objects else None
    parents = [drift.Use(part.conn_id, part.system, name, (leg.leg,), reads=_keys(leg, name)) for name in objects[1:]]
    return [main, *parents] if main else []


def _use_of(leg: Leg, part: Any, name: str, *, writes: Mapping[str, str]) -> drift.Use:
    return drift.Use(part.conn_id, part.system, name, (leg.leg,), writes=writes, reads=_keys(leg, name),
                     creates=bool(leg.target.options.get("creates", True)))  # fmt: skip


def _keys(leg: Leg, name: str) -> frozenset[str]:
    return frozenset(item.lookup.external_id for item in leg.fields if item.lookup and item.lookup.object == name)


def _together(uses: Sequence[drift.Use]) -> drift.Use:
    """All uses of one object as one."""
    legs = tuple(dict.fromkeys(leg for use in uses for leg in use.legs))
    writes: dict[str, str] = {}
    for use in uses:
        writes |= {name: f"{writes.get(name, '')} {sql}" for name, sql in use.writes.items()}
    reads = frozenset[str]().union(*(use.reads for use in uses))
    return replace(uses[0], legs=legs, reads=reads, writes=writes, creates=any(use.creates for use in uses))


def _compare(site: Site, found: Looked, flow: str, use: drift.Use, *, key: tuple[str, str]) -> None:
    before = drift.last_seen(site.stores, *key)
    if before is None:
        found.first += 1
        return
    fields, at = before
    found.changes += [(flow, change, at) for change in drift.compare(fields, found.seen[key], use)]
