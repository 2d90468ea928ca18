"""Contract 4.9: what a leg wants approved is not sent before a person said yes to that very payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from commerce_sync import approval, delivery, detection, flow
from commerce_sync import leg as legs
from commerce_sync import walk as walks
from commerce_sync.approval import Answer, Question
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.ledger import Run
from commerce_sync.mapping import Approval, Guards, Limit
from commerce_sync.window import Request
from flows.walking import HOUSEHOLDS, Org, Shop, Walk

RULE = "Commerce_Id__c >= 'C0003'"


class Person:
    """Answers every question alike, and remembers what was asked."""

    def __init__(self, approved: bool, by: str | None = "ann") -> None:
        self.answer = Answer(approved, by, "looked at it" if by else None)
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.answer


@pytest.fixture
def held(walk: Walk) -> Callable[..., Run]:
    """Walk the households with rows to approve; ``person`` answers, or nobody does."""
    walk.alter(HOUSEHOLDS, approval=Approval(rows=RULE))

    def go(person: Person | None = None, mode: str = "auto", **request: Any) -> Run:
        return walks.leg(
            walk.site, walk.mapping(HOUSEHOLDS), walk.next_id(), request=Request(mode=mode, **request),
            sources=flow.source_system, targets=flow.target_system, approve=person,
        )  # fmt: skip

    return go


def holds(walk: Walk) -> dict[str, tuple[str, str | None]]:
    return {item.key: (item.status, item.answered_by) for item in walk.site.ledger.holds(HOUSEHOLDS)}


def test_without_an_answer_held_rows_stay_and_the_others_go(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1, 2, 3, 4)
    run = held()
    assert (run.status, run.sent, run.delivered, run.quarantined, run.balanced) == ("green", 2, 2, 2, True)
    assert set(org.accounts) == {"C0001", "C0002"}
    assert {key: item.code for key, item in walk.rejects(HOUSEHOLDS).items()} == {"C0003": "held", "C0004": "held"}
    assert holds(walk) == {"C0003": ("waiting", None), "C0004": ("waiting", None)}
    again = held(mode="changes")
    assert (again.sent, again.quarantined) == (0, 2), "a later run looks at them and still does not send them"


def test_a_yes_sends_them_in_the_same_run(held: Callable[..., Run], walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2, 3, 4)
    person = Person(approved=True)
    run = held(person)
    assert (run.sent, run.delivered, run.quarantined) == (4, 4, 0)
    assert len(org.accounts) == 4
    assert holds(walk) == {"C0003": ("approved", "ann"), "C0004": ("approved", "ann")}
    assert [question.held for question in person.asked] == [{"NEW": 2}]
    assert walk.rejects(HOUSEHOLDS) == {}
    org.far.reset_calls()
    assert held(person, mode="complete").sent == 0
    assert (org.writes(), len(person.asked)) == (0, 1)


def test_a_no_keeps_them_set_aside_and_is_not_asked_again(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1, 3)
    person = Person(approved=False)
    assert (held(person).status, set(org.accounts)) == ("green", {"C0001"})
    assert holds(walk) == {"C0003": ("refused", "ann")}
    assert "refused" in walk.rejects(HOUSEHOLDS)["C0003"].reason
    held(person, mode="changes")
    assert len(person.asked) == 1
    shop.change(3, name="Grace Hopper")
    person.answer = Answer(True, "bob")
    assert held(person, mode="changes").delivered == 1, "another payload is another question"
    assert org.accounts["C0003"]["Name"] == "Grace Hopper (household)"
    assert holds(walk) == {"C0003": ("approved", "bob")}


def test_silence_counts_as_no_and_says_so(held: Callable[..., Run], walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(3)
    held(Person(approved=False, by=None))
    (hold,) = walk.site.ledger.holds(HOUSEHOLDS)
    assert (hold.status, hold.answered_by, hold.reason) == ("refused", "nobody", "no answer in time")
    assert org.accounts == {}


def test_a_later_yes_lets_the_next_run_send_that_payload_only(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1, 3, 4)
    held()
    assert walk.site.ledger.answer_holds(HOUSEHOLDS, keys=["C0003", "C0004"], status="approved", by="ann") == 2
    shop.change(4, name="Somebody Else")
    run = held(mode="changes")
    assert (run.delivered, run.quarantined) == (1, 1)
    assert set(org.accounts) == {"C0001", "C0003"}
    assert holds(walk) == {"C0003": ("approved", "ann"), "C0004": ("waiting", None)}


def test_a_question_whose_record_changed_away_is_forgotten(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1, 2)
    held()
    walk.alter(HOUSEHOLDS, approval=Approval(rows="BillingCity = 'Rome'"))
    shop.change(2, address={"town": "Rome"})
    held(mode="changes")
    assert holds(walk) == {"C0002": ("waiting", None)}
    shop.change(2, address={"town": "Paris"})
    held(mode="changes")
    assert (holds(walk), org.accounts["C0002"]["BillingCity"]) == ({}, "Paris")


def test_a_delete_has_no_values_and_can_be_held_by_that(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    walk.alter(HOUSEHOLDS, approval=Approval(rows="Commerce_Id__c IS NULL"), target={"on_delete": "delete"})
    shop.customers(1, 2)
    held()
    shop.remove(2)
    person = Person(approved=False)
    assert held(person, mode="complete").quarantined == 1
    assert (person.asked[0].held, set(org.accounts)) == ({"DELETED": 1}, {"C0001", "C0002"})
    walk.site.ledger.answer_holds(HOUSEHOLDS, keys=["C0002"], status="approved", by="ann")
    assert held(mode="complete").deleted == 1
    assert set(org.accounts) == {"C0001"}


# A whole run


def limited(walk: Walk, most: int, **guards: Any) -> None:
    walk.alter(HOUSEHOLDS, approval=Approval(changes=Limit(absolute=most)), guards=Guards(**guards))


def test_more_changes_than_the_limit_hold_the_run_instead_of_breaching_the_guard(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    limited(walk, 2, max_changes=Limit(absolute=2))
    shop.customers(1, 2, 3)
    with pytest.raises(GuardError, match="nobody approved it"):
        held()
    assert (org.accounts, org.writes(), walk.runs(HOUSEHOLDS)[0].status) == ({}, 0, "stopped")
    person = Person(approved=True)
    assert held(person).delivered == 3
    assert (person.asked[0].whole, person.asked[0].held) == (True, {"NEW": 3})
    shop.change(1, name="Grace Hopper")
    assert held(mode="changes").delivered == 1, "below the limit nobody is asked"


def test_a_refused_run_sends_nothing_and_stays_refused_until_its_changes_differ(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    limited(walk, 2)
    shop.customers(1, 2, 3)
    person = Person(approved=False)
    with pytest.raises(GuardError, match="nobody approved it"):
        held(person)
    with pytest.raises(GuardError, match="refused before"):
        held(person)
    assert (len(person.asked), org.writes()) == (1, 0)
    shop.customers(4)
    person.answer = Answer(True, "ann")
    assert held(person).delivered == 4


def test_a_run_can_be_approved_afterwards(held: Callable[..., Run], walk: Walk, shop: Shop, org: Org) -> None:
    limited(walk, 2)
    shop.customers(1, 2, 3)
    with pytest.raises(GuardError, match=r"python -m commerce_sync approve households_to_accounts '\*'"):
        held()
    walk.site.ledger.answer_holds(HOUSEHOLDS, keys=[approval.WHOLE], status="approved", by="ann")
    assert held().delivered == 3
    assert len(org.accounts) == 3


def test_nothing_of_a_held_run_is_loaded_by_going_round_the_question(walk: Walk, shop: Shop, org: Org) -> None:
    limited(walk, 1)
    shop.customers(1, 2)
    work = walk.begin(HOUSEHOLDS)
    legs.extract(work, flow.source_system)
    detection.map_changes(work)
    delivery.check(work)
    assert approval.hold(work).waits
    with pytest.raises(GuardError, match="nobody approved it"):
        approval.refuse_unapproved(work)


# Killed, late, private


def test_a_question_answered_twice_or_after_a_kill_ends_the_same(walk: Walk, shop: Shop, org: Org) -> None:
    walk.alter(HOUSEHOLDS, approval=Approval(rows=RULE))
    shop.customers(1, 3)
    work = walk.begin(HOUSEHOLDS)
    legs.extract(work, flow.source_system)
    detection.map_changes(work)
    delivery.check(work)
    approval.hold(work)
    walk.site.batches.remove(walk.site.batches.address(HOUSEHOLDS, work.id, "check"))  # killed while it wrote
    question = approval.question(work)
    for _ in range(2):
        approval.settle(work, question, Answer(True, "ann"))
    delivery.load(work, flow.target_system, wait_s=5)
    assert (delivery.commit(work).delivered, set(org.accounts)) == (2, {"C0001", "C0003"})


def test_an_answer_cannot_change_what_a_run_has_begun_to_send(walk: Walk, shop: Shop, org: Org) -> None:
    walk.alter(HOUSEHOLDS, approval=Approval(rows=RULE), target={"bulk_from": 1})
    shop.customers(1, 3)
    work = walk.begin(HOUSEHOLDS)
    legs.extract(work, flow.source_system)
    detection.map_changes(work)
    delivery.check(work)
    question = approval.hold(work)
    delivery.load(work, flow.target_system, wait_s=30)
    with pytest.raises(ConfigurationError, match="has begun to send"):
        approval.settle(work, question, Answer(True, "ann"))
    assert delivery.commit(work).delivered == 1
    assert set(org.accounts) == {"C0001"}


def test_the_question_shows_counts_reasons_and_examples_but_nothing_personal(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1, *range(3, 12))
    person = Person(approved=False)
    held(person)
    text = approval.markdown(person.asked[0])
    assert "9 of 10 changes" in text
    assert RULE in text
    assert "| NEW | 9 |" in text
    assert "C0003" in text
    assert "Berlin" in text
    assert len(person.asked[0].examples) == approval.EXAMPLES
    assert not [word for word in ("Lovelace", "people.example", "1234567", "Mill Lane") if word in text]
    assert not [word for word in ("Lovelace", "1234567") if word in str(walk.site.ledger.holds(HOUSEHOLDS))]


# Only a portion of the changes


def test_a_run_for_keys_sends_these_only_and_forgets_nothing(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    walk.alter(HOUSEHOLDS, approval=None)
    shop.customers(1, 2, 3)
    run = held(keys=("C0002",))
    assert (run.kind, run.delivered, run.extracted, run.carried, run.balanced) == ("backfill", 1, 1, 0, True)
    assert (set(org.accounts), walk.site.ledger.state(HOUSEHOLDS).high_water) == ({"C0002"}, None)
    assert held().new == 2
    known = walk.site.ledger.state(HOUSEHOLDS).high_water
    shop.remove(1)
    shop.change(3, name="Grace Hopper")
    assert held(keys=("C0001", "C0003"), mode="complete").deleted == 0, "a key that was not found is not gone"
    assert org.accounts["C0003"]["Name"] == "Grace Hopper (household)"
    assert walk.site.ledger.state(HOUSEHOLDS).high_water == known


def test_a_run_for_keys_leaves_refused_records_of_others_as_they_are(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    walk.alter(HOUSEHOLDS, approval=None, guards=Guards(max_rejected=None))
    shop.customers(1, 2)
    org.far.fault(action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": "C0001"}, times=None)
    held()
    before = walk.rejects(HOUSEHOLDS)["C0001"]
    org.far.clear_faults()
    walk.site.ledger.retry_rejects(HOUSEHOLDS)
    shop.change(2, name="Grace Hopper")
    run = held(keys=("C0002",))
    assert (run.delivered, run.waiting, set(org.accounts)) == (1, 1, {"C0002"})
    assert walk.rejects(HOUSEHOLDS)["C0001"].reason == before.reason
    assert held(mode="replay").delivered == 1, "its record was carried on"
    assert set(org.accounts) == {"C0001", "C0002"}


def test_a_limited_run_sends_the_first_and_the_next_ones_send_the_rest(
    held: Callable[..., Run], walk: Walk, shop: Shop, org: Org
) -> None:
    walk.alter(HOUSEHOLDS, approval=None, guards=Guards(max_changes=Limit(absolute=2)))
    shop.customers(1, 2, 3, 4, 5)
    run = held(limit=2)
    assert (run.delivered, run.waiting, run.new, run.balanced) == (2, 3, 2, True)
    assert set(org.accounts) == {"C0001", "C0002"}
    assert held(mode="changes", limit=2).delivered == 2
    assert held(mode="changes").delivered == 1
    assert len(org.accounts) == 5
    org.far.reset_calls()
    assert held(mode="complete").sent == 0
    assert org.writes() == 0
