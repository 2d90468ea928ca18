"""Everything about one record: in every leg, in the order in which it happened, with nothing personal in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import __main__ as command_line
from commerce_sync import error_desk, steps
from commerce_sync.explain import explain, text
from commerce_sync.mapping import Approval, Guards
from commerce_sync.systems import rest
from flows.house import org, shop
from flows.walking import CONTACTS, CUSTOMERS, HOUSEHOLDS, Org, Shop, Walk

__all__ = ["org", "shop"]
CODE = "FIELD_CUSTOM_VALIDATION_EXCEPTION"


@pytest.fixture
def walk(shop: Shop, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    made = Walk(tmp_path)
    made.gated = False
    return made


def refuse(org: Org) -> None:
    org.far.fault(action="row_error", object="Account", when={"field": "Name", "regex": "Lovelace1"}, times=None,
                  code=CODE, message="Ada Lovelace1 (household) is not wanted", fields=["Name"])  # fmt: skip


def told(walk: Walk, key: str, leg: str | None = None) -> list[tuple[str, str]]:
    return [(event.what, event.text) for event in explain(walk.site, key, leg=leg).events]


def test_a_record_is_followed_through_every_leg_that_moves_it(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    walk(CUSTOMERS)
    found = explain(walk.site, "C0001")
    assert {(place.leg, place.key, place.state) for place in found.places} >= {
        (HOUSEHOLDS, "C0001", "in step"), (CONTACTS, "C0001", "in step"),
    }  # fmt: skip
    accounts = {place.leg: place.marker["target_id"] for place in found.places if place.marker}
    assert accounts[HOUSEHOLDS] == org.accounts["C0001"]["Id"]
    assert accounts[HOUSEHOLDS] in found.names
    by_target = explain(walk.site, accounts[HOUSEHOLDS])
    assert {place.leg for place in by_target.places} >= {HOUSEHOLDS, CONTACTS}
    assert {place.leg for place in explain(walk.site, "C0001", leg=HOUSEHOLDS).places} == {HOUSEHOLDS}
    assert not explain(walk.site, "C9999").known


def test_detections_answers_and_words_come_in_the_order_they_happened(walk: Walk, shop: Shop, org: Org) -> None:
    walk.alter(HOUSEHOLDS, guards=Guards(max_rejected=None))
    shop.customers(1)
    refuse(org)
    walk.leg(HOUSEHOLDS)
    refused = explain(walk.site, "C0001", leg=HOUSEHOLDS).places[0]
    assert refused.state.startswith(f"refused 1 times ({CODE}): offered again by the first run after ")
    assert refused.next_attempt is not None
    assert refused.payload is not None
    assert (refused.payload["Name"], refused.payload["BillingCity"]) == ("***", "Berlin")
    mapping = walk.mapping(HOUSEHOLDS)
    error_desk.edit(walk.site, mapping, "C0001", {"Name": "Ada King"}, by="ann", reason="as she says")
    walk.leg(HOUSEHOLDS, "changes")
    assert told(walk, "C0001", HOUSEHOLDS) == [
        ("detected", "NEW in a run for complete"),
        ("answered", f"refused ({CODE}: *** is not wanted)"),
        ("said", "ann edited Name: as she says"),
        ("detected", "NEW in a run for changes"),
        ("answered", "delivered"),
    ]
    assert explain(walk.site, "C0001", leg=HOUSEHOLDS).places[0].state == "in step"


def test_a_refused_delete_waits_for_the_next_complete_scan(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    walk.alter(HOUSEHOLDS, guards=Guards(max_deletes=None, max_rejected=None))
    walk.leg(HOUSEHOLDS)
    org.far.fault(action="row_error", object="Account", when={"field": "Id", "regex": "."}, times=1)
    shop.remove(1)
    assert walk.leg(HOUSEHOLDS, "complete").rejected == 1
    (refused,) = [place for place in explain(walk.site, "C0001").places if place.leg == HOUSEHOLDS]
    assert "offered again by the first complete scan after " in refused.state


def test_the_remote_job_a_record_travelled_in_is_named(walk: Walk, shop: Shop, org: Org) -> None:
    walk.alter(HOUSEHOLDS, target={"bulk_from": 1})
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    (message,) = walk.site.history.search(key="C0001", legs=[HOUSEHOLDS])
    assert message.job is not None
    assert message.job.startswith("750")
    assert ("sent", f"job {message.job}: JobComplete") in told(walk, "C0001", HOUSEHOLDS)


def test_what_waits_for_a_person_says_so_and_then_who_said_what(walk: Walk, shop: Shop, org: Org) -> None:
    walk.alter(HOUSEHOLDS, approval=Approval(rows="true"))
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    assert explain(walk.site, "C0001").places[0].state == "waits for a person's approval"
    assert [item.outcome for item in walk.site.history.search(key="C0001")] == ["held"]
    walk.site.ledger.answer_holds(HOUSEHOLDS, keys=["C0001"], status="refused", by="bob", reason="not yet")
    assert explain(walk.site, "C0001").places[0].state == "refused by bob, stays out"
    assert ("said", "bob refused it: not yet") in told(walk, "C0001")


def test_nothing_personal_is_told_and_machines_read_it_too(
    walk: Walk, shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    walk.alter(HOUSEHOLDS, guards=Guards(max_rejected=None))
    shop.customers(1)
    refuse(org)
    walk.leg(HOUSEHOLDS)
    error_desk.edit(walk.site, walk.mapping(HOUSEHOLDS), "C0001", {"Name": "Ada King"}, by="ann")
    found = explain(walk.site, "C0001")
    plain: dict[str, Any] = json.loads(json.dumps(found.as_json()))
    for shown in (text(found), json.dumps(plain)):
        assert "Lovelace" not in shown
        assert "Ada King" not in shown
    assert plain["places"][0]["reject"]["fingerprint"] == str(walk.rejects(HOUSEHOLDS)["C0001"].fingerprint)
    monkeypatch.setattr(steps, "site", lambda: walk.site)
    assert command_line.main(["explain", "C0001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == "C0001"
    assert command_line.main(["explain", HOUSEHOLDS, "C0001"]) == 0
    assert "refused" in capsys.readouterr().out
