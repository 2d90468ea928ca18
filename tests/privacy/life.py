"""One customer with all that flows hold of her, and a scan of every byte below the home folder that finds her."""

from __future__ import annotations

import base64
import json
import logging
import zlib
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
        self.walk.attempt(CONTACTS, "plan")
        self.change(sessionLanguage="de")
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


# The scan


def scan(home: Path, secrets: tuple[str, ...] = SECRETS) -> Iterator[tuple[str, str]]:
    """(file, secret) for every secret found in any file below a folder, in any of the spellings of ``spellings``."""
    wanted = {secret: spellings(secret) for secret in secrets}
    for path in sorted(home.rglob("*")):
        if path.is_file():
            for text in readings(path):
                low = text.lower()
                for secret, forms in wanted.items():
                    if any(form in low or form in text for form in forms):
                        yield str(path.relative_to(home)), secret


def readings(path: Path) -> Iterator[bytes]:
    """A file's bytes, what is in it decoded and unpacked, and its name."""
    raw = path.read_bytes()
    yield str(path).encode()
    yield raw
    if raw[:4] == b"PAR1":
        table = pq.read_table(path)
        yield json.dumps(table.to_pylist(), default=str, ensure_ascii=False).encode()
    if raw[:2] == b"\x1f\x8b":
        yield zlib.decompress(raw, zlib.MAX_WBITS | 16)


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, in lower case, escaped as in JSON and addresses, in base64 at each offset, in UTF-16, in hex."""
    plain = secret.encode()
    found = {plain, secret.lower().encode(), quote(secret, safe="").encode(), quote(secret, safe="").lower().encode()}
    found |= {
        json.dumps(secret)[1:-1].replace("@", "\\u0040").encode(),
        secret.encode("utf-16-le"),
        plain.hex().encode(),
    }
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + plain)
        found.add(coded[(0, 2, 3)[shift] : -4])
    return {form for form in found if len(form) >= 6}


@contextmanager
def logged(home: Path) -> Iterator[Path]:
    """All that is logged, down to the smallest detail, in a file below the home folder."""
    path = home / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    ours = logging.getLogger("commerce_sync")
    before = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield path
    finally:
        ours.removeHandler(handler)
        ours.setLevel(before)
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
