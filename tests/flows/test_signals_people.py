"""S2, people: whom Salesforce does not know becomes one lead, and nobody ever has two."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commerce_sync.systems.inbox.polling import poll
from flows.signalling import LEADS, NOON, Signals, month
from flows.walking import Org, Shop, Walk

GRACE = "grace@navy.example"


@pytest.fixture
def signals(walk: Walk, shop: Shop, org: Org) -> Signals:
    found = Signals(walk, shop, org)
    found.product("DRILL")
    return found


def test_the_story_of_a_lead(signals: Signals) -> None:
    signals.happen(signals.registration(GRACE, consent=False))
    signals.run()
    lead = signals.leads[GRACE]
    assert (lead["LastName"], lead["FirstName"], lead["Company"]) == ("Hopper", "Grace", "Navy")
    assert (lead["Consent_Email__c"], lead["Signal_Score__c"], lead["LeadSource"]) == (False, 25, "Web")
    assert GRACE not in lead["Commerce_Id__c"], "no personal data in keys"
    signals.assert_in_step(modes=("auto", "complete"))

    later = NOON + timedelta(hours=1)
    signals.happen(signals.download(GRACE, "WHITEPAPER", at=later), *signals.views(GRACE, "DRILL", times=5, at=later))
    signals.run(LEADS)
    (again,) = signals.leads.values()
    assert (again["Id"], again["Consent_Email__c"]) == (lead["Id"], True)
    assert (again["Signal_Count__c"], again["Signal_Score__c"], again["Cart_Value__c"]) == (7, 75, 900)
    assert again["Product_Interest__c"] == "DRILL"
    assert again["Commerce_Signal__c"] == "content.downloaded, customer.registered, product.viewed"
    assert again["Last_Signal_At__c"].startswith((later + timedelta(seconds=4)).strftime("%Y-%m-%dT%H:%M:%S"))
    signals.assert_in_step(LEADS)


def test_what_makes_no_lead_is_filtered(signals: Signals) -> None:
    signals.product("NEW", approval="check")
    signals.product("STAGED", version="Staged")
    signals.product("GONE", offlineDate="2020-01-01T00:00:00+00:00")
    signals.product("BLOCKED")
    signals.shop.far.put("Vendor", [{"code": "v"}])
    signals.shop.far.put("Warehouse", [{"code": "w", "vendor": "v"}])
    signals.shop.far.put("StockLevel", [{"productCode": "BLOCKED", "warehouse": "w", "inStockStatus": "FORCEOUTOFSTOCK",
                                         "modifiedtime": signals.shop.tick()}])  # fmt: skip
    signals.acme(1)
    signals.happen(
        *signals.views("seldom@x.example", "DRILL", times=2),
        *signals.views("cheap@x.example", "DRILL", value=499.99),
        *signals.views("silent@x.example", "DRILL", consent=False),
        *signals.views("months@x.example", "DRILL", times=2, at=month(1)),
        *signals.views("months@x.example", "DRILL", times=2, at=month(2)),
        *(item for code in ("NEW", "STAGED", "GONE", "BLOCKED", "UNHEARD")
          for item in signals.views(f"{code.lower()}@x.example", code)),
        *signals.views(None, "DRILL", visitor="v-1"),
        signals.download(None, "PDF", visitor="v@2"),
        signals.download("open@x.example", "PDF", gated=False),
        signals.download("shy@x.example", "PDF", consent=False),
        signals.registration("young@x.example", at=datetime.now(UTC) - timedelta(minutes=5)),
        signals.registration("b1@people.example"),
        signals.registration("other-login", email="B1@People.example"),
        *signals.views("enough@x.example", "DRILL"),
        signals.download(None, "PDF", visitor="v-3", email="Form@X.example", name="Kim"),
    )  # fmt: skip
    runs = signals.run(LEADS)
    assert set(signals.leads) == {"enough@x.example", "form@x.example"}
    form = signals.leads["form@x.example"]
    assert (form["LastName"], form["Company"]) == ("Kim", "[not provided]")
    assert signals.leads["enough@x.example"]["LastName"] == "enough"
    assert (runs[LEADS].filtered, runs[LEADS].extracted) == (4, 6), "two visitors, one too young, one customer"
    signals.run(LEADS, now=datetime.now(UTC) + timedelta(hours=2))
    assert set(signals.leads) == {"enough@x.example", "form@x.example", "young@x.example"}


def test_nobody_gets_a_lead_beside_one_made_by_hand_or_after_one_that_was_converted_or_deleted(
    signals: Signals,
) -> None:
    signals.org.far.put("Lead", [{"LastName": "H", "Company": "H", "Email": "Hand@x.example"}])
    people = ("hand@x.example", "converted@x.example", "deleted@x.example", "free@x.example")
    signals.happen(*(signals.registration(who) for who in people))
    signals.run(LEADS)
    first = signals.leads
    assert {who.lower() for who in first} == set(people)
    assert first["Hand@x.example"]["Commerce_Id__c"] is None
    signals.org.far.delete("Lead", first["deleted@x.example"]["Id"])
    signals.edit("Lead", first["converted@x.example"]["Id"], IsConverted=True, Status="Closed - Converted")
    signals.happen(*(signals.download(who, "PDF") for who in people))
    run = signals.run(LEADS)[LEADS]
    assert (run.delivered, run.rejected) == (1, 0)
    now = signals.leads
    assert set(now) == {"Hand@x.example", "converted@x.example", "free@x.example"}
    assert now["free@x.example"]["Signal_Count__c"] == 2
    assert now["converted@x.example"]["Signal_Count__c"] == 1


def test_a_lead_that_became_a_customer_is_left_to_sales(signals: Signals) -> None:
    signals.happen(signals.registration("b1@people.example"))
    signals.run()
    assert set(signals.leads) == {"b1@people.example"}
    signals.acme(1)
    before = signals.stamps()
    signals.happen(*signals.views("b1@people.example", "DRILL"))
    signals.run()
    assert [row["Product_Interest__c"] for row in signals.opportunities.values()] == ["DRILL"]
    assert before.items() <= signals.stamps().items(), "the lead was written again"


def test_what_a_salesperson_corrected_stays(signals: Signals) -> None:
    signals.happen(signals.registration(GRACE))
    signals.run(LEADS)
    signals.edit(
        "Lead", signals.leads[GRACE]["Id"], Company="US Navy", LastName="Murray Hopper", Status="Working - Contacted"
    )
    signals.happen(signals.download(GRACE, "PDF", name="G H", company="ACM"))
    signals.run(LEADS)
    lead = signals.leads[GRACE]
    assert (lead["Company"], lead["LastName"], lead["Status"]) == ("US Navy", "Murray Hopper", "Working - Contacted")
    assert lead["Signal_Count__c"] == 2


def test_consent_taken_back_reaches_the_lead_and_makes_no_new_one(signals: Signals) -> None:
    signals.happen(signals.download(GRACE, "PDF"))
    signals.run(LEADS)
    assert signals.leads[GRACE]["Consent_Email__c"] is True
    after = NOON + timedelta(hours=2)
    signals.happen(signals.event("product.viewed", at=after, uid=GRACE, product="DRILL", consent=False),
                   signals.download("other@x.example", "PDF"),
                   signals.event("product.viewed", at=after, uid="other@x.example", product="DRILL", consent=False))  # fmt: skip
    signals.run(LEADS)
    assert set(signals.leads) == {GRACE}
    assert signals.leads[GRACE]["Consent_Email__c"] is False
    signals.assert_in_step(LEADS)


def test_late_doubled_and_reordered_events_and_a_storm_give_one_lead(signals: Signals) -> None:
    storm = signals.views(GRACE, "DRILL", times=10_000)
    signals.happen(*reversed(storm[5000:]), *storm[4000:6000])
    signals.run(LEADS)
    assert signals.leads[GRACE]["Signal_Count__c"] == 6000
    signals.happen(*storm[:5000], *storm[:100])
    run = signals.run(LEADS)[LEADS]
    (lead,) = signals.leads.values()
    assert (run.sent, lead["Signal_Count__c"], lead["Signal_Score__c"]) == (1, 10_000, 20)


def test_bad_people_are_set_aside_with_a_reason_and_the_others_arrive(signals: Signals) -> None:
    signals.walk.gated = True
    signals.happen(
        signals.download(None, "PDF", visitor="v", email="not-an-address", name="X"),
        signals.registration("long@x.example", name="x" * 120 + " " + "y" * 120, company="😀" * 250),
        signals.registration("rtl@x.example", name="غريس هوبر", company="بحرية"),
        *signals.views("dear@x.example", "DRILL", value=1e12),
    )
    run = signals.run(LEADS)[LEADS]
    assert set(signals.leads) == {"long@x.example", "rtl@x.example"}
    assert (run.quarantined, run.delivered) == (2, 2)
    assert len(signals.leads["long@x.example"]["LastName"]) == 80
    assert signals.leads["rtl@x.example"]["LastName"] == "هوبر"
    assert {item.code for item in signals.walk.rejects(LEADS).values()} == {
        "ExpectColumnValuesToMatchRegex", "value_is_plausible",
    }  # fmt: skip
    assert "not-an-address" not in json.dumps([item.payload for item in signals.walk.rejects(LEADS).values()])


def test_events_come_through_the_feed_file(signals: Signals, tmp_path: Path) -> None:
    folder = tmp_path / "feeds" / "storefront"
    folder.mkdir(parents=True)
    text = [json.dumps(signals.registration(GRACE)), "{broken", json.dumps(signals.registration("next@x.example"))]
    (folder / "today.jsonl").write_text("\n".join(text) + "\n")
    added = poll("storefront")
    assert (added.new, added.refused) == (2, 1)
    signals.run(LEADS)
    assert set(signals.leads) == {GRACE, "next@x.example"}
    assert poll("storefront").new == 0
    signals.assert_in_step(LEADS)
