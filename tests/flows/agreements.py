"""What people agree on in Salesforce and what the shop sells by, in a few words, for the stories of S3."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Any

from flows.walking import KEY, Org, Row, Shop, Walk

PRICES = "salesforce_contract_prices"
TERMS, OWNERS, ROWS = "account_terms_to_units", "account_owners_to_units", "agreements_to_price_rows"
OPEN_END = "9999-12-31"
NOBODY_BUYS = datetime(1970, 1, 1, tzinfo=UTC)


def today() -> date:
    return datetime.now(UTC).date()


def day(ahead: int) -> str:
    """ISO date so many days from today."""
    return (today() + timedelta(days=ahead)).isoformat()


class Sales:
    """Two accounts with units, a product p1 with list price 10.00, and what is agreed about them."""

    def __init__(self, shop: Shop, org: Org) -> None:
        self.shop, self.org = shop, org
        org.far.clock(advance_s=-30)  # a run leaves the present second to the next one
        # A leg that reads both systems goes by one high water: what changes in the shop changes about now.
        shop.moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=4)
        shop.far.put("Employee", [{"uid": "Ann@sales.example", "name": "Ann", "modifiedtime": shop.tick()}])
        self.user = self.person("ann@sales.example")
        for name in ("acme", "zeta"):
            self.account(name)
        self.listed("p1", 10.0)

    def person(self, login: str) -> str:
        """A user of Salesforce; gives the id."""
        row = {"Username": login, "Email": f"{login}.test", "LastName": "X", "Alias": "x", "IsActive": True}
        self.org.far.put("User", [row])
        return str(self.org.far.records("User", Username=login)[0]["Id"])

    def account(self, name: str, *, unit: bool = True, **values: Any) -> str:
        """An account, by default with its unit in the shop; gives the Salesforce id."""
        if unit:
            self.shop.units(name, groups=["retail"])
        self.org.far.put("Account", [{"Name": name, KEY: name, "Tier__c": "Gold", "OwnerId": self.user} | values])
        return self.id("Account", name)

    def listed(self, code: str, price: float, **values: Any) -> None:
        """A product and its list price."""
        self.shop.far.put("Product", [{"code": values.get("product", code)}])
        row = {"sapConditionId": f"LIST-{code}", "price": price, "currency": "USD", "unit": "pieces", "product": code,
               "catalogVersion": "Online|Default", "modifiedtime": self.shop.tick()}  # fmt: skip
        self.shop.far.put("PriceRow", [row | values])

    def contract(self, name: str, account: str = "acme", **values: Any) -> str:
        row = {KEY: name, "AccountId": self.id("Account", account), "Status": "Activated", "StartDate": day(-50)}
        self.org.far.put("Contract", [row | {"ContractTerm": 24} | values])
        return self.id("Contract", name)

    def agree(
        self, name: str, price: float | None, start: int | None = -10, end: int | None = None, **values: Any
    ) -> None:
        """An agreement of acme's about p1; days from today, ``end`` included."""
        account = self.id("Account", values.pop("account", "acme"))
        row = {KEY: name, "Account__c": account, "Product_Code__c": "p1", "Unit__c": "pieces", "Minimum_Quantity__c": 1,
               "Currency__c": "USD", "Price__c": price, "Active__c": True,
               "Valid_From__c": None if start is None else day(start),
               "Valid_To__c": None if end is None else day(end)}  # fmt: skip
        self.org.far.put("Price_Agreement__c", [row | values])

    def change(self, name: str, **values: Any) -> None:
        self.org.far.patch("Price_Agreement__c", self.id("Price_Agreement__c", name), **values)

    def remove(self, name: str) -> None:
        self.org.far.delete("Price_Agreement__c", self.id("Price_Agreement__c", name))

    def id(self, kind: str, name: str) -> str:
        return str(self.org.far.records(kind, Commerce_Id__c=name)[0]["Id"])

    def key(self, name: str, *, currency: str = "USD", unit: str = "pieces") -> str:
        """An agreement's key in the ledger."""
        return f"SF-{self.id('Price_Agreement__c', name)}|{currency}|{unit}"

    # In the shop

    def agreed(self) -> list[Row]:
        """Price rows that came from Salesforce, as the shop holds them."""
        return [row for row in self.shop.far.records("PriceRow") if (row["sapConditionId"] or "").startswith("SF-")]

    def row(self, name: str, **where: Any) -> Row:
        """The price row of an agreement."""
        code = f"SF-{self.id('Price_Agreement__c', name)}"
        found = [row for row in self.agreed() if row["sapConditionId"] == code]
        found = [row for row in found if all(row[field] == value for field, value in where.items())]
        assert len(found) == 1, f"{name} has {len(found)} rows"
        return found[0]

    def window(self, name: str, **where: Any) -> tuple[datetime, datetime]:
        row = self.row(name, **where)
        return datetime.fromisoformat(row["startTime"]), datetime.fromisoformat(row["endTime"])

    def days(self, name: str) -> tuple[str, str]:
        """First day, and the day after the last one."""
        first, after = (moment.date().isoformat() for moment in self.window(name))
        return first, after

    def names(self) -> set[str]:
        """Agreements the shop sells by, at some moment."""
        names = {f"SF-{row['Id']}": row[KEY] for row in self.org.far.records("Price_Agreement__c")}
        return {names[row["sapConditionId"]] for row in self.agreed() if row["startTime"] < row["endTime"]}

    def prices(self, ahead: float = 1.0, *, slot: tuple[Any, ...] = ("prices-acme", "p1|Online|Default", "pieces", "USD", 1),
               ) -> list[float]:  # fmt: skip
        """What the shop asks in a slot, so many days from now."""
        at = datetime.now(UTC) + timedelta(days=ahead)
        return [row["price"] for row in self.agreed() if slot_of(row) == slot
                and datetime.fromisoformat(row["startTime"]) <= at < datetime.fromisoformat(row["endTime"])]  # fmt: skip

    def unit(self, uid: str) -> Row:
        return next(row for row in self.shop.far.records("B2BUnit") if row["uid"] == uid)

    def stamps(self) -> dict[str, str]:
        """When everything this flow writes was last written."""
        return {str(row["pk"]): row["modifiedtime"] for row in (*self.agreed(), *self.shop.far.records("B2BUnit"))}


def slot_of(row: Row) -> tuple[Any, ...]:
    """What competes for one price."""
    return tuple(row[name] for name in ("ug", "product", "unit", "currency", "minqtd"))


def assert_apart(sales: Sales) -> None:
    """No two rows of a slot are valid at one moment."""
    rows = [row for row in sales.agreed() if row["startTime"] < row["endTime"]]
    for one, other in combinations(rows, 2):
        if slot_of(one) == slot_of(other):
            apart = one["endTime"] <= other["startTime"] or other["endTime"] <= one["startTime"]
            assert apart, f"both are valid: {one} and {other}"


def flowed(walk: Walk, *, ahead: timedelta | None = None, **request: Any) -> dict[str, Any]:
    """The whole flow without an error, some time from now."""
    runs = walk(PRICES, now=datetime.now(UTC) + ahead if ahead else None, **request)
    assert walk.errors == {}, walk.errors
    return runs


def priced(walk: Walk, *, ahead: timedelta | None = None, **request: Any) -> Any:
    """The leg of the price rows without an error."""
    run = walk(PRICES, leg=ROWS, now=datetime.now(UTC) + ahead if ahead else None, **request)[ROWS]
    assert walk.errors == {}, walk.errors
    return run


def assert_in_step(walk: Walk, sales: Sales, *, whole: bool = False, **options: Any) -> None:
    """Another walk, of the whole flow or of the price rows, writes nothing."""
    before = sales.stamps()
    runs = flowed(walk, **options) if whole else {ROWS: priced(walk, **options)}
    assert {leg: run.sent for leg, run in runs.items() if run.sent} == {}
    assert sales.stamps() == before
