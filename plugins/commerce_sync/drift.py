"""Schema drift: what changed in the far sides' fields since they were last looked at, as far as a mapping cares.

Told of fields a mapping reads or writes: removed, renamed (it went, and one of the same label or a similar name came),
another type, shorter, fewer digits, now required, now read-only, values of a closed list that came or went. Told of a
target's other fields: a new one that every new record needs. What was seen last lies beside the stores of the legs,
one entry per connection and object. Each change is told once, because afterwards it is what was seen last.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from commerce_sync.batches import Batches
from commerce_sync.systems.metadata import Seen

STORE = "drift"
SIMILAR = 0.75
"""How alike two names are that may be one renamed field, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Use:
    """Who cares for an object of a connection, and for which of its fields. writes: field -> SQL that computes it."""

    conn_id: str
    system: str
    object: str
    legs: tuple[str, ...]
    reads: frozenset[str] = frozenset()
    writes: Mapping[str, str] = field(default_factory=dict)
    creates: bool = False

    @property
    def names(self) -> frozenset[str]:
        return self.reads | self.writes.keys()


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one field. kind: removed, renamed, type, shortened, narrowed, required, read_only, new_values,
    removed_values, new_required.   hurts: whether runs fail or lose rows until somebody acts.
    """

    conn_id: str
    object: str
    field: str
    kind: str
    text: str
    hurts: bool
    legs: tuple[str, ...]

    def sentence(self) -> str:
        """For people."""
        return f"{self.conn_id}: {self.object}.{self.field} {self.text} (legs: {', '.join(self.legs)})"


def compare(before: Mapping[str, Seen], now: Mapping[str, Seen], use: Use) -> list[Change]:
    """What changed of one object between two looks; nothing for an object that was never seen before."""
    found: list[Change] = []

    def note(name: str, kind: str, text: str, *, hurts: bool = True) -> None:
        found.append(Change(use.conn_id, use.object, name, kind, text, hurts, use.legs))

    for name in sorted(use.names & before.keys()):
        if name not in now:
            twin = _twin(name, before, now)
            text = f"is gone; it may be {twin} now, which is new" if twin else "is gone"
            note(name, "renamed" if twin else "removed", f"{text}, or hidden from the integration user")
            continue
        for kind, text, hurts in _changes(before[name], now[name], use.writes.get(name)):
            note(name, kind, text, hurts=hurts)
    for name in sorted(now.keys() - before.keys()) if use.creates else ():
        if now[name].required and name not in use.names:
            note(name, "new_required", "is new, and every new record needs it; no mapping fills it")
    return found


def _twin(name: str, before: Mapping[str, Seen], now: Mapping[str, Seen]) -> str | None:
    """The new field that a lost one may be now: of its label, or of a similar name and its type."""
    fresh = {other: seen for other, seen in now.items() if other not in before}
    same = [other for other, seen in fresh.items() if seen.label and seen.label == before[name].label]
    alike = [other for other, seen in fresh.items() if seen.type == before[name].type
             and difflib.SequenceMatcher(None, other.lower(), name.lower()).ratio() >= SIMILAR]  # fmt: skip
    return next(iter(same or alike), None)


def _changes(was: Seen, now: Seen, written: str | None) -> Iterator[tuple[str, str, bool]]:
    """kind, text and whether it hurts, of a field that is still there. written: the SQL that computes it, if any."""
    if was.type != now.type:
        yield "type", f"was {was.type}, now it is {now.type}", True
    if written is None:
        return
    if was.length and now.length and now.length < was.length:
        yield "shortened", f"takes {now.length} characters instead of {was.length}: longer texts are refused", True
    if (digits := _digits(was, now)) is not None:
        yield "narrowed", digits, True
    if now.required and not was.required:
        yield "required", "is required now: rows without a value are refused", True
    for right, verb in (("createable", "set on new records"), ("updateable", "changed")):
        if getattr(was, right) and not getattr(now, right):
            yield "read_only", f"can no longer be {verb} by the integration user", True
    yield from _values(was, now, written)


def _digits(was: Seen, now: Seen) -> str | None:
    if was.precision is None or now.precision is None:
        return None
    whole = (was.precision - (was.scale or 0), now.precision - (now.scale or 0))
    if whole[1] < whole[0]:
        return f"takes {whole[1]} digits before the point instead of {whole[0]}: larger numbers are refused"
    if (now.scale or 0) < (was.scale or 0):
        return f"keeps {now.scale or 0} decimals instead of {was.scale}: values are rounded, and differ ever after"
    return None


def _values(was: Seen, now: Seen, written: str) -> Iterator[tuple[str, str, bool]]:
    if now.values is None:
        return
    if was.values is None:
        yield "removed_values", f"takes only {_listed(now.values)} now: others are refused", True
        return
    gone, new = set(was.values) - set(now.values), set(now.values) - set(was.values)
    if gone:
        used = {value for value in gone if f"'{value}'" in written}
        said = f"; the mapping writes {_listed(sorted(used))}" if used else ""
        yield "removed_values", f"no longer takes {_listed(sorted(gone))}{said}", True
    if new:
        yield "new_values", f"also takes {_listed(sorted(new))}", False


def _listed(values: Sequence[str]) -> str:
    return ", ".join(repr(value) for value in values[:8]) + (" and others" if len(values) > 8 else "")


# What was seen last


def last_seen(stores: Batches, conn_id: str, name: str) -> tuple[dict[str, Seen], datetime] | None:
    """Fields of an object and when they were seen; None when it never was."""
    batch = stores.find(STORE, conn_id, name)
    if batch is None:
        return None
    fields = {key: Seen.of(document) for key, document in batch.facts["fields"].items()}
    return fields, datetime.fromisoformat(batch.facts["at"])


def keep(stores: Batches, conn_id: str, name: str, fields: Mapping[str, Seen], *, at: datetime | None = None) -> None:
    """Remember how an object was described."""
    with stores.write(STORE, conn_id, name) as into:
        documents = {key: seen.as_json() for key, seen in fields.items()}
        into.facts = {"fields": documents, "at": (at or datetime.now(UTC)).isoformat()}
