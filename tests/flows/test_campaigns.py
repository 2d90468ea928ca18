"""S8, CRM to shop: campaigns, their members and offers become groups, memberships, rule and coupon data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.marketing import (
    CAMPAIGNS,
    COUPONS,
    GROUPS,
    MEMBERS,
    RULES,
    Marketing,
    assert_in_step,
    day,
)
from flows.walking import Org, Shop, Walk, uid


@pytest.fixture
def marketing(shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch) -> Marketing:
    return Marketing(shop, org, monkeypatch)


def members(*numbers: int) -> set[str]:
    return {uid(number) for number in numbers}


def walked(walk: Walk, *legs: str, mode: str = "auto", ahead: int = 0) -> None:
    """Legs of the flow (default: the one of the members), without an error; ``ahead`` days from now."""
    now = datetime.now(UTC) + timedelta(days=ahead) if ahead else None
    for leg in legs or (MEMBERS,):
        run = walk(CAMPAIGNS, mode, leg, now=now)[leg]
        assert (walk.errors, run.status) == ({}, "green")


def flowed(walk: Walk, mode: str = "auto") -> None:
    """The whole flow, without an error."""
    walk(CAMPAIGNS, mode)
    assert walk.errors == {}


def test_the_story_of_a_campaign(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1, 2, 3, 4)
    shop.far.put("UserGroup", [{"uid": "gold", "members": [uid(1)]}, {"uid": "campaign-x", "members": [uid(4)]}])
    marketing.campaign("campaign-x", 1, 2, Coupon_Code__c="TEN", Priority__c=7, Description="Ten percent")
    flowed(walk)
    assert marketing.of("campaign-x") == members(1, 2, 4), "who was put there by hand stays"
    group = shop.far.records("UserGroup", uid="campaign-x")[0]
    rule = shop.far.records("PromotionSourceRule", code="campaign-x")[0]
    coupon = shop.far.records("SingleCodeCoupon", couponId="TEN")[0]
    assert group["name"] == "Name of campaign-x"
    assert (rule["name"]["en"], rule["description"]["en"], rule["priority"]) == ("Name of campaign-x", "Ten percent", 7)
    assert rule["startDate"].startswith(f"{day(-5)}T00:00:00")
    assert coupon["endDate"].startswith(f"{day(5)}T23:59:59")
    assert (rule["status"], coupon["active"]) == (None, None), "publishing and activating are the shop's own job"
    assert_in_step(walk, marketing)

    marketing.join("campaign-x", 3)
    marketing.remove("CampaignMember", "campaign-x|C0001")
    walked(walk, mode="changes")
    assert marketing.of("campaign-x") == members(2, 3, 4), "a member comes, another one is removed"
    marketing.join("campaign-x", 3, since=-1)
    marketing.edit("Contact", "C0002", Commerce_Uid__c=uid(1))
    walked(walk, mode="changes")
    assert marketing.of("campaign-x") == members(1, 3, 4), "a customer's login was changed"
    marketing.edit("Campaign", "campaign-x", Status="Aborted")
    flowed(walk, "changes")
    assert marketing.of("campaign-x") == members(4)
    assert shop.far.records("UserGroup", uid="gold")[0]["members"] == [uid(1)]
    assert shop.far.records("SingleCodeCoupon", couponId="TEN")[0]["active"] is False
    assert len(shop.far.records("PromotionSourceRule", code="campaign-x")) == 1
    assert_in_step(walk, marketing)


def test_time_alone_starts_and_ends_campaigns_and_offers(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    acme = marketing.account("acme")
    marketing.people(1, 2, account=acme)
    marketing.campaign("campaign-now", 1, end=1)
    marketing.campaign("campaign-next", 2, start=1, end=3)
    marketing.campaign("campaign-idle", 1, 2, IsActive=False)
    marketing.offer("SAVE5", acme, Ends_On__c=day(2))
    walked(walk)
    expected = {"campaign-now": members(1), "offer-SAVE5": members(1, 2)}
    assert marketing.groups() == expected
    walked(walk, ahead=1)
    assert (marketing.of("campaign-now"), marketing.of("campaign-next")) == (members(1), members(2))
    walked(walk, mode="changes", ahead=2)
    assert (marketing.of("campaign-now"), marketing.of("offer-SAVE5")) == (set(), members(1, 2))
    walked(walk, mode="complete", ahead=9)
    assert set().union(*marketing.groups().values()) == set(), "also when everything ends in one complete scan"
    walked(walk, mode="complete", ahead=10)
    assert walk.runs(MEMBERS)[0].sent == 0


def test_only_who_agreed_is_put_into_a_group(walk: Walk, marketing: Marketing) -> None:
    walk.gated = False
    marketing.people(1, 2, 3, 4, 5)
    marketing.people(6, Consent_Email__c=False)
    marketing.people(7, HasOptedOutOfEmail=True)
    marketing.people(8, Commerce_Active__c=False)
    marketing.consent(2, withdrawn=-2)
    marketing.consent(3)
    marketing.consent(4, given=-90, withdrawn=-60)
    marketing.consent(4, given=-30, code="again")
    marketing.consent(6)
    marketing.campaign("campaign-x", 1, 2, 3, 4, 5, 6, 7, 8)
    walked(walk)
    assert marketing.of("campaign-x") == members(1, 3, 4, 5)
    marketing.edit("Contact", "C0001", Consent_Email__c=False)
    marketing.consent(3, withdrawn=0)
    marketing.edit("Contact", "C0006", Consent_Email__c=True)
    walked(walk, mode="changes")
    assert marketing.of("campaign-x") == members(4, 5, 6)
    marketing.edit("Contact", "C0002", Consent_Email__c=True)
    walked(walk, mode="changes")
    assert marketing.of("campaign-x") == members(4, 5, 6), "consent in Salesforce does not undo the shop's"


def test_the_priority_decides_between_campaigns_that_exclude_each_other(walk: Walk, marketing: Marketing) -> None:
    walk.gated = False
    marketing.people(1, 2, 3)
    marketing.campaign("campaign-low", 1, 2, Exclusive_Group__c="spring", Priority__c=1)
    marketing.campaign("campaign-high", 2, 3, Exclusive_Group__c="spring", Priority__c=9, end=1)
    marketing.campaign("campaign-free", 1, 2, 3)
    walked(walk)
    assert marketing.of("campaign-low") == members(1)
    assert marketing.of("campaign-high") == members(2, 3)
    assert marketing.of("campaign-free") == members(1, 2, 3)
    marketing.edit("Campaign", "campaign-low", Priority__c=10)
    walked(walk, mode="changes")
    assert (marketing.of("campaign-low"), marketing.of("campaign-high")) == (members(1, 2), members(3))
    marketing.edit("Campaign", "campaign-low", Priority__c=1)
    walked(walk, mode="changes")
    assert marketing.of("campaign-low") == members(1)
    walked(walk, ahead=2)
    assert marketing.of("campaign-low") == members(1, 2), "the other one is over"


def test_a_merged_or_deleted_person_leaves(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    walk.gated = False
    marketing.people(1, 2, 3)
    marketing.campaign("campaign-x", 1, 2, 3)
    marketing.campaign("campaign-y", start=-30, end=-20)
    walked(walk)
    lost = marketing.id("CampaignMember", "campaign-x|C0001")
    marketing.org.far.patch("CampaignMember", lost, ContactId=marketing.id("Contact", "C0002"))
    marketing.remove("Contact", "C0001")
    shop.remove(3)
    marketing.edit("Contact", "C0003", Commerce_Active__c=False)
    walked(walk, mode="changes")
    assert marketing.of("campaign-x") == members(2)
    marketing.remove("Campaign", "campaign-x")
    walked(walk, mode="changes")
    assert marketing.of("campaign-x") == set()
    walked(walk, mode="complete")
    assert walk.runs(MEMBERS)[0].sent == 0


def test_offers_of_an_account_are_for_its_people(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    walk.gated = False
    acme = marketing.account("acme")
    marketing.people(1, 2, account=acme)
    marketing.people(3)
    marketing.campaign("campaign-x", 3)
    marketing.offer("segment", acme, Kind__c="Segment", Campaign__c=marketing.id("Campaign", "campaign-x"))
    marketing.offer("WIDE", acme, Campaign__c=marketing.id("Campaign", "campaign-x"))
    walked(walk)
    assert marketing.groups() == {"campaign-x": members(1, 2, 3), "offer-WIDE": members(1, 2)}
    marketing.join("campaign-x", 1)
    marketing.edit("Account_Offer__c", "segment", Active__c=False)
    walked(walk, mode="changes")
    assert marketing.of("campaign-x") == members(1, 3), "one reason is enough"
    marketing.edit("Contact", "C0002", AccountId=None)
    marketing.edit("Campaign", "campaign-x", Status="Completed")
    walked(walk, mode="changes")
    assert set().union(*marketing.groups().values()) == set()


def test_what_is_not_right_with_a_campaign_stops_only_this_campaign(
    walk: Walk, shop: Shop, marketing: Marketing
) -> None:
    marketing.people(1)
    fine = {"campaign-a": {}, "campaign-b": {"start": 0, "end": 0}, "campaign-rtl": {"Name": "مبيعات 🎉"}}
    for code, values in fine.items():
        marketing.campaign(code, 1, **values)
    marketing.campaign("campaign-back", 1, start=5, end=-5, Coupon_Code__c="BACK")
    marketing.campaign("campaign-open", 1, EndDate=None, Coupon_Code__c="OPEN")
    marketing.campaign("campaign-far", 1, EndDate="2999-12-31")
    marketing.campaign("campaign-first", 1, Exclusive_Group__c="one")
    marketing.campaign("stolen", 1, Commerce_Group__c="admingroup")
    marketing.campaign("campaign-🎉", 1, Coupon_Code__c="🎉" * 60)
    marketing.campaign("unnamed", Commerce_Id__c=None, Commerce_Group__c="campaign-none")
    flowed(walk)
    assert set(walk.rejects(RULES)) == {"campaign-back", "campaign-open", "campaign-far", "campaign-first"}
    assert "start_is_before_end" in str(walk.rejects(RULES)["campaign-back"].reason)
    assert set(walk.rejects(COUPONS)) == {"BACK", "OPEN", "🎉" * 60}
    assert set(walk.rejects(GROUPS)) == {"admingroup", "campaign-🎉"}
    assert {code for code in fine if marketing.of(code) == members(1)} == set(fine)
    empty = ("campaign-back", "campaign-open", "campaign-far", "campaign-🎉")
    assert set().union(*(marketing.of(code) for code in empty)) == set()
    assert [row["members"] for row in shop.far.records("UserGroup", uid="admingroup")] in ([], [[]])
    assert walk.rejects(MEMBERS) == {}
    marketing.edit("Campaign", "campaign-back", StartDate=day(-5), EndDate=day(5))
    walked(walk, RULES, MEMBERS, mode="changes")
    assert marketing.of("campaign-back") == members(1)
    assert shop.far.records("PromotionSourceRule", code="campaign-back")[0]["endDate"].startswith(day(5))


def test_a_customer_the_shop_does_not_know_is_refused_and_the_others_arrive(
    walk: Walk, shop: Shop, marketing: Marketing
) -> None:
    marketing.people(1, 2)
    shop.remove(2)
    marketing.campaign("campaign-x", 1, 2)
    run = walk(CAMPAIGNS, leg=MEMBERS)[MEMBERS]
    assert (walk.errors, run.delivered, run.rejected) == ({}, 1, 1)
    assert walk.rejects(MEMBERS)["campaign-x|C0002"].code == "UnknownIdentifierError"
    assert marketing.of("campaign-x") == members(1)
    shop.customers(2)
    walked(walk, mode="replay")
    assert marketing.of("campaign-x") == members(1, 2)


def test_a_campaign_with_too_many_people_takes_nobody_in(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1, 2)
    marketing.campaign("campaign-x", 1)
    marketing.campaign("campaign-y", 2)
    walked(walk, GROUPS, MEMBERS)
    ids = {"CampaignId": marketing.id("Campaign", "campaign-x"), "CreatedDate": f"{day(-1)}T00:00:00.000Z"}
    crowd = [ids | {"ContactId": f"003{number:012d}AAA"} for number in range(5000)]
    marketing.org.far.put("CampaignMember", crowd)
    marketing.join("campaign-x", 2)
    walked(walk, GROUPS, MEMBERS, mode="changes")
    assert "audience_is_within_its_limit" in str(walk.rejects(GROUPS)["campaign-x"].reason)
    assert (marketing.of("campaign-x"), marketing.of("campaign-y")) == (members(1), members(2)), "nobody leaves"
    for person in crowd[-2:]:
        [row] = marketing.org.far.records("CampaignMember", ContactId=person["ContactId"])
        marketing.org.far.delete("CampaignMember", row["Id"])
    walked(walk, GROUPS, MEMBERS, mode="changes")
    assert walk.rejects(GROUPS) == {}
    assert marketing.of("campaign-x") == members(1, 2)


def test_groups_of_others_and_shared_groups_keep_their_people(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1, 2, 3)
    shop.far.put(
        "UserGroup", [{"uid": "campaign-old", "members": [uid(1), uid(2)]}, {"uid": "iot-1", "members": [uid(3)]}]
    )
    marketing.campaign("campaign-old", 1, start=-20, end=-10)
    marketing.campaign("one", 1, 2, Commerce_Group__c="campaign-both")
    marketing.campaign("two", 2, 3, Commerce_Group__c="campaign-both")
    walked(walk)
    assert marketing.of("campaign-old") == members(1, 2), "the flow never put anybody in, so it takes nobody out"
    assert marketing.of("campaign-both") == members(1, 2, 3)
    marketing.edit("Campaign", "two", Status="Completed")
    walked(walk, mode="changes")
    assert marketing.of("campaign-both") == members(1, 2)
    assert shop.far.records("UserGroup", uid="iot-1")[0]["members"] == [uid(3)]


def test_a_coupon_of_several_campaigns_spans_them(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1)
    marketing.campaign("campaign-a", 1, start=-9, end=-5, Coupon_Code__c="ONE")
    marketing.campaign("campaign-b", 1, start=2, end=4, Coupon_Code__c="ONE")
    walked(walk, COUPONS)
    coupon = shop.far.records("SingleCodeCoupon", couponId="ONE")[0]
    assert (coupon["startDate"][:10], coupon["endDate"][:10]) == (day(-9), day(4))
    assert coupon["name"]["en"] == "Name of campaign-b"
    marketing.edit("Campaign", "campaign-b", Coupon_Code__c="TWO")
    walked(walk, COUPONS, mode="changes")
    assert shop.far.records("SingleCodeCoupon", couponId="ONE")[0]["endDate"][:10] == day(-5)
    assert shop.far.records("SingleCodeCoupon", couponId="TWO")[0]["startDate"][:10] == day(2)
