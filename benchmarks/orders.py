"""Generated orders with their lines, for the case ``aggregation``: before, and after a known share of changes.

2.5 lines an order and 20 lines a customer on average, 30 categories, three years. After: of every 1,600th order the
amounts, the customer, the lines or the day have changed (0.06 % of the lines, 0.5 % of the customers).
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.records import DATA, FORM

LINES_AN_ORDER, LINES_A_CUSTOMER, EVERY = 2.5, 20, 1600
COLUMNS = {
    "code": "VARCHAR", "customer": "VARCHAR", "date": "TIMESTAMP", "modifiedtime": "TIMESTAMP",
    "entries": "STRUCT(entryNumber INTEGER, category VARCHAR, cents BIGINT)[]",
}  # fmt: skip


def folder(rows: int) -> Path:
    """Where the files for this number of lines are."""
    return DATA / f"orders-{rows}"


def file(rows: int, what: str) -> str:
    """Path of ``orders-before``, ``orders-after``, ``changes``, ``lines-after``."""
    return str(folder(rows) / f"{what}.parquet")


def generate(*, rows: int) -> dict[str, int]:
    """Write all files unless they are there; ``changes`` are the orders that differ."""
    import duckdb

    home, orders = folder(rows), int(rows / LINES_AN_ORDER)
    if not (home / "changes.parquet").exists():
        home.mkdir(parents=True, exist_ok=True)
        con = duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(home / "spill")})
        before = _orders(orders, customers=rows // LINES_A_CUSTOMER)
        after = _after(before, customers=rows // LINES_A_CUSTOMER)
        _write(con, f"SELECT * EXCLUDE (number) FROM ({before})", file(rows, "orders-before"))
        _write(con, f"SELECT * EXCLUDE (number) FROM ({after})", file(rows, "orders-after"))
        lines = """SELECT code, customer, CAST(date AS DATE) AS day, e.category AS category, e.cents AS cents
            FROM read_parquet('{}'), unnest(entries) AS t(e)"""
        _write(con, lines.format(file(rows, "orders-after")), file(rows, "lines-after"))
        _write(con, f"SELECT * EXCLUDE (number) FROM ({after}) WHERE number % {EVERY} = 5", file(rows, "changes"))
    count = "SELECT count(*) FROM read_parquet('{}')"
    found = {what: duckdb.sql(count.format(file(rows, what))).fetchall()[0][0] for what in ("lines-after", "changes")}
    return {"lines": found["lines-after"], "orders": orders, "changes": found["changes"]}


def _write(con: object, query: str, path: str) -> None:
    con.execute(f"COPY ({query}) TO '{path}' {FORM}")  # type: ignore[attr-defined]


def _orders(count: int, *, customers: int) -> str:
    return f"""SELECT range AS number, 'O' || lpad(range::VARCHAR, 9, '0') AS code,
        'C' || lpad((hash(range, 1) % {customers})::VARCHAR, 8, '0') AS customer,
        TIMESTAMP '2023-11-01' + to_seconds((hash(range, 2) % 94608000)::BIGINT) AS date,
        TIMESTAMP '2026-11-01' AS modifiedtime,
        [{{'entryNumber': e::INTEGER, 'category': 'category ' || (hash(range, e, 3) % 30)::VARCHAR,
           'cents': (100 + hash(range, e, 4) % 20000)::BIGINT}}
         FOR e IN range(1 + (hash(range, 5) % 4)::BIGINT)] AS entries
        FROM range({count})"""


def _after(before: str, *, customers: int) -> str:
    kind = f"CASE WHEN number % {EVERY} = 5 THEN 1 + (number // {EVERY}) % 4 ELSE 0 END"
    other = f"'C' || lpad((hash(number, 6) % {customers})::VARCHAR, 8, '0')"
    dearer = "[{'entryNumber': e.entryNumber, 'category': e.category, 'cents': e.cents + 77} FOR e IN entries]"
    return f"""SELECT number, code, CASE WHEN kind = 2 THEN {other} ELSE customer END AS customer,
        CASE WHEN kind = 4 THEN date + INTERVAL 3 DAY ELSE date END AS date,
        CASE WHEN kind > 0 THEN TIMESTAMP '2026-11-02' ELSE modifiedtime END AS modifiedtime,
        CASE kind WHEN 1 THEN {dearer} WHEN 3 THEN entries[:greatest(len(entries) - 1, 1)] ELSE entries END AS entries
        FROM (SELECT *, {kind} AS kind FROM ({before}))"""
