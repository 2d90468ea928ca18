"""Contract 4.4: a person retries, dismisses or edits what did not arrive; every word is kept and none does harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import __main__ as command_line
from commerce_sync import binding, delivery, detection, editing, error_desk, flow, upkeep
from commerce_sync import leg as legs
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Approval, Guards
from contracts.two_sides import OUT, mappings
from flows.dying import in_a_process
from flows.walking import HOUSEHOLDS, Org, Shop, Walk

CODE = "FIELD_CUSTOM_VALIDATION_EXCEPTION"
KEY = "C0001"


def refuse(org: Org, field: str, regex: str) -> None:
    org.far.fault(action="row_error", object="Account", when={"field": field, "regex": regex}, times=None,
                  code=CODE, message=f"{field} is not wanted", fields=[field])  # fmt: skip


@pytest.fixture
def refused(walk: Walk, shop: Shop, org: Org) -> Walk:
    """Of two customers one is refused, because the org wants no account in Berlin that is C0001's."""
    walk.alter(HOUSEHOLDS, guards=Guards(max_rejected=None))
    shop.customers(1, 2)
    refuse(org, "BillingCity", "^Berlin$")
    org.far.clear_faults()
    org.far.fault(action="row_error", object="Account", when={"field": "Name", "regex": "Lovelace1"}, times=None,
                  code=CODE, message="this name is not wanted", fields=["Name"])  # fmt: skip
    walk.leg(HOUSEHOLDS)
    assert set(walk.rejects(HOUSEHOLDS)) == {KEY}
    return walk


def edit(walk: Walk, values: dict[str, Any], key: str = KEY) -> None:
    error_desk.edit(walk.site, walk.mapping(HOUSEHOLDS), key, values, by="ann", reason="the shop has it wrong")


def heard(walk: Walk, key: str = KEY) -> list[tuple[str, str | None]]:
    """What the history says of a record, oldest first."""
    return [(item.outcome, item.code) for item in reversed(walk.site.history.search(key=key))]


def later(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


def test_what_did_not_arrive_is_grouped_by_reason_over_all_legs(refused: Walk, org: Org, shop: Shop) -> None:
    refused.site.ledger.begin("other", "r", kind="changes")
    groups = error_desk.groups(refused.site)
    assert [(group.reason_class, group.code, group.rows, group.legs) for group in groups] == [
        ("validation", CODE, 1, {HOUSEHOLDS: 1})
    ]
    row = error_desk.row(refused.site, HOUSEHOLDS, KEY)
    assert row is not None
    assert row.payload is not None
    assert (row.payload["Name"], row.payload["BillingCity"]) == ("***", "Berlin")
    assert error_desk.row(refused.site, HOUSEHOLDS, "C0002") is None


def test_a_retried_row_is_offered_at_once(refused: Walk, org: Org) -> None:
    org.far.clear_faults()
    assert refused.leg(HOUSEHOLDS, "changes").sent == 0, "its pause is not over"
    assert error_desk.retry(refused.site, HOUSEHOLDS, [KEY, "C9999"], by="ann") == 1
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert set(org.accounts) == {KEY, "C0002"}
    assert heard(refused) == [("rejected", CODE), ("retried", CODE), ("delivered", None)]


def test_a_dismissed_row_stays_out_until_its_payload_changes(refused: Walk, shop: Shop, org: Org) -> None:
    org.far.clear_faults()
    assert error_desk.dismiss(refused.site, HOUSEHOLDS, [KEY], by="ann", reason="a test account") == 1
    for days in (1, 30):
        assert refused.leg(HOUSEHOLDS, "complete", now=later(days=days)).sent == 0
    assert set(org.accounts) == {"C0002"}
    (said,) = [item for item in refused.site.history.search(key=KEY) if item.outcome == "dismissed"]
    assert said.reason == "ann: a test account"
    shop.change(1, name="Grace Hopper")
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert set(org.accounts) == {KEY, "C0002"}
    assert refused.rejects(HOUSEHOLDS) == {}
    with pytest.raises(ConfigurationError, match="say why"):
        error_desk.dismiss(refused.site, HOUSEHOLDS, [KEY], by="ann", reason=" ")


def test_edited_values_arrive_once_and_a_later_change_of_the_source_goes_as_it_is(
    refused: Walk, shop: Shop, org: Org
) -> None:
    edit(refused, {"Name": "Ada King", "BillingPostalCode": None})
    run = refused.leg(HOUSEHOLDS, "changes")
    assert (run.status, run.sent, run.delivered, run.balanced) == ("green", 1, 1, True)
    account = org.accounts[KEY]
    assert (account["Name"], account["BillingPostalCode"], account["BillingCity"]) == ("Ada King", None, "Berlin")
    org.far.reset_calls()
    for mode in ("changes", "complete"):
        assert refused.leg(HOUSEHOLDS, mode).sent == 0
    assert org.writes() == 0
    org.far.clear_faults()
    shop.change(1, name="Ada Byron")
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    account = org.accounts[KEY]
    assert (account["Name"], account["BillingPostalCode"]) == ("Ada Byron (household)", "10115")
    assert heard(refused) == [("rejected", CODE), ("edited", CODE), ("delivered", None), ("delivered", None)]
    (said,) = refused.site.ledger.said(leg=HOUSEHOLDS)
    assert (said.answered_by, said.reason, said.status) == ("ann", "the shop has it wrong", "done")
    assert said.edited == {"Name": "***", "BillingPostalCode": None}, "personal values are not kept"


def test_when_the_source_changes_first_its_values_go_and_the_edit_is_dropped(
    refused: Walk, shop: Shop, org: Org
) -> None:
    edit(refused, {"Name": "Ada King"})
    shop.change(1, name="Grace Hopper")
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert org.accounts[KEY]["Name"] == "Grace Hopper (household)"
    assert heard(refused) == [("rejected", CODE), ("edited", CODE), ("delivered", None), ("dismissed", "EDIT_DROPPED")]
    (said,) = refused.site.ledger.said(leg=HOUSEHOLDS)
    assert (said.status, said.edited) == ("dropped", {"Name": "***"})
    assert refused.leg(HOUSEHOLDS, "complete").sent == 0


def test_an_edit_that_is_refused_again_is_kept_and_may_be_edited_again(refused: Walk, org: Org) -> None:
    edit(refused, {"Name": "Ada Lovelace1 King"})
    assert refused.leg(HOUSEHOLDS, "changes").rejected == 1
    assert refused.rejects(HOUSEHOLDS)[KEY].attempts == 1
    edit(refused, {"Name": "Ada King"})
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert org.accounts[KEY]["Name"] == "Ada King"
    assert [item.status for item in refused.site.ledger.said(leg=HOUSEHOLDS)] == ["dropped", "done"]


def test_a_dismissal_takes_an_edit_back(refused: Walk, org: Org) -> None:
    edit(refused, {"Name": "Ada King"})
    error_desk.dismiss(refused.site, HOUSEHOLDS, [KEY], by="bob", reason="not ours")
    assert refused.leg(HOUSEHOLDS, "complete", now=later(days=1)).sent == 0
    assert set(org.accounts) == {"C0002"}


@pytest.mark.parametrize(("values", "said"), [
    ({"Shoe_Size__c": "42"}, "no such field"),
    ({"Commerce_Id__c": "C0009"}, "knows the record by"),
    ({"Commerce_Active__c": "perhaps"}, "is BOOLEAN, and 'perhaps' is no value of it"),
    ({"Registered_At__c": "the day before"}, "is no value of it"),
    ({}, "no values"),
])  # fmt: skip
def test_an_edit_that_cannot_be_sent_is_refused_at_once(refused: Walk, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        edit(refused, values)
    assert refused.site.ledger.said(leg=HOUSEHOLDS) == []


def test_only_what_did_not_arrive_can_be_edited(refused: Walk) -> None:
    with pytest.raises(ConfigurationError, match="'C0002' is not among its rejects"):
        edit(refused, {"Name": "Ada King"}, key="C0002")


def test_an_edit_the_mapping_no_longer_takes_is_dropped_and_stops_nobody(refused: Walk, org: Org) -> None:
    refused.site.ledger.edit_reject(HOUSEHOLDS, key=KEY, values={"Gone__c": "x"}, by="ann")
    assert refused.leg(HOUSEHOLDS, "changes").rejected == 1
    assert [item.status for item in refused.site.ledger.said(leg=HOUSEHOLDS)] == ["dropped"]


def begun(walk: Walk, *, until: str) -> legs.LegRun:
    """A run that offers the refused row again and has come as far as a step."""
    work = walk.begin(HOUSEHOLDS, "changes")
    work = replace(work, now=later(minutes=6))
    legs.extract(work, flow.source_system)
    detection.map_changes(work)
    if until == "load":
        delivery.load(work, flow.target_system, wait_s=60)
    return work


@pytest.mark.parametrize("until", ["map_changes", "load"])
def test_what_is_said_while_a_run_is_under_way_holds_for_what_it_leaves(refused: Walk, org: Org, until: str) -> None:
    work = begun(refused, until=until)
    error_desk.dismiss(refused.site, HOUSEHOLDS, [KEY], by="ann", reason="not ours")
    if until == "map_changes":
        delivery.load(work, flow.target_system, wait_s=60)
    assert delivery.commit(work).rejected == 1
    assert refused.rejects(HOUSEHOLDS)[KEY].status == "dismissed"
    org.far.clear_faults()
    assert refused.leg(HOUSEHOLDS, "complete", now=later(days=1)).sent == 0


def test_an_edit_said_while_a_run_is_under_way_goes_with_the_next(refused: Walk, org: Org) -> None:
    work = begun(refused, until="load")
    edit(refused, {"Name": "Ada King"})
    assert delivery.commit(work).rejected == 1
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert org.accounts[KEY]["Name"] == "Ada King"


def test_an_edit_of_a_row_that_just_arrived_as_it_was_still_goes(refused: Walk, org: Org) -> None:
    org.far.clear_faults()
    work = begun(refused, until="load")
    edit(refused, {"Name": "Ada King"})
    assert delivery.commit(work).delivered == 1
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert org.accounts[KEY]["Name"] == "Ada King"
    assert [refused.leg(HOUSEHOLDS, mode).sent for mode in ("changes", "complete")] == [0, 0]


POINTS = ("map_changes, its changes written", "load, the data uploaded", "load, the results written",
          "commit, before the transaction", "commit, in the transaction", "commit, after the transaction")  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_brings_an_edit_home_all_the_same(
    refused: Walk, org: Org, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    edit(refused, {"Name": "Ada King"})
    environment = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")}
    assert in_a_process(str(tmp_path), environment, HOUSEHOLDS, "killed", ("walk",), point) == -9
    assert in_a_process(str(tmp_path), environment, HOUSEHOLDS, "killed", ("walk",), "") == 0
    assert org.accounts[KEY]["Name"] == "Ada King"
    assert (refused.rejects(HOUSEHOLDS), refused.markers(HOUSEHOLDS).keys()) == ({}, {KEY, "C0002"})
    assert [item.status for item in refused.site.ledger.said(leg=HOUSEHOLDS)] == ["done"]
    told = heard(refused)  # a try that died on the way to its commit had delivered as well
    assert list(dict.fromkeys(told)) == [("rejected", CODE), ("edited", CODE), ("delivered", None)]
    assert len(told) == 3 + (point in POINTS[3:5])
    assert refused.leg(HOUSEHOLDS, "complete").sent == 0


def test_what_was_said_reaches_the_history_when_the_process_that_heard_it_died(refused: Walk) -> None:
    refused.site.ledger.dismiss_rejects(HOUSEHOLDS, keys=[KEY], by="ann", reason="not ours")
    kept = upkeep.Kept(*(timedelta(days=30),) * 4)
    upkeep.sweep(refused.site, kept=kept, now=datetime.now(UTC))
    assert heard(refused) == [("rejected", CODE), ("dismissed", CODE)]
    upkeep.sweep(refused.site, kept=kept, now=datetime.now(UTC))
    assert heard(refused) == [("rejected", CODE), ("dismissed", CODE)]


def test_a_yes_to_the_old_values_is_none_to_the_edited_ones(refused: Walk, org: Org) -> None:
    refused.alter(HOUSEHOLDS, approval=Approval(rows=f"Commerce_Id__c = '{KEY}'"), guards=Guards(max_rejected=None))
    refused.leg(HOUSEHOLDS, "complete", now=later(days=1))
    assert refused.site.ledger.answer_holds(HOUSEHOLDS, keys=[KEY], status="approved", by="bob") == 1
    edit(refused, {"Name": "Ada King"})
    assert refused.leg(HOUSEHOLDS, "complete").sent == 0
    assert set(org.accounts) == {"C0002"}
    assert refused.site.ledger.answer_holds(HOUSEHOLDS, keys=[KEY], status="approved", by="bob") == 1
    assert refused.leg(HOUSEHOLDS, "complete").delivered == 1
    assert org.accounts[KEY]["Name"] == "Ada King"


def test_what_one_side_of_a_pair_owns_may_be_edited_and_what_is_shared_may_not(tmp_path: Path) -> None:
    mapping = mappings(tmp_path)[OUT]
    types = binding.field_types(mapping)
    with pytest.raises(ConfigurationError, match="both sides may edit it"):
        editing.refuse_illegal(mapping, types, {"phone": "2"})
    editing.refuse_illegal(mapping, types, {"name": "Ada King"})


def test_values_that_are_no_text_are_edited_by_their_text_or_as_they_are(refused: Walk, org: Org) -> None:
    with pytest.raises(ConfigurationError, match="'Commerce_Active__c' is BOOLEAN, and 'perhaps' is no value of it"):
        edit(refused, {"Commerce_Active__c": "perhaps"})
    edit(refused, {"Commerce_Active__c": "false"})
    assert org.accounts.get(KEY) is None
    org.far.clear_faults()
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert org.accounts[KEY]["Commerce_Active__c"] is False
    assert refused.leg(HOUSEHOLDS, "complete").sent == 0


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("TIMESTAMP", ["2026-02-28T12:00:00", "2026-02-28"], ["2026-02-30", "soon"]),
        ("DATE", ["2026-02-28"], ["28.2.2026", True]),
        ("DECIMAL(18,2)", ["12.50", 12.5, "-3"], ["12,50", "a dozen", "1" * 30]),
        ("BIGINT", ["7", 7], ["7 pieces", "9" * 30]),
        ("BOOLEAN", ["true", False], ["perhaps"]),
        ("VARCHAR[]", [["a", "b"], []], ["a"]),
    ],
)
def test_an_edit_is_checked_against_the_type_of_its_field(
    tmp_path: Path, kind: str, good: list[Any], bad: list[Any]
) -> None:
    mapping = mappings(tmp_path)[OUT]
    name = next(field for field, objection in editing.legal(mapping).items() if not objection)
    types = {**binding.field_types(mapping), name: kind}
    for value in good:
        editing.refuse_illegal(mapping, types, {name: value})
    for value in bad:
        with pytest.raises(ConfigurationError, match="is no value of it"):
            editing.refuse_illegal(mapping, types, {name: value})


def test_the_command_line_lists_retries_dismisses_and_edits(
    refused: Walk, org: Org, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from commerce_sync import steps

    monkeypatch.setattr(steps, "site", lambda: refused.site)

    def call(*words: str) -> int:
        return command_line.main(list(words))

    assert call("rejects") == 0
    assert f"{CODE}  1     {HOUSEHOLDS} 1" in capsys.readouterr().out
    assert call("rejects", HOUSEHOLDS) == 0
    assert "this name is not wanted" in capsys.readouterr().out
    assert call("retry", HOUSEHOLDS, "C9999") == 1
    assert call("dismiss", HOUSEHOLDS, KEY, "--by", "ann", "--reason", "not ours") == 0
    assert call("retry", HOUSEHOLDS, KEY, "--by", "ann") == 0
    assert call("edit", HOUSEHOLDS, KEY, "Shoe_Size__c=42", "--by", "ann") == 1
    assert "no such field" in capsys.readouterr().err
    assert call("edit", HOUSEHOLDS, KEY, "Name=Ada King", "Phone=", "--by", "ann") == 0
    assert refused.leg(HOUSEHOLDS, "changes").delivered == 1
    assert (org.accounts[KEY]["Name"], org.accounts[KEY]["Phone"]) == ("Ada King", None)
    assert call("explain", HOUSEHOLDS, KEY) == 0
    told = capsys.readouterr().out
    assert "in step" in told
    assert "ann edited Name, Phone" in told
    assert "Lovelace" not in told
    assert call("explain", "nobody") == 1
