"""All that is known of one record: in every leg that moves it, either way, in the order in which it happened.

A record is found by its key, by its id at the target of another leg (which is the key of the leg back), and by what
it was called before it was merged into another.
"""

from __future__ import annotations

from collections.abc import Mapping as Values
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from commerce_sync.history import Message
from commerce_sync.ledger import Conflict, Hold, Reject, RejectAnswer, Run
from commerce_sync.leg import Site
from commerce_sync.rejecting import LEFT_BEHIND

ROUNDS = 3
"""Target ids lead to further keys: so often they are followed."""
MOST_MESSAGES = 500
_DONE = {
    "delivered": "delivered",
    "rejected": "refused",
    "unprocessed": "not processed",
    "quarantined": "set aside by the gate",
    "held": "held for approval",
    "dismissed": "dismissed",
    "edited": "edited",
    "retried": "to be tried again",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. what: detected, sent, answered, set aside, held, asked, said, conflict, delivered.

    facts: small JSON values, personal ones masked.
    """

    at: datetime
    leg: str
    key: str
    run: str | None
    what: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """What one leg knows of the record now.

    marker: what the target has acknowledged (fingerprint, target_id, gone, run).   payload: of the last message,
    masked.   next_attempt: when it is offered again by itself; None when nothing is planned (see ``state``).
    """

    leg: str
    key: str
    state: str
    marker: dict[str, Any] | None
    reject: Reject | None
    hold: Hold | None
    conflicts: tuple[Conflict, ...]
    answers: tuple[dict[str, Any], ...]
    next_attempt: datetime | None
    payload: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Explained:
    """A record over all legs. names: its keys, target ids and former names.   events: oldest first."""

    key: str
    names: tuple[str, ...]
    places: tuple[Place, ...]
    events: tuple[Event, ...]

    @property
    def known(self) -> bool:
        """Whether anything is known at all."""
        return bool(self.places or self.events)

    def as_json(self) -> dict[str, Any]:
        """Plain values: moments as ISO text, fingerprints as text (they exceed what JavaScript counts exactly)."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: str(item) if name == "fingerprint" and item is not None else _plain(item)
                for name, item in value.items()}  # fmt: skip
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def explain(site: Site, key: str, leg: str | None = None) -> Explained:
    """Everything about a record. leg: only what this leg knows of it, under this very key."""
    legs = [leg] if leg else _legs(site)
    names, markers = ([key], _markers(site, [key], legs)) if leg else _followed(site, key, legs)
    rejects = {(item.leg, item.key): item for item in site.ledger.find_rejects(legs, keys=names)}
    holds = {(item.leg, item.key): item for name in legs for item in site.ledger.holds(name) if item.key in names}
    said = [item for item in site.ledger.said(leg=leg, keys=names) if item.leg in legs]
    conflicts = [item for name in names for item in site.ledger.conflicts(key=name) if leg in (None, item.leg)]
    messages = _messages(site, names, [leg] if leg else [])
    where = {*markers, *rejects, *holds, *((item.leg, item.key) for item in said), *((m.leg, m.key) for m in messages)}
    found = tuple(
        _place(
            site, at, markers.get(at), rejects.get(at), holds.get(at), conflicts=conflicts, said=said, messages=messages
        )
        for at in sorted(where)
    )
    events = [*_of_messages(site, messages), *map(_of_answer, said), *map(_of_conflict, conflicts)]
    events += [event for item in holds.values() for event in _of_hold(item)]
    return Explained(key, tuple(names), found, tuple(sorted(events, key=lambda event: event.at)))


def _legs(site: Site) -> list[str]:
    known = {item.leg for item in site.ledger.states()}
    return sorted(known | set(site.history.files.legs() if site.history else ()))


def _markers(site: Site, names: Sequence[str], legs: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["leg"], row["key"]): row for row in site.ledger.find_markers(names, legs=legs)}


def _followed(site: Site, key: str, legs: Sequence[str]) -> tuple[list[str], dict[tuple[str, str], dict[str, Any]]]:
    """Every name of the record, and its markers."""
    markers = _markers(site, [key], legs)
    if markers or site.ledger.find_rejects(legs, keys=[key]):
        names = _named(site, [key], markers)
    else:  # no key of any leg: an id at a target
        names = [key, *(row["key"] for row in site.ledger.find_markers([key], legs=legs, are_targets=True))]
    looked = 1
    for _ in range(ROUNDS):
        if len(names) == looked:
            break
        fresh, looked = names[looked:], len(names)
        found = _markers(site, fresh, legs)
        markers |= found
        names = list(dict.fromkeys([*names, *_named(site, fresh, found)]))
    return names, markers


def _named(site: Site, names: Sequence[str], markers: Values[tuple[str, str], dict[str, Any]]) -> list[str]:
    """These names, what else the ledger calls them, and the target ids of their markers."""
    targets = (row["target_id"] for row in markers.values() if row["target_id"])
    return list(dict.fromkeys([*names, *site.ledger.other_names(names), *targets]))


def _messages(site: Site, names: Sequence[str], legs: Sequence[str]) -> list[Message]:
    return site.history.search(keys=names, legs=legs, limit=MOST_MESSAGES) if site.history else []


def _place(
    site: Site, at: tuple[str, str], marker: dict[str, Any] | None, reject: Reject | None, hold: Hold | None, *,
    conflicts: Sequence[Conflict], said: Sequence[RejectAnswer], messages: Sequence[Message],
) -> Place:  # fmt: skip
    leg, key = at
    mine = [item for item in messages if (item.leg, item.key) == at]
    last = max(mine, key=lambda item: item.at, default=None)
    sent = site.history.payload(leg, last.run, key) if site.history and last else None
    return Place(
        leg=leg, key=key, state=_state(marker, reject, hold), marker=marker, reject=reject, hold=hold,
        conflicts=tuple(item for item in conflicts if item.key == key and item.leg == leg),
        answers=tuple(_answer(item) for item in said if (item.leg, item.key) == at),
        next_attempt=reject.next_attempt if reject and reject.status == "rejected" else None,
        payload=sent or (reject.payload if reject else None),
    )  # fmt: skip


def _state(marker: dict[str, Any] | None, reject: Reject | None, hold: Hold | None) -> str:
    """One sentence: where it stands, and what happens next."""
    if reject is not None and reject.code != "held":
        return _refused(reject)
    if hold is not None and hold.status != "approved":
        return (
            "waits for a person's approval" if hold.status == "waiting" else f"refused by {hold.answered_by}, stays out"
        )
    if marker is None:
        return "not delivered yet"
    return "deleted at the target" if marker["gone"] else "in step"


def _refused(reject: Reject) -> str:
    if reject.status == "parked" and reject.code == LEFT_BEHIND:
        return str(reject.reason)
    if reject.status == "parked":
        return f"parked after {reject.attempts} attempts: retry, edit or dismiss it, or change the source"
    if reject.status == "dismissed":
        return "dismissed: stays out until its payload changes"
    if reject.status == "undone":
        return "undone: goes again when its source changes, or when a person lets it go (redo)"
    if reject.status == "quarantined":
        return f"set aside by the gate ({reject.code}): every run looks at it again"
    run = "run" if reject.fingerprint else "complete scan"  # a delete: only a complete scan knows it is still gone
    when = f"first {run} after {reject.next_attempt:%Y-%m-%d %H:%M} UTC" if reject.next_attempt else f"next {run}"
    return f"refused {reject.attempts} times ({reject.code}): offered again by the {when}"


def _answer(item: RejectAnswer) -> dict[str, Any]:
    """A person's word, its values masked."""
    return {
        "action": item.action, "by": item.answered_by, "at": item.answered_at, "reason": item.reason,
        "values": item.shown, "status": item.status, "run": item.run, "closed_at": item.closed_at,
    }  # fmt: skip


def _of_messages(site: Site, messages: Sequence[Message]) -> list[Event]:
    events: list[Event] = []
    for item in messages:
        if item.outcome in ("dismissed", "edited", "retried") and item.code != "EDIT_DROPPED":
            continue  # told by the answers themselves
        run = site.ledger.find_run(item.leg, item.run)
        if run is not None:
            events.append(_detected(item, run))
            events += _sent(site, item)
        events.append(_told(item))
    return events


def _detected(item: Message, run: Run) -> Event:
    facts = {"kind": item.kind, "run_kind": run.kind, "since": _iso(run.since), "until": _iso(run.until)}
    return Event(run.started, item.leg, item.key, item.run, "detected", f"{item.kind} in a run for {run.kind}", facts)


def _sent(site: Site, item: Message) -> list[Event]:
    """The remote job it travelled in, or the jobs of its run when the answer does not say which."""
    if item.outcome not in ("delivered", "rejected", "unprocessed"):
        return []
    jobs = [job for job in site.ledger.jobs(item.leg, item.run).all() if item.job in (None, job.remote_id)]
    return [
        Event(job.updated or item.at, item.leg, item.key, item.run, "sent",
              f"job {job.remote_id or job.name}: {job.state}", {"job": job.remote_id, "state": job.state})
        for job in jobs
    ]  # fmt: skip


def _told(item: Message) -> Event:
    why = f" ({item.code}: {item.reason})" if item.code else f" ({item.reason})" if item.reason else ""
    names = ("target_id", "created", "code", "reason_class", "reason", "attempt", "job", "message_id")
    facts = {name: getattr(item, name) for name in names if getattr(item, name) is not None}
    what = {"quarantined": "set aside", "held": "held"}.get(item.outcome, "answered")
    return Event(item.at, item.leg, item.key, item.run, what, f"{_DONE[item.outcome]}{why}", facts)


def _of_answer(item: RejectAnswer) -> Event:
    names = f" {', '.join(item.edited)}" if item.edited else ""
    why = f": {item.reason}" if item.reason else ""
    verb = {"retry": "asked to try again", "dismiss": "dismissed it", "edit": "edited"}[item.action]
    return Event(
        item.answered_at, item.leg, item.key, item.run, "said", f"{item.answered_by} {verb}{names}{why}", _answer(item)
    )


def _of_conflict(item: Conflict) -> Event:
    by = f" by {item.closed_by}" if item.closed_by else ""
    text = f"both sides had changed {item.field}: {item.owner} was kept, {item.losing} lost ({item.status}{by})"
    return Event(item.first_at, item.leg, item.key, item.run, "conflict", text, {"kept": item.kept, "lost": item.lost})


def _of_hold(item: Hold) -> list[Event]:
    events = [Event(item.asked_at, item.leg, item.key, item.run, "asked", "a person was asked for approval")]
    if item.answered_at is not None:
        text = f"{item.answered_by} {item.status} it" + (f": {item.reason}" if item.reason else "")
        events.append(Event(item.answered_at, item.leg, item.key, item.run, "said", text))
    return events


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


def text(found: Explained) -> str:
    """For people: where the record stands in each leg, then what happened."""
    if not found.known:
        return f"nothing is known of {found.key!r}"
    lines = [f"{found.key}" + (f"   also {', '.join(found.names[1:])}" if len(found.names) > 1 else ""), ""]
    for place in found.places:
        target = place.marker["target_id"] if place.marker else None
        lines.append(f"{place.leg}  {place.key}{f' -> {target}' if target else ''}: {place.state}")
    lines.append("")
    for event in found.events:
        facts = " ".join(f"{name}={event.facts[name]}" for name in ("job", "message_id") if event.facts.get(name))
        run = f"  [{event.run}]" if event.run else ""
        line = f"{event.at:%Y-%m-%d %H:%M:%S}  {event.leg}  {event.what:9}  {event.text}  {facts}".rstrip()
        lines.append(line + run)
    return "\n".join(lines)
