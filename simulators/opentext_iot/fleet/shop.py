"""What the fleet knows of the shop: products, households, units, orders of the demo seed; warehouses.

All codes are those the shop simulator holds under the same scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from simulators.seed.connected import PRODUCT_CATEGORIES, WAREHOUSES
from simulators.seed.journey import CANCELLED_BELOW, SLICE, SPREAD, data_folder
from simulators.seed.people import companies, person

PRODUCTS_PER_CATEGORY = 400
RECENT_ORDERS = 400


@dataclass(frozen=True, slots=True)
class Shop:
    """References into the shop; all are codes as the shop spells them."""

    products: dict[str, tuple[str, ...]]  # category -> product codes, most bought first
    customers: tuple[tuple[str, str], ...]  # (customerID, uid of the B2B unit or "")
    orders: tuple[str, ...]  # the latest that were shipped, newest first
    first_orders: dict[str, str]  # customerID -> code of their first order
    warehouses: tuple[str, ...] = tuple(WAREHOUSES)

    def stocked(self) -> tuple[str, ...]:
        """All its products, each once."""
        return tuple(dict.fromkeys(code for codes in self.products.values() for code in codes))


@cache
def demo_shop(scale: str = "slice") -> Shop:
    """The shop of the demo seed; LookupError when its data package is not installed."""
    import duckdb

    database = duckdb.connect()
    folder = str(data_folder()).replace("'", "''")
    database.execute(f"CREATE VIEW transactions AS SELECT * FROM '{folder}/transactions.parquet'")
    database.execute(f"CREATE VIEW products AS SELECT * FROM '{folder}/products.parquet'")
    every = SLICE if scale == "slice" else 1
    database.execute(
        "CREATE TABLE bought AS SELECT t.* FROM transactions t JOIN (SELECT household_id, row_number() OVER"
        " (ORDER BY household_id) AS place FROM (SELECT DISTINCT household_id FROM transactions)) h"
        f" USING (household_id) WHERE (h.place - 1) % {every} = 0"
    )
    households = [row[0] for row in database.execute("SELECT DISTINCT household_id FROM bought ORDER BY 1").fetchall()]
    found = Shop(
        products=_products(database),
        customers=_customers(households),
        orders=_orders(database),
        first_orders=_first_orders(database),
    )
    database.close()
    return found


def _products(database) -> dict[str, tuple[str, ...]]:  # type: ignore[no-untyped-def]
    wanted = sorted({category for pair in PRODUCT_CATEGORIES.values() for category in pair})
    rows = database.execute(
        "SELECT product_category, product_id::VARCHAR FROM bought JOIN products USING (product_id)"
        " WHERE product_category IN (SELECT unnest($1)) GROUP BY ALL ORDER BY 1, count(*) DESC, 2",
        [wanted],
    ).fetchall()
    found: dict[str, list[str]] = {category: [] for category in wanted}
    for category, code in rows:
        if len(found[category]) < PRODUCTS_PER_CATEGORY:
            found[category].append(code)
    return {category: tuple(codes) for category, codes in found.items()}


def _customers(households: list[int]) -> tuple[tuple[str, str], ...]:
    units = {household: unit.uid for unit in companies(households) for household in unit.households}
    return tuple((person(household).customer_id, units.get(household, "")) for household in households)


def _orders(database) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    sql = (
        "SELECT basket_id::VARCHAR FROM (SELECT basket_id, min(transaction_timestamp) AS day FROM bought"
        f" WHERE {SPREAD} >= {CANCELLED_BELOW} GROUP BY 1) ORDER BY day DESC, basket_id DESC LIMIT {RECENT_ORDERS}"
    )
    return tuple(code for (code,) in database.execute(sql).fetchall())


def _first_orders(database) -> dict[str, str]:  # type: ignore[no-untyped-def]
    sql = "SELECT household_id, min_by(basket_id, transaction_timestamp)::VARCHAR FROM bought GROUP BY 1"
    return {person(household).customer_id: code for household, code in database.execute(sql).fetchall()}
