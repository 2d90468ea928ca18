"""Whatever is edited before a run and by whomever after it: each field ends as the three-way rule says, and undoing
the undo gives the state before it.

``HYPOTHESIS_EXAMPLES`` asks for more examples than the usual few.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce_sync.systems import rest
from flows.walking import HOUSEHOLDS, Org, Shop, Walk
from undo.taking_back import Back

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "6"))
FIELDS = ("Name", "Phone", "BillingCity", "BillingStreet", "Commerce_Active__c")
PEOPLE = range(1, 6)
State = dict[str, dict[str, Any]]

sources = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(("name", "phone1", "town", "remove", "add")),
              st.sampled_from(("Grace Hopper", "Zoë", None))),
    min_size=1, max_size=7,
)  # fmt: skip
strangers = st.lists(
    st.tuples(st.sampled_from((*PEOPLE, 11, 12)), st.sampled_from(FIELDS[:4]), st.sampled_from(("Bonn", "7", "Zoë"))),
    max_size=5,
)


def state(org: Org) -> State:
    return {key: {name: row[name] for name in FIELDS} for key, row in org.accounts.items()}


def edit(shop: Shop, edits: list[tuple[int, str, Any]]) -> None:
    gone: set[int] = set()
    for number, what, value in edits:
        if what == "add":
            shop.customers(10 + number % 2 + 1)
        elif number in gone:
            continue
        elif what == "remove":
            shop.remove(number)
            gone.add(number)
        elif what == "name":
            shop.change(number, name=value or f"Ada Lovelace{number}")
        else:
            shop.change(number, address={what: value})


def stranger(org: Org, edits: list[tuple[int, str, str]]) -> None:
    for number, field, value in edits:
        account = org.accounts.get(f"C{number:04d}")
        if account is not None:
            org.far.patch("Account", account["Id"], **{field: value})


def oracle(before: State, written: State, now: State) -> State:
    """What an undo has to leave."""
    found: State = {}
    for key, row in now.items():
        old, new = before.get(key), written[key]
        if old is None:
            found[key] = row | ({"Commerce_Active__c": False} if row == new else {})
            continue
        found[key] = {
            name: old[name] if new[name] != old[name] and row[name] == new[name] else row[name] for name in FIELDS
        }
    return found


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=sources, later=strangers)
def test_every_field_ends_as_the_rule_says(
    shop: Shop, org: Org, patience: None, first: list[Any], later: list[Any]
) -> None:
    for far in (shop.far, org.far):
        far.reset()
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(Path(folder))
        back = Back(walk)
        back.keep(HOUSEHOLDS)
        shop.customers(*PEOPLE)
        walk.leg(HOUSEHOLDS)
        before = state(org)
        edit(shop, first)
        run = walk.leg(HOUSEHOLDS, "complete")
        written = state(org)
        stranger(org, later)
        now = state(org)
        if not run.sent:
            return
        undone = back.undo(run)
        assert state(org) == oracle(before, written, now)
        assert undone.balanced
        stamps = org.stamps()
        assert walk.leg(HOUSEHOLDS, "complete").sent == 0
        assert org.stamps() == stamps
        if undone.sent:
            back.undo(undone)
            assert state(org) == now
            assert walk.leg(HOUSEHOLDS, "complete").sent == 0
