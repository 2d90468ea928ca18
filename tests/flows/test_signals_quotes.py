"""S2, quotes: one opportunity per quote code, moved by every state of the newest version, never deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.signalling import QUOTES, ROLES, Signals, entry
from flows.walking import Org, Shop, Walk


@pytest.fixture
def signals(walk: Walk, shop: Shop, org: Org) -> Signals:
    found = Signals(walk, shop, org)
    found.acme(1, 2)
    return found


def stages(signals: Signals) -> dict[str, str]:
    return {key.removeprefix("quote|"): row["StageName"] for key, row in signals.opportunities.items()}


def test_the_story_of_a_quote(signals: Signals) -> None:
    signals.product("DRILL")
    signals.quote("Q1", 1, "BUYER_DRAFT", lines=(entry(0, "DRILL", 3),))
    signals.run()
    assert stages(signals) == {}, "a draft is the buyer's own"

    signals.quote("Q1", 1, "BUYER_SUBMITTED", lines=(entry(0, "DRILL", 3),))
    signals.run()
    found = signals.opportunities["quote|Q1"]
    assert (found["StageName"], found["Amount"], found["Cart_Value__c"]) == ("Qualification", 1200.5, 1200.5)
    assert (found["Name"], found["AccountId"]) == ("Quote Q1: Quote Q1", signals.id("Account", "acme"))
    assert found["CloseDate"] == (datetime.now(UTC) + timedelta(days=17)).date().isoformat()
    assert (found["Product_Interest__c"], found["Commerce_Quote_Version__c"]) == ("DRILL", 1)
    assert "3 x DRILL = 1200.50 USD" in found["Description"]
    kinds = {row["Id"]: row["DeveloperName"] for row in signals.org.far.records("RecordType")}
    assert kinds[found["RecordTypeId"]] == "Quote"
    (role,) = signals.org.live("OpportunityContactRole").values()
    assert (role["OpportunityId"], role["ContactId"]) == (found["Id"], signals.id("Contact", "B0001"))
    signals.assert_in_step(modes=("auto", "complete"))

    signals.quote("Q1", 2, "BUYER_OFFER", totalPrice=1100, lines=(entry(0, "DRILL", 3, 1100),))
    signals.run()
    again = signals.opportunities["quote|Q1"]
    assert (again["Id"], again["StageName"], again["Amount"]) == (found["Id"], "Proposal/Price Quote", 1100)
    assert (again["Commerce_Quote_Version__c"], again["Signal_Count__c"]) == (2, 2)
    signals.quote("Q1", 2, "BUYER_ORDERED", totalPrice=1100)
    signals.run()
    assert stages(signals) == {"Q1": "Closed Won"}
    signals.assert_in_step()


def test_quotes_that_end_move_their_opportunities_and_a_new_version_opens_them_again(signals: Signals) -> None:
    ends = ("CANCELLED", "EXPIRED", "BUYER_REJECTED")
    for state in ends:
        signals.quote(state, 1, "BUYER_SUBMITTED")
        signals.quote(f"old {state}", 1, state)
    signals.run(QUOTES)
    assert stages(signals) == dict.fromkeys(ends, "Qualification"), "what was over before it was seen is none"
    for state in ends:
        signals.quote(state, 1, state)
    signals.run(QUOTES)
    assert stages(signals) == dict.fromkeys(ends, "Closed Lost")
    for state in ends:
        signals.quote(state, 2, "BUYER_SUBMITTED")
    signals.run(QUOTES)
    assert stages(signals) == dict.fromkeys(ends, "Qualification")
    signals.assert_in_step(QUOTES)


def test_an_older_version_that_arrives_late_changes_nothing(signals: Signals) -> None:
    signals.quote("Q1", 3, "BUYER_OFFER", totalPrice=900)
    signals.run(QUOTES)
    signals.quote("Q1", 2, "SELLER_DRAFT", totalPrice=1500)
    signals.quote("Q1", 1, "CANCELLED")
    signals.run(QUOTES)
    found = signals.opportunities["quote|Q1"]
    assert (found["StageName"], found["Amount"], found["Commerce_Quote_Version__c"]) == ("Proposal/Price Quote", 900, 3)


def test_a_stage_a_salesperson_moved_on_is_left_until_the_shop_moves_past_it(signals: Signals) -> None:
    signals.quote("Q1", 1, "BUYER_SUBMITTED")
    signals.quote("Q2", 1, "BUYER_SUBMITTED")
    signals.run(QUOTES)
    for code in ("Q1", "Q2"):
        signals.edit("Opportunity", signals.id("Opportunity", f"quote|{code}"), StageName="Perception Analysis",
                     CloseDate="2030-01-31", Name=f"Big deal {code}")  # fmt: skip
    signals.assert_in_step(QUOTES)

    signals.quote("Q1", 2, "SELLER_DRAFT")
    signals.quote("Q2", 2, "CANCELLED")
    signals.run(QUOTES)
    assert stages(signals) == {"Q1": "Perception Analysis", "Q2": "Closed Lost"}
    kept = signals.opportunities["quote|Q1"]
    assert (kept["CloseDate"], kept["Name"], kept["Commerce_Quote_State__c"]) == (
        "2030-01-31", "Big deal Q1", "SELLER_DRAFT",
    )  # fmt: skip
    signals.quote("Q1", 3, "BUYER_OFFER")
    signals.run(QUOTES)
    assert stages(signals)["Q1"] == "Proposal/Price Quote"
    signals.assert_in_step(QUOTES)


def test_a_quote_that_a_salesperson_closed_stays_closed_until_the_buyer_moves(signals: Signals) -> None:
    signals.quote("Q1", 1, "BUYER_OFFER")
    signals.run(QUOTES)
    signals.edit("Opportunity", signals.id("Opportunity", "quote|Q1"), StageName="Closed Lost")
    signals.quote("Q1", 1, "BUYER_OFFER", totalPrice=5)
    signals.run(QUOTES)
    assert stages(signals) == {"Q1": "Closed Lost"}
    signals.quote("Q1", 1, "BUYER_ACCEPTED")
    signals.run(QUOTES)
    assert stages(signals) == {"Q1": "Negotiation/Review"}


def test_bad_quotes_are_set_aside_with_a_reason_and_the_others_arrive(signals: Signals) -> None:
    signals.walk.gated = True
    signals.shop.customers(7, customerID=None)
    signals.quote("GOOD", 1, "BUYER_SUBMITTED", name="🚜 عرض سعر " + "x" * 300)
    signals.quote("STATE", 1, "ON_THE_MOON")
    signals.quote("MONEY", 1, "BUYER_SUBMITTED", currency=None)
    signals.quote("TOTAL", 1, "BUYER_SUBMITTED", totalPrice=-1)
    signals.quote("EMPTY", 1, "BUYER_SUBMITTED", totalPrice=None)
    signals.quote("DATE", 1, "BUYER_SUBMITTED", expirationTime="9999-12-31T00:00:00+00:00")
    signals.quote("NOBODY", 1, "BUYER_SUBMITTED", unit=None, user="c7@people.example")
    signals.quote("Q" * 90, 1, "BUYER_SUBMITTED")
    signals.shop.units("orphan")
    signals.quote("PARENT", 1, "BUYER_SUBMITTED", unit="orphan")
    runs = signals.run(QUOTES, ROLES)
    assert set(stages(signals)) == {"GOOD"}
    name = signals.opportunities["quote|GOOD"]["Name"]
    assert (len(name), name[:25]) == (120, "Quote GOOD: 🚜 عرض سعر xxx"[:25])
    assert (runs[QUOTES].quarantined, runs[QUOTES].rejected) == (7, 1)
    rejects = signals.walk.rejects(QUOTES)
    assert {key: item.code for key, item in rejects.items() if key in ("STATE", "MONEY", "NOBODY", "DATE")} == {
        "STATE": "state_is_known", "MONEY": "currency_is_known", "NOBODY": "account_is_known",
        "DATE": "close_day_is_plausible",
    }  # fmt: skip
    assert rejects["PARENT"].status == "rejected"

    signals.account("orphan")
    signals.quote("STATE", 1, "SELLER_REQUEST")
    signals.run(QUOTES, ROLES, now=datetime.now(UTC) + timedelta(minutes=10))
    assert set(stages(signals)) == {"GOOD", "STATE", "PARENT"}
    assert signals.walk.rejects(ROLES).keys() <= rejects.keys() | {f"{key}|B0001" for key in rejects}


def test_a_quote_of_a_private_customer_belongs_to_the_household(signals: Signals) -> None:
    signals.shop.customers(5)
    household = signals.account("C0005")
    signals.org.far.put("Contact", [{"Commerce_Id__c": "C0005", "LastName": "L", "AccountId": household}])
    signals.quote("Q5", 1, "BUYER_SUBMITTED", unit=None, user="c5@people.example", expirationTime=None)
    signals.run(QUOTES, ROLES)
    found = signals.opportunities["quote|Q5"]
    assert found["AccountId"] == household
    assert found["CloseDate"] == (datetime.now(UTC) + timedelta(days=27)).date().isoformat()
    assert len(signals.org.live("OpportunityContactRole")) == 1
