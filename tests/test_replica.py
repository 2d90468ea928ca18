"""The replica: incremental figures equal a full recomputation and an independent oracle, cell for cell."""

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from commerce_sync import mapping_file
from commerce_sync.batches import Batches
from commerce_sync.replica import Replica, readable
from demo import oracle

MAPPING = mapping_file.load(
    Path(__file__).parent.parent / "include" / "mappings" / "salesforce" / "purchase_history_to_accounts.yaml"
)
AS_OF = date(2026, 11, 21)
CATEGORIES = ["Bakery", "Beer", "Candy", "Deli", "Eggs"]
CATEGORY = pa.struct([("code", pa.string()), ("name", pa.string())])
ENTRY = pa.struct([("entryNumber", pa.int32()), ("quantity", pa.int64()), ("totalPrice", pa.decimal128(16, 2)),
                   ("product", pa.struct([("code", pa.string()), ("supercategories", pa.list_(CATEGORY))]))])  # fmt: skip
CODE, USER, UNIT = (
    pa.struct([("code", pa.string())]),
    pa.struct([("customerID", pa.string())]),
    pa.struct([("uid", pa.string())]),
)
ORDERS = pa.schema([("code", pa.string()), ("date", pa.timestamp("us")), ("modifiedtime", pa.timestamp("us")), ("status", CODE),
                    ("currency", pa.struct([("isocode", pa.string())])), ("user", USER), ("unit", UNIT), ("entries", pa.list_(ENTRY))])  # fmt: skip
RETURNS = pa.schema([("code", pa.string()), ("modifiedtime", pa.timestamp("us")), ("status", CODE),
                     ("order", pa.struct([("code", pa.string()), ("user", USER), ("unit", UNIT)])),
                     ("returnEntries", pa.list_(pa.struct([("expectedQuantity", pa.int64()),
                                                           ("orderEntry", pa.struct([("entryNumber", pa.int32())]))])))])  # fmt: skip


class Shop:
    """Orders and returns that change at random: new, late, edited, cancelled, returned, moved, deleted."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.orders: dict[str, dict] = {}
        self.returns: dict[str, dict] = {}
        self.touched: set[str] = set()

    def step(self) -> None:
        for _ in range(self.random.randint(1, 12)):
            act = self.random.choice(
                [self.place, self.place, self.edit, self.cancel, self.give_back, self.move, self.drop]
            )
            act()

    def place(self) -> None:
        code = f"O{len(self.orders)}-{self.random.randint(0, 9999)}"
        day = AS_OF - timedelta(days=self.random.choice([0, 1, 5, 29, 30, 31, 61, 121, 241, 400]))
        owner = self.random.randint(0, 14)
        self.orders[code] = {
            "code": code, "date": datetime(day.year, day.month, day.day, 23, 59, 59), "modifiedtime": None,
            "status": {"code": self.random.choice(["COMPLETED", "CREATED", "CANCELLED"])},
            "currency": {"isocode": "USD"}, "user": {"customerID": f"C{owner}"}, "unit": {"uid": f"U{owner % 3}"} if owner < 5 else None,
            "entries": [self.line(number) for number in range(self.random.randint(0, 4))],
        }  # fmt: skip
        self.touched.add(code)

    def line(self, number: int) -> dict:
        categories = self.random.sample(CATEGORIES, self.random.randint(0, 2))
        return {"entryNumber": number, "quantity": self.random.randint(0, 5),
                "totalPrice": Decimal(self.random.randint(0, 99999)) / 100,
                "product": {"code": f"p{number}", "supercategories": [{"code": name.lower(), "name": name} for name in categories]}}  # fmt: skip

    def some(self) -> dict | None:
        return self.orders[self.random.choice(sorted(self.orders))] if self.orders else None

    def edit(self) -> None:
        if order := self.some():
            order["entries"] = [self.line(number) for number in range(self.random.randint(0, 3))]
            self.touched.add(order["code"])

    def cancel(self) -> None:
        if order := self.some():
            order["status"] = {"code": "CANCELLED"}
            self.touched.add(order["code"])

    def move(self) -> None:
        if order := self.some():
            order["user"], order["unit"] = {"customerID": f"C{self.random.randint(0, 14)}"}, None
            self.touched.add(order["code"])

    def give_back(self) -> None:
        order = self.some()
        if order and order["entries"]:
            code = f"R{len(self.returns)}"
            entry = self.random.choice(order["entries"])
            self.returns[code] = {
                "code": code, "modifiedtime": None, "status": {"code": self.random.choice(["COMPLETED", "CANCELED"])},
                "order": {name: order[name] for name in ("code", "user", "unit")},
                "returnEntries": [{"expectedQuantity": self.random.randint(1, 3),
                                   "orderEntry": {"entryNumber": entry["entryNumber"]}}],
            }  # fmt: skip
            self.touched.add(code)

    def drop(self) -> None:
        if self.random.random() < 0.2 and (order := self.some()):
            del self.orders[order["code"]]

    def figures(self) -> dict[str, oracle.Figures]:
        returned: dict[tuple[str, int], int] = {}
        for item in self.returns.values():
            if item["status"]["code"] != "CANCELED":
                for entry in item["returnEntries"]:
                    at = (item["order"]["code"], entry["orderEntry"]["entryNumber"])
                    returned[at] = returned.get(at, 0) + entry["expectedQuantity"]
        return oracle.recompute([self.seen(order, returned) for order in self.orders.values()], as_of=AS_OF)

    def seen(self, order: dict, returned: dict[tuple[str, int], int]) -> oracle.Order:
        lines = tuple(
            oracle.Line(quantity=Decimal(entry["quantity"]), returned=Decimal(returned.get((order["code"], entry["entryNumber"]), 0)),
                        total_price=entry["totalPrice"],
                        category=min((c["name"] for c in entry["product"]["supercategories"]), default="Other"))
            for entry in order["entries"])  # fmt: skip
        owner = order["unit"]["uid"] if order["unit"] else order["user"]["customerID"]
        return oracle.Order(code=order["code"], account=owner, day=order["date"].date(),
                            is_cancelled=order["status"]["code"] == "CANCELLED", lines=lines)  # fmt: skip


def extract(batches: Batches, run: str, shop: Shop, *, complete: bool) -> dict:
    found = {}
    for name, rows, schema in (("orders", shop.orders, ORDERS), ("returns", shop.returns, RETURNS)):
        chosen = [row for code, row in rows.items() if complete or code in shop.touched]
        with batches.write("leg", run, name) as into:
            if chosen:
                into.add(pa.Table.from_pylist(chosen, schema=schema))
        found[name] = batches.read("leg", run, name)
    for name in ("proposed", "rates"):
        with batches.write("leg", run, name):
            pass
        found[name] = batches.read("leg", run, name)
    return found


def figures(replica: Replica, pointer: dict) -> dict[str, tuple]:
    rows = replica.con.execute(f"""SELECT owner, order_count, lifetime_spend, average_order, returned_amount, first_day, last_day,
        purchases_per_month, median_days, expected_next, category_1, share_1, category_2, share_2, category_3, share_3
        FROM ({replica.records(pointer, as_of=AS_OF.isoformat())})""").fetchall()
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1:] for row in rows}


NAMES = ["Order_Count__c", "Lifetime_Spend__c", "Average_Order_Value__c", "Returned_Amount__c", "First_Purchase__c",
         "Last_Purchase__c", "Purchases_Per_Month__c", "Median_Days_Between_Purchases__c", "Expected_Next_Purchase__c",
         "Top_Category_1__c", "Top_Category_1_Share__c", "Top_Category_2__c", "Top_Category_2_Share__c",
         "Top_Category_3__c", "Top_Category_3_Share__c"]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_after_any_history_the_figures_equal_an_independent_recomputation(tmp_path, seed):
    shop, batches, stores = Shop(seed), Batches(str(tmp_path / "runs")), Batches(str(tmp_path / "stores"))
    con, pointer = batches.connect(), {}
    for number in range(12):
        shop.step()
        complete = number in (0, 5, 11)
        found = extract(batches, f"r{number}", shop, complete=complete)
        replica = Replica(con, stores, MAPPING, pointer)
        pointer = replica.aggregate(found, run=f"r{number}", complete=complete).pointer
        shop.touched.clear()
        if complete:  # a deleted order leaves only with a complete scan
            expected = {owner: tuple(values[name] for name in NAMES) for owner, values in shop.figures().items()}
            assert figures(replica, pointer) == expected


def test_only_the_owners_of_new_and_of_replaced_versions_are_touched(tmp_path):
    shop, batches, stores = Shop(1), Batches(str(tmp_path / "runs")), Batches(str(tmp_path / "stores"))
    for _ in range(40):
        shop.place()
    con = batches.connect()
    first = Replica(con, stores, MAPPING, {}).aggregate(
        extract(batches, "a", shop, complete=True), run="a", complete=True
    )
    shop.touched.clear()
    order = next(row for row in shop.orders.values() if row["unit"] is None)
    order["user"] = {"customerID": "C99"}
    shop.touched.add(order["code"])
    second = Replica(con, stores, MAPPING, first.pointer).aggregate(
        extract(batches, "b", shop, complete=False), run="b", complete=False
    )
    assert second.facts["touched"] == 2
    assert "C99" in figures(Replica(con, stores, MAPPING, {}), second.pointer)


def test_reading_the_same_orders_again_touches_nobody(tmp_path):
    shop, batches, stores = Shop(2), Batches(str(tmp_path / "runs")), Batches(str(tmp_path / "stores"))
    for _ in range(40):
        shop.place()
    con = batches.connect()
    first = Replica(con, stores, MAPPING, {}).aggregate(
        extract(batches, "a", shop, complete=True), run="a", complete=True
    )
    again = Replica(con, stores, MAPPING, first.pointer).aggregate(
        extract(batches, "b", shop, complete=False), run="b", complete=False
    )
    assert again.facts["touched"] == 0


def test_a_replica_with_other_columns_asks_for_a_complete_scan():
    assert readable(MAPPING, {})
    assert not readable(MAPPING, {"shape": "something else", "orders": ["x"]})
