"""The demo seed as commerce items: customers, units, products, orders with entries, returns.

Orders go straight into the tables, a column list per type; everything else through the raw loader. With a
state folder the finished database is kept there and used again on the same day.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from simulators.clock import Clock
from simulators.sap_commerce.demo_shop import load_shop
from simulators.sap_commerce.records import Records
from simulators.sap_commerce.seeding import definitions_mark, new_store
from simulators.sap_commerce.store import Store
from simulators.seed.journey import Journey
from simulators.seed.people import Company, Person, companies, person
from simulators.system import Options

SEED_FORMAT = 4  # raise it when the seed's content changes: kept databases are then built anew
AWAITED_DAYS = 25  # so old is the oldest return whose goods are still on their way


def demo_database(options: Options, *, empty: Store, clock: Clock) -> sqlite3.Connection:
    """A connection to the finished demo database."""
    today = clock.now().date()
    kept = _kept_path(options.state, scale=options.scale, today=today)
    if kept is not None and kept.exists():
        return sqlite3.connect(kept)
    store = build_demo(scale=options.scale, today=today, empty=empty, clock=clock)
    if kept is not None:
        _keep(store, kept)
    return store.db


def _kept_path(state: Path | None, *, scale: str, today: date) -> Path | None:
    return state / f"seed-{scale}-{today:%Y%m%d}-{SEED_FORMAT}-{definitions_mark()}.sqlite" if state else None


def _keep(store: Store, path: Path) -> None:
    for older in path.parent.glob(f"seed-{path.name.split('-')[1]}-*.sqlite"):
        older.unlink()
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    target = sqlite3.connect(unfinished)
    store.db.backup(target)
    target.close()
    unfinished.rename(path)


def build_demo(*, scale: str, today: date, empty: Store, clock: Clock) -> Store:
    """A store in memory with the whole demo seed."""
    store = new_store(":memory:", clock=clock)
    store.replace_with(empty.db)
    journey = Journey(scale=scale, yesterday=today - timedelta(days=1))
    with store.transaction():
        _drop_indexes(store, "OrderEntry", "Order", "Product")
        loader = Loader(store, Records(store), journey)
        loader.load()
        load_shop(loader, today=today)
        _create_indexes(store)
    journey.close()
    store.forget_numbers()
    store.db.execute("ANALYZE")
    return store


def _drop_indexes(store: Store, *tables: str) -> None:
    """Bulk rows go in before their indexes: that halves the time."""
    marks = ", ".join("?" * len(tables))
    rows = store.db.execute(
        f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL AND tbl_name IN ({marks})", tables
    ).fetchall()
    store.remember("dropped_indexes", [sql for _, sql in rows])
    for name, _ in rows:
        store.db.execute(f"DROP INDEX {name}")


def _create_indexes(store: Store) -> None:
    for sql in store.fact("dropped_indexes"):
        store.db.execute(sql)
    store.db.execute("DELETE FROM facts WHERE name = 'dropped_indexes'")


@dataclass(slots=True)
class Loader:
    """Writes the journey into a store."""

    store: Store
    records: Records
    journey: Journey
    first: dict[str, int] = field(default_factory=dict)

    def load(self) -> None:
        """Everything, parents first."""
        households = self.journey.households()
        units = companies(households)
        unit_of = {household: unit for unit in units for household in unit.households}
        unit_pks = {unit.uid: self._unit(unit) for unit in units}
        customers = [(h, self._customer(person(h), unit_of.get(h))) for h in households]
        self.journey.register("customer_pks", customers)
        self.journey.register("unit_pks", [(h, unit_pks[unit.uid]) for h, unit in unit_of.items()])
        self._campaigns()
        self._products()
        self._orders()
        self._returns()

    def _unit(self, unit: Company) -> int:
        address = _address(unit, key=unit.uid)
        row = {"uid": unit.uid, "name": unit.name, "locName": unit.name, "active": True, "addresses": [address]}
        return self.records.load("B2BUnit", row)

    def _customer(self, one: Person, unit: Company | None) -> int:
        address = _address(one, key=one.customer_id) | {"email": one.uid}
        row = {
            "uid": one.uid,
            "customerID": one.customer_id,
            "name": one.name,
            "loginDisabled": False,
            "sessionLanguage": "en",
            "addresses": [address | {"firstname": one.first, "lastname": one.last}],
        }
        if unit is None:
            return self.records.load("Customer", row | {"groups": ["customergroup"]})
        business = {"email": one.uid, "active": True, "defaultB2BUnit": unit.uid, "groups": [unit.uid]}
        return self.records.load("B2BCustomer", row | business)

    def _campaigns(self) -> None:
        """Campaigns are user groups with the targeted customers as members."""
        for chunk in self.journey.rows("SELECT campaign_id, campaign_type FROM raw_campaign_descriptions ORDER BY 1"):
            for number, kind in chunk:
                row = {"uid": f"campaign-{number:02d}", "name": f"Campaign {number}", "description": kind}
                self.records.load("UserGroup", row)
        groups = {uid: pk for uid, pk in self.store.db.execute("SELECT uid, pk FROM Principal")}
        members = "SELECT c.number, campaign_id FROM raw_campaigns JOIN customer_pks c ON c.id = household_id"
        for chunk in self.journey.rows(members):
            rows = [(pk, groups[f"campaign-{number:02d}"], 100 + number) for pk, number in chunk]
            self.store.db.executemany("INSERT INTO links VALUES ('Principal.groups', ?, ?, ?)", rows)

    def _products(self) -> None:
        version = self.records.reference("CatalogVersion", "Online|Default")
        piece = self.records.reference("Unit", "pieces")
        approved = self.records.reference("ArticleApprovalStatus", "approved")
        product, category = self.pk("Product", "b.number"), self.pk("Category", "c.number")
        self.insert(
            "Category",
            "pk, itemtype, creationtime, modifiedtime, code, catalogVersion, name",
            f"SELECT {category}, 'Category', {self.now()}, {self.now()}, code, {version},"
            " json_object('en', category) FROM categories c ORDER BY number",
        )
        self.insert(
            "Product",
            "pk, itemtype, creationtime, modifiedtime, code, catalogVersion, name, unit, approvalStatus",
            f"SELECT {product}, 'Product', {self.now()}, {self.now()}, product_id::VARCHAR, {version},"
            f" json_object('en', name), {piece}, {approved} FROM bought b ORDER BY number",
        )
        self.insert(
            "links",
            "relation, source, target, position",
            f"SELECT 'Product.supercategories', {product}, {category}, 0"
            " FROM bought b JOIN categories c USING (category) ORDER BY b.number",
        )

    def _orders(self) -> None:
        dollar = self.records.reference("Currency", "USD")
        codes = ("CANCELLED", "CREATED", "COMPLETED")
        pks = {code: self.records.reference("OrderStatus", code) for code in codes}
        cases = " ".join(f"WHEN '{code}' THEN {pk}" for code, pk in pks.items())
        status = f"CASE status {cases} END"
        self.insert(
            "Order",
            'pk, itemtype, creationtime, modifiedtime, code, date, user, unit, status, currency, "totalPrice",'
            " subtotal, totalDiscounts, deliveryCost, net, calculated",
            f"SELECT {self.pk('Order', 'b.number')}, 'Order', ordered_ms, modified_ms, basket_id::VARCHAR, ordered_ms,"
            f" c.number, u.number, {status}, {dollar}, total_cents / 100::DOUBLE,"
            " total_cents / 100::DOUBLE, 0::DOUBLE, 0::DOUBLE, 0, 1"
            " FROM baskets b JOIN customer_pks c ON c.id = household_id"
            " LEFT JOIN unit_pks u ON u.id = household_id ORDER BY b.number",
        )
        piece = self.records.reference("Unit", "pieces")
        self.insert(
            "OrderEntry",
            'pk, itemtype, creationtime, modifiedtime, "order", entryNumber, quantity, basePrice, totalPrice,'
            " product, unit, calculated, giveAway, rejected",
            f"SELECT {self.pk('OrderEntry', 'l.number')}, 'OrderEntry', modified_ms, modified_ms,"
            f" {self.pk('Order', 'l.basket_number')}, entry_number, quantity,"
            f" round(cents / quantity) / 100::DOUBLE, cents / 100::DOUBLE,"
            f" {self.pk('Product', 'b.number')}, {piece}, 1, 0, 0"
            " FROM lines l JOIN bought b USING (product_id) ORDER BY l.number",
        )

    def _returns(self) -> None:
        """A returned order gives back its first entry, one to ten days later; every second recent one is on its way."""
        done, awaited = (self.records.reference("ReturnStatus", code) for code in ("COMPLETED", "WAIT"))
        dollar = self.records.reference("Currency", "USD")
        request = self.pk("ReturnRequest", "b.number")
        codes = ("DAMAGEDINTRANSIT", "WRONGPICKTICKET", "GOODWILL")
        reasons = ", ".join(str(self.records.reference("RefundReason", code)) for code in codes)
        days = "(b.modified_ms + (b.spread % 10 + 1) * 86400000)"
        is_awaited = f"b.spread % 2 = 0 AND {days} > {self.now()} - {AWAITED_DAYS * 86_400_000}"
        self.insert(
            "ReturnRequest",
            'pk, itemtype, creationtime, modifiedtime, code, RMA, "order", status, currency',
            f"SELECT {request}, 'ReturnRequest', {days}, {days}, 'R' || basket_id, 'RMA' || basket_id,"
            f" {self.pk('Order', 'b.number')}, CASE WHEN {is_awaited} THEN {awaited} ELSE {done} END, {dollar}"
            " FROM baskets b WHERE is_returned ORDER BY number",
        )
        self.insert(
            "RefundEntry",
            "pk, itemtype, creationtime, modifiedtime, returnRequest, orderEntry, expectedQuantity,"
            " receivedQuantity, amount, reason",
            f"SELECT {self.pk('RefundEntry', 'b.number')}, 'RefundEntry', {days}, {days}, {request},"
            f" {self.pk('OrderEntry', 'l.number')}, quantity, CASE WHEN {is_awaited} THEN 0 ELSE quantity END,"
            " (cents / 100::DOUBLE)::DECIMAL(18, 2)::VARCHAR,"
            f" [{reasons}][b.spread % 3 + 1]"
            " FROM baskets b JOIN lines l ON l.basket_number = b.number AND entry_number = 0"
            " WHERE b.is_returned ORDER BY b.number",
        )

    def insert(self, table: str, columns: str, sql: str) -> None:
        """Put the rows of a query over the journey into a table."""
        width = columns.count(",") + 1
        statement = f'INSERT INTO "{table}" ({columns}) VALUES ({", ".join("?" * width)})'
        for chunk in self.journey.rows(sql):
            self.store.db.executemany(statement, chunk)
        self.store.version += 1

    def now(self) -> int:
        return self.store.now_ms()

    def pk(self, table: str, number: str) -> str:
        """SQL for the pk of the n-th seeded item of a table; the first call fixes where they begin."""
        if table not in self.first:
            self.first[table] = self.store.new_pk(table)
        return f"({number} * 256 + {self.first[table]})"


def _address(of: Person | Company, *, key: str) -> dict[str, object]:
    return {
        "publicKey": f"{key}-A1",
        "streetname": of.street,
        "streetnumber": of.street_number,
        "postalcode": of.postal_code,
        "town": of.town,
        "phone1": of.phone,
        "country": "US",
        "shippingAddress": True,
        "billingAddress": True,
    }
