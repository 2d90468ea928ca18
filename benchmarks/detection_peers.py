"""How others find out what changed between two extracts; each gives the number of new, modified, deleted records.

Every function prepares (imports, copies of earlier state) and returns the work that is timed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import records

Found = dict[str, int]
DLT_TABLE = "records"


def decode(*, after: str) -> Callable[[], Found]:
    """The limit: DuckDB decodes every column of the extract and hands it out in batches; nothing is compared."""
    import duckdb

    con = duckdb.connect(config={"preserve_insertion_order": False})

    def work() -> Found:
        rows = 0
        for batch in con.sql(f"SELECT * FROM read_parquet('{after}')").to_arrow_reader(65536):
            rows += batch.num_rows
        return {"rows": rows}

    return work


def scan(*, after: str) -> Callable[[], Found]:
    """A stricter limit: DuckDB touches every column but hands nothing out (dictionaries stay encoded)."""
    import duckdb

    con = duckdb.connect(config={"preserve_insertion_order": False})
    sums = ", ".join(f"sum(strlen({name}))" for name in records.TEXTS)

    def work() -> Found:
        query = f"SELECT count(*), {sums}, sum(price), sum(stock), max(modifiedtime) FROM read_parquet('{after}')"
        return {"rows": con.execute(query).fetchall()[0][0]}

    return work


def pandas_hash_state(*, before: str, state: str) -> Found:
    """What a pandas script would have kept of the run before: key and hash."""
    import pandas as pd

    frame = pd.read_parquet(before)
    hashes = pd.util.hash_pandas_object(frame, index=False)
    pd.DataFrame({"code": frame["code"], "h": hashes}).to_parquet(state)
    return {"rows": len(frame)}


def pandas_hash(*, after: str, state: str) -> Callable[[], Found]:
    """``hash_pandas_object`` over the extract, outer merge with the kept hashes."""
    import pandas as pd

    def work() -> Found:
        frame = pd.read_parquet(after)
        now = pd.DataFrame({"code": frame["code"], "h": pd.util.hash_pandas_object(frame, index=False)})
        both = now.merge(pd.read_parquet(state), on="code", how="outer", suffixes=("", "_was"), indicator=True)
        sides = both["_merge"].value_counts()
        changed = int(((both["_merge"] == "both") & (both["h"] != both["h_was"])).sum())
        return {"new": int(sides["left_only"]), "modified": changed, "deleted": int(sides["right_only"])}

    return work


def json_sha(*, before: str, after: str) -> Callable[[], Found]:
    """Row by row: dict, sorted JSON, sha256, compared in a dictionary."""
    import pandas as pd

    known = _digests(pd.read_parquet(before))

    def work() -> Found:
        now = _digests(pd.read_parquet(after))
        shared = now.keys() & known.keys()
        changed = sum(now[key] != known[key] for key in shared)
        return {"new": len(now) - len(shared), "modified": changed, "deleted": len(known) - len(shared)}

    return work


def _digests(frame: Any) -> dict[str, str]:
    texts = ((row["code"], json.dumps(row, sort_keys=True, default=str)) for row in frame.to_dict("records"))
    return {code: hashlib.sha256(text.encode()).hexdigest() for code, text in texts}


def datacompy_polars(*, before: str, after: str) -> Callable[[], Found]:
    """datacompy's PolarsCompare of the two extracts, joined by the key."""
    import datacompy
    import polars as pl

    def work() -> Found:
        found = datacompy.PolarsCompare(pl.read_parquet(before), pl.read_parquet(after), join_columns="code")
        changed = len(found.intersect_rows) - found.count_matching_rows()
        return {"new": len(found.df2_unq_rows), "modified": changed, "deleted": len(found.df1_unq_rows)}

    return work


def dlt_state(*, before: str, home: str) -> Found:
    """The first load of a dlt pipeline: DuckDB destination, Parquet loader, scd2."""
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(home)
    pipeline = _pipeline(home)
    pipeline.run(_resource(before), loader_file_format="parquet")
    return {"rows": _dlt_count(home, "true")}


def dlt_scd2(*, after: str, home: str, work_home: str) -> Callable[[], Any]:
    """The next load: dlt merges the new extract into its history; only its own state and database are used."""
    shutil.rmtree(work_home, ignore_errors=True)
    shutil.copytree(home, work_home)
    pipeline = _pipeline(work_home)

    def work() -> Callable[[], Found]:
        pipeline.run(_resource(after), loader_file_format="parquet")
        return lambda: _dlt_found(work_home)

    return work


def _pipeline(home: str) -> Any:
    import dlt

    return dlt.pipeline(
        pipeline_name="bench", pipelines_dir=f"{home}/pipelines", dataset_name="shop",
        destination=dlt.destinations.duckdb(f"{home}/warehouse.duckdb"),
    )  # fmt: skip


def _resource(path: str) -> Any:
    """The extract as Arrow, with an md5 of the row made in DuckDB: the fastest way dlt takes it."""
    import dlt
    import duckdb

    cells = ", ".join(f"coalesce({name}::VARCHAR, chr(0))" for name in records.COLUMNS)

    @dlt.resource(
        name=DLT_TABLE,
        primary_key="code",
        write_disposition={"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_hash"},
    )
    def rows() -> Any:
        query = f"SELECT *, md5(concat_ws(chr(31), {cells})) AS row_hash FROM read_parquet('{path}')"
        yield duckdb.sql(query).to_arrow_table()

    return rows


def _dlt_found(home: str) -> Found:
    retired = "SELECT code FROM shop.records WHERE _dlt_valid_to IS NOT NULL"
    alive = "SELECT code FROM shop.records WHERE _dlt_valid_to IS NULL"
    newest = f"{alive} AND _dlt_valid_from = (SELECT max(_dlt_valid_from) FROM shop.records)"
    found = {
        "new": _dlt_query(home, f"SELECT count(*) FROM ({newest}) WHERE code NOT IN ({retired})"),
        "modified": _dlt_query(home, f"SELECT count(*) FROM ({newest}) WHERE code IN ({retired})"),
        "deleted": _dlt_query(home, f"SELECT count(*) FROM ({retired}) WHERE code NOT IN ({alive})"),
    }
    shutil.rmtree(home, ignore_errors=True)
    return found


def _dlt_count(home: str, where: str) -> int:
    return _dlt_query(home, f"SELECT count(*) FROM shop.records WHERE {where}")


def _dlt_query(home: str, query: str) -> int:
    import duckdb

    with duckdb.connect(str(Path(home) / "warehouse.duckdb"), read_only=True) as con:
        return int(con.execute(query).fetchall()[0][0])


def reladiff_tables(*, uri: str, before: str, after: str) -> Found:
    """Both extracts as tables of one database, with an index on the key, before any clock starts."""
    import io

    import duckdb
    import psycopg2

    kinds = {"DOUBLE": "double precision", "BIGINT": "bigint", "TIMESTAMP": "timestamp"}
    listed = ", ".join(f"{name} {kinds.get(kind, 'text')}" for name, kind in records.TYPES.items())
    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        for table, path in (("before", before), ("after", after)):
            cursor.execute(f'DROP TABLE IF EXISTS "{table}"; CREATE UNLOGGED TABLE "{table}" ({listed})')
            for batch in duckdb.read_parquet(path).to_arrow_reader(100_000):
                text = io.StringIO()
                batch.to_pandas().to_csv(text, header=False, index=False)
                text.seek(0)
                cursor.copy_expert(f'COPY "{table}" FROM STDIN (FORMAT csv)', text)
            cursor.execute(f'CREATE UNIQUE INDEX ON "{table}" (code); ANALYZE "{table}"')
    return {}


def reladiff(*, uri: str) -> Callable[[], Found]:
    """reladiff's JOINDIFF of two tables in one PostgreSQL; loading them is not counted."""
    from urllib.parse import parse_qs, urlsplit

    import reladiff as library

    others = tuple(name for name in records.COLUMNS if name != "code")
    # The server listens on a socket, whose folder stands in the query: reladiff only reads it from parts.
    place = {"driver": "postgresql", "dbname": "postgres", "user": "postgres"}
    place["host"] = parse_qs(urlsplit(uri).query)["host"][0]
    one, other = (library.connect_to_table(place, table, "code", extra_columns=others) for table in ("before", "after"))

    def work() -> Found:
        signs: dict[str, set[str]] = {}
        # Sorted results cannot be had where compared columns hold nulls.
        for sign, row in library.diff_tables(one, other, algorithm=library.Algorithm.JOINDIFF, skip_sort_results=True):
            signs.setdefault(row[0], set()).add(sign)
        found = list(signs.values())
        return {"new": found.count({"+"}), "modified": found.count({"+", "-"}), "deleted": found.count({"-"})}

    return work
