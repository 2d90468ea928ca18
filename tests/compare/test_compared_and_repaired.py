"""Stories of drift at Salesforce: found by sums of marks, repaired by the leg's own complete scan."""

from __future__ import annotations

import pytest

from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.mapping import Guards, Limit
from compare.marking import PERSON, Town
from flows.walking import CONTACTS, HOUSEHOLDS


def test_two_sides_that_agree_have_no_differences_and_nothing_is_written(town: Town) -> None:
    before, stamps = town.walk.markers(HOUSEHOLDS), town.org.stamps()
    found = town.compare(repair=True)
    assert (found.compared, found.kinds, found.actions, found.unmarked) == (12, {}, {}, 0)
    assert town.walk.markers(HOUSEHOLDS) == before
    run = town.scan()
    assert (run.status, run.unchanged, run.sent) == ("green", 12, 0)
    assert town.org.stamps() == stamps


def test_a_deleted_record_is_found_and_comes_back(town: Town) -> None:
    before = town.values()
    town.delete(3)
    assert town.kinds(repair=True) == [("missing", "C0003", "send")]
    run = town.scan()
    assert (run.status, run.new, run.modified, run.deleted, run.created) == ("green", 1, 0, 0, 1)
    assert town.values() == before
    assert town.kinds() == []


def test_an_edited_record_is_found_and_put_right(town: Town) -> None:
    before = town.values()
    town.edit(4, Phone="112")
    assert town.kinds(repair=True) == [("edited", "C0004", "send")]
    run = town.scan()
    assert (run.new, run.modified, run.delivered) == (0, 1, 1)
    assert town.values() == before
    assert town.kinds(repair=True) == []


def test_an_edit_of_a_field_that_is_not_the_legs_is_nobodys_business(town: Town) -> None:
    town.edit(4, Description="met at the fair")
    assert town.kinds(repair=True) == []
    assert town.scan().sent == 0


def test_a_doubled_record_is_listed_and_stays_unless_the_leg_may_delete_it(town: Town) -> None:
    copied = town.copy(5)
    assert town.kinds(repair=True) == [("doubled", "C0005", "report")]
    assert town.scan().sent == 0
    town.marks(on_double="delete")
    kept = [row["Id"] for row in town.living() if row["Commerce_Id__c"] == "C0005" and row["Id"] != copied]
    assert town.kinds(repair=True) == [("doubled", "C0005", "delete")]
    run = town.scan()
    assert (run.status, run.deleted, run.delivered) == ("green", 1, 1)
    assert [row["Id"] for row in town.living() if row["Commerce_Id__c"] == "C0005"] == kept
    assert town.kinds() == []


def test_a_copy_without_the_external_id_is_known_by_its_mark(town: Town) -> None:
    town.marks(on_double="delete")
    town.copy(5, Commerce_Id__c=None, Name="Copy of a household")
    assert town.kinds(repair=True) == [("doubled", "C0005", "delete")]
    town.scan()
    assert len(town.living()) == 12


def test_a_second_record_that_an_import_made_without_marks_is_a_double_too(town: Town) -> None:
    town.copy(6, Sync_Mark__c=None, Sync_Bucket__c=None, Sync_Cell__c=None)
    assert town.kinds() == [("doubled", "C0006", "report")]


def test_a_resurrected_record_is_found_and_goes_again(town: Town) -> None:
    town.shop.remove(7)
    assert town.scan().deleted == 1
    town.undelete(7)
    assert town.kinds(repair=True) == [("resurrected", "C0007", "delete")]
    run = town.scan()
    assert (run.status, run.deleted, run.delivered) == ("green", 1, 1)
    assert "C0007" not in town.org.accounts
    assert town.kinds() == []


def test_a_resurrected_record_the_shop_has_again_by_the_scan_is_sent_and_kept(town: Town) -> None:
    town.shop.remove(7)
    town.scan()
    town.undelete(7)
    assert town.kinds(repair=True) == [("resurrected", "C0007", "delete")]
    town.shop.customers(7, name="Back Again")
    run = town.scan()
    assert (run.modified, run.deleted) == (1, 0)
    assert town.account(7)["Name"] == "Back Again (household)"


def test_a_record_somebody_made_again_under_the_same_id_is_taken_over(town: Town) -> None:
    before = town.values()
    old = town.account(8)
    town.delete(8)
    town.far.put("Account", [{"Commerce_Id__c": "C0008", "Name": "By hand", "LastModifiedById": PERSON}])
    assert town.kinds(repair=True) == [("replaced", "C0008", "send")]
    run = town.scan()
    assert (run.new, run.modified, run.created) == (0, 1, 0)
    assert town.values() == before
    assert town.walk.markers(HOUSEHOLDS)["C0008"]["target_id"] == town.account(8)["Id"] != old["Id"]


def test_a_mark_that_is_of_an_older_value_or_lost_is_stale(town: Town) -> None:
    before = town.values()
    town.far.patch("Account", town.account(1)["Id"], Sync_Mark__c=1, Phone="1")
    town.far.patch("Account", town.account(2)["Id"], Sync_Bucket__c=None)
    assert town.kinds(repair=True) == [("stale", "C0001", "send"), ("stale", "C0002", "send")]
    town.scan()
    assert town.values() == before
    assert town.kinds() == []


def test_a_look_changes_nothing_and_finds_the_same_again(town: Town) -> None:
    town.edit(4, Phone="112")
    town.delete(3)
    before = town.walk.markers(HOUSEHOLDS)
    wanted = [("edited", "C0004", "send"), ("missing", "C0003", "send")]
    assert town.kinds() == town.kinds() == wanted
    assert town.walk.markers(HOUSEHOLDS) == before
    assert town.scan().sent == 0


def test_what_waits_for_its_repair_is_not_found_twice(town: Town) -> None:
    town.marks(on_double="delete")
    town.edit(4, Phone="112")
    town.copy(5)
    assert len(town.kinds(repair=True)) == 2
    found = town.compare(repair=True)
    assert (found.kinds, found.waiting) == ({}, 1)
    assert (town.scan().delivered, len(town.living())) == (2, 12)


def test_the_run_of_a_comparison_balances_and_says_what_was_found(town: Town) -> None:
    town.edit(4, Phone="112")
    town.delete(3)
    found = town.compare(repair=True)
    run = town.walk.site.ledger.find_run(HOUSEHOLDS, found.run)
    assert run is not None
    assert (run.kind, run.status, run.balanced, run.extracted, run.unchanged, run.filtered) == (
        "compare", "green", True, 12, 10, 2,
    )  # fmt: skip
    assert run.message == "compared 12 records: 1 edited, 1 missing; the next complete scan: 2 to send"
    assert run.calls["salesforce"] == found.calls > 0


def test_an_edit_made_as_our_own_user_is_found_where_the_leg_asks_for_all(town: Town) -> None:
    town.compare(repair=True)
    us = town.account(1)["LastModifiedById"]
    town.edit(4, Phone="112", LastModifiedById=us)
    assert town.kinds() == []
    town.marks(edits="all")
    assert town.kinds(repair=True) == [("edited", "C0004", "send")]
    town.scan()
    assert town.kinds(repair=True) == []


@pytest.mark.parametrize(
    ("policy", "kind"),
    [({"on_missing": "report"}, "missing"), ({"on_edited": "report"}, "edited"),
     ({"on_resurrected": "report"}, "resurrected")],
)  # fmt: skip
def test_a_leg_may_only_list_what_differs(town: Town, policy: dict[str, str], kind: str) -> None:
    town.shop.remove(7)
    town.scan()
    town.marks(**policy)
    town.undelete(7)
    town.edit(4, Phone="112")
    town.delete(3)
    listed = {found: action for found, _key, action in town.kinds(repair=True)}
    assert listed == {"missing": "send", "edited": "send", "resurrected": "delete", kind: "report"}


def test_a_leg_that_switches_off_takes_the_marks_along(town: Town) -> None:
    town.marks(on_delete={"Commerce_Active__c": "false"})
    town.shop.remove(7)
    assert town.scan().deleted == 1
    gone = town.account(7)
    assert (gone["Commerce_Active__c"], gone["Sync_Mark__c"], gone["Sync_Bucket__c"]) == (False, None, None)
    found = town.compare(repair=True)
    assert (found.compared, found.kinds, found.unmarked) == (11, {}, 1)


def test_more_than_a_drift_stops_before_anything_is_marked(town: Town) -> None:
    guards = Guards(max_changes=Limit(absolute=2))
    town.walk.alter(HOUSEHOLDS, guards=guards)
    before = town.walk.markers(HOUSEHOLDS)
    for number in (1, 2, 3):
        town.delete(number)
    with pytest.raises(GuardError, match=r"3 of 12 records differ at salesforce \(3 missing\)"):
        town.compare(repair=True)
    assert town.walk.markers(HOUSEHOLDS) == before


def test_a_leg_without_marks_says_what_is_needed(town: Town) -> None:
    from commerce_sync import comparing

    with pytest.raises(ConfigurationError, match="leaves no marks at its target"):
        comparing.run(town.walk.site, town.walk.mapping(CONTACTS), targets=town.walk.target, run_id="c")


def test_marks_travel_by_bulk_as_well(town: Town) -> None:
    town.walk.alter(HOUSEHOLDS, target={"bulk_from": 1})
    town.shop.change(2, name="Grace Hopper")
    town.shop.customers(*range(20, 60))
    assert town.walk.leg(HOUSEHOLDS).delivered == 41
    found = town.compare()
    assert (found.compared, found.kinds) == (52, {})


def test_a_record_that_the_shop_deleted_meanwhile_does_not_come_back(town: Town) -> None:
    town.delete(3)
    town.shop.remove(3)
    assert town.kinds(repair=True) == [("missing", "C0003", "send")]
    assert town.scan().sent == 0
    assert "C0003" not in town.org.accounts


def test_what_was_rejected_is_known_to_differ(town: Town) -> None:
    town.far.fault(action="row_error", object="Account", code="FIELD_CUSTOM_VALIDATION_EXCEPTION", times=1)
    town.shop.change(4, name="Refused")
    assert town.walk.attempt(HOUSEHOLDS).rejected == 1
    town.edit(4, Phone="112")
    assert town.kinds(repair=True) == []
