"""Forgetting a record: everything held about it goes from every store, and a tombstone keeps it from coming back.

    forget(site, "C0001", by="anna")              # erase, and say what went
    forget(site, "C0001", by="anna", dry_run=True)
    erase_pending(site)                           # go on where something was left: a killed one, a run at work
    readmit(site, "C0001")                        # the person is a customer again

First the tombstones are written, in one transaction; from then on nothing takes the record in, and whoever is killed
finds by them what is left. What the target systems hold is theirs: let the deletion flow there by the leg first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from commerce_sync import forget_files, forget_names, places
from commerce_sync.errors import ConfigurationError
from commerce_sync.forget_files import Files
from commerce_sync.ledger.tombstones_marks import ALL, Marks, mark
from commerce_sync.leg import Site

SOMEBODY = "somebody"
RUNS = 1_000_000


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came of it. names: how many names the record had.   gone: store or table -> rows erased or altered.

    waits: runs that are at work; what they hold is erased when they have ended.   scoured: what was done so that
    deleted bytes cannot be read from the database, in words.   done: nothing is left.
    """

    names: int
    gone: dict[str, int]
    waits: tuple[str, ...] = ()
    scoured: str = ""
    done: bool = True
    known_as: tuple[str, ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, Any]:
        """For machines: without the names."""
        return {name: value for name, value in asdict(self).items() if name != "known_as"}


def scope_of(*, system: str | None = None, leg: str | None = None) -> str:
    """Where a key means this record: everywhere, in the legs of one system, or in one leg only."""
    if system and leg:
        raise ConfigurationError("forget takes a system or a leg, not both")
    return f"leg:{leg}" if leg else f"system:{system}" if system else ALL


def forget(
    site: Site, key: str, *, by: str = SOMEBODY, system: str | None = None, leg: str | None = None,
    dry_run: bool = False,
) -> Forgotten:  # fmt: skip
    """Erase the record that ``key`` names, by all names it is known by; see ``Forgotten``.

    Killed anywhere, the same call, ``erase_pending`` or the nightly upkeep finishes it.
    """
    scope = scope_of(system=system, leg=leg)
    legs = _legs(system=system, leg=leg)
    known = forget_names.names(site, key, scope=scope, legs=legs)
    if dry_run:
        salt = b"dry run"
        marks = Marks(salt, {mark(salt, scope=scope, name=name) for name in known}, scopes=(scope,))
        return _erased(site, marks, legs=legs, names=known, dry_run=True)
    subject = site.ledger.bury(known, scope=scope, by=by)
    return _finished(site, subject, scope, legs, names=known)


def erase_pending(site: Site) -> int:
    """Go on with what could not be erased at once; gives how many records are done now."""
    done = 0
    for item in site.ledger.tombstones(pending=True):
        kind, _, name = item.scope.partition(":")
        legs = _legs(**{kind: name}) if kind in ("system", "leg") else ()
        done += _finished(site, item.subject, item.scope, legs, names=()).done
    return done


def readmit(site: Site, key: str, *, system: str | None = None, leg: str | None = None) -> int:
    """Let a forgotten record come back, by any of the names it had; gives how many tombstones went."""
    return site.ledger.readmit(key, scope=scope_of(system=system, leg=leg))


def _finished(site: Site, subject: str, scope: str, legs: Sequence[str], *, names: Sequence[str]) -> Forgotten:
    marks = site.ledger.marks(scope, subjects=[subject])
    done = _erased(site, marks, legs=legs, names=names, dry_run=False)
    if done.done:
        site.ledger.note_erased([subject])
    return done


def _erased(site: Site, marks: Marks, *, legs: Sequence[str], names: Sequence[str], dry_run: bool) -> Forgotten:
    busy = [(run.leg, run.run) for run in site.ledger.runs(limit=RUNS) if run.status == "running" and not run.settled]
    mine = [(leg, run) for leg, run in busy if not legs or leg in legs]
    work = Files(site, marks, _personal(), busy=mine, legs=legs, dry_run=dry_run)
    forget_files.erase(work)
    gone = dict(sorted(work.gone.items())) | site.ledger.erase(marks, legs=legs, dry_run=dry_run)
    scoured = "" if dry_run else site.ledger.scour()
    waits = tuple(sorted(f"{leg}/{run}" for leg, run in {*mine, *work.waits}))
    return Forgotten(len(names), gone, waits, scoured, done=not waits, known_as=tuple(names))


def _legs(*, system: str | None = None, leg: str | None = None) -> list[str]:
    """The legs a scope is about; none means all. Raises ConfigurationError for one that no mapping file has."""
    if system is None and leg is None:
        return []
    known = {content["leg"]: _systems(content) for content in _mappings()}
    found = [name for name, systems in known.items() if name == leg or system in systems]
    if not found and leg is None:
        there = ", ".join(sorted(set().union(*known.values()))) if known else "none"
        raise ConfigurationError(f"no leg reads or writes system {system!r}; there are: {there}")
    return found or [str(leg)]


def _systems(content: dict[str, Any]) -> set[str]:
    given = content["from"]
    sources = [given] if isinstance(given.get("system"), str) else list(given.values())
    return {content["to"]["system"], *(item["system"] for item in sources)}


def _personal() -> dict[str, frozenset[str]]:
    """Leg -> columns that its personal fields are made from."""
    return {content["leg"]: frozenset(_columns(content["fields"])) for content in _mappings()}


def _columns(fields: dict[str, Any]) -> set[str]:
    personal = [str(item.get("value", "")) for item in fields.values() if isinstance(item, dict) and item.get("pii")]
    return {name for text in personal for name in re.findall(r"[A-Za-z_]\w*", text)}


def _mappings() -> list[dict[str, Any]]:
    """Mapping files, read for names only: forgetting works while one is broken."""
    found = []
    for path in sorted(places.mappings().rglob("*.yaml")):
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            _systems(content)
            _columns(content["fields"])
            found.append(content | {"leg": str(content["leg"])})
        except (yaml.YAMLError, OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            continue
    return found
