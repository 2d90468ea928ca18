"""What was forgotten does not come back: replays, backfills, complete scans, undos, deliveries, in any order."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from commerce_sync import forget
from commerce_sync.ledger.tombstones_marks import Marks
from flows.walking import CONTACTS, CUSTOMERS
from privacy.attempts import Attempts
from privacy.life import KEY, STREET, UID, UNIT, Life, scan

FEW = 40
"""Attempts in every test run; ``-m slow`` makes a thousand, and ``python -m proofs privacy`` keeps its figures."""


def resurrected(life: Life, attempts: int, seed: int) -> Counter[str]:
    """Forget her, make attempts, and look at every byte; gives what was tried how often."""
    forget.forget(life.site, KEY, by="anna")
    tried = Attempts(life, seed)
    for done in range(0, attempts, 20):
        tried.make(min(20, attempts - done))
        assert list(scan(life.walk.folder)) == [], f"she is back, seed {seed}, after {dict(tried.done)}"
    return tried.done


def test_nothing_brings_her_back(life: Life) -> None:
    tried = resurrected(life, FEW, int(os.environ.get("PRIVACY_SEED", "7")))
    assert len(tried) > 6


@pytest.mark.slow
def test_a_thousand_attempts_bring_nothing_back(life: Life) -> None:
    tried = resurrected(life, 1000, int(os.environ.get("PRIVACY_SEED", "20261121")))
    print(f"1,000 attempts, nothing found: {dict(tried)}")


def test_with_the_tombstones_out_of_force_she_is_back(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps her away are the tombstones: the same attempts bring her back when nothing heeds them."""
    forget.forget(life.site, KEY, by="anna")
    assert list(scan(life.walk.folder)) == []
    monkeypatch.setattr("commerce_sync.ledger.tombstones.marks", lambda *_given, **_options: Marks(b"", ()))
    tried = Attempts(life, 7, strict=False)
    for _ in range(12):
        tried.make(1)
        if list(scan(life.walk.folder)):
            return
    pytest.fail(f"nothing brought her back: {dict(tried.done)}")


def test_what_the_edge_leaves_out_is_filtered_and_the_balance_closes(life: Life) -> None:
    held = dict(life.org.contacts[KEY])
    forget.forget(life.site, KEY, by="anna")
    before = life.walk.leg(CONTACTS, "complete")
    assert (before.read, before.extracted, before.filtered) == (4, 4, 1)
    assert before.status == "green"
    assert life.walk.leg(CONTACTS, "complete").sent == 0
    assert life.org.contacts[KEY] == held, "nothing was deleted or switched off at the target"
    assert STREET in str(life.org.contacts[KEY]), "what the target holds is the target's"


def test_a_company_keeps_the_order_that_she_placed_for_it(life: Life) -> None:
    leg = "purchase_history_to_accounts"
    life.walk.leg(leg, "complete")
    held = life.org.accounts[UNIT]
    forget.forget(life.site, KEY, by="anna")
    life.walk.leg(leg, "complete")
    after = life.org.accounts[UNIT]
    names = [name for name in held if name.startswith(("Order", "Total", "Spend", "Average"))]
    assert {name: after[name] for name in names} == {name: held[name] for name in names}
    assert list(scan(life.walk.folder)) == []


def test_who_is_readmitted_comes_back_as_a_new_customer(life: Life) -> None:
    forget.forget(life.site, KEY, by="anna")
    assert forget.readmit(life.site, "nobody@people.example") == 0
    assert forget.readmit(life.site, UID) > 1
    life.org.far.clear_faults()
    run = life.walk.leg(CONTACTS, "complete")
    assert (run.filtered, run.new) == (0, 1)
    assert life.walk.markers(CONTACTS)[KEY]["target_id"] == life.org.contacts[KEY]["Id"], "no second contact was made"
    assert life.happen("customer.registered", "zq-9", uid=UID, email=UID).new == 1
    assert CUSTOMERS
