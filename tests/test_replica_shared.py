"""The replica: records of everybody, merged owners, and exactness after any history of both, cell for cell."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from commerce_sync.batches import Batches
from commerce_sync.mapping import Field, Mapping, Source, Target
from commerce_sync.replica import Replica, followed

ORDERS = pa.schema([("code", pa.string()), ("who", pa.string()), ("product", pa.string()), ("pieces", pa.int64())])
RETURNS = pa.schema([("code", pa.string()), ("who", pa.string()), ("order", pa.string()), ("pieces", pa.int64())])
PRICES = pa.schema([("product", pa.string()), ("cents", pa.int64()), ("who", pa.string())])
SCHEMAS = {"orders": ORDERS, "returns": RETURNS, "prices": PRICES}
SQL = """
    WITH worth AS (
        SELECT o._owner, o.code, o.pieces, o.pieces * p.cents AS cents
        FROM orders AS o LEFT JOIN prices AS p ON p.product = o.product),
    own AS (
        SELECT _owner AS owner, count(*) AS orders, sum(cents) AS cents FROM worth GROUP BY 1),
    back AS (
        SELECT o._owner AS owner, sum(r.pieces) AS back FROM orders AS o JOIN returns AS r ON r."order" = o.code
        GROUP BY 1),
    everywhere AS (SELECT count(*) AS shared FROM worth WHERE _owner = '*')
    SELECT coalesce(own.owner, named.owner) AS owner, orders, cents, back, shared, named.names
    FROM own LEFT JOIN back USING (owner)
    FULL JOIN (SELECT who AS owner, count(*) AS names FROM prices WHERE who IS NOT NULL GROUP BY 1) AS named
    ON named.owner = own.owner CROSS JOIN everywhere
"""


def source(name: str, key: str, owner: str) -> Source:
    kinds = {pa.string(): "VARCHAR", pa.int64(): "BIGINT"}
    return Source(name=name, system="sap_commerce", conn_id="c", entity_set=name, key=key, owner=owner,
                  columns={item.name: kinds[item.type] for item in SCHEMAS[name]})  # fmt: skip


def mapping(sql: str = SQL, *, memory: dict[str, str] | None = None) -> Mapping:
    return Mapping(
        leg="leg", path="leg.yaml", version=1, key="owner", aggregate=sql, memory=memory or {},
        sources=(source("orders", "code", "who"), source("returns", "code", "who"), source("prices", "product", "'*'")),
        target=Target(system="salesforce", conn_id="c", object="Account", external_id="K"),
        fields=(Field("K", "owner"),),
    )  # fmt: skip


class Local:
    """A leg's replica over rows in memory: what a test changes is what the next run reads."""

    def __init__(self, folder: Path, sql: str = SQL, *, memory: dict[str, str] | None = None) -> None:
        self.batches, self.stores = Batches(str(folder / "runs")), Batches(str(folder / "stores"))
        self.con = self.batches.connect()
        self.con.execute("SET VARIABLE now = TIMESTAMPTZ '2026-11-21 12:00:00+00'")
        self.mapping = mapping(sql, memory=memory)
        self.rows: dict[str, dict[str, dict]] = {name: {} for name in SCHEMAS}
        self.changed: set[tuple[str, str]] = set()
        self.aliases: dict[str, str] = {}
        self.pointer: dict = {}
        self.facts: dict = {}
        self.count = 0

    def put(self, name: str, key: str, **values) -> None:
        self.rows[name][key] = {SCHEMAS[name].names[0]: key, **values}
        self.changed.add((name, key))

    def order(self, code: str, who: str | None, pieces: int = 1, product: str = "p1") -> None:
        self.put("orders", code, who=who, product=product, pieces=pieces)

    def price(self, product: str, cents: int, who: str | None = None) -> None:
        self.put("prices", product, cents=cents, who=who)

    def run(self, *, complete: bool = False) -> dict:
        self.count += 1
        done = Replica(self.con, self.stores, self.mapping, self.pointer, self.aliases).aggregate(
            self.extracts(f"r{self.count}", complete=complete), run=f"r{self.count}", complete=complete
        )
        self.pointer, self.facts = done.pointer, done.facts
        self.changed.clear()
        return self.figures(self.pointer)

    def extracts(self, run: str, *, complete: bool) -> dict:
        found = {}
        for name, rows in self.rows.items():
            chosen = [row for key, row in rows.items() if complete or (name, key) in self.changed]
            with self.batches.write("leg", run, name) as into:
                if chosen:
                    into.add(pa.Table.from_pylist(chosen, schema=SCHEMAS[name]))
            found[name] = self.batches.read("leg", run, name)
        return found

    def figures(self, pointer: dict) -> dict:
        records = Replica(self.con, self.stores, self.mapping, {}).records(pointer, as_of="2026-11-21")
        rows = self.con.sql(f"SELECT * FROM ({records})").to_arrow_table().to_pylist()
        assert len({row["owner"] for row in rows}) == len(rows), "an owner has two figures"
        return {row.pop("owner"): row for row in rows}

    def anew(self, seen: dict[str, dict[str, dict]]) -> dict:
        """Figures computed from nothing but the records given."""
        self.count += 1
        kept, self.rows = self.rows, seen
        extracts = self.extracts(f"n{self.count}", complete=True)
        self.rows = kept
        fresh = Replica(self.con, Batches(self.stores.root + "-anew"), self.mapping, {}, self.aliases)
        pointer = fresh.aggregate(extracts, run=f"n{self.count}", complete=True).pointer
        return self.figures(pointer)


@pytest.fixture
def local(tmp_path) -> Local:
    found = Local(tmp_path)
    found.price("p1", 100)
    found.price("p2", 7)
    for code, who in (("o1", "a"), ("o2", "a"), ("o3", "b"), ("o4", "c")):
        found.order(code, who)
    found.run(complete=True)
    return found


def test_a_price_of_everybody_reaches_all_owners_and_is_no_owner_itself(local):
    figures = local.run()
    assert {owner: row["cents"] for owner, row in figures.items()} == {"a": 200, "b": 100, "c": 100}
    local.price("p1", 150)
    changed = local.run()
    assert {owner: row["cents"] for owner, row in changed.items()} == {"a": 300, "b": 150, "c": 150}
    assert local.facts["everything"]


def test_a_price_that_goes_makes_all_figures_anew(local):
    del local.rows["prices"]["p1"]
    assert {row["cents"] for row in local.run(complete=True).values()} == {None}


def test_unchanged_prices_leave_the_other_owners_alone(local):
    local.order("o5", "b", 3)
    figures = local.run()
    assert (local.facts["touched"], local.facts["everything"]) == (1, False)
    assert {owner: row["cents"] for owner, row in figures.items()} == {"a": 200, "b": 400, "c": 100}


def test_owners_whom_only_a_shared_record_names_keep_their_figures(local):
    local.price("p2", 7, who="c")
    before = local.run()
    assert (before["c"]["cents"], before["c"]["names"]) == (100, 1)
    local.order("o5", "b", 3)
    after = local.run()
    assert after["c"] == before["c"], "c was not touched, and its orders were not opened"


def test_reading_nothing_new_stages_nothing(local):
    known = dict(local.pointer)
    local.run()
    local.run(complete=True)
    assert local.pointer == known
    assert local.facts["touched"] == 0


def test_a_merged_owner_counts_as_the_one_that_is_left_and_comes_back_with_the_unmerge(local):
    before = local.run()
    local.aliases = {"b": "a"}
    merged = local.run()
    assert local.facts["touched"] == 2
    assert {owner: row["cents"] for owner, row in merged.items()} == {"a": 300, "c": 100}
    local.order("o9", "b", 2)
    assert local.run()["a"]["cents"] == 500, "a later order under the lost name"
    del local.rows["orders"]["o9"]
    local.run(complete=True)
    local.aliases = {}
    assert local.run() == before


def test_chains_of_merges_end_at_the_last_owner_and_circles_change_nobody():
    assert followed({"a": "b", "b": "c"}) == {"a": "c", "b": "c"}
    assert followed({"a": "b", "b": "a", "c": "a", "d": "e"}) == {"d": "e"}
    assert followed({"*": "a", "a": "*"}) == {}


class History:
    """Random orders, returns, prices and merges, of everybody now and then; ``seen`` is what the runs were given."""

    def __init__(self, local: Local, seed: int) -> None:
        self.local, self.random = local, random.Random(seed)
        self.seen: dict[str, dict[str, dict]] = {name: {} for name in SCHEMAS}
        self.codes = 0

    def step(self, *, complete: bool) -> None:
        acts = [self.order, self.order, self.order, self.edit, self.move, self.back, self.drop]
        for _ in range(self.random.randint(0, 8)):
            self.random.choice(acts)()
        if self.random.random() < 0.25:
            self.price()
        if self.random.random() < 0.4:
            self.merge()
        self.follow(complete=complete)
        self.note(complete=complete)

    def follow(self, *, complete: bool) -> None:
        """A return names its order's owner of the moment it is read; a complete scan reads them all again."""
        orders = self.local.rows["orders"]
        for code, row in self.local.rows["returns"].items():
            if row["order"] in orders and (complete or ("returns", code) in self.local.changed):
                self.local.rows["returns"][code] = row | {"who": orders[row["order"]]["who"]}

    def note(self, *, complete: bool) -> None:
        if complete:
            self.seen = {name: dict(rows) for name, rows in self.local.rows.items()}
        for name, key in self.local.changed:
            if key in self.local.rows[name]:
                self.seen[name][key] = self.local.rows[name][key]

    def who(self) -> str | None:
        return self.random.choice([*"abcdefgh" * 5, "*", None])

    def order(self) -> None:
        self.codes += 1
        self.local.order(f"o{self.codes}", self.who(), self.random.randint(1, 5), self.random.choice(["p1", "p2"]))

    def some(self) -> dict | None:
        orders = self.local.rows["orders"]
        return orders[self.random.choice(sorted(orders))] if orders else None

    def edit(self) -> None:
        if row := self.some():
            self.local.order(row["code"], row["who"], self.random.randint(1, 5), row["product"])

    def move(self) -> None:
        if row := self.some():
            self.local.order(row["code"], self.who(), row["pieces"], row["product"])

    def back(self) -> None:
        if row := self.some():
            self.codes += 1
            self.local.put("returns", f"r{self.codes}", who=row["who"], order=row["code"], pieces=1)

    def drop(self) -> None:
        if (row := self.some()) and self.random.random() < 0.3:
            del self.local.rows["orders"][row["code"]]

    def price(self) -> None:
        self.local.price(self.random.choice(["p1", "p2"]), self.random.randint(1, 99), self.random.choice(["a", None]))

    def merge(self) -> None:
        names, aliases = self.random.sample("abcdefgh", 2), self.local.aliases
        if aliases and self.random.random() < 0.5:
            aliases.pop(self.random.choice(sorted(aliases)))
        else:
            aliases[names[0]] = names[1]


@pytest.mark.parametrize("seed", range(10))
def test_after_any_history_the_figures_equal_a_recomputation_from_nothing(tmp_path, seed):
    local = Local(tmp_path)
    history = History(local, seed)
    partly = 0
    for number in range(14):
        complete = number in (0, 7, 13)
        history.step(complete=complete)
        assert local.run(complete=complete) == local.anew(history.seen)
        partly += not local.facts["everything"]
    assert partly, "no run of this history took the way of the touched owners"
