"""Membership in customer groups as records: added many at a time, removed one by one, an outcome for every row."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.sap_commerce.members import joined, parted

FIELDS = (Field("group", ""), Field("member", ""))
STRINGS = {"group": "string", "member": "string", "_target_id": "string"}


def membership(**options: Any) -> Target:
    return Target(
        system="sap_commerce", conn_id="sap_occ", object="CustomerGroupMember", external_id="key",
        on_delete=options.pop("on_delete", "delete"), options={"style": "customer_group", "site": "shop", **options},
    )  # fmt: skip


def row(group: str | None, member: str | None, **values: Any) -> dict[str, Any]:
    return {"_key": f"{group}/{member}", "_kind": "NEW", "_target_id": None, "group": group, "member": member} | values


def gone(group: str, member: str) -> dict[str, Any]:
    return row(group, member) | {
        "_kind": "DELETED", "_target_id": joined(group, member), "group": None, "member": None,
    }  # fmt: skip


@pytest.fixture
def send(sap_commerce: Any, hook: Any, load: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load through a connection that may serve all users."""
    extra = {"auth": "oauth", "client_id": "trusted_client", "client_secret": "secret"}
    connection = {"conn_type": "commerce_sync_sap_commerce", "host": sap_commerce.url, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SAP_TEST", json.dumps(connection))
    sap_commerce.put("UserGroup", [{"uid": "gold"}, {"uid": "silver"}])
    sap_commerce.put("Customer", [{"uid": f"c{number}", "name": f"C {number}"} for number in range(30)])
    return lambda rows, target=None: load(target or membership(), FIELDS, rows, **STRINGS)


def members(sap_commerce: Any, group: str) -> set[str]:
    found = sap_commerce.records("UserGroup", uid=group)
    return set(found[0]["members"]) if found else set()


def test_members_come_and_go(sap_commerce, send):
    done, outcomes = send([row("gold", "c1"), row("gold", "c2"), row("silver", "c1")])
    assert (done.delivered, outcomes["gold/c1"]["target_id"]) == (3, "gold|c1")
    assert (members(sap_commerce, "gold"), members(sap_commerce, "silver")) == ({"c1", "c2"}, {"c1"})
    done, _ = send([gone("gold", "c1"), row("gold", "c3")])
    assert (done.delivered, members(sap_commerce, "gold")) == (2, {"c2", "c3"})


def test_members_that_others_put_there_stay(sap_commerce, send):
    sap_commerce.patch("UserGroup", "gold", members=["c9"])
    send([row("gold", "c1")])
    send([gone("gold", "c1")])
    assert members(sap_commerce, "gold") == {"c9"}


def test_sending_the_same_again_changes_nothing(sap_commerce, send):
    rows = [row("gold", "c1"), row("gold", "c2"), gone("silver", "c3")]
    for _ in range(2):
        done, _ = send(rows)
        assert done.delivered == 3
        assert (members(sap_commerce, "gold"), members(sap_commerce, "silver")) == ({"c1", "c2"}, set())


def test_many_members_go_by_few_calls(sap_commerce, send):
    sap_commerce.reset_calls()
    send([row("gold", f"c{number}") for number in range(30)], membership(members_per_call=10))
    patches = sum(count for route, count in sap_commerce.calls()["by_route"].items() if route.startswith("PATCH"))
    assert (len(members(sap_commerce, "gold")), patches) == (30, 3)


def test_an_unknown_user_is_refused_and_the_others_arrive(sap_commerce, send):
    done, outcomes = send([row("gold", name) for name in ("c1", "nobody", "c2", "no one")])
    assert (done.delivered, done.rejected) == (2, 2)
    bad = outcomes["gold/nobody"]
    assert (bad["code"], bad["reason_class"], bad["fields"]) == ("UnknownIdentifierError", "reference", "member")
    assert members(sap_commerce, "gold") == {"c1", "c2"}


def test_a_missing_group_is_made_when_the_mapping_says_so(sap_commerce, send):
    _, outcomes = send([row("bronze", "c1"), row("gold", "c1")])
    assert (outcomes["bronze/c1"]["reason_class"], outcomes["bronze/c1"]["fields"]) == ("reference", "group")
    assert outcomes["gold/c1"]["outcome"] == "delivered"
    assert members(sap_commerce, "bronze") == set()
    done, _ = send([row("bronze", "c1"), row("bronze", "c2")], membership(create_groups=True))
    assert (done.delivered, members(sap_commerce, "bronze")) == (2, {"c1", "c2"})


def test_a_group_whose_name_belongs_to_a_person_is_refused(sap_commerce, send):
    _, outcomes = send([row("c5", "c1")], membership(create_groups=True))
    assert (outcomes["c5/c1"]["outcome"], outcomes["c5/c1"]["fields"]) == ("rejected", "group")


def test_a_row_without_a_member_is_refused(sap_commerce, send):
    _, outcomes = send([row("gold", None), row("gold", "c1")])
    assert (outcomes["gold/None"]["code"], outcomes["gold/c1"]["outcome"]) == ("missing_key", "delivered")


def test_a_member_that_moves_leaves_the_old_group_after_it_is_in_the_new_one(sap_commerce, send):
    send([row("gold", "c1")])
    _, outcomes = send([row("silver", "c1", _kind="MODIFIED", _target_id="gold|c1")])
    assert (members(sap_commerce, "gold"), members(sap_commerce, "silver")) == (set(), {"c1"})
    assert next(iter(outcomes.values()))["target_id"] == "silver|c1"
    _, outcomes = send([row("nowhere", "c1", _kind="MODIFIED", _target_id="silver|c1")])
    assert next(iter(outcomes.values()))["outcome"] == "rejected"
    assert members(sap_commerce, "silver") == {"c1"}, "refused: it stays where it was"


def test_what_is_gone_already_or_unknown_counts_as_the_shop_has_it(sap_commerce, send):
    rows = [gone("gold", "nobody"), gone("nowhere", "c1"), gone("gold", "c1") | {"_key": "x", "_target_id": None}]
    _, outcomes = send(rows)
    assert [outcomes[key]["outcome"] for key in ("gold/nobody", "nowhere/c1")] == ["delivered"] * 2
    assert outcomes["x"]["code"] == "missing_target_id"


def test_deletes_may_be_ignored(sap_commerce, send):
    send([row("gold", "c1")])
    done, outcomes = send([gone("gold", "c1")], membership(on_delete="ignore"))
    assert (done.delivered, outcomes["gold/c1"]["code"], members(sap_commerce, "gold")) == (1, "ignored", {"c1"})


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_lost_answer_is_settled(sap_commerce, send, action):
    sap_commerce.fault(match={"method": "PATCH", "path": "customergroups"}, action=action, times=1)
    done, _ = send([row("gold", "c1"), row("gold", "c2")])
    assert (done.delivered, members(sap_commerce, "gold")) == (2, {"c1", "c2"})


def test_when_no_answer_comes_at_all_the_group_is_read_back(sap_commerce, send):
    sap_commerce.patch("UserGroup", "gold", members=["c1"])
    unavailable = {"action": "status", "status": 503, "headers": {"Retry-After": "0"}, "times": None}
    sap_commerce.fault(match={"method": "PATCH", "path": "customergroups/gold"}, **unavailable)
    done, outcomes = send([row("gold", "c1"), row("gold", "c2"), row("silver", "c2")])
    assert (done.delivered, done.unprocessed) == (2, 1)
    assert outcomes["gold/c1"]["outcome"] == "delivered", "it is there"
    assert outcomes["gold/c2"]["outcome"] == "unprocessed"


def test_a_shop_that_is_down_is_a_reason_to_try_later_and_the_next_run_makes_it_good(sap_commerce, send):
    unavailable = {"action": "status", "status": 503, "headers": {"Retry-After": "0"}, "times": None}
    sap_commerce.fault(match={"path": "customergroups"}, **unavailable)
    rows = [row("gold", "c1"), row("silver", "c2")]
    with pytest.raises(RetryableError):
        send(rows)
    sap_commerce.clear_faults()
    done, _ = send(rows)
    assert (done.delivered, members(sap_commerce, "gold"), members(sap_commerce, "silver")) == (2, {"c1"}, {"c2"})


def test_present_memberships_can_be_asked_for(sap_commerce, send, hook):
    sap_commerce.patch("UserGroup", "gold", members=["c1", "c2"])
    found = fresh(hook).current(membership(), FIELDS, ["gold|c1", "gold|c9", "none|c1"], types={})
    assert found.to_pylist() == [{"_target_key": "gold|c1", "group": "gold", "member": "c1"}]


def test_problems_are_told_before_anything_is_sent(sap_commerce, send, hook):
    asked = fresh(hook)
    assert asked.problems(membership(), FIELDS) == []
    (said,) = asked.problems(membership(), (Field("groups", ""),))
    assert "has the fields group, member" in said
    (said,) = asked.problems(membership(site="nowhere"), FIELDS)
    assert "nowhere" in said
    without = replace(membership(), options={"style": "customer_group"})
    assert "no 'site'" in asked.problems(without, FIELDS)[0]


def test_a_client_that_may_not_serve_all_users_is_a_configuration_fault(sap_commerce, send, load, monkeypatch):
    extra = {"auth": "oauth", "client_id": "storefront_client", "client_secret": "secret"}
    connection = {"conn_type": "commerce_sync_sap_commerce", "host": sap_commerce.url, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SAP_TEST", json.dumps(connection))
    with pytest.raises(ConfigurationError, match="403"):
        send([row("gold", "c1")])


def test_ids_with_strange_letters_come_back_whole():
    for pair in (("a|b", "c%7C"), ("ä b", "x@y.z")):
        assert parted(joined(*pair)) == pair


def fresh(hook: Any) -> Any:
    return type(hook)("sap_test")
