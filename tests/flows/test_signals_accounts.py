"""S2, accounts: interest of people Salesforce knows is one open opportunity per account and product, never a lead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.signalling import INTERESTS, LEADS, QUOTES, Signals, entry, month
from flows.walking import KEY, Org, Shop, Walk

ANN, BOB = "b1@people.example", "b2@people.example"


@pytest.fixture
def signals(walk: Walk, shop: Shop, org: Org) -> Signals:
    found = Signals(walk, shop, org)
    found.acme(1, 2)
    found.product("DRILL")
    return found


def interests(signals: Signals) -> dict[str, str]:
    """Interest -> stage; one that is there twice fails."""
    rows = [row for key, row in signals.opportunities.items() if key.startswith("interest|")]
    open_ones = [row["Product_Interest__c"] for row in rows if not row["StageName"].startswith("Closed")]
    assert len(open_ones) == len(set(open_ones)), "two open opportunities of one interest"
    return {row[KEY].split("|", 2)[2]: row["StageName"] for row in rows}


def test_the_story_of_an_interest(signals: Signals) -> None:
    signals.happen(
        *signals.views(ANN, "DRILL", at=month(2)), *signals.views(BOB, "DRILL", times=4, value=1000.5, at=month(1))
    )
    signals.run()
    (found,) = signals.opportunities.values()
    opened = month(2).strftime("%Y-%m")
    assert found[KEY] == f"interest|acme|DRILL|{opened}"
    assert (found["Name"], found["AccountId"]) == ("Interest in DRILL by Acme", signals.id("Account", "acme"))
    assert (found["StageName"], found["Amount"], found["Cart_Value__c"], found["Currency__c"]) == (
        "Prospecting", 1000.5, 1000.5, "USD",
    )  # fmt: skip
    assert (found["Signal_Count__c"], found["Signal_Score__c"], found["Product_Interest__c"]) == (7, 40, "DRILL")
    assert found["Description"] == "2 of this account showed interest in DRILL by Acme (DRILL): product.viewed."
    assert signals.leads == {}
    signals.assert_in_step(modes=("auto", "complete"))


def test_while_it_is_open_an_interest_has_one_opportunity_and_once_closed_a_later_month_opens_the_next(
    signals: Signals,
) -> None:
    old, mid, new = (month(ago).strftime("%Y-%m") for ago in (3, 2, 1))
    signals.happen(*signals.views(ANN, "DRILL", at=month(3)))
    signals.run(INTERESTS)
    signals.edit(
        "Opportunity", signals.id("Opportunity", f"interest|acme|DRILL|{old}"), StageName="Needs Analysis", Amount=7
    )
    signals.happen(*signals.views(BOB, "DRILL", at=month(2), value=2000))
    signals.run(INTERESTS)
    assert interests(signals) == {f"DRILL|{old}": "Needs Analysis"}
    signals.edit("Opportunity", signals.id("Opportunity", f"interest|acme|DRILL|{old}"), StageName="Closed Lost")
    signals.happen(*signals.views(ANN, "DRILL", times=9, at=month(2) + timedelta(days=1)))
    signals.run(INTERESTS)
    assert interests(signals) == {f"DRILL|{old}": "Closed Lost"}, "that month was counted already"
    before = signals.stamps()
    signals.happen(*signals.views(ANN, "DRILL", at=month(1)))
    signals.run(INTERESTS)
    assert interests(signals) == {f"DRILL|{old}": "Closed Lost", f"DRILL|{new}": "Prospecting"}
    assert before.items() <= signals.stamps().items(), "what sales closed is theirs"
    assert signals.opportunities[f"interest|acme|DRILL|{new}"]["Signal_Count__c"] == 3
    assert mid not in str(interests(signals))
    signals.assert_in_step(INTERESTS, modes=("auto", "complete"))


def test_an_opportunity_from_elsewhere_or_an_open_quote_covers_the_interest(signals: Signals) -> None:
    account = signals.id("Account", "acme")
    for code in ("SAW", "NAIL"):
        signals.product(code)
    signals.org.far.put("Opportunity", [{"Name": "By hand", "StageName": "Qualification", "CloseDate": "2030-01-01",
                                         "AccountId": account, "Product_Interest__c": "SAW"}])  # fmt: skip
    signals.quote("Q1", 1, "BUYER_SUBMITTED", lines=(entry(0, "OTHER"), entry(1, "NAIL", 1, 1)))
    for code in ("DRILL", "SAW", "NAIL"):
        signals.happen(*signals.views(ANN, code, at=month(2)))
    runs = signals.run(QUOTES, INTERESTS)
    opened = month(2).strftime("%Y-%m")
    assert interests(signals) == {f"DRILL|{opened}": "Prospecting"}
    assert runs[INTERESTS].filtered == 2

    by_hand = next(row for row in signals.org.far.records("Opportunity") if row["Name"] == "By hand")
    signals.edit("Opportunity", by_hand["Id"], StageName="Closed Won")
    signals.quote("Q1", 2, "EXPIRED")
    signals.run(QUOTES, INTERESTS)
    assert interests(signals) == {f"DRILL|{opened}": "Prospecting"}, "they were counted while it was covered"
    signals.happen(*signals.views(ANN, "SAW", at=month(1)), *signals.views(ANN, "NAIL", at=month(1)))
    signals.run(INTERESTS)
    later = month(1).strftime("%Y-%m")
    assert interests(signals) == dict.fromkeys((f"DRILL|{opened}", f"SAW|{later}", f"NAIL|{later}"), "Prospecting")


def test_a_quote_takes_over_an_interest_nobody_has_touched(signals: Signals) -> None:
    signals.product("SAW")
    signals.happen(*signals.views(ANN, "DRILL", at=month(1)), *signals.views(ANN, "SAW", at=month(1)))
    signals.run(INTERESTS)
    opened = month(1).strftime("%Y-%m")
    signals.edit("Opportunity", signals.id("Opportunity", f"interest|acme|SAW|{opened}"), StageName="Qualification")
    signals.quote("Q1", 1, "BUYER_SUBMITTED", lines=(entry(0, "DRILL"), entry(1, "SAW")))
    signals.run(QUOTES, INTERESTS)
    assert interests(signals) == {f"DRILL|{opened}": "Closed Lost", f"SAW|{opened}": "Qualification"}
    assert signals.opportunities[f"interest|acme|DRILL|{opened}"]["NextStep"] == "Superseded by quote Q1"
    signals.assert_in_step(QUOTES, INTERESTS)


def test_what_is_no_interest_of_an_account_opens_nothing(signals: Signals) -> None:
    signals.product("NEW", approval="unapproved")
    signals.product("GONE", offlineDate="2020-01-01T00:00:00+00:00")
    soon = datetime.now(UTC) + timedelta(days=3)
    signals.product("SOON", onlineDate=soon.isoformat())
    signals.product("BLOCKED")
    signals.shop.far.put("Vendor", [{"code": "v"}])
    signals.shop.far.put("Warehouse", [{"code": "w", "vendor": "v"}])
    signals.shop.far.put("StockLevel", [{"productCode": "BLOCKED", "warehouse": "w", "inStockStatus": "FORCEOUTOFSTOCK",
                                         "modifiedtime": signals.shop.tick()}])  # fmt: skip
    signals.contact(3, None)
    signals.happen(
        *(item for code in ("NEW", "GONE", "SOON", "BLOCKED", "UNHEARD") for item in signals.views(ANN, code)),
        *signals.views(ANN, "DRILL", times=2), *signals.views(BOB, "DRILL", times=2),
        *signals.views("b3@people.example", "DRILL"),
        *signals.views(ANN, "DRILL", consent=False),
        signals.registration(ANN),
        signals.download(ANN, "FREE", gated=False),
        signals.download("unknown-login", "FORM", email=BOB.upper(), at=month(1)),
        signals.download(ANN, "GATED", at=month(1)),
    )  # fmt: skip
    signals.run(LEADS, INTERESTS)
    opened = month(1).strftime("%Y-%m")
    assert interests(signals) == {f"GATED|{opened}": "Prospecting", f"FORM|{opened}": "Prospecting"}
    assert signals.leads == {}
    signals.run(INTERESTS, now=soon + timedelta(hours=1))
    assert [key.split("|")[0] for key in sorted(interests(signals))] == ["FORM", "GATED", "SOON"]


def test_an_interest_waits_for_the_contact_of_its_person(signals: Signals) -> None:
    signals.happen(*signals.views("b9@people.example", "DRILL", at=datetime.now(UTC) - timedelta(minutes=10)))
    signals.run(LEADS, INTERESTS)
    assert (signals.opportunities, signals.leads) == ({}, {})
    signals.contact(9, signals.id("Account", "acme"))
    signals.run(LEADS, INTERESTS, now=datetime.now(UTC) + timedelta(hours=2))
    assert (len(interests(signals)), signals.leads) == (1, {})


def test_late_doubled_and_reordered_events_and_a_storm_give_one_opportunity(signals: Signals) -> None:
    storm = signals.views(ANN, "DRILL", times=10_000, at=month(1))
    signals.happen(*reversed(storm[5000:]), *storm[4000:6000])
    signals.run(INTERESTS)
    late = signals.views(BOB, "DRILL", at=month(3))
    signals.happen(*storm[:5000], *storm[:100], *late)
    run = signals.run(INTERESTS)[INTERESTS]
    (found,) = signals.opportunities.values()
    assert (run.sent, found["Signal_Count__c"], found["Signal_Score__c"]) == (1, 10_003, 40)
    assert found[KEY].endswith(month(1).strftime("%Y-%m")), "late signals open no second one"


def test_bad_interests_are_set_aside_with_a_reason_and_the_others_arrive(signals: Signals) -> None:
    signals.walk.gated = True
    signals.product("EMOJI", name="🚜 حفارة " + "x" * 300)
    signals.product("MOON")
    signals.product("DEAR")
    signals.happen(
        *signals.views(ANN, "EMOJI"), *signals.views(ANN, "MOON", currency="XXX"),
        *signals.views(ANN, "DEAR", value=10**9), signals.download(ANN, "c" * 240),
    )  # fmt: skip
    run = signals.run(INTERESTS)[INTERESTS]
    (found,) = signals.opportunities.values()
    assert (found["Product_Interest__c"], len(found["Name"])) == ("EMOJI", 120)
    assert (run.quarantined, run.delivered) == (3, 1)
    codes = {item.code.partition("(")[0] for item in signals.walk.rejects(INTERESTS).values()}
    assert {"currency_is_known", "amount_is_plausible"} < codes
