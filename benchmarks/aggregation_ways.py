"""Ways to compute what every customer has bought; each leaves the figures as Parquet and gives a mark of their cells.

Figures: orders, spend, average order (half up), first and last day, days between them, and the three categories with
the highest spend, ties by name, each with its spend. All amounts are whole cents.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import orders

Found = dict[str, Any]
FIGURES = ("owner", "order_count", "spend", "average", "first_day", "last_day", "days",
           "category_1", "spend_1", "category_2", "spend_2", "category_3", "spend_3")  # fmt: skip
NUMBERS = ("order_count", "spend", "average", "days", "spend_1", "spend_2", "spend_3")
DAYS = ("first_day", "last_day")
SQL = """WITH per_order AS (SELECT owner, code, min(day) AS day, sum(cents)::BIGINT AS cents FROM lines
    GROUP BY owner, code),
totals AS (SELECT owner, count(*) AS order_count, sum(cents)::BIGINT AS spend, min(day) AS first_day,
    max(day) AS last_day FROM per_order GROUP BY owner),
ranked AS (SELECT owner, category, sum(cents)::BIGINT AS spend,
    row_number() OVER (PARTITION BY owner ORDER BY sum(cents) DESC, category) AS place
    FROM lines GROUP BY owner, category),
top AS (SELECT owner, max(CASE WHEN place = 1 THEN category END) AS category_1,
    max(CASE WHEN place = 1 THEN spend END) AS spend_1, max(CASE WHEN place = 2 THEN category END) AS category_2,
    max(CASE WHEN place = 2 THEN spend END) AS spend_2, max(CASE WHEN place = 3 THEN category END) AS category_3,
    max(CASE WHEN place = 3 THEN spend END) AS spend_3 FROM ranked WHERE place <= 3 GROUP BY owner)
SELECT t.owner, order_count, spend, (2 * spend + order_count) {div} (2 * order_count) AS average, first_day, last_day,
    last_day - first_day AS days, category_1, spend_1, category_2, spend_2, category_3, spend_3
FROM totals AS t JOIN top ON top.owner = t.owner"""
"""The same statement for our leg and for PostgreSQL, both read a relation ``lines``."""
OURS_SQL = """WITH lines AS (SELECT _owner AS owner, code, CAST(date AS DATE) AS day, e.category AS category,
    e.cents AS cents FROM orders, unnest(entries) AS t(e)), """ + SQL.removeprefix("WITH ").format(div="//")


def mark(path: str) -> Found:
    """Rows of a figures file, and a sum over all its cells that does not depend on their order or their types."""
    import duckdb

    kinds = dict.fromkeys(NUMBERS, "BIGINT") | dict.fromkeys(DAYS, "DATE")
    cells = ", ".join(f"coalesce(CAST(CAST({n} AS {kinds.get(n, 'VARCHAR')}) AS VARCHAR), '-')" for n in FIGURES)
    total = f"sum((md5_number(concat_ws('|', {cells})) % 1000000007)::BIGINT)"
    rows, total = duckdb.sql(f"SELECT count(*), {total} FROM read_parquet('{path}')").fetchall()[0]
    return {"rows": rows, "mark": str(total)}


def _mapping(*, remark: str = "") -> Any:
    from commerce_sync.mapping import Field, Mapping, Source, Target

    source = Source(name="orders", system="sap_commerce", conn_id="none", entity_set="Orders", key="code",
                    columns=dict(orders.COLUMNS), modified="modifiedtime", owner="customer")  # fmt: skip
    fields = tuple(Field(name, name) for name in FIGURES)
    return Mapping(leg="bench", path="bench.yaml", version=1, sources=(source,), key="owner", fields=fields,
                   target=Target("salesforce", "bench", "Account", "owner"), aggregate=OURS_SQL + remark)  # fmt: skip


def prepare(*, home: str, rows: int) -> Found:
    """The leg's replica of the orders before, settled, and two open runs: with the changed orders, and with none."""
    import shutil

    from benchmarks import own_leg
    from commerce_sync import leg as legs

    shutil.rmtree(home, ignore_errors=True)
    place = own_leg.site(Path(home))
    work = _opened(place, "before", "complete", f"SELECT * FROM read_parquet('{orders.file(rows, 'orders-before')}')")
    legs.aggregate(work)
    pointer = work.read("aggregate").facts["replica"]
    place.ledger.settle(work.run, state_version=0, status="green", replica=pointer)
    for run, what in (("changes", "changes"), ("whole", "orders-after")):
        mode = "complete" if run == "whole" else "changes"
        _opened(place, run, mode, f"SELECT * FROM read_parquet('{orders.file(rows, what)}')")
        legs.release(place, "bench", run, message="to be measured")
    return {"rows": rows}


def prepare_first(*, home: str, rows: int) -> Found:
    """A leg that never ran, and its first run, which has read all orders."""
    import shutil

    from benchmarks import own_leg
    from commerce_sync import leg as legs

    shutil.rmtree(home, ignore_errors=True)
    place = own_leg.site(Path(home))
    _opened(place, "whole", "complete", f"SELECT * FROM read_parquet('{orders.file(rows, 'orders-after')}')")
    legs.release(place, "bench", "whole", message="to be measured")
    return {"rows": rows}


def _opened(place: Any, run: str, mode: Any, query: str) -> Any:
    from commerce_sync import leg as legs
    from commerce_sync.window import Request

    since = datetime(2026, 11, 2, tzinfo=UTC) if mode == "changes" else None
    work = legs.begin(place, _mapping(), run, request=Request(mode=mode, since=since))
    with work.write("extract-orders") as into, place.batches.connect(memory_limit="1GB") as con:
        read = into.copy(con, query)
        into.facts = {"high_water": None, "rows": read, "state_version": work.state.version}
    return work


def incremental(*, home: str) -> Callable[[], Any]:
    """The step ``aggregate`` of a run that read the changed orders."""
    return _step(home, "changes")


def whole(*, home: str) -> Callable[[], Any]:
    """The step ``aggregate`` of a complete scan: every order compared with its replica, touched owners computed.

    For a leg that never ran (``prepare_first``) that is a replica made, and all figures.
    """
    return _step(home, "whole")


def afresh(*, home: str) -> Callable[[], Any]:
    """The step when its SQL was edited: the same changes, and the figures of all owners, from the replica."""
    return _step(home, "changes", remark="\n-- edited")


def _step(home: str, run: str, *, remark: str = "") -> Callable[[], Any]:
    from benchmarks import own_leg
    from commerce_sync import leg as legs
    from commerce_sync.batches import Batches

    work = legs.resume(own_leg.site(Path(home)), _mapping(remark=remark), run)

    def measured() -> Callable[[], Found]:
        facts = legs.aggregate(work)
        legs.release(work.site, "bench", run, message="measured")
        pointer = work.read("aggregate").facts["replica"]
        figures = Batches(str(Path(home) / "stores")).open(pointer["figures"][0])
        assert figures is not None
        return lambda: mark(figures.paths()[0]) | {"touched": facts["touched"]}

    return measured


def scan(*, lines: str) -> Callable[[], Found]:
    """The limit: one group-by over the lines, nothing else."""
    import duckdb

    grouped = f"SELECT customer, count(*), sum(cents), max(day) FROM read_parquet('{lines}') GROUP BY ALL"
    return lambda: {"rows": duckdb.sql(f"SELECT count(*) FROM ({grouped})").fetchall()[0][0]}


def pandas(*, lines: str, out: str) -> Callable[[], Any]:
    """Vectorised group-bys, no apply."""
    import pandas as pd

    def work() -> Callable[[], Found]:
        frame = pd.read_parquet(lines).rename(columns={"customer": "owner"})
        per_order = frame.groupby(["owner", "code"], sort=False).agg(day=("day", "min"), cents=("cents", "sum"))
        figures = per_order.groupby("owner").agg(
            order_count=("cents", "size"), spend=("cents", "sum"), first_day=("day", "min"), last_day=("day", "max")
        )
        figures["average"] = (2 * figures["spend"] + figures["order_count"]) // (2 * figures["order_count"])
        figures["days"] = (pd.to_datetime(figures["last_day"]) - pd.to_datetime(figures["first_day"])).dt.days
        spend = frame.groupby(["owner", "category"], sort=False)["cents"].sum().reset_index()
        spend = spend.sort_values(["owner", "cents", "category"], ascending=[True, False, True])
        spend["place"] = spend.groupby("owner").cumcount() + 1
        for place in (1, 2, 3):
            named = {"category": f"category_{place}", "cents": f"spend_{place}"}
            one = spend[spend["place"] == place].set_index("owner")[list(named)].rename(columns=named)
            figures = figures.join(one)
        figures.reset_index()[list(FIGURES)].to_parquet(out)
        return lambda: mark(out)

    return work


def polars(*, out: str, lines: str = "", orders: str = "") -> Callable[[], Any]:
    """Lazy, streaming engine; from lines that are ready and flat, or from the orders that hold them."""
    import polars as pl

    def flat() -> Any:
        if lines:
            return pl.scan_parquet(lines)
        held = pl.scan_parquet(orders).select("code", "customer", pl.col("date").dt.date().alias("day"), "entries")
        return held.explode("entries").unnest("entries")

    def work() -> Callable[[], Found]:
        frame = flat().rename({"customer": "owner"})
        per_order = frame.group_by("owner", "code").agg(pl.col("day").min(), pl.col("cents").sum())
        totals = per_order.group_by("owner").agg(
            pl.len().cast(pl.Int64).alias("order_count"), pl.col("cents").sum().alias("spend"),
            pl.col("day").min().alias("first_day"), pl.col("day").max().alias("last_day"),
        )  # fmt: skip
        spend = frame.group_by("owner", "category").agg(pl.col("cents").sum())
        ordered = spend.sort(["cents", "category"], descending=[True, False])
        top = ordered.group_by("owner", maintain_order=True).agg(
            *(pl.col(name).get(place, null_on_oob=True).alias(f"{shown}_{place + 1}")
              for place in range(3) for name, shown in (("category", "category"), ("cents", "spend")))
        )  # fmt: skip
        average = (2 * pl.col("spend") + pl.col("order_count")) // (2 * pl.col("order_count"))
        days = (pl.col("last_day") - pl.col("first_day")).dt.total_days()
        figures = totals.join(top, on="owner").with_columns(average.alias("average"), days.alias("days"))
        figures.select(FIGURES).collect(engine="streaming").write_parquet(out)
        return lambda: mark(out)

    return work


def write_text(*, lines: str, text: str) -> Found:
    """The lines as CSV, for PostgreSQL's COPY."""
    import duckdb

    duckdb.sql(f"COPY (SELECT * FROM read_parquet('{lines}')) TO '{text}' (FORMAT csv, HEADER false)")
    return {}


def load_postgres(*, uri: str, text: str) -> Found:
    """COPY the lines into an unlogged table and analyse it."""
    import psycopg2

    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("""DROP TABLE IF EXISTS lines; CREATE UNLOGGED TABLE lines
            (code text, owner text, day date, category text COLLATE "C", cents bigint)""")
        with Path(text).open(encoding="utf-8") as file:
            cursor.copy_expert("COPY lines FROM STDIN (FORMAT csv)", file)
        cursor.execute("ANALYZE lines; SELECT count(*) FROM lines")
        return {"rows": cursor.fetchone()[0]}


def postgres(*, uri: str, out: str, text: str = "") -> Callable[[], Any]:
    """SQL in PostgreSQL with room to work in, the figures left in a table of its own. text: lines it loads first."""
    import psycopg2

    connection = psycopg2.connect(uri)
    connection.autocommit = True

    def work() -> Callable[[], Found]:
        if text:
            load_postgres(uri=uri, text=text)
        with connection.cursor() as cursor:
            cursor.execute("SET work_mem = '512MB'; SET max_parallel_workers_per_gather = 2; SET jit = off")
            cursor.execute(f"DROP TABLE IF EXISTS figures; CREATE UNLOGGED TABLE figures AS {SQL.format(div='/')}")
        return lambda: _fetched(connection, out)

    return work


def _fetched(connection: Any, out: str) -> Found:
    import pandas as pd

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(FIGURES)} FROM figures")
        frame = pd.DataFrame(cursor.fetchall(), columns=list(FIGURES))
    frame.astype(dict.fromkeys(NUMBERS, "Int64")).to_parquet(out)
    return mark(out)
