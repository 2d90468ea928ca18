"""Plan and apply: what would be done to each field is shown, and only that is done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from commerce_sync import approval, plan_rows
from commerce_sync.applying import TARGET_CHANGED
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.mapping import Approval, Guards, Limit
from flows.walking import CONTACTS, HOUSEHOLDS, Org, Shop, Walk


def planned(walk: Walk, leg: str, **options: Any) -> dict[str, Any]:
    """The rows of a fresh plan by key, with the values they really have."""
    run = walk.leg(leg, "plan", **options)
    return {row.key: row for row in plan_rows.rows(walk.site.batches, leg, run.run, masked=False)}


def plan_of(walk: Walk, leg: str) -> Any:
    return plan_rows.load(walk.site.batches, leg, walk.runs(leg)[0].run)


def said(row: Any, field: str) -> tuple[str, str | None, str | None]:
    return next(line[1:] for line in row.lines if line[0] == field)


def apply(walk: Walk, leg: str, plan: str) -> Any:
    return walk.attempt(leg, "auto", plan=plan)


@pytest.fixture
def delivered(walk: Walk, shop: Shop, org: Org) -> None:
    """Three households that are accounts."""
    walk.gated = False
    shop.customers(1, 2, 3)
    walk.leg(HOUSEHOLDS)


def test_a_plan_shows_each_field_before_and_after(walk: Walk, shop: Shop, org: Org, delivered: None) -> None:
    shop.customers(4)
    shop.change(2, name="Grace Hopper")
    org.far.reset_calls()
    rows = planned(walk, HOUSEHOLDS)
    assert {key: row.effect for key, row in rows.items()} == {"C0002": "change", "C0004": "create"}
    assert said(rows["C0002"], "Name") == ("set", "Ada Lovelace2 (household)", "Grace Hopper (household)")
    assert said(rows["C0002"], "BillingCity") == ("same", "Berlin", "Berlin")
    assert said(rows["C0004"], "Name") == ("set", None, "Ada Lovelace4 (household)")
    assert org.writes() == 0
    assert "C0004" not in org.accounts


def test_personal_values_are_masked_where_a_plan_is_shown(walk: Walk, shop: Shop, delivered: None) -> None:
    shop.customers(7)
    walk.leg(HOUSEHOLDS)
    walk.leg(CONTACTS, "plan")
    shown = plan_rows.rows(walk.site.batches, CONTACTS, walk.runs(CONTACTS)[0].run)
    row = next(row for row in shown if row.key == "C0007")
    assert said(row, "Email") == ("set", None, "***")
    assert said(row, "MailingCity") == ("set", None, "Berlin")


def test_a_record_somebody_made_at_the_target_is_a_change_and_not_a_create(
    walk: Walk, shop: Shop, org: Org, delivered: None
) -> None:
    shop.customers(5)
    org.far.put("Account", [{"Name": "made by hand", "Commerce_Id__c": "C0005"}])
    row = planned(walk, HOUSEHOLDS)["C0005"]
    assert (row.effect, row.kind) == ("change", "NEW")
    assert said(row, "Name") == ("set", "made by hand", "Ada Lovelace5 (household)")


def test_a_change_the_target_already_has_is_without_effect(walk: Walk, shop: Shop, org: Org, delivered: None) -> None:
    shop.change(1, name="Grace Hopper")
    org.far.patch("Account", org.accounts["C0001"]["Id"], Name="Grace Hopper (household)")
    assert planned(walk, HOUSEHOLDS)["C0001"].effect == "none"
    assert plan_of(walk, HOUSEHOLDS).effects["none"] == 1


def test_what_an_earlier_leg_of_the_plan_creates_is_no_missing_parent(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    shop.customers(1)
    alone = planned(walk, CONTACTS)["C0001"]
    assert (alone.code, alone.reason_class) == ("INVALID_FIELD", "reference")
    assert "Foreign key external ID: C0001 not found" in alone.reason
    planned(walk, HOUSEHOLDS, run_id="both")
    assert planned(walk, CONTACTS, run_id="both")["C0001"].code is None


def test_apply_sends_the_planned_changes_and_nothing_else(walk: Walk, shop: Shop, org: Org, delivered: None) -> None:
    shop.change(2, name="Grace Hopper")
    plan = walk.leg(HOUSEHOLDS, "plan").run
    shop.change(3, name="Alan Turing")
    run = apply(walk, HOUSEHOLDS, plan)
    assert walk.error is None
    assert (run.status, run.sent, run.delivered, run.waiting, run.balanced) == ("green", 1, 1, 1, True)
    assert org.accounts["C0002"]["Name"] == "Grace Hopper (household)"
    assert org.accounts["C0003"]["Name"] == "Ada Lovelace3 (household)"
    assert walk.leg(HOUSEHOLDS).delivered == 1, "what was not planned waited for the next run"
    assert org.accounts["C0003"]["Name"] == "Alan Turing (household)"
    assert walk.leg(HOUSEHOLDS).sent == 0


def test_a_record_whose_source_changed_since_is_not_sent(walk: Walk, shop: Shop, org: Org, delivered: None) -> None:
    shop.change(2, name="Grace Hopper")
    shop.change(3, name="Alan Turing")
    plan = walk.leg(HOUSEHOLDS, "plan").run
    shop.change(2, name="Grace Murray Hopper")
    run = apply(walk, HOUSEHOLDS, plan)
    assert (run.sent, run.delivered, run.waiting) == (1, 1, 1)
    assert org.accounts["C0002"]["Name"] == "Ada Lovelace2 (household)"
    walk.leg(HOUSEHOLDS)
    assert org.accounts["C0002"]["Name"] == "Grace Murray Hopper (household)"


def test_a_record_whose_target_changed_since_is_refused_and_offered_again(
    walk: Walk, shop: Shop, org: Org, delivered: None
) -> None:
    shop.change(2, name="Grace Hopper")
    shop.change(3, name="Alan Turing")
    plan = walk.leg(HOUSEHOLDS, "plan").run
    org.far.patch("Account", org.accounts["C0002"]["Id"], Name="by hand")
    run = apply(walk, HOUSEHOLDS, plan)
    assert (run.status, run.sent, run.delivered, run.unprocessed) == ("green", 2, 1, 1)
    assert org.accounts["C0002"]["Name"] == "by hand"
    reject = walk.rejects(HOUSEHOLDS)["C0002"]
    assert (reject.code, reject.reason_class, reject.fields) == (TARGET_CHANGED, "transient", "Name")
    assert walk.leg(HOUSEHOLDS).delivered == 1
    assert org.accounts["C0002"]["Name"] == "Grace Hopper (household)"
    assert walk.rejects(HOUSEHOLDS) == {}


def test_a_field_the_plan_does_not_touch_may_change_meanwhile(
    walk: Walk, shop: Shop, org: Org, delivered: None
) -> None:
    shop.change(2, name="Grace Hopper")
    plan = walk.leg(HOUSEHOLDS, "plan").run
    org.far.patch("Account", org.accounts["C0002"]["Id"], Website="https://example.org", BillingCity="Hamburg")
    assert apply(walk, HOUSEHOLDS, plan).delivered == 1


def test_a_record_that_appeared_at_the_target_since_is_not_overwritten(
    walk: Walk, shop: Shop, org: Org, delivered: None
) -> None:
    shop.customers(4, 5)
    plan = walk.leg(HOUSEHOLDS, "plan").run
    org.far.put("Account", [{"Name": "made by hand", "Commerce_Id__c": "C0004"}])
    run = apply(walk, HOUSEHOLDS, plan)
    assert (run.delivered, run.unprocessed) == (1, 1)
    assert org.accounts["C0004"]["Name"] == "made by hand"


def test_a_plan_is_applied_once(walk: Walk, shop: Shop, org: Org, delivered: None) -> None:
    shop.change(2, name="Grace Hopper")
    plan = walk.leg(HOUSEHOLDS, "plan").run
    assert apply(walk, HOUSEHOLDS, plan).delivered == 1
    assert apply(walk, HOUSEHOLDS, plan).sent == 0


def test_a_run_that_is_no_plan_cannot_be_applied(walk: Walk, shop: Shop, delivered: None) -> None:
    with pytest.raises(ConfigurationError, match=r"has no plan 'run-1'; its latest are: none, make one with mode plan"):
        walk.leg(HOUSEHOLDS, plan="run-1")
    with pytest.raises(ConfigurationError, match="leave mode, since, until, keys and limit as they are"):
        walk.leg(HOUSEHOLDS, plan="run-1", limit=3)


def test_a_guard_that_a_run_would_breach_is_told_by_the_plan(walk: Walk, shop: Shop, delivered: None) -> None:
    walk.alter(HOUSEHOLDS, guards=Guards(max_changes=Limit(absolute=1)))
    shop.customers(4, 5)
    run = walk.leg(HOUSEHOLDS, "plan")
    assert "guard max_changes allows (1)" in plan_of(walk, HOUSEHOLDS).stops[0]
    assert "it would stop" in run.message
    assert isinstance(walk.attempt(HOUSEHOLDS, plan=run.run) and walk.error, GuardError)


def test_a_plan_above_the_limit_needs_a_persons_yes_when_it_is_applied(
    walk: Walk, shop: Shop, org: Org, delivered: None
) -> None:
    limit = Approval(changes=Limit(absolute=1), timeout=timedelta(hours=1))
    walk.alter(HOUSEHOLDS, approval=limit, guards=Guards(max_changes=Limit(absolute=1)))
    shop.customers(4, 5)
    plan = walk.leg(HOUSEHOLDS, "plan").run
    apply(walk, HOUSEHOLDS, plan)
    assert isinstance(walk.error, GuardError)
    assert "C0004" not in org.accounts
    walk.site.ledger.answer_holds(HOUSEHOLDS, keys=[approval.WHOLE], status="approved", by="Ada", reason=None)
    run = apply(walk, HOUSEHOLDS, plan)
    assert (walk.error, run.status, run.delivered) == (None, "green", 2)


def test_rows_that_need_a_persons_yes_are_counted_in_the_plan_and_held_when_it_is_applied(
    walk: Walk, shop: Shop, org: Org, delivered: None
) -> None:
    walk.alter(HOUSEHOLDS, approval=Approval(rows="Name LIKE 'Grace%'", timeout=timedelta(hours=1)))
    shop.change(2, name="Grace Hopper")
    shop.change(3, name="Alan Turing")
    plan = walk.leg(HOUSEHOLDS, "plan").run
    assert plan_of(walk, HOUSEHOLDS).held == 1
    run = apply(walk, HOUSEHOLDS, plan)
    assert (run.delivered, run.quarantined) == (1, 1)
    assert org.accounts["C0002"]["Name"] == "Ada Lovelace2 (household)"


def test_all_lines_of_a_plan_go_into_a_file(walk: Walk, shop: Shop, delivered: None, tmp_path: Any) -> None:
    shop.customers(4)
    plan = walk.leg(HOUSEHOLDS, "plan").run
    path = tmp_path / "plan.csv"
    assert plan_rows.write_file(walk.site.batches, [(HOUSEHOLDS, plan)], path) == 9
    assert "C0004,create,Name,set,,***,," in path.read_text()
    with pytest.raises(ConfigurationError, match=r"written as \.csv or \.parquet"):
        plan_rows.write_file(walk.site.batches, [(HOUSEHOLDS, plan)], tmp_path / "plan.xlsx")
