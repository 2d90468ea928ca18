"""Contract 4.7: values that both sides may edit settle on the owner's word, and nothing is lost unseen."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from commerce_sync import agreement, delivery, detection, mapping_file
from commerce_sync import leg as legs
from commerce_sync.errors import BalanceError, ConfigurationError, GuardError
from commerce_sync.mapping import Guards, Limit
from contracts.two_sides import BACK, CRM, OUT, SHOP, Two, mappings


@pytest.fixture(scope="session")
def declared(tmp_path_factory):
    return mappings(tmp_path_factory.mktemp("mappings"))


KNOWN = {"name": "Ada", "phone": "1", "email": "a"}


@pytest.fixture(scope="session")
def acquainted(tmp_path_factory, declared) -> Path:
    """The stores of a pair that has met and agreed on p, and on a person for each case below."""
    folder = tmp_path_factory.mktemp("acquainted")
    two = Two(folder, declared)
    for key in ("p", *EDITED):
        two.shop.edit(key, **KNOWN)
    two.settle()
    assert two.crm.people["p"] == {"code": "p", **KNOWN, "tier": None, "active": True}
    assert two.conflicts() == []
    return folder


@pytest.fixture
def two(tmp_path: Path, acquainted, declared) -> Two:
    """Both sides know p and agree."""
    shutil.copytree(acquainted, tmp_path, dirs_exist_ok=True)
    both = Two(tmp_path, declared)
    for side, key in itertools.product((both.shop, both.crm), ("p", *EDITED)):
        side.edit(key, **KNOWN)
        side.stamps[key] -= timedelta(days=1)
    return both


def edit(two: Two, name: str, shop: str | None, crm: str | None, *, key: str = "p") -> None:
    two.shop.edit(key, **{name: shop})
    two.crm.edit(key, **{name: crm})


# phone belongs to the shop, email to the CRM; "1" and "a" were agreed on.
# field, shop's value, CRM's value -> the value both end with, what was lost and where
EDITED = {
    "neither": ("phone", "1", "1", "1", None),
    "the owner": ("phone", "2", "1", "2", None),
    "the other": ("phone", "1", "2", "2", None),
    "both alike": ("phone", "2", "2", "2", None),
    "both, the shop owns": ("phone", "2", "3", "2", ("3", CRM)),
    "both, the CRM owns": ("email", "b", "c", "c", ("b", SHOP)),
    "the shop alone": ("email", "b", "a", "b", None),
    "the CRM alone": ("email", "a", "c", "c", None),
    "cleared by the owner": ("phone", None, "1", None, None),
    "cleared by the other": ("phone", "1", None, None, None),
    "cleared by the owner, edited": ("phone", None, "2", None, ("2", CRM)),
    "edited by the owner, cleared": ("phone", "2", None, "2", (None, CRM)),
    "cleared by the other, edited": ("email", None, "c", "c", (None, SHOP)),
    "cleared by both": ("email", None, "", "", None),
}


@pytest.mark.parametrize("first", [OUT, BACK])
def test_after_any_edit_both_sides_agree_by_the_declared_policy(two, first):
    for key, (name, shop, crm, _after, _lost) in EDITED.items():
        edit(two, name, shop, crm, key=key)
    two.run(first)
    two.settle()
    for key, (name, _shop, _crm, after, lost) in EDITED.items():
        assert {value or "" for value in two.values(key, name)} == {after or ""}, key
        assert [(item.lost, item.losing) for item in two.conflicts(key)] == ([] if lost is None else [lost]), key


def test_an_edit_takes_one_write_and_no_echo(two):
    for key, (name, shop, crm, _after, _lost) in EDITED.items():
        edit(two, name, shop, crm, key=key)
    two.settle()
    written = [row["_key"] for row in two.shop.writes + two.crm.writes]
    silent = {"neither", "both alike", "cleared by both"}
    assert sorted(written) == sorted(set(EDITED) - silent)


def test_a_value_that_did_not_change_here_is_not_sent_with_one_that_did(two):
    two.crm.edit("p", email="from the CRM")
    two.shop.edit("p", name="Ada Lovelace", phone="2")
    two.run(OUT)
    assert two.crm.people["p"] | {"tier": None} == {
        "code": "p", "name": "Ada Lovelace", "tier": None, "phone": "2", "email": "from the CRM", "active": True,
    }  # fmt: skip
    two.settle()
    assert two.shop.value("p", "email") == "from the CRM"


def test_a_value_only_one_side_owns_never_comes_back(two):
    two.crm.edit("p", tier="gold")
    two.settle()
    assert two.shop.value("p", "tier") == "gold"
    assert two.shop.value("p", "name") == "Ada"


def test_the_same_edit_on_both_sides_is_agreed_on_without_a_write(two):
    edit(two, "phone", "2", "2")
    before = two.written()
    run = two.run(OUT)
    assert (run.status, run.delivered, two.written()) == ("green", 1, before)
    assert two.run(BACK).sent == 0


MET = {
    "alike": ("phone", "1", "1", "1", []),
    "only the owner": ("phone", "1", None, "1", []),
    "only the other": ("phone", None, "2", "2", []),
    "both, the shop owns": ("phone", "1", "2", "1", ["2"]),
    "both, the CRM owns": ("email", "a", "b", "b", ["a"]),
    "none": ("email", None, None, None, []),
}


@pytest.mark.parametrize("first", [OUT, BACK])
def test_records_that_meet_for_the_first_time_lose_nothing_unseen(tmp_path, declared, first):
    two = Two(tmp_path, declared)
    for key, (name, shop, crm, _after, _lost) in MET.items():
        edit(two, name, shop, crm, key=key)
    two.run(first)
    two.settle()
    for key, (name, _shop, _crm, after, lost) in MET.items():
        assert two.values(key, name) == (after, after), key
        assert [item.lost for item in two.conflicts(key)] == lost, key


def test_an_empty_text_and_none_are_the_same_to_both_sides(two):
    edit(two, "phone", "", None)
    before = two.written()
    two.settle()
    assert two.written() == before


def test_a_conflict_met_by_both_legs_is_listed_once_and_counted(two):
    edit(two, "phone", "2", "3")
    two.run(BACK)  # the CRM does not own it: left alone, listed
    assert two.values("p", "phone") == ("2", "3")
    two.run(OUT)
    (conflict,) = two.conflicts()
    assert (conflict.key, conflict.field, conflict.owner, conflict.losing) == ("p", "telephone", SHOP, CRM)
    assert (conflict.kept, conflict.lost, conflict.seen) == ("2", "3", 2)


def test_a_record_deleted_by_hand_at_the_target_comes_back_whole(two):
    del two.crm.people["p"]
    two.shop.edit("p", name="Ada again")
    two.run(OUT)
    assert two.crm.people["p"]["phone"] == "1"


def test_a_refused_record_agrees_on_nothing(two):
    two.crm.refuses.add("p")
    two.shop.edit("p", phone="2")
    assert two.run(OUT).rejected == 1
    assert two.rejects(OUT)["p"].code == "NO"  # and not the field of that name
    two.crm.refuses.clear()
    two.run(OUT, mode="replay")
    assert two.values("p", "phone") == ("2", "2")
    two.settle()


def test_a_payload_altered_between_steps_is_noticed_in_shared_fields_too(two, monkeypatch):
    two.shop.edit("p", phone="2")
    name = two.begin(OUT)
    detection.map_changes(two.resume(OUT, name))
    real = delivery._passed

    def altered(leg, con):
        rows, origin = real(leg, con)
        return f"SELECT * REPLACE ('9' AS phone) FROM ({rows})", origin

    monkeypatch.setattr(delivery, "_passed", altered)
    with pytest.raises(BalanceError, match="payload of p changed"):
        two.load(OUT, name)
    assert two.crm.value("p", "phone") == "1"


# Runs of both legs at the same time


def test_an_edit_that_arrives_while_a_run_is_at_work_is_seen_before_sending(two):
    two.shop.edit("p", phone="2")
    name = two.begin(OUT)
    two.crm.edit("p", phone="3")
    two.finish(OUT, name)
    assert [item.lost for item in two.conflicts()] == ["3"]
    two.settle()
    assert two.values("p", "phone") == ("2", "2")


def test_what_was_read_before_the_other_leg_settled_does_not_undo_its_work(two):
    two.shop.edit("p", name="Ada Lovelace")
    name = two.begin(OUT)  # has read phone "1"
    two.crm.edit("p", phone="2")
    two.run(BACK)
    run = two.finish(OUT, name)
    assert (run.unprocessed, run.status) == (1, "green")
    assert two.values("p", "phone") == ("2", "2")
    two.settle()
    assert two.values("p", "phone") == ("2", "2")
    assert two.crm.value("p", "name") == "Ada Lovelace"
    assert two.conflicts() == []


def test_legs_that_settle_the_same_value_at_once_compare_again(two):
    two.shop.edit("p", phone="2")
    out = two.begin(OUT)
    two.crm.edit("p", phone="3")
    back = two.begin(BACK)
    for leg, name in ((OUT, out), (BACK, back)):
        detection.map_changes(two.resume(leg, name))
    two.load(OUT, out)
    two.load(BACK, back)
    for leg, name in ((BACK, back), (OUT, out)):
        delivery.commit(two.resume(leg, name))
    two.settle()
    assert two.values("p", "phone") == ("2", "2")
    assert [item.lost for item in two.conflicts()] == ["3"]


def test_two_legs_that_give_a_value_different_types_are_refused_by_name(two, tmp_path):
    path = tmp_path / "crm_to_shop.yaml"
    text = Path(two.mappings[BACK].path).read_text()
    path.write_text(text.replace("{value: phone,", "{value: phone::BIGINT,"))
    two.mappings[BACK] = mapping_file.load(path)
    two.crm.edit("p", phone="2")
    with pytest.raises(ConfigurationError, match=r"'telephone' is BIGINT here and VARCHAR in leg shop_to_crm"):
        two.run(BACK)


# Killed


def test_a_run_killed_after_sending_still_lists_what_it_replaced(two):
    edit(two, "phone", "2", "3")
    name = two.begin(OUT)
    detection.map_changes(two.resume(OUT, name))
    two.load(OUT, name)  # killed here
    assert two.crm.value("p", "phone") == "2"
    two.load(OUT, name)
    delivery.commit(two.resume(OUT, name))
    assert [(item.lost, item.seen) for item in two.conflicts()] == [("3", 1)]
    two.settle()


def test_a_killed_run_that_is_given_up_loses_no_value_unseen(two):
    edit(two, "phone", "2", "3")
    name = two.begin(OUT)
    detection.map_changes(two.resume(OUT, name))
    two.load(OUT, name)  # killed here, and never taken up
    legs.release(two.site, OUT, name, message="killed")
    two.settle()
    assert two.values("p", "phone") == ("2", "2")
    assert [item.lost for item in two.conflicts()] == ["3"]


# Fights


def fighting(two: Two, key: str = "p", *, turns: int = 2) -> None:
    """Each side has an automation that rewrites what it is given."""
    two.shop.edit("q", name="Bob", phone="5")
    two.cycle()
    for leg in (OUT, BACK):
        two.alter(leg, options={"max_turns": turns})
    two.crm.automation = lambda person: person.update(phone="crm way") if person["code"] == key else None
    two.shop.automation = lambda person: person.update(phone="shop way") if person["code"] == key else None
    two.shop.edit(key, phone="2")


def test_two_automations_that_fight_are_stopped_and_the_others_go_on(two):
    fighting(two)
    for _ in range(3):
        two.cycle()
    before = two.written()
    parked = {**two.rejects(OUT), **two.rejects(BACK)}
    assert list(parked) == ["p"]
    assert (parked["p"].status, parked["p"].code, parked["p"].reason_class) == ("parked", "loop", "validation")
    assert "phone goes back and forth" in parked["p"].reason
    assert "shop way" in parked["p"].reason
    assert "crm way" in parked["p"].reason
    two.shop.edit("q", phone="6")
    assert two.cycle() == 1
    assert two.crm.value("q", "phone") == "6"
    two.cycle()
    assert two.written() == before + 1


def test_a_parked_fight_goes_on_when_a_person_says_so(two):
    fighting(two)
    for _ in range(3):
        two.cycle()
    two.shop.automation = two.crm.automation = None
    leg = OUT if two.rejects(OUT) else BACK
    two.site.ledger.retry_rejects(leg, keys=["p"])
    two.settle()
    assert len(set(two.values("p", "phone"))) == 1
    assert two.rejects(OUT) == two.rejects(BACK) == {}


def test_a_parked_fight_is_over_when_both_sides_have_the_same(two):
    fighting(two)
    for _ in range(3):
        two.cycle()
    two.shop.automation = two.crm.automation = None
    edit(two, "phone", "peace", "peace")
    two.settle()
    assert two.rejects(OUT) == two.rejects(BACK) == {}
    assert two.values("p", "phone") == ("peace", "peace")


def test_the_number_of_turns_is_the_legs_to_choose(two):
    fighting(two, turns=1)
    before = two.written()
    for _ in range(3):
        two.cycle()
    assert two.written() - before == 2


def test_slow_turns_are_no_fight(two, monkeypatch):
    monkeypatch.setattr(agreement, "WINDOW", "INTERVAL 1 MILLISECOND")
    for number, (side, leg) in enumerate([(two.shop, OUT), (two.crm, BACK)] * 5):
        side.edit("p", phone=f"edit {number}")
        two.run(leg)
    assert two.values("p", "phone") == ("edit 9", "edit 9")
    assert two.rejects(OUT) == two.rejects(BACK) == {}


# Records that leave


def test_a_record_that_no_longer_belongs_is_taken_back_in_a_run_of_changes(two):
    two.shop.edit("q", name="Bob")
    two.settle()
    two.shop.edit("p", active=False)
    run = two.run(OUT, "changes")
    assert (run.status, run.deleted, run.delivered, run.filtered) == ("green", 1, 1, 0)
    assert "p" not in two.crm.people
    assert "q" in two.crm.people
    assert two.run(OUT, "complete").deleted == 0


def test_a_record_that_was_never_delivered_is_only_filtered(two):
    two.shop.edit("q", name="Bob", active=False)
    run = two.run(OUT)
    assert (run.deleted, run.filtered) == (0, 1)
    assert "q" not in two.crm.people


def test_a_record_that_comes_back_is_new(two):
    two.shop.edit("p", active=False)
    two.run(OUT)
    two.shop.edit("p", active=True, phone="7")
    assert two.run(OUT).new == 1
    assert two.crm.value("p", "phone") == "7"


def test_a_refused_taking_back_is_carried_to_the_next_run(two):
    two.crm.refuses.add("p")
    two.shop.edit("p", active=False)
    assert two.run(OUT, "changes").rejected == 1
    two.shop.edit("q", name="Bob")
    assert two.run(OUT, "changes").filtered == 1  # waits for its next attempt
    two.crm.refuses.clear()
    assert two.run(OUT, "replay").deleted == 1
    assert "p" not in two.crm.people
    assert two.rejects(OUT) == {}


def test_too_many_records_that_leave_stop_the_run(two):
    two.mappings[OUT] = replace(two.mappings[OUT], guards=Guards(max_deletes=Limit(absolute=0)))
    two.shop.edit("p", active=False)
    with pytest.raises(GuardError, match="max_deletes"):
        two.run(OUT)
    assert "p" in two.crm.people


def test_everybody_may_leave_at_once_where_the_guard_allows_it(two):
    for key in two.shop.people:
        two.shop.edit(key, active=False)
    assert two.run(OUT, "complete").deleted == len(two.shop.people)
    assert two.crm.people == {}
