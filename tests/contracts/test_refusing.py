"""Contract 4.4: a row the target refuses is named, retried with growing pauses, parked in the end, never forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from commerce_sync.errors import GuardError
from commerce_sync.mapping import Guards, Limit
from flows.walking import HOUSEHOLDS, Org, Shop, Walk

REASON = "refused: account of Ada Lovelace1 (household) has no owner"


def refuse(org: Org, regex: str, **values: object) -> None:
    org.far.fault(
        action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": regex}, times=None,
        **({"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": REASON, "fields": ["Phone"]} | values),
    )  # fmt: skip


def unguarded(walk: Walk) -> None:
    walk.alter(HOUSEHOLDS, guards=Guards(max_rejected=None))


def later(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


def test_thirty_of_a_thousand_refused_rows_are_named_and_the_run_is_green(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(1000))
    refuse(org, r"^C00[0-2]\d$")
    run = walk.leg(HOUSEHOLDS)
    assert (run.status, run.sent, run.delivered, run.rejected) == ("green", 1000, 970, 30)
    assert len(org.accounts) == 970
    rejects = walk.rejects(HOUSEHOLDS)
    assert set(rejects) == {f"C{number:04d}" for number in range(30)}
    one = rejects["C0001"]
    assert (one.status, one.attempts) == ("rejected", 1)
    assert (one.code, one.reason_class, one.fields) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "validation", "Phone")
    assert one.reason == "refused: account of *** has no owner", "personal values are masked in reasons, too"
    assert one.payload is not None
    assert (one.payload["Name"], one.payload["Phone"], one.payload["BillingStreet"]) == ("***", "***", "***")
    assert (one.payload["BillingCity"], one.payload["Commerce_Id__c"]) == ("Berlin", "C0001")
    walk.alter(HOUSEHOLDS, guards=Guards(max_rejected=Limit(share=0.02)))
    red = walk.attempt(HOUSEHOLDS, now=later(minutes=6))
    assert isinstance(walk.error, GuardError)
    assert "30 rejected" in str(walk.error)
    assert "validation/FIELD_CUSTOM_VALIDATION_EXCEPTION" in str(walk.error)
    assert (red.status, red.settled, red.rejected) == ("red", True, 30)


def test_one_bad_row_does_not_turn_a_small_run_red(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    refuse(org, r"^C0001$")
    run = walk.leg(HOUSEHOLDS)
    assert (run.status, run.delivered, run.rejected) == ("green", 1, 1)
    assert set(walk.rejects(HOUSEHOLDS)) == {"C0001"}


def test_a_run_above_its_limit_is_red_and_keeps_what_arrived(walk: Walk, shop: Shop, org: Org) -> None:
    walk.alter(HOUSEHOLDS, guards=Guards(max_rejected=Limit(share=0.10)))
    shop.customers(*range(10))
    refuse(org, r"^C000[0-2]$")
    run = walk.attempt(HOUSEHOLDS)
    assert isinstance(walk.error, GuardError)
    assert (run.status, run.delivered, run.rejected) == ("red", 7, 3)
    assert len(org.accounts) == len(walk.markers(HOUSEHOLDS)) == 7
    org.far.clear_faults()
    again = walk.leg(HOUSEHOLDS, "replay")
    assert (again.status, again.delivered) == ("green", 3)
    assert (len(org.accounts), walk.rejects(HOUSEHOLDS)) == (10, {})


def test_a_refused_row_is_offered_again_after_pauses_that_double_until_it_is_parked(
    walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1, 2)
    unguarded(walk)
    refuse(org, "C0001")
    walk.leg(HOUSEHOLDS)
    minutes = 0.0
    for attempts, pause in ((2, 5), (3, 10), (4, 20), (5, 40)):
        early = walk.leg(HOUSEHOLDS, "changes", now=later(minutes=minutes + pause - 1))
        assert (early.sent, early.waiting) == (0, 1), f"not before {pause} minutes"
        minutes += pause + 1
        assert walk.leg(HOUSEHOLDS, "changes", now=later(minutes=minutes)).rejected == 1
        assert walk.rejects(HOUSEHOLDS)["C0001"].attempts == attempts
    assert walk.rejects(HOUSEHOLDS)["C0001"].status == "parked"
    org.far.clear_faults()
    assert walk.leg(HOUSEHOLDS, "changes", now=later(days=2)).sent == 0, "parked rows wait for a person"
    assert walk.site.ledger.retry_rejects(HOUSEHOLDS, keys=["C0001"]) == 1
    assert walk.leg(HOUSEHOLDS, "changes").delivered == 1
    assert (set(org.accounts), walk.rejects(HOUSEHOLDS)) == ({"C0001", "C0002"}, {})


def test_another_payload_is_offered_at_once_with_fresh_attempts(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    unguarded(walk)
    refuse(org, "C0001")
    walk.leg(HOUSEHOLDS)
    walk.leg(HOUSEHOLDS, "changes", now=later(minutes=6))
    assert walk.rejects(HOUSEHOLDS)["C0001"].attempts == 2
    shop.change(1, name="Grace Hopper")
    assert walk.leg(HOUSEHOLDS, "changes").rejected == 1
    assert walk.rejects(HOUSEHOLDS)["C0001"].attempts == 1
    org.far.clear_faults()
    shop.change(1, name="Mary Somerville")
    assert walk.leg(HOUSEHOLDS, "changes").delivered == 1
    assert org.accounts["C0001"]["Name"] == "Mary Somerville (household)"
    assert walk.rejects(HOUSEHOLDS) == {}


def test_a_refused_row_comes_again_although_the_source_was_not_asked_for_it(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    shop.tick(3600)
    shop.customers(2)
    unguarded(walk)
    refuse(org, "C0001")
    walk.leg(HOUSEHOLDS)
    org.far.clear_faults()
    run = walk.leg(HOUSEHOLDS, "changes", now=later(minutes=6))
    assert (run.read, run.carried, run.delivered) == (1, 1, 1)
    assert set(org.accounts) == {"C0001", "C0002"}


def test_a_dismissed_row_stays_away_until_it_changes(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    unguarded(walk)
    refuse(org, "C0001")
    walk.leg(HOUSEHOLDS)
    org.far.clear_faults()
    walk.site.ledger.dismiss_rejects(HOUSEHOLDS, keys=["C0001"])
    for mode in ("changes", "complete"):
        assert walk.leg(HOUSEHOLDS, mode, now=later(days=1)).sent == 0
    shop.change(1, name="Grace Hopper")
    assert walk.leg(HOUSEHOLDS, "changes").delivered == 1
    assert walk.rejects(HOUSEHOLDS) == {}


def test_a_row_that_went_back_to_what_the_target_has_is_no_longer_refused(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    unguarded(walk)
    walk.leg(HOUSEHOLDS)
    refuse(org, "C0001")
    shop.change(1, name="Grace Hopper")
    assert walk.leg(HOUSEHOLDS, "changes").rejected == 1
    shop.change(1, name="Ada Lovelace1")
    assert walk.leg(HOUSEHOLDS, "changes").sent == 0
    assert walk.rejects(HOUSEHOLDS) == {}


def test_a_refused_delete_is_retried_by_the_next_complete_scan_that_is_due(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    unguarded(walk)
    walk.leg(HOUSEHOLDS)
    org.far.fault(action="row_error", object="Account", when={"field": "Id", "regex": "."}, times=1)
    shop.remove(1)
    assert walk.leg(HOUSEHOLDS, "complete").rejected == 1
    assert walk.leg(HOUSEHOLDS, "complete").waiting == 1
    assert walk.leg(HOUSEHOLDS, "changes").sent == 0
    assert "C0001" in walk.rejects(HOUSEHOLDS), "a delta run does not forget it"
    assert walk.leg(HOUSEHOLDS, "complete", now=later(minutes=6)).deleted == 1
    assert org.accounts["C0001"]["Commerce_Active__c"] is False
    assert walk.rejects(HOUSEHOLDS) == {}


def test_rows_a_broken_job_never_came_to_keep_their_attempts(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(10))
    walk.alter(HOUSEHOLDS, target={"bulk_from": 1, "options": {"redrives": 0}}, guards=Guards(max_rejected=None))
    org.far.fault(action="job_failed", after_rows=4)
    run = walk.leg(HOUSEHOLDS)
    assert (run.delivered, run.unprocessed) == (4, 6)
    assert {item.attempts for item in walk.rejects(HOUSEHOLDS).values()} == {0}
    assert walk.leg(HOUSEHOLDS, "changes").delivered == 6, "they are offered at once"
    assert len(org.accounts) == 10


def test_both_protocols_say_the_same_of_a_refused_row(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    refuse(org, "C0001")
    seen = []
    for bulk_from in (1, 2000):
        walk.alter(HOUSEHOLDS, target={"bulk_from": bulk_from}, guards=Guards(max_rejected=None))
        shop.change(1, name="Ada Lovelace1", loginDisabled=bulk_from == 1)
        assert walk.leg(HOUSEHOLDS, "complete").rejected == 1
        one = walk.rejects(HOUSEHOLDS)["C0001"]
        seen.append((one.code, one.reason_class, one.reason, one.fields))
    assert org.jobs() == 1
    assert seen[0] == seen[1]
