"""What the flow stories and the contracts share: a shop to fill, an org to look at, legs walked in this process."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from commerce_sync import flow, walk
from commerce_sync import leg as legs
from commerce_sync.batches import Batches
from commerce_sync.history import History
from commerce_sync.ledger import Ledger, Run
from commerce_sync.leg import LegRun, Site
from commerce_sync.mapping import Checks, Mapping, Target
from commerce_sync.window import Request
from demo.simulated import is_write

ROOT = Path(__file__).resolve().parents[2]
CUSTOMERS, HISTORY = "salesforce_customers", "salesforce_purchase_history"
UNITS, HOUSEHOLDS = "units_to_accounts", "households_to_accounts"
BUYERS, CONTACTS = "b2b_customers_to_contacts", "customers_to_contacts"
SPEND = "purchase_history_to_accounts"
SWIFT = {"pauses_s": [0, 0, 0], "poll_first_s": 0.02, "poll_most_s": 0.05}
"""Options of a Salesforce target that wait for nothing."""
PACES: dict[str, dict[str, Any]] = {"salesforce": SWIFT, "iconik": {"settle_s": 0}}
"""System of a target -> its options that wait for nothing; the index of iconik then has to lag by nothing."""
KEY = "Commerce_Id__c"
Row = dict[str, Any]


@cache
def legs_of(dag_id: str) -> tuple[Mapping, ...]:
    """The mappings of a flow in the order its DAG file runs them."""
    runpy.run_path(str(ROOT / "dags" / f"{dag_id}.py"))
    return tuple(mapping for stage in flow.BUILT.get(dag_id, ()) for mapping in stage)


@cache
def flow_of(leg: str) -> str:
    """The flow a leg belongs to."""
    flows = sorted(path.stem for path in (ROOT / "dags").glob("*.py"))
    return next(dag_id for dag_id in flows if any(item.leg == leg for item in legs_of(dag_id)))


def mapping_of(leg: str) -> Mapping:
    """One leg's mapping, whatever flow it belongs to."""
    return next(item for item in legs_of(flow_of(leg)) if item.leg == leg)


def open_site(folder: Path) -> Site:
    """A ledger and stores of their own."""
    files = f"{folder}/batches"
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", files=f"{files}/markers")
    runs, kept = Batches(f"{files}/runs"), timedelta(days=30)
    history = History(f"{files}/history", runs=runs, keep_success=kept, keep_error=kept)
    return Site(ledger, runs, Batches(f"{files}/stores"), folder / "pages", history=history)


def swift(mapping: Mapping, **target: Any) -> Mapping:
    """The leg as it is, without pauses; ``target`` replaces values of its target."""
    pace = PACES.get(mapping.target.system, {})
    options = {**mapping.target.options, **pace, **target.pop("options", {})}
    return replace(mapping, target=replace(mapping.target, options=options, **target))


class Walk:
    """Runs a flow's legs in order; a leg that raises leaves its error in ``errors`` and the next one goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = open_site(folder)
        self.errors: dict[str, BaseException] = {}
        self.gated = True
        self.source: Any = flow.source_system
        self.target: Any = flow.target_system
        self._altered: dict[str, Mapping] = {}
        self._count = 0

    def __call__(
        self, dag_id: str, mode: str = "auto", leg: str | None = None, *, now: datetime | None = None,
        run_id: str | None = None, **request: Any,
    ) -> dict[str, Run]:  # fmt: skip
        """Leg -> its run as the ledger has it. ``request``: since, until, backfill."""
        self.errors = {}
        name = run_id or self.next_id()
        chosen = [item for item in legs_of(dag_id) if leg in (None, item.leg)]
        return {item.leg: self._one(item.leg, name, Request(mode=mode, **request), now) for item in chosen}

    def _one(self, leg: str, name: str, request: Request, now: datetime | None) -> Run:
        try:
            name = walk.leg(
                self.site, self.mapping(leg), name, request=request, sources=self.source, targets=self.target, now=now
            ).run
        except Exception as error:
            self.errors[leg] = error
        found = self.site.ledger.find_run(leg, name) or next(iter(self.runs(leg)), None)
        return found or pytest.fail(f"{leg} never began: {self.errors[leg]!r}")

    def leg(self, leg: str, mode: str = "auto", **options: Any) -> Run:
        """Walk one leg that must not fail."""
        run = self.attempt(leg, mode, **options)
        if leg in self.errors:
            raise self.errors[leg]
        return run

    def attempt(self, leg: str, mode: str = "auto", **options: Any) -> Run:
        """Walk one leg; what it raises is in ``error``."""
        return self(flow_of(leg), mode, leg, **options)[leg]

    @property
    def error(self) -> BaseException | None:
        """What the last walk raised first."""
        return next(iter(self.errors.values()), None)

    def next_id(self) -> str:
        self._count += 1
        return f"run-{self._count}"

    def begin(self, leg: str, mode: str = "auto", run_id: str | None = None, **request: Any) -> LegRun:
        """A run to walk step by step."""
        return legs.begin(self.site, self.mapping(leg), run_id or self.next_id(), request=Request(mode=mode, **request))

    def mapping(self, leg: str) -> Mapping:
        found = self._altered.get(leg) or swift(mapping_of(leg))
        return found if self.gated else replace(found, checks=Checks())

    def alter(self, leg: str, *, target: Row | None = None, **values: Any) -> None:
        """Replace values of a leg's mapping, and of its target."""
        self._altered[leg] = replace(swift(self.mapping(leg), **(target or {})), **values)

    def runs(self, leg: str) -> list[Run]:
        """Newest first."""
        return self.site.ledger.runs(leg)

    def markers(self, leg: str) -> dict[str, Row]:
        """What the target is known to have, by key."""
        ledger = self.site.ledger
        with duckdb.connect() as con:
            ledger.attach(con)
            rows = con.execute(ledger.markers_sql(ledger.state(leg))).fetchall()
        return {key: {"fingerprint": mark, "target_id": target} for key, mark, target in rows}

    def rejects(self, leg: str) -> dict[str, Any]:
        return {item.key: item for item in self.site.ledger.rejects(leg)}

    def steps_of(self, leg: str, run: str) -> set[str]:
        """Steps that left a finished batch."""
        folder = Path(self.site.batches.address(leg, run, "x")).parent
        return {path.parent.name for path in folder.glob("*/manifest.json")}


class Shop:
    """The SAP Commerce simulator in a few words. Every change is a second later than the one before."""

    def __init__(self, far: Any) -> None:
        self.far = far
        self.moment = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)

    def tick(self, seconds: int = 1) -> str:
        self.moment += timedelta(seconds=seconds)
        return self.moment.isoformat()

    def customers(self, *numbers: int, **values: Any) -> list[str]:
        """Private customers; gives their ids."""
        return self._people("Customer", "C", numbers, values)

    def buyers(self, *numbers: int, unit: str, **values: Any) -> list[str]:
        """People who buy for a unit; gives their ids."""
        more = {"email": None, "active": True, "defaultB2BUnit": unit} | values
        return self._people("B2BCustomer", "B", numbers, more)

    def _people(self, kind: str, letter: str, numbers: Iterable[int], values: Row) -> list[str]:
        rows = [self._person(letter, number) | values for number in numbers]
        for row in rows:
            if "email" in row and row["email"] is None:
                row["email"] = row["uid"]
        self.far.put(kind, rows)
        return [row["customerID"] for row in rows]

    def _person(self, letter: str, number: int) -> Row:
        return {
            "uid": f"{letter.lower()}{number}@people.example", "customerID": f"{letter}{number:04d}",
            "name": f"Ada Lovelace{number}", "loginDisabled": False, "sessionLanguage": "en",
            "modifiedtime": self.tick(), "addresses": [address(f"{letter}{number}")],
        }  # fmt: skip

    def units(self, *uids: str, **values: Any) -> None:
        self.far.put("B2BUnit", [{"uid": uid, "name": f"{uid} Ltd", "active": True, "modifiedtime": self.tick(),
                                  "addresses": [address(uid)]} | values for uid in uids])  # fmt: skip

    def change(self, number: int, *, address: Row | None = None, **values: Any) -> None:
        """Change a private customer, and its address."""
        if address is not None:
            self.far.patch("Address", f"A-C{number}", **address)
        self.far.patch("Customer", uid(number), **({"modifiedtime": self.tick()} | values))

    def remove(self, number: int) -> None:
        self.far.delete("Customer", uid(number))

    # Orders

    def categories(self, *names: str) -> None:
        self.far.put("Category", [{"code": name.lower(), "name": name} for name in names])

    def product(self, code: str, *categories: str) -> None:
        self.far.put("Product", [{"code": code, "supercategories": [name.lower() for name in categories]}])

    def order(
        self, code: str, *, customer: int | None = None, unit: str | None = None, day: str, lines: Iterable[Row],
        status: str = "COMPLETED",
    ) -> None:  # fmt: skip
        """An order; put again under its code it is the same order, edited."""
        row = {"code": code, "date": day if "T" in day else f"{day}T12:00:00+00:00", "currency": "USD", "status": status,
               "modifiedtime": self.tick(), "unit": unit, "entries": list(lines)}  # fmt: skip
        if customer is not None:
            row["user"] = uid(customer)
        self.far.put("Order", [row])

    def returned(self, code: str, order: str, *, entry: int, pieces: int, status: str = "COMPLETED") -> None:
        refund = {
            "orderEntry": {"order": order, "entryNumber": entry},
            "expectedQuantity": pieces,
            "receivedQuantity": pieces,
        }
        self.far.put("ReturnRequest", [{"code": code, "RMA": code, "order": order, "status": status,
                                        "modifiedtime": self.tick(), "returnEntries": [refund]}])  # fmt: skip

    def touch(self, code: str, **values: Any) -> None:
        self.far.patch("Order", code, **({"modifiedtime": self.tick()} | values))

    def dump(self) -> list[Row]:
        """Every order with lines and returns, past the API."""
        answer = self.far._session.get(f"{self.far.url}/_sim/dump/orders", timeout=60)
        return [json.loads(line) for line in answer.text.splitlines()]


def uid(number: int) -> str:
    """The login of a private customer."""
    return f"c{number}@people.example"


def address(owner: str) -> Row:
    return {"publicKey": f"A-{owner}", "streetname": "Mill Lane", "streetnumber": "1", "postalcode": "10115",
            "town": "Berlin", "phone1": "030 1234567", "country": "DE"}  # fmt: skip


def line(number: int, product: str, quantity: int, total: float) -> Row:
    """One entry of an order; ``total`` is the price of all its pieces."""
    return {"entryNumber": number, "product": {"code": product}, "quantity": quantity, "totalPrice": total}


class Org:
    """The Salesforce simulator as a reader sees it."""

    def __init__(self, far: Any) -> None:
        self.far = far

    def live(self, kind: str) -> dict[str, Row]:
        """Records by external id, with all their values."""
        rows = self.far.control("GET", f"records/{kind}", params={"limit": 100_000})["records"]
        kept = [row for row in rows if not row["IsDeleted"]]
        assert len({row[KEY] for row in kept}) == len(kept), f"a {kind} is there twice"
        return {row[KEY]: row for row in kept}

    @property
    def accounts(self) -> dict[str, Row]:
        return self.live("Account")

    @property
    def contacts(self) -> dict[str, Row]:
        return self.live("Contact")

    def stamps(self) -> dict[str, str]:
        """When each account and contact was last written."""
        return {row["Id"]: row["SystemModstamp"] for kind in ("Account", "Contact") for row in self.live(kind).values()}

    def writes(self) -> int:
        """Calls since the last ``reset_calls`` that could change something."""
        return sum(count for route, count in self.far.calls()["by_route"].items() if is_write(route))

    def jobs(self) -> int:
        """Bulk jobs made since the last ``reset_calls``."""
        routes = self.far.calls()["by_route"]
        return sum(
            count for route, count in routes.items() if route.startswith("POST") and route.endswith("jobs/ingest")
        )


class Altering:
    """A target that delivers and then tampers with what it reports: SQL over the result rows, named ``results``."""

    def __init__(self, query: str) -> None:
        self.query = query

    def __call__(self, mapping: Mapping, on_call: Callable[[Any], None]) -> Altering:
        self._real = flow.target_system(mapping, on_call)
        return self

    def load(self, target: Target, fields: Any, changes: Any, *, jobs: Any, into: Any, wait_s: float) -> Any:
        done = self._real.load(target, fields, changes, jobs=jobs, into=into, wait_s=wait_s)
        paths = [f"{into.uri}/{part.name}" for part in into.parts]
        into.parts.clear()
        with duckdb.connect() as con:
            con.execute(f"CREATE VIEW results AS SELECT * FROM read_parquet({paths!r})")
            into.copy(con, self.query)
        return done


def connection(far: Any, **extra: Any) -> str:
    """The Airflow connection to a simulator, as the environment holds it."""
    if "auth_token" in far.credentials:
        fields = {"conn_type": "commerce_sync_iconik", "login": far.app_id, "password": far.auth_token}
    elif "username" not in far.credentials:
        fields = {"conn_type": "commerce_sync_opentext_iot", "login": far.client_id, "password": far.client_secret}
    elif "security_token" in far.credentials:
        fields = {"conn_type": "commerce_sync_salesforce", "login": far.client_id, "password": far.client_secret}
    else:
        fields = {"conn_type": "commerce_sync_sap_commerce", "login": far.username, "password": far.password}
        extra = {"auth": "oauth", "client_id": far.client_id, "client_secret": far.client_secret} | extra
    return json.dumps({"host": far.url, "extra": extra} | fields)
