"""Ways to bring a change batch (Parquet) into Salesforce; each gives the number of rows it can account for by key.

All begin with the same Parquet file and end with an outcome per row, because without one nothing can be matched.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import own_leg, records

Found = dict[str, int]
OBJECT, KEY = "Product2", "code"
JOB_ROWS = 400_000
"""For simple-salesforce: without it, its own cut makes jobs larger than Salesforce takes."""
WAIT_S = 0.05
"""simple-salesforce waits 5 s before it first asks for a job's state; that would only measure the stub's idleness."""


def stage(*, path: str, home: str, rows: int) -> Found:
    """The change batch of a first load: all rows new."""
    shutil.rmtree(home, ignore_errors=True)
    place = own_leg.site(Path(home))
    with place.batches.write("bench", "run", "changes") as into, place.batches.connect() as con:
        written = into.copy(
            con, f"SELECT code AS _key, 'NEW' AS _kind, 0::UBIGINT AS _fingerprint, NULL::VARCHAR AS _target_id, * "
            f"FROM read_parquet('{path}') LIMIT {rows}",
        )  # fmt: skip
    return {"rows": written}


def ours(*, home: str, host: str, ca_file: str, scratch: str, **options: Any) -> Callable[[], Any]:
    """``SalesforceHook.load``, as the load step calls it; ``options`` of the target."""
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(
        {"conn_type": "commerce_sync_salesforce", "host": f"https://{host}", "login": "stub", "password": "stub",
         "extra": {"ca_file": ca_file}}
    )  # fmt: skip
    from commerce_sync.systems.jobs import MemoryJobs
    from commerce_sync.systems.salesforce.hook import SalesforceHook

    Path(scratch).mkdir(parents=True, exist_ok=True)
    place, leg = own_leg.site(Path(home)), own_leg.mapping()
    target = replace(leg.target, options=leg.target.options | options)
    changes, hook = place.batches.read("bench", "run", "changes"), SalesforceHook("bench", scratch=scratch)

    def work() -> Callable[[], Found]:
        with place.batches.write("bench", "run", "load") as into:
            hook.load(target, leg.fields, changes, jobs=MemoryJobs(), into=into, wait_s=600)
        return lambda: _outcomes(place)

    return work


def _outcomes(place: Any) -> Found:
    scan = place.batches.read("bench", "run", "load").scan()
    with place.batches.connect() as con:
        query = f"SELECT count(DISTINCT _key) FROM {scan} WHERE outcome = 'delivered' AND target_id IS NOT NULL"
        return {"rows": con.execute(query).fetchall()[0][0]}


def bulk2_records(*, home: str, host: str, ca_file: str, scratch: str) -> Callable[[], Found]:
    """simple-salesforce, ``bulk2.<object>.upsert(records=...)``."""
    handler = _simple_salesforce(host, ca_file).bulk2.Product2

    def work() -> Found:
        rows = _dictionaries(home)
        jobs = handler.upsert(records=rows, external_id_field=KEY, batch_size=JOB_ROWS, wait=WAIT_S)
        return _bulk2_outcomes(handler, jobs)

    return work


def bulk2_file(*, home: str, host: str, ca_file: str, scratch: str) -> Callable[[], Found]:
    """simple-salesforce, ``bulk2.<object>.upsert(csv_file=...)``; the file is written by DuckDB, fast."""
    import duckdb

    handler = _simple_salesforce(host, ca_file).bulk2.Product2
    Path(scratch).mkdir(parents=True, exist_ok=True)

    def work() -> Found:
        path = f"{scratch}/peer.csv"
        duckdb.sql(_texts(home)).write_csv(path, header=True, na_rep="#N/A")
        jobs = handler.upsert(csv_file=path, external_id_field=KEY, batch_size=JOB_ROWS, wait=WAIT_S)
        return _bulk2_outcomes(handler, jobs)

    return work


def _bulk2_outcomes(handler: Any, jobs: list[dict[str, Any]]) -> Found:
    import csv
    import io

    ids: dict[str, str] = {}
    for job in jobs:
        for row in csv.DictReader(io.StringIO(handler.get_successful_records(job["job_id"]))):
            ids[row[KEY]] = row["sf__Id"]
        handler.get_failed_records(job["job_id"])
    return {"rows": len(ids)}


def airflow_operator(*, home: str, host: str, ca_file: str, scratch: str) -> Callable[[], Found]:
    """Airflow's ``SalesforceBulkOperator``; results come in the order of the payload, so they are matched by place."""
    import logging

    os.environ["REQUESTS_CA_BUNDLE"] = ca_file
    os.environ["AIRFLOW_CONN_STUB"] = json.dumps({"conn_type": "salesforce", "extra": {"instance": host}})
    from airflow.providers.salesforce.hooks import salesforce
    from airflow.providers.salesforce.operators.bulk import SalesforceBulkOperator

    logging.disable(logging.INFO)
    client = _simple_salesforce(host, ca_file)
    # Signing in is not what is measured: the hook gets a client that is signed in.
    salesforce.SalesforceHook.get_conn = lambda _self: client  # type: ignore[method-assign]

    def work() -> Found:
        rows = _dictionaries(home)
        operator = SalesforceBulkOperator(
            task_id="load", operation="upsert", object_name=OBJECT, payload=rows, external_id_field=KEY,
            salesforce_conn_id="stub",
        )  # fmt: skip
        answers = operator.execute({})
        return {"rows": len({row[KEY]: answer["id"] for row, answer in zip(rows, answers, strict=True)})}

    return work


def sf_toolkit(*, home: str, host: str, ca_file: str, scratch: str) -> Callable[[], Found]:
    """sf-toolkit's ``BulkApiIngestJob``; cut into jobs here: above 100 MB it would send a second file into one job."""
    os.environ["SSL_CERT_FILE"] = ca_file
    import httpx
    from sf_toolkit import SalesforceClient
    from sf_toolkit.auth import SalesforceToken
    from sf_toolkit.data.bulk import BulkApiIngestJob

    client = SalesforceClient(token=SalesforceToken(httpx.URL(f"https://{host}"), "stub"), api_version=62.0)

    def work() -> Found:
        rows, ids = _dictionaries(home), {}
        for start in range(0, len(rows), JOB_ROWS):
            job = BulkApiIngestJob.init_job(OBJECT, "upsert", external_id_field=KEY, connection=client)
            job.upload_batches(rows[start : start + JOB_ROWS])
            job.monitor_until_complete(poll_interval=WAIT_S)
            ids |= {row.data[KEY]: row.sf__Id for row in job.successful_results()}
            job.failed_results()
        return {"rows": len(ids)}

    return work


def drt(*, home: str, host: str, ca_file: str, scratch: str) -> Callable[[], Found]:
    """drt's Salesforce destination; cut into jobs here too. It tells how many rows arrived, not which."""
    names = {name: f"DRT_{name.upper()}" for name in ("client_id", "client_secret", "username", "password")}
    os.environ.update(dict.fromkeys(names.values(), "stub"), SSL_CERT_FILE=ca_file)
    from drt.config.models import SalesforceBulkDestinationConfig, SyncOptions
    from drt.destinations.salesforce_bulk import SalesforceBulkDestination

    config = SalesforceBulkDestinationConfig(
        type="salesforce_bulk", instance_url=f"https://{host}", object_name=OBJECT, operation="upsert",
        external_id_field=KEY, poll_interval_seconds=1, **{f"{name}_env": env for name, env in names.items()},
    )  # fmt: skip
    options = SyncOptions()

    def work() -> Found:
        rows, delivered = _dictionaries(home), 0
        for start in range(0, len(rows), JOB_ROWS):
            destination = SalesforceBulkDestination()
            destination.stage(rows[start : start + JOB_ROWS], config, options)
            delivered += destination.finalize(config, options).success
        return {"rows": delivered}

    return work


def _simple_salesforce(host: str, ca_file: str) -> Any:
    import requests
    from simple_salesforce import Salesforce

    session = requests.Session()
    session.verify, session.trust_env = ca_file, False
    return Salesforce(instance=host, session_id="stub", session=session)


def _texts(home: str) -> str:
    """SQL of the rows as Salesforce takes them; only the timestamp needs a form of its own."""
    files = list(Path(home, "runs", "bench", "run", "changes").glob("*.parquet"))
    columns = [name for name in records.COLUMNS if name != "modifiedtime"]
    moment = "strftime(modifiedtime, '%Y-%m-%dT%H:%M:%S.%g') || 'Z' AS modifiedtime"
    return f"SELECT {', '.join(columns)}, {moment} FROM read_parquet('{files[0]}')"


def _dictionaries(home: str) -> list[dict[str, Any]]:
    import duckdb

    return list(_rows(duckdb.sql(_texts(home)).to_arrow_reader(65536)))


def _rows(reader: Any) -> Iterator[dict[str, Any]]:
    for batch in reader:
        yield from batch.to_pylist()
