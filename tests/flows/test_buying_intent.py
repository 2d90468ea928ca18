"""S6: abandoned carts, repeated views and comparisons become tasks for sales, and close with a reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import GuardError
from commerce_sync.ledger import Run
from commerce_sync.mapping import Guards, Limit
from commerce_sync.systems.inbox import taking
from flows.walking import CUSTOMERS, KEY, Org, Row, Shop, Walk, line, uid

INTENT, LEG = "salesforce_buying_intent", "buying_intent_to_tasks"
TEMPLATE = "MARKETING_NEWSLETTER"


def now() -> datetime:
    """Asked anew every time: the far sides' clocks go on while other tests run."""
    return datetime.now(UTC).replace(microsecond=0)


def hence(hours: float) -> datetime:
    return now() + timedelta(hours=hours)


MONDAY = (now() - timedelta(days=now().weekday())).replace(hour=0, minute=0, second=0)
WEEK = MONDAY.strftime("%G-W%V")


class Store(Shop):
    """The shop, with carts, consents and a feed of what visitors do."""

    def __init__(self, far: Any, org: Org, walk: Walk) -> None:
        super().__init__(far)
        self.org, self.ledger = org, walk.site.ledger
        self.moment = now() - timedelta(minutes=5)
        self.seen = 0
        far.put("Product", [{"code": "drill", "name": {"en": "Drill 18 V"}}, {"code": "saw /2", "name": {"en": "Saw"}}])

    def people(self, *numbers: int, consents: bool = True) -> None:
        """Customers whom Salesforce knows, as the flow of the customers would have made them."""
        for key in self.customers(*numbers):
            self.org.far.put("Account", [{"Name": key, KEY: key}])
            number = int(key[1:])
            row = {"LastName": key, KEY: key, "Commerce_Uid__c": uid(number), "Commerce_Active__c": True}
            row |= {"Consent_Email__c": consents, "AccountId": self.org.accounts[key]["Id"]}
            self.org.far.put("Contact", [row])
            if consents:
                self.consent(number)

    def consent(self, number: int, *, withdrawn: str | None = None, template: str = TEMPLATE) -> None:
        row = {"code": f"{number}-{template}", "customer": uid(number), "consentGivenDate": "2026-01-01T00:00:00Z",
               "consentTemplate": {"id": template, "version": 1, "baseSite": None}}  # fmt: skip
        self.far.put("Consent", [row | {"consentWithdrawnDate": withdrawn, "modifiedtime": self.tick()}])

    def cart(self, code: str, customer: int | None = 1, pieces: int = 2, total: float = 120.0, **values: Any) -> None:
        row = {"code": code, "date": now().isoformat(), "currency": "USD", "totalPrice": total, "modifiedtime": self.tick(),
               "entries": [line(0, "drill", pieces, total)], "user": uid(customer) if customer else "anonymous"}  # fmt: skip
        self.far.put("Cart", [row | values])

    def buy(self, code: str, customer: int, product: str = "drill", *, minutes: float = 0) -> None:
        moment = (self.moment + timedelta(minutes=minutes)).isoformat()
        self.order(code, customer=customer, day=moment, lines=[line(0, product, 1, 60.0)], status="CREATED")

    def event(self, kind: str, customer: int | None = 1, *, at: datetime | None = None, **data: Any) -> bytes:
        self.seen += 1
        who = {"uid": uid(customer)} if customer else {"visitor": "v1"}
        moment = (at or MONDAY + timedelta(minutes=self.seen)).isoformat()
        body = {"specversion": "1.0", "id": f"e{self.seen}", "source": "https://shop.example", "type": kind,
                "time": moment, "data": who | {"consent": True} | data}  # fmt: skip
        return json.dumps(body).encode()

    def viewed(self, product: str, customer: int | None = 1, *, times: int = 3, **data: Any) -> None:
        values = {"product": product, "value": 99.0, "currency": "USD"} | data
        self.deliver(*[self.event("product.viewed", customer, **values) for _ in range(times)])

    def compared(self, *products: str, customer: int = 1, times: int = 2) -> None:
        self.deliver(*[self.event("product.compared", customer, products=list(products)) for _ in range(times)])

    def deliver(self, *events: bytes) -> None:
        assert taking.take(self.ledger, "storefront", events).refused == 0


@pytest.fixture
def store(shop: Shop, org: Org, walk: Walk) -> Store:
    return Store(shop.far, org, walk)


def tasks(org: Org) -> dict[str, Row]:
    return org.live("Task")


def reasons(org: Org) -> dict[str, str | None]:
    """Why each task is closed; None for the open ones."""
    found = tasks(org)
    assert all((row["Status"] == "Completed") == bool(row["Close_Reason__c"]) for row in found.values())
    return {key: row["Close_Reason__c"] for key, row in sorted(found.items())}


def walked(walk: Walk, hours: float = 5, mode: str = "changes") -> Run:
    run = walk(INTENT, mode, now=hence(hours))[LEG]
    assert walk.errors == {}
    return run


def assert_in_step(walk: Walk, org: Org, hours: float) -> None:
    before = {key: row["SystemModstamp"] for key, row in tasks(org).items()}
    org.far.reset_calls()
    for mode in ("changes", "complete"):
        assert walked(walk, hours, mode).sent == 0
    assert org.writes() == 0
    assert {key: row["SystemModstamp"] for key, row in tasks(org).items()} == before


def test_a_cart_left_behind_becomes_a_useful_task(walk: Walk, store: Store, org: Org) -> None:
    store.people(1)
    lines = [line(0, "drill", 2, 100.0), line(1, "saw /2", 1, 20.5)]
    store.cart("K1", total=120.5, entries=lines)
    assert walked(walk, 3).sent == 0, "not idle for long enough"
    assert walked(walk, 5).created == 1
    task = tasks(org)["K1|1"]
    assert (task["WhoId"], task["WhatId"]) == (org.contacts["C0001"]["Id"], org.accounts["C0001"]["Id"])
    assert (task["Subject"], task["Cart_Code__c"], task["Cart_Value__c"]) == (
        "Abandoned cart of 120.50 USD",
        "K1",
        120.5,
    )
    assert (task["Status"], task["Priority"], task["Type"]) == ("Not Started", "Normal", "Call")
    assert task["Next_Best_Action__c"] == "Remind of the cart, with its link"
    assert task["Description"].splitlines()[1:] == ["2 x Drill 18 V (drill), 100.00 USD", "1 x Saw (saw /2), 20.50 USD"]
    assert task["Product_Links__c"] == "https://shop.example/p/drill\nhttps://shop.example/p/saw%20%2F2"
    due = datetime.fromisoformat(task["ActivityDate"]).date()
    assert 2 <= (due - hence(5).date()).days <= 4
    assert due.isoweekday() <= 5
    assert_in_step(walk, org, 6)
    assert_in_step(walk, org, 30)


def test_carts_that_are_nobodys_business_become_no_task(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2)
    store.people(3, 4, 5, consents=False)
    store.customers(6)
    store.far.put("Customer", [{"uid": "guest|g@people.example", "customerID": None, "modifiedtime": store.tick()}])
    store.cart("ANON", None)
    store.cart("GUEST", None, user="guest|g@people.example")
    store.cart("CHEAP", 1, total=9.99)
    store.cart("EMPTY", 1, entries=[])
    store.cart("SAVED", 1, saveTime=now().isoformat())
    store.cart("OLD", 1, modifiedtime=(now() - timedelta(days=15)).isoformat())
    store.cart("NEITHER", 3)
    store.consent(4)  # in the shop alone
    store.cart("SHOP-ONLY", 4)
    org.far.patch("Contact", org.contacts["C0005"]["Id"], Consent_Email__c=True)  # in Salesforce alone
    store.consent(5, template="TERMS")
    store.cart("ORG-ONLY", 5)
    store.people(7)
    org.far.patch("Contact", org.contacts["C0007"]["Id"], HasOptedOutOfEmail=True)
    store.cart("OPTED-OUT", 7)
    store.cart("UNKNOWN", 6)
    store.consent(6)
    store.cart("BOUGHT", 2)
    store.buy("O2", 2, minutes=1)
    assert walked(walk).sent == 0
    walk(CUSTOMERS)
    contact = org.contacts["C0006"]["Id"]
    org.far.patch("Contact", contact, Consent_Email__c=True, SystemModstamp=datetime.now(UTC).isoformat())
    walked(walk)
    # The flow of the customers brought the one who was unknown, and what two of them had agreed to in the shop.
    assert set(tasks(org)) == {"UNKNOWN|1", "SHOP-ONLY|1"}


def test_a_recovered_cart_closes_its_task_and_the_next_time_is_a_new_cycle(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2, 3)
    store.cart("K1", 1)
    store.cart("K2", 2)
    store.cart("K3", 3)
    walked(walk)
    org.far.patch("Task", tasks(org)["K2|1"]["Id"], Status="In Progress")
    store.buy("O1", 1, minutes=1)
    store.far.delete("Cart", "K1")
    store.cart("K2", 2, pieces=3, total=180.0)
    walked(walk, 5.1)
    assert reasons(org) == {"K1|1": "Recovered by order O1", "K2|1": "Cart changed", "K2|2": None, "K3|1": None}
    task = tasks(org)["K1|1"]
    assert "Drill 18 V" in task["Description"], "what it was about stays"
    assert_in_step(walk, org, 6)
    walked(walk, 6, "complete")
    assert reasons(org)["K1|1"] == "Recovered by order O1", "gone since, but bought"
    entry = next(row for row in store.far.records("CartEntry") if row["order"] == "K3")
    store.far.delete("CartEntry", entry["pk"])
    store.far.patch("Cart", "K3", modifiedtime=store.tick())
    store.cart("K2", 2, pieces=3, total=180.0, saveTime=now().isoformat())
    walked(walk, 7)
    assert (reasons(org)["K3|1"], reasons(org)["K2|2"]) == ("Cart emptied", "Cart saved for later")
    assert_in_step(walk, org, 8)


def test_an_order_placed_before_the_task_could_come_makes_none(walk: Walk, store: Store, org: Org) -> None:
    store.people(1)
    store.cart("K1", 1)
    walked(walk, 2)
    store.buy("O1", 1, minutes=1)
    walked(walk, 6)
    walked(walk, 9, "complete")
    assert tasks(org) == {}


def test_a_purged_cart_expires_and_never_counts_as_recovered(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2)
    store.cart("K1", 1)
    store.cart("K2", 2)
    store.buy("EARLIER", 1, minutes=-60)
    walked(walk)
    store.far.delete("Cart", "K1")
    store.far.delete("Cart", "K2")
    walked(walk, 5 * 24)
    assert set(reasons(org).values()) == {None}, "a delta read cannot see what is gone"
    store.cart("K9", 2, total=1.0)
    walked(walk, 15 * 24, "complete")
    assert reasons(org) == {"K1|1": "Expired: removed by the shop", "K2|1": "Expired: removed by the shop"}
    assert_in_step(walk, org, 16 * 24)
    store.people(3)
    store.cart("K3", 3, modifiedtime=hence(24 * 420).isoformat())
    walked(walk, 24 * 421, "complete")
    assert set(tasks(org)) == {"K1|1", "K2|1", "K3|1"}, "what is forgotten here stays in Salesforce"


def test_a_cart_that_goes_early_was_removed_by_its_customer(walk: Walk, store: Store, org: Org) -> None:
    store.people(1)
    store.cart("K1", 1)
    walked(walk)
    store.far.delete("Cart", "K1")
    store.cart("K2", 1, total=1.0)
    walked(walk, 24, "complete")
    assert reasons(org) == {"K1|1": "Cart removed"}


def test_withdrawn_consent_closes_tasks_and_stops_new_ones(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2)
    store.cart("K1", 1)
    store.cart("K2", 2)
    walked(walk)
    store.consent(1, withdrawn=now().isoformat())
    org.far.patch("Contact", org.contacts["C0002"]["Id"], Consent_Email__c=False, SystemModstamp=hence(0.1).isoformat())
    store.viewed("drill", 1)
    walked(walk, 6)
    assert reasons(org) == {"K1|1": "Consent withdrawn", "K2|1": "Consent withdrawn"}
    store.consent(1)
    walked(walk, 7)
    assert [key for key, reason in reasons(org).items() if reason is None] == [f"C0001|drill|Repeated views|{WEEK}"]
    assert_in_step(walk, org, 7)


def test_repeated_views_and_comparisons_become_one_task_a_week(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2, 3)
    store.viewed("drill", 1, url="https://shop.example/p/drill?from=mail")
    store.viewed("twice", 1, times=2)
    store.viewed("cheap", 1, value=5.0)
    store.viewed("drill", 2, consent=False, times=9)
    store.viewed("drill", None, times=9)
    store.compared("drill", "saw /2", customer=3)
    store.compared("once", "drill", customer=2, times=1)
    walked(walk, 1)
    found = tasks(org)
    view = found[f"C0001|drill|Repeated views|{WEEK}"]
    assert set(found) == {f"C0001|drill|Repeated views|{WEEK}", f"C0003|drill|Comparison|{WEEK}",
                          f"C0003|saw /2|Comparison|{WEEK}"}  # fmt: skip
    assert (view["Subject"], view["Cart_Value__c"], view["Cart_Code__c"]) == ("Repeated views: drill", 99.0, None)
    assert view["Description"].startswith(f"3 views of drill in the week of {MONDAY.date()}, last on")
    assert view["Product_Links__c"] == "https://shop.example/p/drill?from=mail"
    assert view["Next_Best_Action__c"] == "Offer advice or a quote for drill"
    comparison = found[f"C0003|drill|Comparison|{WEEK}"]
    assert comparison["Description"].endswith("Compared: drill, saw /2")
    assert comparison["Product_Links__c"].splitlines()[1] == "https://shop.example/p/saw%20%2F2"
    assert_in_step(walk, org, 1)
    store.buy("O1", 1, minutes=1)
    store.buy("O3", 3, "other", minutes=1)
    walked(walk, 2)
    assert reasons(org) == {f"C0001|drill|Repeated views|{WEEK}": "Recovered by order O1",
                            f"C0003|drill|Comparison|{WEEK}": None, f"C0003|saw /2|Comparison|{WEEK}": None}  # fmt: skip


def test_events_may_come_late_twice_and_in_any_order(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2)
    values = {"product": "drill", "value": 99.0, "currency": "USD"}
    first, second, third = (store.event("product.viewed", 1, **values) for _ in range(3))
    before = [store.event("product.viewed", 2, at=MONDAY - timedelta(days=20, minutes=n), **values) for n in range(3)]
    store.deliver(third, third, *before)
    walked(walk, 1)
    assert tasks(org) == {}
    store.deliver(first, third)
    walked(walk, 1)
    assert tasks(org) == {}, "the same event twice is one view"
    store.deliver(second)
    walked(walk, 1)
    assert set(tasks(org)) == {f"C0001|drill|Repeated views|{WEEK}"}, "and what is weeks old is no news"
    assert_in_step(walk, org, 1)


def test_forgotten_events_leave_their_tasks_alone(walk: Walk, store: Store, org: Org) -> None:
    store.people(1)
    store.viewed("drill", 1)
    walked(walk, 1)
    known = tasks(org)
    store.ledger.drop_events(datetime.now(UTC) + timedelta(minutes=1))
    walked(walk, 2, "complete")
    assert {key: row["Description"] for key, row in tasks(org).items()} == {
        key: row["Description"] for key, row in known.items()
    }
    assert reasons(org) == {f"C0001|drill|Repeated views|{WEEK}": None}
    walked(walk, 24 * 90, "complete")
    assert set(tasks(org)) == set(known)


def test_a_customer_gets_the_two_most_valuable_tasks_of_a_week(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2)
    store.cart("K1", 1, total=60.0)
    store.cart("K2", 1, total=700.0)
    store.viewed("drill", 1, value=99.0)
    for code in ("B3", "B1", "B2"):
        store.cart(code, 2, total=80.0)
    walked(walk)
    assert set(tasks(org)) == {"K2|1", f"C0001|drill|Repeated views|{WEEK}", "B1|1", "B2|1"}
    assert tasks(org)["K2|1"]["Priority"] == "High"
    assert_in_step(walk, org, 5)
    store.buy("O1", 1, minutes=1)
    walked(walk, 6)
    assert "K1|1" not in tasks(org), "closed ones count, and K1 has been left for what was bought"
    walked(walk, 24 * 7 + 5)
    assert reasons(org)["B3|1"] is None, "the next week has room"


def test_bad_carts_are_set_aside_with_a_reason_and_the_others_arrive(walk: Walk, store: Store, org: Org) -> None:
    store.people(*range(1, 7))
    store.cart("EURO", 1, currency="Euros")
    store.cart("NONE", 2, currency="XXX")
    store.cart("K" * 300, 3)
    store.cart("HUGE", 4, total=1e9)
    names = ["عطر 🧴", "n" * 300]
    store.far.put("Product", [{"code": f"p{n}", "name": {"en": name}} for n, name in enumerate(names)])
    store.cart("FINE", 5, entries=[line(n, f"p{n}", 1, 60.0) for n in range(2)])
    org.far.put("Contact", [{"LastName": "twin", KEY: "Z0005", "Commerce_Uid__c": uid(5), "Consent_Email__c": True}])
    store.deliver(*[store.event("product.viewed", 6, product="x" * 240, value=50, currency="USD") for _ in range(3)])
    run = walked(walk)
    assert set(tasks(org)) == {"FINE|1"}
    assert tasks(org)["FINE|1"]["WhoId"] == org.contacts["C0005"]["Id"], "of two contacts the first by id"
    assert "1 x عطر 🧴 (p0), 60.00 USD" in tasks(org)["FINE|1"]["Description"]
    assert (run.delivered, run.quarantined) == (1, 5)
    codes = {key[:5]: item.code for key, item in walk.rejects(LEG).items()}
    assert codes["EURO|"] == codes["NONE|"] == "amounts_have_a_known_currency"
    assert set(codes) == {"EURO|", "NONE|", "KKKKK", "HUGE|", "C0006"}


def test_a_task_that_is_refused_comes_again_and_holds_nothing_up(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2)
    store.cart("K1", 1)
    store.cart("K2", 2)
    org.far.fault(action="row_error", object="Task", when={"field": KEY, "regex": "^K1"}, times=1)
    run = walk(INTENT, "changes", now=hence(5))[LEG]
    assert (run.delivered, run.rejected) == (1, 1)
    walked(walk, 6)
    assert set(tasks(org)) == {"K1|1", "K2|1"}
    assert_in_step(walk, org, 7)


def test_a_flood_of_tasks_stops_before_anything_is_sent(walk: Walk, store: Store, org: Org) -> None:
    store.people(1, 2)
    store.cart("K1", 1)
    store.cart("K2", 2)
    assert walk.mapping(LEG).guards.max_changes == Limit(share=0.25, absolute=2000)
    walk.alter(LEG, guards=Guards(max_changes=Limit(absolute=1)))
    run = walk(INTENT, "changes", now=hence(5))[LEG]
    assert isinstance(walk.error, GuardError)
    assert (run.status, tasks(org)) == ("stopped", {})
