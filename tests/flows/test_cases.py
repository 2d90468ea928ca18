"""S4: what goes wrong with an order becomes one case per kind, which closes when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import GuardError
from commerce_sync.ledger import Run
from commerce_sync.mapping import Guards, Limit
from flows.walking import CUSTOMERS, KEY, Org, Row, Shop, Walk, line, uid

CASES, LEG = "salesforce_cases", "order_exceptions_to_cases"


def now() -> datetime:
    """Asked anew every time: the far sides' clocks go on while other tests run."""
    return datetime.now(UTC).replace(microsecond=0)


def day(ahead: int) -> str:
    return (now() + timedelta(days=ahead)).date().isoformat()


def at(days: int) -> datetime:
    """A run so many days from now."""
    return now() + timedelta(days=days, minutes=1)


class Counter(Shop):
    """The shop, with what happens to its orders."""

    def __init__(self, far: Any) -> None:
        super().__init__(far)
        self.moment = now() - timedelta(minutes=3)

    def bought(self, code: str, customer: int | None = 1, total: float = 120.0, **values: Any) -> None:
        row = {"code": code, "date": f"{day(-4)}T12:00:00+00:00", "currency": "USD", "status": "CREATED",
               "totalPrice": total, "modifiedtime": self.tick(), "entries": [line(0, "p-drill", 2, total)]}  # fmt: skip
        self.far.put("Order", [row | ({"user": uid(customer)} if customer else {}) | values])

    def parcel(self, code: str, order: str, *, promised: str | None, status: str = "READY", **values: Any) -> None:
        row = {
            "code": code,
            "order": order,
            "status": status,
            "namedDeliveryDate": promised and f"{promised}T20:00:00Z",
        }
        self.far.put("Consignment", [row | {"modifiedtime": self.tick(), "warehouse": "w1"} | values])

    def moved(self, code: str, status: str, **values: Any) -> None:
        self.far.patch("Consignment", code, **{"status": status, "modifiedtime": self.tick(), **values})

    def paid(self, order: str, *entries: tuple[str, str, str], code: str | None = None) -> None:
        """entries: (type, status, details), a minute apart."""
        rows = [
            {"code": f"{order}-{n}", "type": kind, "transactionStatus": status, "transactionStatusDetails": details,
             "amount": 120.0, "currency": "USD", "time": (now() - timedelta(hours=2, minutes=-n)).isoformat()}
            for n, (kind, status, details) in enumerate(entries)
        ]  # fmt: skip
        self.far.put("PaymentTransaction", [{"code": code or f"P-{order}", "order": order, "entries": rows,
                                             "modifiedtime": self.tick()}])  # fmt: skip

    def sent_back(self, code: str, order: str, status: str = "WAIT", reason: str = "DAMAGEDINTRANSIT") -> None:
        entry = {"orderEntry": {"order": order, "entryNumber": 0}, "expectedQuantity": 1, "reason": reason}
        self.far.put("ReturnRequest", [{"code": code, "RMA": code, "order": order, "status": status,
                                        "modifiedtime": self.tick(), "returnEntries": [entry]}])  # fmt: skip


@pytest.fixture
def counter(shop: Shop, org: Org) -> Counter:
    """A shop with two customers whom Salesforce knows."""
    found = Counter(shop.far)
    found.customers(1, 2)
    found.far.put("Product", [{"code": "p-drill", "name": {"en": "Drill 18 V"}}])
    known(org, "C0001", "C0002")
    return found


def known(org: Org, *customers: str) -> None:
    """Accounts and contacts as the flow of the customers would have made them."""
    org.far.put("Account", [{"Name": key, KEY: key} for key in customers])
    ids = {key: row["Id"] for key, row in org.accounts.items()}
    org.far.put("Contact", [{"LastName": key, KEY: key, "AccountId": ids[key]} for key in customers])


def cases(org: Org) -> dict[str, Row]:
    return org.live("Case")


def walked(walk: Walk, *, days: int = 0, mode: str = "auto") -> Run:
    run = walk(CASES, mode, now=at(days))[LEG]
    assert walk.errors == {}
    return run


def assert_in_step(walk: Walk, org: Org, *, days: int = 0) -> None:
    before = {key: row["SystemModstamp"] for key, row in cases(org).items()}
    org.far.reset_calls()
    for mode in ("changes", "complete"):
        assert walked(walk, days=days, mode=mode).sent == 0
    assert org.writes() == 0
    assert {key: row["SystemModstamp"] for key, row in cases(org).items()} == before


def test_late_cancelled_returned_and_unpaid_orders_become_cases(walk: Walk, counter: Counter, org: Org) -> None:
    for code in ("O1", "O2", "O3", "O4", "O5"):
        counter.bought(code)
    account = org.accounts["C0001"]["Id"]
    org.far.put("Order", [{KEY: "O1", "AccountId": account, "EffectiveDate": day(-4), "Status": "Draft"}])
    counter.parcel("a1", "O1", promised=day(-3))
    counter.touch("O2", status="CANCELLED", totalPrice=10)
    counter.sent_back("R3", "O3")
    counter.paid("O4", ("AUTHORIZATION", "ACCEPTED", "SUCCESFULL"), ("CAPTURE", "REJECTED", "INSUFFICIENT_FUNDS"))
    counter.parcel("a5", "O5", promised=day(-3), status="SHIPPED")
    run = walked(walk)
    assert (run.delivered, run.created) == (4, 4)
    found = cases(org)
    assert set(found) == {"O1|Delayed|1", "O2|Cancelled|1", "O3|Returned|1", "O4|Payment Failed|1"}
    late = found["O1|Delayed|1"]
    assert (late["Promised_Date__c"], late["Days_Late__c"], late["Priority"]) == (day(-3), 3, "Medium")
    assert (late["Subject"], late["Order_Total__c"]) == (f"Order O1 is late, promised for {day(-3)}", 120.0)
    assert late["Order__c"] == org.live("Order")["O1"]["Id"]
    assert late["Order_Lines__c"] == "0: 2 x p-drill Drill 18 V, 120.00 USD"
    assert f"Shipment a1 READY, promised for {day(-3)}" in late["Description"]
    cancelled, back, unpaid = (found[key] for key in ("O2|Cancelled|1", "O3|Returned|1", "O4|Payment Failed|1"))
    assert (cancelled["Priority"], cancelled["Order__c"]) == ("Low", None)
    assert (back["Return_Reason__c"], back["Reason"]) == ("DAMAGEDINTRANSIT", "Breakdown")
    assert "Return R3 WAIT: 1 of line 0 (DAMAGEDINTRANSIT)" in back["Description"]
    assert (unpaid["Payment_Status__c"], unpaid["Priority"]) == ("CAPTURE REJECTED", "High")
    assert "CAPTURE 120.00 USD REJECTED: INSUFFICIENT_FUNDS" in unpaid["Description"]
    people = {(row["AccountId"], row["ContactId"], row["Status"], row["Origin"]) for row in found.values()}
    assert people == {(account, org.contacts["C0001"]["Id"], "New", "Web")}
    assert not any("WARNING" in row["Description"] for row in found.values())
    assert_in_step(walk, org)


def test_time_alone_makes_an_order_late_once_the_grace_is_over(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1")
    counter.parcel("a1", "O1", promised=day(0))
    assert [walked(walk, days=days).sent for days in (0, 1)] == [0, 0]
    assert walked(walk, days=2, mode="changes").created == 1
    assert cases(org)["O1|Delayed|1"]["Days_Late__c"] == 2
    assert_in_step(walk, org, days=2)
    assert walked(walk, days=9).modified == 1
    assert (cases(org)["O1|Delayed|1"]["Days_Late__c"], cases(org)["O1|Delayed|1"]["Priority"]) == (9, "High")


def test_an_order_without_parcels_is_measured_by_the_promise_of_its_lines(
    walk: Walk, counter: Counter, org: Org
) -> None:
    entry = line(0, "p-drill", 1, 120.0) | {"namedDeliveryDate": f"{day(-5)}T00:00:00Z"}
    counter.bought("O1", entries=[entry, line(1, "p-drill", 1, 0.0)])
    counter.bought("O2", entries=[entry], status="COMPLETED")
    walked(walk)
    assert set(cases(org)) == {"O1|Delayed|1"}


def test_what_is_over_before_its_case_exists_gets_none(walk: Walk, counter: Counter, org: Org) -> None:
    for code in ("O1", "O2", "O3", "O4"):
        counter.bought(code)
    counter.parcel("a1", "O1", promised=day(0))
    counter.sent_back("R2", "O2", status="COMPLETED")
    counter.paid("O3", ("CAPTURE", "REJECTED", "x"), ("CAPTURE", "ACCEPTED", "x"))
    counter.sent_back("R4", "O4", status="CANCELED")
    walked(walk)
    counter.moved("a1", "SHIPPED")
    walked(walk, days=4, mode="complete")
    assert cases(org) == {}


def test_a_case_closes_when_its_exception_is_over_and_a_second_one_is_a_new_case(
    walk: Walk, counter: Counter, org: Org
) -> None:
    counter.bought("O1")
    counter.bought("O2")
    counter.parcel("a1", "O1", promised=day(-3))
    counter.sent_back("R2", "O2")
    counter.paid("O2", ("CAPTURE", "ERROR", "x"))
    walked(walk)
    org.far.patch("Case", cases(org)["O1|Delayed|1"]["Id"], Status="Working")
    counter.moved("a1", "SHIPPED", shippingDate=now().isoformat())
    counter.sent_back("R3", "O2")
    counter.sent_back("R2", "O2", status="COMPLETED")
    counter.paid("O2", ("CAPTURE", "ERROR", "x"), ("CAPTURE", "ACCEPTED", "x"))
    walked(walk)
    found = cases(org)
    over = found["O1|Delayed|1"]
    assert (over["Status"], over["Comments"]) == ("Closed", "Closed by the shop: the exception of this order is over.")
    assert over["Resolved_In_Shop_At__c"] is not None
    assert (found["O2|Payment Failed|1"]["Status"], found["O2|Returned|1"]["Status"]) == ("Closed", "New")
    assert found["O2|Returned|1"]["Subject"].endswith("R3"), "the return that is still open goes on in the same case"
    assert_in_step(walk, org)
    counter.moved("a1", "WAITING")
    counter.paid("O2", ("CAPTURE", "ACCEPTED", "x"), ("CAPTURE", "REJECTED", "x"))
    walked(walk)
    found = cases(org)
    states = {key: found[key]["Status"] for key in sorted(found)}
    assert states == {"O1|Delayed|1": "Closed", "O1|Delayed|2": "New", "O2|Payment Failed|1": "Closed",
                      "O2|Payment Failed|2": "New", "O2|Returned|1": "New"}  # fmt: skip
    assert_in_step(walk, org)


def test_people_keep_the_status_of_an_open_case(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1")
    counter.parcel("a1", "O1", promised=day(-3))
    walked(walk)
    org.far.patch("Case", cases(org)["O1|Delayed|1"]["Id"], Status="Escalated")
    counter.parcel("a2", "O1", promised=day(-2))
    assert walked(walk, days=1).modified == 1
    late = cases(org)["O1|Delayed|1"]
    assert (late["Status"], late["Days_Late__c"], "a2" in late["Description"]) == ("Escalated", 4, True)


def test_a_new_promise_closes_the_case_and_a_broken_one_opens_another(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1")
    counter.parcel("a1", "O1", promised=day(-9))
    counter.parcel("a2", "O1", promised=day(-5))
    walked(walk)
    counter.moved("a1", "SHIPPED")
    walked(walk)
    late = cases(org)["O1|Delayed|1"]
    assert (late["Status"], late["Promised_Date__c"]) == ("New", day(-5)), "the other parcel is late as well"
    counter.moved("a2", "READY", namedDeliveryDate=f"{day(3)}T20:00:00Z")
    walked(walk)
    assert {key: row["Status"] for key, row in cases(org).items()} == {"O1|Delayed|1": "Closed"}
    walked(walk, days=5)
    assert cases(org)["O1|Delayed|2"]["Days_Late__c"] == 2
    assert_in_step(walk, org, days=5)


def test_a_cancelled_order_is_neither_late_nor_unpaid(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1", status="PAYMENT_NOT_CAPTURED")
    counter.parcel("a1", "O1", promised=day(-3))
    walked(walk)
    assert set(cases(org)) == {"O1|Delayed|1", "O1|Payment Failed|1"}
    counter.touch("O1", status="CANCELLED")
    walked(walk)
    states = {key: row["Status"] for key, row in cases(org).items()}
    assert states == {"O1|Delayed|1": "Closed", "O1|Payment Failed|1": "Closed", "O1|Cancelled|1": "New"}
    counter.paid("O1", ("CAPTURE", "ACCEPTED", "x"), ("REFUND_FOLLOW_ON", "REJECTED", "x"))
    walked(walk)
    assert cases(org)["O1|Payment Failed|2"]["Payment_Status__c"] == "REFUND_FOLLOW_ON REJECTED"


def test_a_customer_salesforce_does_not_know_gets_a_case_and_later_the_contact(
    walk: Walk, counter: Counter, org: Org
) -> None:
    counter.customers(7)
    counter.units("acme")
    counter.buyers(1, unit="acme")
    org.far.put("Account", [{"Name": "acme", KEY: "acme"}])
    counter.bought("O1", 7, status="CANCELLED")
    counter.bought("O2", None, user="b1@people.example", unit="acme", status="CANCELLED")
    counter.far.put("Customer", [{"uid": "guest@people.example", "customerID": None, "modifiedtime": counter.tick()}])
    counter.bought("O3", None, user="guest@people.example", status="CANCELLED")
    run = walked(walk)
    assert (run.delivered, run.rejected) == (3, 0)
    found = cases(org)
    assert {row["ContactId"] for row in found.values()} == {None}
    assert all(row["Description"].startswith("WARNING: the customer is no contact") for row in found.values())
    assert found["O2|Cancelled|1"]["AccountId"] == org.accounts["acme"]["Id"], "the company is known, the buyer is not"
    walk(CUSTOMERS)
    assert walk.errors == {}
    assert walked(walk, mode="changes").modified == 2
    found = cases(org)
    assert len(found) == 3
    assert found["O1|Cancelled|1"]["ContactId"] == org.contacts["C0007"]["Id"]
    assert found["O1|Cancelled|1"]["AccountId"] == org.accounts["C0007"]["Id"]
    assert found["O2|Cancelled|1"]["ContactId"] == org.contacts["B0001"]["Id"]
    assert [key for key, row in found.items() if "WARNING" in row["Description"]] == ["O3|Cancelled|1"]
    assert_in_step(walk, org)


def test_a_contact_that_goes_is_not_taken_from_its_cases(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1", status="CANCELLED")
    walked(walk)
    org.far.patch("Contact", contact := org.contacts["C0001"]["Id"], **{KEY: None})
    counter.touch("O1", statusInfo="reordered by phone")
    assert walked(walk, mode="complete").modified == 1
    assert cases(org)["O1|Cancelled|1"]["ContactId"] == contact


def test_free_text_loses_what_names_a_person(walk: Walk, counter: Counter, org: Org) -> None:
    counter.customers(3, name="Zoë Li-Ōkami")
    known(org, "C0003")
    place = {"publicKey": "A-9", "firstname": "Al", "lastname": "محمد", "streetname": "Mill Lane", "town": "Bath",
             "postalcode": "BA1 1AA", "phone1": "555", "email": "al@home.example", "country": "GB"}  # fmt: skip
    text = (
        "Zoë Li-Ōkami (LI) of Mill Lane, BATH, called from +44 (0)1225 555-123: card 4111 1111 1111 1111, "
        "write to zoe@x.example; also محمد. Alright, literally 2 pieces"
    )
    counter.bought("O1", 3, status="CANCELLED", statusInfo=text, deliveryAddress=place)
    counter.paid("O1", ("REFUND_STANDALONE", "ERROR", "IBAN DE89370400440532013000 of Zoë, Al"))
    walked(walk)
    story = cases(org)["O1|Cancelled|1"]["Description"]
    notes = next(part for part in story.splitlines() if part.startswith("The shop notes"))
    assert notes == ("The shop notes: *** ***-*** (***) of ***, ***, called from ***: card ***, write to ***; also ***. "
                     "Alright, literally 2 pieces")  # fmt: skip
    assert "ERROR: IBAN DE*** of ***, ***" in story
    for secret in ("Zoë", "kami", "Mill", "محمد", "4111", "@", "3704"):
        assert secret not in story


def test_what_was_over_long_ago_becomes_no_case_at_the_first_run(walk: Walk, counter: Counter, org: Org) -> None:
    present, counter.moment = counter.moment, now() - timedelta(days=200)
    counter.bought("OLD", status="CANCELLED")
    counter.bought("AGED", 2)
    counter.moment = present
    counter.bought("NEW", status="CANCELLED")
    walked(walk)
    assert set(cases(org)) == {"NEW|Cancelled|1"}
    counter.touch("OLD")
    walked(walk)
    assert set(cases(org)) == {"NEW|Cancelled|1"}, "touching it does not make it news"
    counter.touch("AGED", status="CANCELLED")
    counter.touch("OLD", status="CREATED")
    walked(walk)
    counter.touch("OLD", status="CANCELLED")
    walked(walk)
    assert set(cases(org)) == {"NEW|Cancelled|1", "AGED|Cancelled|1", "OLD|Cancelled|2"}


def test_bad_orders_are_set_aside_with_a_reason_and_the_others_arrive(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O" * 300, status="CANCELLED")
    counter.bought("EURO", status="CANCELLED", currency="Euros")
    counter.bought("NONE", status="CANCELLED", currency="XXX")
    counter.bought("MINUS", status="CANCELLED", total=-1.0)
    counter.bought("PAST", None, user=uid(1))
    counter.parcel("a1", "PAST", promised="1970-01-01")
    counter.bought("MAIL", status="CANCELLED")
    counter.parcel("john@home.example", "MAIL", promised=None)
    names = ["عطر 🧴", "n" * 300]
    counter.far.put("Product", [{"code": f"p{n}", "name": {"en": name}} for n, name in enumerate(names)])
    counter.bought("FINE", status="CANCELLED", entries=[line(n, f"p{n}", 1, 60.0) for n in range(2)])
    counter.sent_back("LOST", "NO-SUCH-ORDER")
    run = walk(CASES, now=at(0))[LEG]
    assert walk.errors == {}
    assert set(cases(org)) == {"FINE|Cancelled|1"}
    assert cases(org)["FINE|Cancelled|1"]["Order_Lines__c"].splitlines()[0] == "0: 1 x p0 عطر 🧴, 60.00 USD"
    assert (run.delivered, run.quarantined) == (1, 7)
    reasons = {key.partition("|")[0][:5]: item.code for key, item in walk.rejects(LEG).items()}
    assert set(reasons) == {"OOOOO", "EURO", "NONE", "MINUS", "PAST", "MAIL", "NO-SU"}
    assert (reasons["NONE"], reasons["MINUS"]) == ("currency_is_known", "total_is_not_negative")
    assert reasons["PAST"] == "promised_day_is_plausible"
    counter.touch("EURO", currency="EUR")
    walked(walk)
    assert "EURO|Cancelled|1" in cases(org)


def test_parts_may_come_before_their_order_and_again(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1")
    counter.parcel("a1", "O1", promised=day(-3))
    walk.leg(LEG, now=at(0))
    assert set(cases(org)) == {"O1|Delayed|1"}
    counter.touch("O1", user=uid(2))
    walked(walk)
    assert cases(org)["O1|Delayed|1"]["ContactId"] == org.contacts["C0002"]["Id"], "the order was given to another one"
    counter.moved("a1", "DELIVERY_COMPLETED")
    walked(walk, mode="complete")
    counter.touch("O1")
    counter.moved("a1", "DELIVERY_COMPLETED")
    assert walked(walk).sent == 0
    assert cases(org)["O1|Delayed|1"]["Status"] == "Closed"


def test_an_order_that_is_gone_closes_its_case(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1", status="CANCELLED")
    counter.bought("O2", status="CANCELLED")
    walked(walk)
    counter.far.delete("Order", "O1")
    walked(walk)
    assert cases(org)["O1|Cancelled|1"]["Status"] == "New", "a delta read cannot see what is gone"
    walked(walk, mode="complete")
    assert [cases(org)[f"{code}|Cancelled|1"]["Status"] for code in ("O1", "O2")] == ["Closed", "New"]
    assert_in_step(walk, org)


def test_more_closing_cases_than_the_guard_allows_stop_the_leg(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1", status="CANCELLED")
    walked(walk)
    walk.alter(LEG, guards=Guards(max_deletes=Limit(absolute=0)))
    counter.far.delete("Order", "O1")
    run = walk(CASES, "complete", now=at(0))[LEG]
    assert isinstance(walk.error, GuardError)
    assert (run.status, run.sent, cases(org)["O1|Cancelled|1"]["Status"]) == ("stopped", 0, "New")


def test_a_case_that_is_refused_comes_again_and_holds_nothing_up(walk: Walk, counter: Counter, org: Org) -> None:
    counter.bought("O1", status="CANCELLED")
    counter.bought("O2", status="CANCELLED")
    org.far.fault(action="row_error", object="Case", when={"field": KEY, "regex": "^O1"}, times=1)
    run = walk(CASES, now=at(0))[LEG]
    assert (run.delivered, run.rejected) == (1, 1)
    assert set(cases(org)) == {"O2|Cancelled|1"}
    walked(walk, days=1)
    assert set(cases(org)) == {"O1|Cancelled|1", "O2|Cancelled|1"}
    assert_in_step(walk, org, days=1)
