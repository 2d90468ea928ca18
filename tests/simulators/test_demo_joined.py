"""The four demo seeds speak of one shop: every code one system uses is there in the system that owns it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache

import pytest
from own_simulators import own_simulators, sides


@pytest.fixture(scope="module")
def demo():
    with own_simulators("--control") as ready:
        yield sides(ready)


@pytest.fixture(scope="module")
def shop(demo):
    return demo["sap_commerce"]


@pytest.fixture(scope="module")
def org(demo):
    return demo["salesforce"]


@pytest.fixture(scope="module")
def people(shop):
    """Customers and business customers of the shop by customerID."""
    found = [*shop.records("Customer"), *shop.records("B2BCustomer")]
    return {row["customerID"]: row for row in found if row["customerID"]}


@pytest.fixture(scope="module")
def accounts(org):
    return {row["Id"]: row for row in org.records("Account")}


@pytest.fixture(scope="module")
def contacts(org):
    return {row["Id"]: row for row in org.records("Contact")}


@cache
def codes(side, kind, name):
    return {row[name] for row in side.records(kind)}


# --- the fleet and the shop ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events(demo):
    return [row["payload"] for row in demo["opentext_iot"].records("event") if isinstance(row["payload"], dict)]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("warehouseCode", "Warehouse", "code"),
        ("productCode", "Product", "code"),
        ("orderCode", "Order", "code"),
        ("consignmentCode", "Consignment", "code"),
    ],
)
def test_what_the_fleet_reports_about_is_in_the_shop(shop, events, name, kind, code):
    used = {event[name] for event in events if event.get(name)}
    assert len(used) >= 3
    assert used - codes(shop, kind, code) == set()


def test_weighed_shelves_have_a_stock_level(shop, events):
    shelves = {
        (e["productCode"], e["warehouseCode"]) for e in events if e.get("warehouseCode") and e.get("productCode")
    }
    levels = {(row["productCode"], row["warehouse"]) for row in shop.records("StockLevel")}
    assert len(shelves) > 10
    assert shelves - levels == set()


def test_shipments_the_fleet_reports_belong_to_the_order_it_names(shop, events):
    shipments = {row["code"]: row["order"] for row in shop.records("Consignment")}
    pairs = {(e["consignmentCode"], e["orderCode"]) for e in events if e.get("consignmentCode")}
    assert pairs
    assert all(shipments[code] == order for code, order in pairs)


def test_devices_are_tied_to_products_customers_units_and_orders_of_the_shop(demo, shop, people):
    tags = [tag.partition(":") for device in demo["opentext_iot"].records("device") for tag in device.get("tags", [])]
    tied = {}
    for name, _, value in tags:
        tied.setdefault(name, set()).add(value)
    assert tied["sku"] - codes(shop, "Product", "code") == set()
    assert tied["warehouse"] == {"WH-EU-1", "WH-US-1", "WH-US-2"}
    assert tied["warehouse"] - codes(shop, "Warehouse", "code") == set()
    known = {"customer": set(people), "b2bunit": codes(shop, "B2BUnit", "uid"), "order": codes(shop, "Order", "code")}
    for name, legal in known.items():
        assert tied.get(name, set()) - legal == set(), name


def test_devices_have_consumables_spare_parts_and_a_successor(demo, shop):
    references = shop.records("ProductReference")
    assert {row["referenceType"] for row in references} == {"CONSUMABLE", "SPAREPART", "UPSELLING"}
    products = {f"{code}|Online|Default" for code in codes(shop, "Product", "code")}
    assert {row["source"] for row in references} | {row["target"] for row in references} <= products


# --- the org and the shop --------------------------------------------------------------------------


def test_accounts_and_contacts_of_the_org_carry_ids_the_shop_delivers(shop, accounts, contacts, people):
    units = codes(shop, "B2BUnit", "uid")
    assert {row["Commerce_Id__c"] for row in contacts.values()} <= set(people)
    for row in accounts.values():
        key = row["Commerce_Id__c"]
        assert key in units or people[key]["itemtype"] == "Customer"
    for row in contacts.values():
        one = people[row["Commerce_Id__c"]]
        assert row["Email"] == row["Commerce_Uid__c"] == one["uid"]
        assert accounts[row["AccountId"]]["Commerce_Id__c"] == one.get("defaultB2BUnit", one["customerID"])


def test_all_campaigns_are_groups_and_rules_of_the_shop_with_the_same_dates(shop, org):
    campaigns = org.records("Campaign")
    rules = {row["code"]: row for row in shop.records("PromotionSourceRule")}
    assert len(campaigns) == 27
    groups, coupons = codes(shop, "UserGroup", "uid"), codes(shop, "SingleCodeCoupon", "couponId")
    today = datetime.now(UTC).date().isoformat()
    for row in campaigns:
        rule = rules[row["Commerce_Id__c"]]
        assert (row["StartDate"], row["EndDate"]) == (rule["startDate"][:10], rule["endDate"][:10])
        assert row["Commerce_Group__c"] in groups
        assert row["Coupon_Code__c"] is None or row["Coupon_Code__c"] in coupons
        assert row["IsActive"] is (row["StartDate"] <= today <= row["EndDate"])
        assert row["Status"] == ("In Progress" if row["IsActive"] else "Completed")
    assert 3 <= sum(row["IsActive"] for row in campaigns) <= 10
    assert sum(row["Coupon_Code__c"] is not None for row in campaigns) > 10


def test_members_of_a_campaign_are_those_of_the_shops_group(shop, org, contacts, people):
    campaigns = {row["Id"]: row["Commerce_Group__c"] for row in org.records("Campaign")}
    in_org = {
        (campaigns[row["CampaignId"]], contacts[row["ContactId"]]["Commerce_Id__c"])
        for row in org.records("CampaignMember")
    }
    in_shop = {(group, key) for key, one in people.items() for group in one["groups"] if group.startswith("campaign-")}
    assert len(in_org) > 300
    assert in_org == in_shop


def test_who_redeemed_a_coupon_has_responded(org):
    answers = {row["Status"] for row in org.records("CampaignMember")}
    assert answers == {"Sent", "Responded"}


def test_agreements_name_products_near_their_list_price(shop, org, accounts):
    prices = {row["productId"]: row["price"] for row in shop.records("PriceRow")}
    agreements = org.records("Price_Agreement__c")
    assert len(agreements) > 20
    today = date.today().isoformat()
    for row in agreements:
        share = row["Price__c"] / prices[row["Product_Code__c"]]
        assert 0.8 < share < 1
        assert row["Valid_From__c"] < row["Valid_To__c"]
        assert accounts[row["Account__c"]]["Commerce_Id__c"].startswith("U")
    current = [row for row in agreements if row["Valid_From__c"] <= today <= row["Valid_To__c"]]
    assert len(agreements) / 2 < len(current) < len(agreements)
    keys = [(row["Account__c"], row["Product_Code__c"], row["Minimum_Quantity__c"]) for row in agreements]
    assert len(set(keys)) == len(keys)


def test_units_have_tier_terms_and_an_owner_who_is_their_manager_in_the_shop(shop, org, accounts):
    users = {row["Id"]: row["Email"] for row in org.records("User")}
    managers = {row["uid"]: row["accountManager"] for row in shop.records("B2BUnit")}
    units = [row for row in accounts.values() if row["Commerce_Id__c"] in managers]
    assert len(units) == len(managers) > 5
    for row in units:
        assert row["Tier__c"]
        assert row["Payment_Terms__c"]
        assert users[row["OwnerId"]] == managers[row["Commerce_Id__c"]]


def test_offers_name_a_campaign_that_runs_and_its_coupon(org, accounts):
    campaigns = {row["Id"]: row for row in org.records("Campaign")}
    offers = org.records("Account_Offer__c")
    assert offers
    for row in offers:
        campaign = campaigns[row["Campaign__c"]]
        assert campaign["IsActive"]
        assert row["Offer_Code__c"] == (campaign["Coupon_Code__c"] or campaign["Commerce_Group__c"])
        assert accounts[row["Account__c"]]["Commerce_Id__c"].startswith("U")


def test_consent_in_the_org_is_what_was_given_in_the_shop(shop, contacts):
    given = {row["customer"] for row in shop.records("Consent") if row["consentWithdrawnDate"] is None}
    assert any(row["consentWithdrawnDate"] for row in shop.records("Consent"))
    agreed = {row["Consent_Email__c"] for row in contacts.values()}
    assert agreed == {True, False}
    for row in contacts.values():
        assert row["Consent_Email__c"] is (row["Commerce_Uid__c"] in given)


# --- what the flows read in the shop ---------------------------------------------------------------


def test_quotes_are_in_many_states_and_some_have_expired(shop):
    quotes = shop.records("Quote")
    assert {row["state"] for row in quotes} >= {
        "BUYER_SUBMITTED",
        "BUYER_OFFER",
        "CANCELLED",
        "EXPIRED",
        "BUYER_ORDERED",
    }
    now = datetime.now(UTC).isoformat()
    assert all(row["expirationTime"] < now for row in quotes if row["state"] == "EXPIRED")


def test_carts_are_old_and_fresh_and_some_belong_to_nobody(shop):
    carts = shop.records("Cart")
    ages = [(datetime.now(UTC) - datetime.fromisoformat(row["modifiedtime"])).days for row in carts]
    assert min(ages) < 3
    assert max(ages) > 14
    nobody = [row for row in carts if row["user"] == "anonymous"]
    assert 0 < len(nobody) < len(carts) / 2


def test_some_shipments_left_late_and_some_are_overdue(shop):
    shipments, now = shop.records("Consignment"), datetime.now(UTC).isoformat()
    late = [row for row in shipments if row["shippingDate"] and row["shippingDate"] > row["namedDeliveryDate"]]
    overdue = [row for row in shipments if not row["shippingDate"] and row["namedDeliveryDate"] < now]
    assert 0.01 < len(late) / len(shipments) < 0.2
    assert overdue
    assert all(row["shippingDate"] < now for row in late)
    assert all(row["modifiedtime"] >= row["shippingDate"] for row in late)


def test_payments_failed_returns_have_reasons_and_orders_name_their_coupons(shop):
    payments = shop.records("PaymentTransactionEntry")
    assert {row["transactionStatus"] for row in payments} == {"ACCEPTED", "REJECTED"}
    assert len({row["reason"] for row in shop.records("RefundEntry")}) == 3
    redeemed = {row["couponCode"] for row in shop.records("CouponRedemption") if row["order"]}
    applied = {code for row in shop.records("Order") for code in row["appliedCouponCodes"] or []}
    assert redeemed == applied
