"""Quotes, events and what Salesforce makes of them, in a few words, for the stories of S2."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from commerce_sync.ledger import Run
from commerce_sync.systems.inbox.taking import take
from flows.walking import KEY, Org, Row, Shop, Walk

SIGNALS = "salesforce_signals"
QUOTES, ROLES = "quotes_to_opportunities", "quotes_to_contact_roles"
LEADS, INTERESTS = "interests_to_leads", "interests_to_opportunities"
WRITTEN = ("Lead", "Opportunity", "OpportunityContactRole")
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def month(ago: int) -> datetime:
    """Noon of the fifteenth day, so many months ago."""
    year, number = divmod(NOON.year * 12 + NOON.month - 1 - ago, 12)
    return NOON.replace(year=year, month=number + 1, day=15)


class Signals:
    """What buyers and visitors do, and what Salesforce holds of it."""

    def __init__(self, walk: Walk, shop: Shop, org: Org) -> None:
        self.walk, self.shop, self.org = walk, shop, org
        walk.gated = False  # the gate costs seconds a run: only the stories of bad input need it
        self.inbox = walk.site.ledger
        self.numbers = itertools.count(1)
        org.far.clock(advance_s=-30)  # a run leaves the present second to the next one
        # Legs that read both systems go by one high water: what changes in the shop changes about now.
        shop.moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=4)

    # Who is known

    def account(self, code: str) -> str:
        self.org.far.put("Account", [{"Name": f"{code} Ltd", KEY: code}])
        return self.id("Account", code)

    def contact(self, number: int, account: str | None, **values: Any) -> None:
        login = f"b{number}@people.example"
        self.org.far.put("Contact", [{KEY: f"B{number:04d}", "Commerce_Uid__c": login, "Email": login,
                                      "LastName": f"L{number}", "AccountId": account} | values])  # fmt: skip

    def acme(self, *numbers: int) -> str:
        """A unit with buyers that both systems know; gives the account's id."""
        self.shop.units("acme")
        self.shop.buyers(*numbers, unit="acme")
        account = self.account("acme")
        for number in numbers:
            self.contact(number, account)
        return account

    # What they do

    def product(self, code: str, *, approval: str = "approved", version: str = "Online", **values: Any) -> None:
        self.shop.far.put("Product", [{"code": code, "name": f"{code} by Acme", "approvalStatus": approval,
                                       "catalogVersion": {"version": version, "catalog": "Default"},
                                       "modifiedtime": self.shop.tick()} | values])  # fmt: skip

    def quote(self, code: str, version: int, state: str, *, lines: tuple[Row, ...] = (), **values: Any) -> None:
        made = datetime.now(UTC) - timedelta(days=3)
        row = {"code": code, "version": version, "state": state, "name": f"Quote {code}", "currency": "USD",
               "totalPrice": 1200.5, "user": "b1@people.example", "unit": "acme", "creationtime": made.isoformat(),
               "expirationTime": (made + timedelta(days=20)).isoformat(), "modifiedtime": self.shop.tick(),
               "entries": list(lines)} | values  # fmt: skip
        self.shop.far.put("Quote", [row])

    def event(self, kind: str, *, at: datetime = NOON, id: str | None = None, **data: Any) -> Row:
        return {"specversion": "1.0", "id": id or f"e{next(self.numbers)}", "source": "https://shop.example",
                "type": kind, "time": at.isoformat(), "data": {"consent": True} | data}  # fmt: skip

    def happen(self, *events: Row) -> None:
        """The events reach the inbox, in that order."""
        added = take(self.inbox, "storefront", [json.dumps(item).encode() for item in events])
        assert added.refused == 0

    def views(self, who: str, product: str, *, times: int = 3, value: float = 900, at: datetime = NOON,
              **data: Any) -> list[Row]:  # fmt: skip
        moments = [at + timedelta(seconds=number) for number in range(times)]
        given = {"uid": who, "product": product, "value": value, "currency": "USD"} | data
        return [self.event("product.viewed", at=moment, **given) for moment in moments]

    def download(self, who: str, content: str, **data: Any) -> Row:
        return self.event("content.downloaded", **({"uid": who, "content": content, "gated": True} | data))

    def registration(self, who: str, **data: Any) -> Row:
        given = {"uid": who, "email": who, "name": "Grace Hopper", "company": "Navy"}
        return self.event("customer.registered", **(given | data))

    # What Salesforce has

    def id(self, kind: str, key: str) -> str:
        return self.org.live(kind)[key]["Id"]

    @property
    def leads(self) -> dict[str, Row]:
        """By address, those made by hand included."""
        rows = self.org.far.control("GET", "records/Lead", params={"limit": 100_000})["records"]
        kept = [row for row in rows if not row["IsDeleted"]]
        assert len({row["Email"] for row in kept}) == len(kept), "one person has two leads"
        return {row["Email"]: row for row in kept}

    @property
    def opportunities(self) -> dict[str, Row]:
        """Those of this flow, by external id."""
        return {key: row for key, row in self.org.live("Opportunity").items() if key}

    def edit(self, kind: str, key: str, **values: Any) -> None:
        """What a salesperson does by hand."""
        self.org.far.patch(kind, key, **values)

    # Runs

    def run(self, *legs: str, **options: Any) -> dict[str, Run]:
        """Walk the flow, or some of its legs; nothing may be red."""
        runs = {leg: self.walk.leg(leg, **options) for leg in legs} if legs else self.walk(SIGNALS, **options)
        assert self.walk.errors == {}
        return runs

    def stamps(self) -> dict[str, str]:
        rows = (
            self.org.far.control("GET", f"records/{kind}", params={"limit": 100_000})["records"] for kind in WRITTEN
        )
        return {row["Id"]: row["SystemModstamp"] for kind in rows for row in kind}

    def assert_in_step(self, *legs: str, modes: tuple[str, ...] = ("auto",), **options: Any) -> None:
        """Another run writes nothing."""
        before = self.stamps()
        self.org.far.reset_calls()
        for mode in modes:
            self.run(*legs, mode=mode, **options)
        assert self.org.writes() == 0, self.org.far.calls(log=True)
        assert self.stamps() == before


def entry(number: int, product: str, quantity: int = 1, total: float = 1200.5) -> Row:
    return {"entryNumber": number, "product": {"code": product}, "quantity": quantity, "totalPrice": total}
