"""One customer with all that flows hold of her, and a scan of every byte below the home folder that finds her."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce_sync import error_desk, recording
from commerce_sync.errors import RetryableError
from commerce_sync.ledger import Finding, Receipt
from commerce_sync.mapping import Guards, RowRule
from commerce_sync.systems.inbox.taking import take
from flows.appliances import Appliances, Repairs, ago, fault, noted
from flows.both_sides import TO_ADDRESSES, TO_CUSTOMERS
from flows.walking import CONTACTS, CUSTOMERS, HISTORY, HOUSEHOLDS, Org, Row, Shop, Walk, line, mapping_of
from proofs import bytescan

KEY, UID, UNIT = "CZQ77001", "zqlogin.one@people.example", "acme"
FORENAME, SURNAME, PHONE, STREET = "Zqforenama", "Zqsurnamov", "+49 777 0101993", "Zqstrasse Nord"
EDITED, BY_SALES, LEFT_BY_SALES = "Zqeditedphone 42", "Zqsalesname", "Zqlostname"
OLD = "CZQOLD88"
"""What she was called before a merge."""
SECRETS = (KEY, OLD, UID, FORENAME, SURNAME, PHONE, STREET, EDITED, BY_SALES, LEFT_BY_SALES)
OFFERS, LEADS = "condition_offers_to_groups", "interests_to_leads"
ORDERS = "salesforce_orders"
CASES = "order_exceptions_to_cases"
LOG = "logs/commerce_sync.log"


class Life:
    """The far sides, the flows between them, and what they were told of her."""

    def __init__(self, walk: Walk, shop: Shop, org: Org, repairs: Repairs) -> None:
        walk.site = replace(walk.site, undo=True)
        self.walk, self.shop, self.org, self.repairs = walk, shop, org, repairs
        self.ledger, self.site = walk.site.ledger, walk.site
        self.device = ""
        self.numbers = 0

    # Who she is

    def begin(self) -> None:
        """She, two other customers, a company with a buyer."""
        self.repairs.stocked()
        self.shop.units(UNIT)
        self.shop.buyers(1, unit=UNIT)
        self.shop.customers(1, 2)
        self.put()
        self.device = self.repairs.fleet.device(7, productCode="c200", customerRef=KEY)
        other = self.repairs.owner(3)
        noted(self.ledger, fault(self.device, "E17", ago(minutes=20)), fault(other, "E17", ago(minutes=20)))
        template = {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"}
        self.shop.far.put("Consent", [{"code": "czq", "consentTemplate": template, "customer": UID,
                                       "consentGivenDate": "2026-01-01T00:00:00+00:00",
                                       "modifiedtime": self.shop.tick()}])  # fmt: skip
        self.order("OZQ1", user=UID)
        self.order("OACME", user="b1@people.example", unit=UNIT)
        self.order("OBOTH", user=UID, unit=UNIT)

    def put(self, **values: Any) -> None:
        """She as the shop has her."""
        self.shop.far.put("Customer", [{
            "uid": UID, "customerID": KEY, "name": f"{FORENAME} {SURNAME}", "loginDisabled": False,
            "sessionLanguage": "en", "modifiedtime": self.shop.tick(),
            "addresses": [{"publicKey": "A-ZQ", "streetname": STREET, "streetnumber": "7", "postalcode": "10115",
                           "town": "Berlin", "phone1": PHONE, "country": "DE"}],
        } | values])  # fmt: skip

    def order(self, code: str, **values: Any) -> None:
        address = {"publicKey": f"D-{code}", "firstname": FORENAME, "lastname": SURNAME, "streetname": STREET,
                   "phone1": PHONE, "town": "Berlin", "postalcode": "10115", "country": "DE"}  # fmt: skip
        row = {"code": code, "date": f"{datetime.now(UTC) - timedelta(days=4):%Y-%m-%d}T12:00:00+00:00",
               "currency": "USD", "status": "CANCELLED", "totalPrice": 10.0, "modifiedtime": self.shop.tick(),
               "entries": [line(0, "filter", 1, 10.0)]}  # fmt: skip
        whole = row | values | ({"deliveryAddress": address} if values.get("user") == UID else {})
        self.shop.far.put("Order", [whole])

    def happen(self, kind: str, event: str | None = None, **data: Any) -> Any:
        """Something she did reaches the inbox."""
        self.numbers += 1
        told = {"specversion": "1.0", "id": event or f"zq-{self.numbers}", "source": "https://shop.example",
                "type": kind, "time": (datetime.now(UTC) - timedelta(days=1)).isoformat(), "data": data}  # fmt: skip
        return take(self.ledger, "storefront", [json.dumps(told).encode()])

    # What the flows do with it

    def live(self) -> None:
        """All flows that know her: delivered, edited on both sides, refused and edited, set aside, told by events."""
        self.happen("customer.registered", uid=UID, email=UID, name=f"{FORENAME} {SURNAME}", consent=True)
        self.happen("product.viewed", uid=UID, product="c200", url=f"https://shop.example/?u={quote(UID, safe='')}")
        self.happen("product.viewed", uid=UID, product=7)
        self.run(CUSTOMERS)
        self.run(HISTORY)
        self.run(ORDERS)
        for leg in (LEADS, OFFERS, CASES):
            self.walk.attempt(leg, now=datetime.now(UTC) + timedelta(minutes=6))
        self.both_edit()
        self.refused()
        self.set_aside()
        self.asked()

    def run(self, flow: str, **options: Any) -> dict[str, Any]:
        return self.walk(flow, **options)

    def both_edit(self) -> None:
        """Sales and she change her name at the same time; her address is changed by sales only."""
        contact = self.org.contacts[KEY]["Id"]
        self.org.far.patch("Contact", contact, LastName=LEFT_BY_SALES, MailingStreet=f"{STREET} 9")
        self.change(name=f"{FORENAME} {BY_SALES}")
        for leg in (TO_CUSTOMERS, TO_ADDRESSES, CONTACTS, TO_CUSTOMERS):
            self.walk.attempt(leg)

    def change(self, **values: Any) -> None:
        self.shop.far.patch("Customer", UID, **({"modifiedtime": _lately()} | values))

    def refused(self) -> None:
        """Salesforce refuses her household and quotes her; a person gives another value, which waits to be sent."""
        sentence = f"{UID} of {FORENAME} cannot be stored, see {PHONE}"
        self.org.far.fault(action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": KEY},
                           code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message=sentence, times=None)  # fmt: skip
        self.change(name=f"{FORENAME} {SURNAME}")
        self.walk.attempt(HOUSEHOLDS)
        error_desk.edit(self.site, mapping_of(HOUSEHOLDS), KEY, {"Phone": EDITED}, by="anna", reason=f"{UID} rang")
        error_desk.retry(self.site, HOUSEHOLDS, [KEY], by="anna")
        error_desk.edit(self.site, mapping_of(HOUSEHOLDS), KEY, {"Phone": EDITED}, by="anna", reason=f"{UID} rang")

    def set_aside(self) -> None:
        """The gate sets her aside."""
        self.walk.gated = True
        self.change(sessionLanguage="en", loginDisabled=True)
        self.walk.alter(CONTACTS, guards=Guards(max_quarantined=None, max_rejected=None),
                        checks=_nothing_passes(mapping_of(CONTACTS)))  # fmt: skip
        self.walk.attempt(CONTACTS)
        self.walk.gated = False

    def asked(self) -> None:
        """Runs for her alone, a plan, and one that dies on its way and may be taken up again."""
        self.walk.attempt(CONTACTS, "complete", keys=(KEY,))
        self.change(sessionLanguage="de")
        self.walk.attempt(CONTACTS, "plan")
        target, self.walk.target = self.walk.target, _away
        self.walk(CUSTOMERS, leg=CONTACTS)
        self.walk.target = target
        recording.note_said(self.site)

    def left(self) -> None:
        """What seldom happens in a flow as short as this one."""
        now, ledger = datetime.now(UTC), self.ledger
        ledger.put_aliases("salesforce", "Contact", [{"lost": OLD, "now": KEY, "lost_id": None, "now_id": None}])
        payload = json.dumps({"member": "***", "customer": KEY})
        ledger.put_holds(OFFERS, run="run-1", rows=pa.table({"key": [KEY], "fingerprint": pa.array([1], pa.uint64()),
                                                             "reason": [f"is {UID}"], "payload": [payload]}))  # fmt: skip
        ledger.jobs(OFFERS, "run-1").plan(f"create {KEY}", key=KEY)
        stopped = ledger.begin(OFFERS, "stopped", kind="changes")
        ledger.update(stopped, status="stopped", message=f"no result for '{KEY}', see {UID}: nothing was committed")
        ledger.claim_alerts([Finding(f"failure/{UID}", "failure", CUSTOMERS, CONTACTS, "somebody is told"),
                             Finding("failure/2", "failure", CUSTOMERS, CONTACTS, f"told of {UID}")])  # fmt: skip
        ledger.note_receipt(Receipt(now, "sap_commerce", "webhook", 400, f"about {UID}"))
        ledger.feed_moved(ledger.feed_state("pages"), cursor={"after": UID, "page": 7}, message=f"stopped at {UID}")
        with self.site.stores.write(OFFERS, "run-1", "figures") as into:
            into.add(pa.table({"owner": [UNIT], "contact": [KEY], "uid": [f"told by {UID} of {PHONE}"], "rows": [7]}))

    def is_back(self) -> list[str]:
        """Secrets that are found again anywhere below the home folder."""
        return sorted({secret for _path, secret in scan(self.walk.folder)})


def _lately() -> str:
    return (datetime.now(UTC) - timedelta(seconds=30)).isoformat()


class _Away:
    """A target that does not answer."""

    def load(self, *_given: Any, **_options: Any) -> None:
        raise RetryableError(f"nobody answers at https://far.example/{quote(UID, safe='')}")

    def current(self, *_given: Any, **_options: Any) -> None:
        raise RetryableError("nobody answers")


def _away(*_given: Any) -> _Away:
    return _Away()


def _nothing_passes(mapping: Any) -> Any:
    return replace(mapping.checks, source=(), rows=(RowRule("nobody_passes", "\"Commerce_Id__c\" <> 'CZQ77001'"),))


# The scan, for what she is known by


def scan(home: Path, secrets: tuple[str, ...] = SECRETS) -> Iterator[tuple[str, str]]:
    """(file, secret) for every secret found in any file below a folder, see ``proofs.bytescan``."""
    yield from bytescan.scan(home, secrets)


@contextmanager
def logged(home: Path) -> Iterator[Path]:
    """All that is logged in a file below the home folder: ours to the smallest detail, the rest as Airflow keeps it."""
    path = home / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    levels = {logging.getLogger("commerce_sync"): logging.DEBUG, logging.getLogger(): logging.INFO}
    before = {logger: logger.level for logger in levels}
    logging.getLogger().addHandler(handler)
    for logger, level in levels.items():
        logger.setLevel(level)
    try:
        yield path
    finally:
        logging.getLogger().removeHandler(handler)
        for logger, level in before.items():
            logger.setLevel(level)
        handler.close()


@contextmanager
def world(walk: Walk, shop: Shop, org: Org, iot: Any, patch: pytest.MonkeyPatch) -> Iterator[Life]:
    iot.clear_faults()
    walk.gated = False
    org.far.clock(advance_s=-30)
    with logged(walk.folder):
        yield Life(walk, shop, org, Repairs(Appliances(iot, shop, patch), patch))


def rows_of(life: Life, store: str) -> list[Row]:
    """Rows of all Parquet files of a store."""
    found = []
    for path in (life.walk.folder / "batches" / store).rglob("*.parquet"):
        found += pq.read_table(path).to_pylist()
    return found
