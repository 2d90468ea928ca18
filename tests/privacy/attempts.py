"""Everything that could bring a forgotten person back, chosen by chance."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from commerce_sync import error_desk, recording, undo, upkeep
from commerce_sync.errors import GuardError
from commerce_sync.ledger import Run
from flows.appliances import ago, fault, noted
from flows.both_sides import TO_ADDRESSES, TO_CUSTOMERS
from flows.walking import CONTACTS, HOUSEHOLDS, mapping_of
from privacy.life import FORENAME, KEY, OFFERS, OLD, PHONE, UID, UNIT, Life

LEGS = (HOUSEHOLDS, CONTACTS, TO_CUSTOMERS, TO_ADDRESSES, "purchase_history_to_accounts", OFFERS)
PEOPLE = (HOUSEHOLDS, CONTACTS)
"""Legs that carried her, keep before-images, and can be backfilled."""
OFTEN = 6
"""So many times likelier than the rest are the ways that the proof is named after."""


class Attempts:
    """Ways to bring her back, and how often each was tried. An undo counts apart when nothing was there to undo.

    strict: she is forgotten, so runs balance without her and no event is taken.
    """

    def __init__(self, life: Life, seed: int, *, strict: bool = True) -> None:
        self.life, self.chance, self.strict = life, random.Random(seed), strict
        self.done: Counter[str] = Counter()
        self.left_out, self.refused_events, self.stopped = 0, 0, 0
        often: list[Callable[[], str | None]] = [self.replay, self.backfill, self.undo]
        self.ways = often * OFTEN + [
            self.complete_scan, self.changes, self.only_her, self.plan, self.delivered_again, self.refused_again,
            self.told_by_a_device, self.answered, self.maintained,
        ]  # fmt: skip

    def make(self, number: int) -> None:
        """Try so many; a way may say under which other name it counts."""
        for _ in range(number):
            way = self.chance.choice(self.ways)
            self.done[way() or way.__name__.replace("_", " ")] += 1

    def walked(self, mode: str = "auto", leg: str | None = None, **request: Any) -> Run:
        run = self.life.walk.attempt(leg or self.chance.choice(LEGS), mode, **request)
        # Her device is now one whose customer nobody knows: the offers' gate, left out here, would set it aside. And a
        # replay does not overwrite what the other leg settled since its records were read: its guard stops it.
        errors = {name: error for name, error in self.life.walk.errors.items()
                  if name != OFFERS and not isinstance(error, GuardError)}  # fmt: skip
        self.stopped += bool(self.life.walk.errors)
        assert not self.strict or errors == {}, errors
        assert not self.strict or run.extracted == run.unchanged + run.filtered + run.quarantined + run.sent
        self.left_out += run.filtered
        return run

    # Replays, backfills, undos

    def replay(self) -> None:
        self.walked("replay")

    def backfill(self) -> None:
        since = datetime.now(UTC) - timedelta(hours=self.chance.randrange(2, 48))
        self.walked("changes", self.chance.choice(PEOPLE), since=since, until=datetime.now(UTC), backfill=True)

    def undo(self) -> str | None:
        """An earlier run, of those that carried her if chance will, as far as its images are still there."""
        leg = self.chance.choice(PEOPLE)
        for run in self.chance.sample(found := self._undoable(leg), len(found)):
            if not undo.standing(self.life.site, mapping_of(leg), run).objection:
                undo.run(self.life.site, self.life.walk.mapping(leg), run.run, targets=self.life.walk.target,
                         run_id=self.life.walk.next_id(), by="anna")  # fmt: skip
                return None
        return "undo, nothing to undo"

    def _undoable(self, leg: str) -> list[Run]:
        return [run for run in self.life.walk.runs(leg)[:40] if run.settled and run.kind != "undo"]

    # What goes on meanwhile

    def complete_scan(self) -> None:
        self.walked("complete")

    def changes(self) -> None:
        """She and others go on using the shop, and sales go on editing her."""
        self.life.put(name=f"{FORENAME} {self.chance.random()}")
        self.life.order(f"OZQ{self.chance.randrange(5)}", user=UID, **self.chance.choice(({}, {"unit": UNIT})))
        self.life.shop.change(self.chance.choice((1, 2)), name=f"Ada {self.chance.random()}")
        contact = self.life.org.contacts[KEY]["Id"]
        self.life.org.far.patch("Contact", contact, Phone=f"{PHONE} {self.chance.random()}")
        self.walked(leg=self.chance.choice((*PEOPLE, None)))

    def only_her(self) -> None:
        """Somebody types her key, or another's, into Trigger."""
        self.walked("complete", self.chance.choice(PEOPLE), keys=(self.chance.choice((KEY, "C0001")),))

    def plan(self) -> None:
        self.walked("plan", self.chance.choice(PEOPLE))

    def delivered_again(self) -> None:
        """A webhook or a feed repeats what it had told, under the same id or another."""
        kind = self.chance.choice(("customer.registered", "product.viewed"))
        event = self.chance.choice((None, "zq-1", "zq-2"))
        given = {"uid": UID, "email": UID, "name": FORENAME} if kind == "customer.registered" else {"uid": UID}
        self.not_taken(self.life.happen(kind, event, product="c200", **given))

    def refused_again(self) -> None:
        """One that is not valid would be set aside with all it says."""
        self.not_taken(self.life.happen("product.viewed", uid=self.chance.choice((UID, UID.upper())), product=7))

    def not_taken(self, added: Any) -> None:
        assert not self.strict or (added.new, added.refused) == (0, 0)
        self.refused_events += 1

    def told_by_a_device(self) -> None:
        moment, owner = ago(minutes=9), self.chance.choice((KEY, OLD))
        noted(self.life.ledger, fault(self.life.device, "E17", moment, instance=f"f-{self.chance.random()}"))
        noted(self.life.ledger, fault(self.life.device, "E18", moment, customerRef=owner))

    def answered(self) -> None:
        """Somebody who still has the page open answers."""
        answered = error_desk.retry(self.life.site, HOUSEHOLDS, [KEY], by="anna")
        assert not self.strict or answered == 0
        recording.note_said(self.life.site)

    def maintained(self) -> None:
        days = timedelta(days=1)
        kept = upkeep.Kept(batch=days, payload=days, run=days, event=400 * days)
        upkeep.sweep(self.life.site, kept=kept, now=datetime.now(UTC))
