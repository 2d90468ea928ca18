"""Ways to bring all rows of an entity set into Parquet; each gives how many different keys its files hold."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.stub_commerce import ENTITY_SET, PAGE_ROWS, ROOT, SERVICE

Found = dict[str, int]
TIMEOUT_S = 60


def ours(*, url: str, rows: int, concurrency: int) -> Callable[[], Found]:
    """``SapCommerceHook.extract`` of everything, as the extract step calls it, into the batch it writes."""
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(
        {"conn_type": "commerce_sync_sap_commerce", "host": url, "login": "bench", "password": "bench"}
    )
    import duckdb  # noqa: F401
    import pandas as pd  # noqa: F401  # pyarrow imports it with its first array

    from commerce_sync.batches import Batches
    from commerce_sync.mapping import Source
    from commerce_sync.systems.sap_commerce.hook import SapCommerceHook

    source = Source(
        name="records", system="sap_commerce", conn_id="bench", service=SERVICE, entity_set=ENTITY_SET, key="code",
        columns=dict(records.TYPES), modified="modifiedtime", options={"concurrency": concurrency},
    )  # fmt: skip
    hook = SapCommerceHook("bench")
    _ = hook.connection

    def work() -> Found:
        with _folder() as folder:
            place = Batches(str(folder))
            with place.write("bench", "run", "extract") as into:
                hook.extract(source, since=None, until=None, complete=True, into=into)
            return _keys(place.read("bench", "run", "extract").paths())

    return work


def usual(*, url: str, rows: int) -> Callable[[], Found]:
    """requests, page after page, ``json_normalize``, concat, Parquet."""
    import pandas as pd
    import requests

    session = requests.Session()

    def work() -> Found:
        frames = []
        for skip in range(0, rows, PAGE_ROWS):
            answer = session.get(f"{url}{ROOT}/{ENTITY_SET}", params=_query(skip), timeout=TIMEOUT_S)
            frames.append(pd.json_normalize(answer.json()["d"]["results"])[list(records.COLUMNS)])
        whole = pd.concat(frames, ignore_index=True)
        whole["modifiedtime"] = pd.to_datetime(whole["modifiedtime"].str[6:-2].astype("int64"), unit="ms")
        whole = whole.astype({"price": "float64", "stock": "int64"})
        return _written(whole.to_parquet)

    return work


def arrow(*, url: str, rows: int) -> Callable[[], Found]:
    """requests, page after page, ``json.loads``, Arrow, Parquet: what a careful script does."""
    import pandas as pd  # noqa: F401  # pyarrow imports it with its first array
    import pyarrow as pa
    import pyarrow.parquet as pq
    import requests

    session = requests.Session()

    def work() -> Found:
        parts = []
        for skip in range(0, rows, PAGE_ROWS):
            answer = session.get(f"{url}{ROOT}/{ENTITY_SET}", params=_query(skip), timeout=TIMEOUT_S)
            parts.append(pa.Table.from_pylist([_typed(row) for row in answer.json()["d"]["results"]]))
        whole = pa.concat_tables(parts)
        return _written(lambda path: pq.write_table(whole, path, compression="zstd"))

    return work


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    found = {name: row[name] for name in records.COLUMNS}
    found["price"], found["stock"] = float(row["price"]), int(row["stock"])
    found["modifiedtime"] = int(row["modifiedtime"][6:-2])
    return found


def pyodata(*, url: str, rows: int) -> Callable[[], Found]:
    """SAP's own client: entity proxies page after page, a frame, Parquet."""
    import pandas as pd
    import pyodata as library
    import requests

    client = library.Client(f"{url}{ROOT}", requests.Session())

    def work() -> Found:
        asked = getattr(client.entity_sets, ENTITY_SET)
        found = []
        for skip in range(0, rows, PAGE_ROWS):
            page = asked.get_entities().skip(skip).top(PAGE_ROWS).order_by("modifiedtime").execute()
            found += [tuple(getattr(entity, name) for name in records.COLUMNS) for entity in page]
        return _written(pd.DataFrame(found, columns=list(records.COLUMNS)).to_parquet)

    return work


def bytes_only(*, url: str, rows: int, concurrency: int) -> Callable[[], Found]:
    """The limit: every page fetched, as many at once, nothing decoded; rows are counted by a mark in the bytes."""
    import aiohttp

    async def read() -> int:
        slots = asyncio.Semaphore(concurrency)
        async with aiohttp.ClientSession() as session:

            async def page(skip: int) -> int:
                async with slots, session.get(f"{url}{ROOT}/{ENTITY_SET}", params=_query(skip)) as answer:
                    return (await answer.read()).count(b'"integrationKey"')

            return sum(await asyncio.gather(*(page(skip) for skip in range(0, rows, PAGE_ROWS))))

    return lambda: {"rows": asyncio.run(read())}


def _query(skip: int) -> dict[str, str]:
    return {"$format": "json", "$top": str(PAGE_ROWS), "$skip": str(skip), "$orderby": "modifiedtime"}


def _written(write: Callable[[str], Any]) -> Found:
    with _folder() as folder:
        path = str(folder / "rows.parquet")
        write(path)
        return _keys([path])


def _keys(paths: list[str]) -> Found:
    import duckdb

    return {"rows": duckdb.read_parquet(paths).aggregate("count(DISTINCT code)").fetchall()[0][0]}


@contextmanager
def _folder() -> Iterator[Path]:
    records.DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=records.DATA) as folder:
        yield Path(folder)
