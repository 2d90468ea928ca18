"""Campaigns in the org and what becomes of them in the shop, in a few words, for the stories of S8."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems.inbox.taking import take
from flows.walking import Org, Row, Shop, Walk, uid

CAMPAIGNS = "salesforce_campaigns"
GROUPS, RULES, COUPONS = "campaigns_to_groups", "campaigns_to_promotions", "campaigns_to_coupons"
MEMBERS, DAYS, TOTALS = "campaign_members_to_groups", "campaign_performance_by_day", "campaign_performance_totals"
WRITTEN = {"Campaign", "Campaign_Performance__c"}


def today() -> date:
    return datetime.now(UTC).date()


def day(ahead: int) -> str:
    """ISO date so many days from today."""
    return (today() + timedelta(days=ahead)).isoformat()


def trusted(shop: Shop) -> str:
    """The connection sap_commerce_occ to the simulator."""
    far = shop.far
    extra = {"auth": "oauth", "client_id": far.occ_client_id, "client_secret": far.occ_client_secret}
    return json.dumps({"conn_type": "commerce_sync_sap_commerce", "host": far.url, "extra": extra})


class Marketing:
    """What people do in Salesforce, and what the shop holds of it."""

    def __init__(self, shop: Shop, org: Org, patch: pytest.MonkeyPatch) -> None:
        self.shop, self.org = shop, org
        patch.setenv("AIRFLOW_CONN_SAP_COMMERCE_OCC", trusted(shop))
        org.far.clock(advance_s=-30)  # a run leaves the present second to the next one
        # A leg that reads both systems goes by one high water: what changes in the shop changes about now.
        shop.moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=4)

    # In Salesforce

    def people(self, *numbers: int, account: str | None = None, **values: Any) -> None:
        """Customers of the shop and their contacts, with consent."""
        self.shop.customers(*numbers)
        rows = [{"Commerce_Id__c": f"C{number:04d}", "Commerce_Uid__c": uid(number), "LastName": f"L{number}",
                 "Commerce_Active__c": True, "Consent_Email__c": True, "AccountId": account} | values
                for number in numbers]  # fmt: skip
        self.org.far.put("Contact", rows)

    def account(self, code: str) -> str:
        self.org.far.put("Account", [{"Name": code, "Commerce_Id__c": code}])
        return self.id("Account", code)

    def campaign(self, code: str, *members: int, start: int = -5, end: int = 5, **values: Any) -> None:
        """A running campaign with members."""
        row = {"Commerce_Id__c": code, "Commerce_Group__c": code, "Name": f"Name of {code}", "Status": "In Progress",
               "IsActive": True, "StartDate": day(start), "EndDate": day(end)}  # fmt: skip
        self.org.far.put("Campaign", [row | values])
        self.join(code, *members)

    def join(self, code: str, *numbers: int, since: int = -5) -> None:
        rows = [{"Commerce_Id__c": f"{code}|C{number:04d}", "CampaignId": self.id("Campaign", code),
                 "ContactId": self.id("Contact", f"C{number:04d}"), "CreatedDate": f"{day(since)}T08:00:00.000Z"}
                for number in numbers]  # fmt: skip
        if rows:
            self.org.far.put("CampaignMember", rows)

    def offer(self, code: str, account: str, **values: Any) -> None:
        row = {"Commerce_Id__c": code, "Account__c": account, "Offer_Code__c": code, "Kind__c": "Coupon",
               "Starts_On__c": day(-3), "Ends_On__c": day(3), "Active__c": True}  # fmt: skip
        self.org.far.put("Account_Offer__c", [row | values])

    def edit(self, kind: str, code: str, **values: Any) -> None:
        self.org.far.patch(kind, self.id(kind, code), **values)

    def remove(self, kind: str, code: str) -> None:
        self.org.far.delete(kind, self.id(kind, code))

    def id(self, kind: str, code: str) -> str:
        return str(self.org.far.records(kind, Commerce_Id__c=code)[0]["Id"])

    # In the shop

    def consent(self, number: int, *, given: int = -90, withdrawn: int | None = None, code: str = "c") -> None:
        """The shop's own record of a customer's word on marketing; days ago as negative numbers."""
        template = {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"}
        if not self.shop.far.records("ConsentTemplate"):
            self.shop.far.put("ConsentTemplate", [template])
        gone = None if withdrawn is None else f"{day(withdrawn)}T00:00:00+00:00"
        row = {"code": f"{code}{number}", "consentTemplate": template, "customer": uid(number)}
        times = {"consentGivenDate": f"{day(given)}T00:00:00+00:00", "consentWithdrawnDate": gone}
        self.shop.far.put("Consent", [row | times | {"modifiedtime": self.shop.tick()}])

    def redeem(self, coupon: str, order: str, number: int) -> None:
        if not self.shop.far.records("SingleCodeCoupon", couponId=coupon):
            self.shop.far.put("SingleCodeCoupon", [{"couponId": coupon, "active": True}])
        row = {"couponCode": coupon, "user": uid(number), "order": order, "coupon": coupon}
        self.shop.far.put("CouponRedemption", [row | {"modifiedtime": self.shop.tick()}])

    def groups(self) -> dict[str, set[str]]:
        """Group -> numbers of its members, for groups of campaigns and offers."""
        rows = self.shop.far.records("UserGroup")
        mine = [row for row in rows if row["uid"].startswith(("campaign-", "offer-"))]
        return {row["uid"]: set(row["members"]) for row in mine}

    def of(self, group: str) -> set[str]:
        return self.groups().get(group, set())

    # Measured

    def days(self, code: str) -> dict[str, Row]:
        """Day -> what Salesforce knows of it."""
        rows = self.org.live("Campaign_Performance__c")
        return {key.split("|")[1]: row for key, row in rows.items() if key.startswith(f"{code}|")}

    def total(self, code: str) -> Row:
        return self.org.live("Campaign")[code]

    def stamps(self) -> dict[str, str]:
        """When each record that the flow writes was last written, on both sides."""
        found = {row["Id"]: row["SystemModstamp"] for kind in WRITTEN for row in self.org.live(kind).values()}
        for kind, key in (("UserGroup", "uid"), ("PromotionSourceRule", "code"), ("SingleCodeCoupon", "couponId")):
            found |= {f"{kind} {row[key]}": row["modifiedtime"] for row in self.shop.far.records(kind)}
        return found


def seen(ledger: Ledger, *views: tuple[str, int, int]) -> None:
    """Views of products in the inbox: (event id, customer number, days ahead)."""
    events = [{"specversion": "1.0", "id": name, "source": "https://shop.example", "type": "product.viewed",
               "time": f"{day(ahead)}T09:00:00Z", "data": {"uid": uid(number).upper(), "product": "p1"}}
              for name, number, ahead in views]  # fmt: skip
    take(ledger, "storefront", [json.dumps(event).encode() for event in events])


def assert_in_step(walk: Walk, marketing: Marketing, **options: Any) -> None:
    """Another walk writes nothing anywhere."""
    before = marketing.stamps()
    marketing.org.far.reset_calls()
    runs = walk(CAMPAIGNS, **options)
    assert walk.errors == {}
    assert {leg: run.sent for leg, run in runs.items() if run.sent} == {}
    assert (marketing.org.writes(), marketing.stamps()) == (0, before)
