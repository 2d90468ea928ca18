"""What has to be true after every run, worked out from what the far sides know, without a line of the engine.

After a run that settled: every version that was visible in the run's window all the while it was read has arrived, or
the record is named among the rejects; nothing else changed but by versions that were visible at some moment of the
read (or earlier ones of records that were refused then); deletes only of records that were not there, and only by
complete scans; every write had an effect; run row, markers and rejects agree with the target, key by key. After a run
that failed nothing of what the ledger knows has moved.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb

from commerce_sync.errors import GuardError, SyncError
from commerce_sync.ledger import LegState, Run
from commerce_sync.leg import Site
from commerce_sync.mapping import Mapping
from proofs.crm import Crm, Row, Write
from proofs.shop import Reading, Shop, Version

Canonical = tuple[Any, ...] | None
"""The values of a record as the target would compare them; None: the record is not there."""
FIELDS = ("Name", "City", "Amount", "Ratio", "Number", "Since", "Active")
"""All but ``Note``, whose null leaves what is there."""


class Violation(AssertionError):
    """Something was lost, invented, doubled, or is not accounted for."""


def mapped(row: Row) -> Row:
    """What the leg makes of a record: the mapping file once more, in Python."""
    number, amount = row["number"], row["amount"]
    ratio = None if amount is None or number is None else -amount if number == 0 else amount / number
    return {
        "Name": row["name"], "Note": row["note"], "City": (row["city"] or "").strip(" ") or None, "Amount": amount,
        "Ratio": None if number == 13 else ratio, "Number": number, "Since": row["since"], "Active": True,
    }  # fmt: skip


def canonical(values: Row | None) -> Canonical:
    """As the target keeps it: no NaN, no negative zero, composed Unicode, milliseconds."""
    return None if values is None else tuple(_plain(values.get(name)) for name in FIELDS)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, float):
        return None if not math.isfinite(value) else float(f"{value + 0.0:.15g}")
    if isinstance(value, datetime):
        return value.replace(tzinfo=None, microsecond=value.microsecond // 1000 * 1000)
    return value


@dataclass
class Look:
    """What was there before a run, and what the run is."""

    run: str
    mode: str
    mapping: Mapping
    window: tuple[datetime, datetime] | None
    now: datetime
    state: LegState
    markers: dict[str, str]
    rejects: dict[str, Any]
    target: dict[str, Row]
    writes: int
    moment: int


@dataclass
class Oracle:
    """Remembers what runs may have seen; everything else it asks the far sides."""

    shop: Shop
    crm: Crm
    site: Site
    setting: dict[str, Any]
    high_water: datetime | None = None
    offered: dict[str, list[Version]] = field(default_factory=dict)
    acknowledged: dict[str, tuple[Canonical, Any, int]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    started: dict[str, tuple[datetime, datetime | None]] = field(default_factory=dict)

    # Before and after a run

    def before(self, run: str, mode: str, mapping: Mapping, window: tuple[datetime, datetime] | None) -> Look:
        """Look around before a run. A run tried again keeps the time it began at."""
        ledger, leg = self.site.ledger, mapping.leg
        state = ledger.state(leg)
        now, _ = self.started.setdefault(run, (self.shop.clock.time, self.high_water))
        return Look(
            run, mode, mapping, window, now, state, self._markers(state), self._rejects(leg),
            {key: dict(row) for key, row in self.crm.records.items()}, len(self.crm.writes), self.shop.moment,
        )  # fmt: skip

    def after_failure(self, look: Look, error: SyncError, reading: Reading) -> None:
        """Nothing the ledger knows has moved, except where only the answer of a settled run got lost."""
        if "answer got lost" in str(error):
            row = self.site.ledger.find_run(look.mapping.leg, look.run)
            assert row is not None
            return self.after(look, row, reading)
        if isinstance(error, GuardError) and not ("found nothing" in str(error) and not self.shop.visible):
            raise Violation(f"{look.run}: {error}")
        state = self.site.ledger.state(look.mapping.leg)
        self._demand(state == look.state, look, f"failed and moved the leg's state to {state}")
        self._demand(self._markers(state) == look.markers, look, "failed and changed markers")
        self._demand(self._rejects(look.mapping.leg) == look.rejects, look, "failed and changed rejects")
        row = self.site.ledger.find_run(look.mapping.leg, look.run)
        self._demand(row is None or row.status in ("stopped", "red"), look, f"failed and is {row and row.status}")
        sent = {item.key for item in self._writes(look)}
        self.unsettled |= sent | {item.key for item in self.shop.between(reading.first, reading.last)}
        if "connection was cut" in str(error):
            self.orphans |= sent - set(look.markers)
        self._nothing_invented(look, reading)
        return None

    def excuses(self, look: Look, error: SyncError) -> bool:
        """A read among too many moving rows may give up; that is a failed run, no loss."""
        if "nothing counts as complete" not in str(error) and "have gone meanwhile" not in str(error):
            return False
        moved = self.shop.moment != look.moment
        self._demand(self.site.ledger.state(look.mapping.leg) == look.state, look, "gave up and moved the state")
        return moved

    def after(self, look: Look, row: Run, reading: Reading) -> None:
        """Everything that has to be true of a run that settled."""
        self._balance(look, row, reading)
        must, writes = self._must(look, row, reading), {item.key: item for item in self._writes(look)}
        rejects = self._rejects(look.mapping.leg)
        for version in must:
            self._arrived(look, version, writes.get(version.key), rejects)
            self._mapped_as_now(look, version, writes.get(version.key), rejects)
        if row.kind == "complete":
            self._gone_are_deleted(look, reading, writes, rejects)
        self._nothing_invented(look, reading)
        self._due_are_offered(look, row, writes)
        self._each_write_counts(look, writes)
        self._remember(look, row, reading, writes)
        self._agreed(look, row, rejects)
        self.started.pop(look.run)  # tried again, it is another run

    def at_rest(self) -> None:
        """The target holds what the source has, no more and no less; an empty source is no wish to delete all."""
        if not self.shop.visible:
            return
        wanted = {key: mapped(item.row) for key, item in self.shop.visible.items() if not item.row["hidden"]}
        held = {key: row for key, row in self.crm.records.items() if row["Active"]}
        for key, values in wanted.items():
            if canonical(held.get(key)) != canonical(values) or not _note_fits(values, held[key]):
                raise Violation(f"at rest: {key} is {held.get(key)}, the source has {values}")
        rejects = {item.key: item.code for item in self.site.ledger.rejects("people_to_crm")}
        named = {key for key, code in rejects.items() if code == "left_behind"}
        # Created by a load that died half-way, gone before the next run: nobody takes them back, but all are named.
        extra = set(held) - set(wanted) - (self.orphans & named)
        for key in extra:
            hidden = key in self.shop.visible
            if not (self._ignores_deletes() or (hidden and self.setting["on_leave"] == "ignore")):
                raise Violation(f"at rest: {key} is at the target and not at the source")
        if named & set(wanted):
            raise Violation(f"at rest: named as left behind, and sent: {named & set(wanted)}")
        if set(rejects) - named:
            raise Violation(f"at rest: still refused {rejects}")

    # The parts

    def _balance(self, look: Look, row: Run, reading: Reading) -> None:
        self._demand(row.status == "green" and row.settled and row.balanced, look, f"is {row.status}: {row}")
        sent = self._writes(look)
        count = {name: sum(item.outcome == name for item in sent) for name in ("delivered", "rejected", "unprocessed")}
        told = {name: getattr(row, name) for name in count}
        self._demand(told == count and row.sent == len(sent), look, f"says {told} of {row.sent}, the target {count}")
        self._demand(len({item.key for item in sent}) == len(sent), look, "wrote a record twice")
        self._demand(row.new + row.modified + row.deleted == row.sent + row.quarantined, look, "changes are not sent")
        created = sum(item.kind == "NEW" and item.outcome == "delivered" for item in sent)
        self._demand(row.created <= created + len(self.unsettled), look, f"created {row.created} of {created}")
        if row.kind != "replay":
            may = {item.key for item in self.shop.between(reading.first, reading.last)}
            must = {item.key for item in self._must(look, row, reading)}
            self._demand(len(must) <= row.read <= len(may), look, f"read {row.read}, there were {len(must)}-{len(may)}")

    def _must(self, look: Look, row: Run, reading: Reading) -> list[Version]:
        """Versions that were in the window all the while it was read."""
        if row.kind == "replay":
            return []
        stay = [item for item in self.shop.between(reading.first, reading.last)
                if item.seen_all_the_time(reading.first, reading.last)]  # fmt: skip
        if row.kind == "complete":
            return stay
        low, high = self._bounds(look)
        return [item for item in stay if low <= item.stamp < high]

    def _bounds(self, look: Look) -> tuple[datetime, datetime]:
        grain = timedelta(seconds=1) if self.setting["precision"] == "seconds" else timedelta(milliseconds=1)
        now, known = self.started[look.run]
        low, high = look.window or ((known or now) - timedelta(seconds=self.setting["overlap_s"]), now)
        return low, high - (high - datetime.min.replace(tzinfo=high.tzinfo)) % grain

    def _arrived(self, look: Look, version: Version, write: Write | None, rejects: dict[str, Any]) -> None:
        key, values = version.key, mapped(version.row)
        if version.row["hidden"]:
            return self._left(look, key, write, rejects)
        held = self.crm.records.get(key)
        if held is not None and canonical(held) == canonical(values) and _note_fits(values, held):
            return None
        if key in rejects and (write is None or write.outcome != "delivered"):
            return None
        raise Violation(f"{look.run}: {key} was there as {values} all the while and the target has {held}")

    def _mapped_as_now(self, look: Look, version: Version, write: Write | None, rejects: dict[str, Any]) -> None:
        """A new version of the mapping is a change of every record that is looked at."""
        known = self.acknowledged.get(version.key)
        if known and known[2] != look.mapping.version and not version.row["hidden"] and version.key not in rejects:
            self._demand(write is not None, look, f"{version.key} was not sent again for the mapping's new version")

    def _left(self, look: Look, key: str, write: Write | None, rejects: dict[str, Any]) -> None:
        taken = self.setting["on_leave"] == "delete" and not self._ignores_deletes()
        if taken and key in look.markers and self._is_active(key) and key not in rejects:
            raise Violation(f"{look.run}: {key} no longer meets the condition and is still at the target")
        if write is not None and write.kind != "DELETED":
            raise Violation(f"{look.run}: {key} does not meet the condition and was written")

    def _gone_are_deleted(self, look: Look, reading: Reading, writes: dict[str, Write], rejects: Any) -> None:
        there = {item.key for item in self.shop.between(reading.first, reading.last)}
        for key in set(look.markers) - there:
            if not self._ignores_deletes() and self._is_active(key) and key not in rejects:
                raise Violation(f"{look.run}: {key} is gone from the source and still at the target")

    def _nothing_invented(self, look: Look, reading: Reading) -> None:
        for item in self._writes(look):
            if item.kind == "DELETED":
                self._rightly_deleted(look, item, reading)
                continue
            seen = [*self._seen(reading, item.key), *self.offered.get(item.key, [])]
            known = [version for version in seen if not version.row["hidden"]]
            sent = canonical(item.payload)
            if not any(canonical(mapped(version.row)) == sent for version in known):
                raise Violation(f"{look.run}: {item.key} was written as {item.payload}, the source never had that")
        touched = {item.key for item in self._writes(look)}
        for key in set(look.target) | set(self.crm.records):
            if key not in touched and look.target.get(key) != self.crm.records.get(key):
                raise Violation(f"{look.run}: {key} changed without a write")

    def _rightly_deleted(self, look: Look, item: Write, reading: Reading) -> None:
        spans = [version for version in self._seen(reading, item.key) if not version.row["hidden"]]
        complete = look.mode in ("complete", "auto") or look.state.high_water is None  # the first one of a leg is
        gone = complete and not _always(spans, reading)
        versions = [*self._seen(reading, item.key), *self.offered.get(item.key, [])]
        left = self.setting["on_leave"] == "delete" and any(version.row["hidden"] for version in versions)
        retried = item.key in look.rejects and not look.rejects[item.key].payload_of_a_change
        if self._ignores_deletes() or not (gone or left or retried):
            raise Violation(f"{look.run}: {item.key} was deleted and is still at the source")

    def _due_are_offered(self, look: Look, row: Run, writes: dict[str, Write]) -> None:
        if row.kind not in ("changes", "complete"):
            return
        for key, reject in look.rejects.items():
            due = reject.status == "rejected" and (reject.next_attempt is None or reject.next_attempt <= look.now)
            due &= row.kind == "complete" or reject.payload_of_a_change  # only a complete scan knows what is gone
            still = self._rejects(look.mapping.leg).get(key)
            if (
                due
                and key not in writes
                and still is not None
                and still.attempts == reject.attempts
                and (still.status == "rejected")
            ):
                raise Violation(f"{look.run}: {key} was refused before, is due, and was not offered again")

    def _each_write_counts(self, look: Look, writes: dict[str, Write]) -> None:
        for key, item in writes.items():
            if item.outcome != "delivered" or item.kind == "DELETED" or key in self.unsettled:
                continue
            known = self.acknowledged.get(key)
            sent = (canonical(item.payload), _plain(item.payload["Note"]), look.mapping.version)
            if known == sent:
                raise Violation(f"{look.run}: {key} was written again as the target had acknowledged it")

    def _remember(self, look: Look, row: Run, reading: Reading, writes: dict[str, Write]) -> None:
        rejects = self._rejects(look.mapping.leg)
        if row.kind in ("changes", "complete"):
            _, high = look.now, look.now
            seen = [item.stamp for item in self.shop.between(reading.first, reading.last)]
            low = self._bounds(look)[0]
            stamps = [min(at, high) for at in seen if row.kind == "complete" or at >= low]
            self.high_water = max([*([self.high_water] if self.high_water else []), *stamps], default=None)
        for key, item in writes.items():
            if item.outcome == "delivered":
                self.unsettled.discard(key)
                self.orphans.discard(key)
                self.acknowledged.pop(key, None)
                if item.kind != "DELETED":
                    self.acknowledged[key] = (
                        canonical(item.payload), _plain(item.payload["Note"]), look.mapping.version
                    )  # fmt: skip
        for key in set(self.offered) - set(rejects):
            del self.offered[key]
        for key in rejects:
            self.offered.setdefault(key, []).extend(self._seen(reading, key))

    def _agreed(self, look: Look, row: Run, rejects: dict[str, Any]) -> None:
        """The ledger knows of the target what is true."""
        state = self.site.ledger.state(look.mapping.leg)
        markers = self._markers(state)
        known_or_met = set(markers) if row.kind == "complete" else set(look.markers)
        adopted = self.unsettled & set(markers) & known_or_met & set(self.crm.records)
        held = {key: self.crm.ids[key] for key in {*self.acknowledged, *adopted}}
        self._demand(markers == held, look, f"remembers {markers}, acknowledged are {held}")
        refused = {item.key for item in self._writes(look) if item.outcome != "delivered"}
        self._demand(refused <= set(rejects), look, f"forgot that {refused - set(rejects)} were refused")
        delivered = {item.key for item in self._writes(look) if item.outcome == "delivered"}
        self._demand(not delivered & set(rejects), look, f"still lists {delivered & set(rejects)} as refused")
        known, now = look.state.high_water, state.high_water
        self._demand(not known or (now is not None and now >= known), look, f"moved the high water back to {now}")
        if row.kind in ("backfill", "replay"):
            self._demand(known == now, look, f"a {row.kind} moved the high water to {now}")
        elif now is not None:
            self._demand(self.high_water is not None and now <= self.high_water, look, f"high water {now}: too high")

    # What the far sides know

    def _writes(self, look: Look) -> list[Write]:
        return self.crm.writes[look.writes :]

    def _seen(self, reading: Reading, key: str) -> list[Version]:
        return [item for item in self.shop.between(reading.first, max(reading.last, reading.first)) if item.key == key]

    def _is_active(self, key: str) -> bool:
        return key in self.crm.records and bool(self.crm.records[key]["Active"])

    def _ignores_deletes(self) -> bool:
        return bool(self.setting["on_delete"] == "ignore")

    def _markers(self, state: LegState) -> dict[str, str]:
        with duckdb.connect() as con:
            rows = con.execute(f"SELECT key, target_id FROM ({self.site.ledger.markers_sql(state)})").fetchall()
        found = dict(rows)
        if len(found) != len(rows):
            raise Violation(f"markers hold a key twice: {sorted(rows)}")
        return found

    def _rejects(self, leg: str) -> dict[str, Any]:
        return {item.key: Reject(item) for item in self.site.ledger.rejects(leg)}

    def _demand(self, holds: bool, look: Look, text: str) -> None:
        if not holds:
            raise Violation(f"{look.run}: {text}")


class Reject:
    """What the ledger says of a refused record; a refused delete has no fingerprint."""

    def __init__(self, item: Any) -> None:
        self.status, self.attempts, self.next_attempt = item.status, item.attempts, item.next_attempt
        self.payload_of_a_change = bool(item.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reject) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.status, self.attempts))

    def __repr__(self) -> str:
        return str(vars(self))


def _note_fits(values: Row, held: Row) -> bool:
    return values["Note"] is None or _plain(values["Note"]) == _plain(held["Note"])


def _always(spans: list[Version], reading: Reading) -> bool:
    """Whether some version was visible at every moment of a read."""
    at = reading.first
    for item in sorted(spans, key=lambda version: version.since):
        if item.since > at:
            return False
        if item.until is None or item.until > reading.last:
            return True
        at = max(at, item.until)
    return False
