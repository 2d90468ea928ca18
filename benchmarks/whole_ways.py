"""A leg from end to end: read from a stand-in of the Integration API, loaded into a stand-in of Salesforce."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import own_leg, records
from benchmarks.loading_clients import JOB_ROWS, KEY, WAIT_S, _bulk2_outcomes, _simple_salesforce
from benchmarks.stub_commerce import ENTITY_SET, PAGE_ROWS, ROOT, SERVICE

Found = dict[str, Any]


def ours(*, home: str, shop: str, host: str, ca_file: str, rows: int, again: bool) -> Callable[[], Any]:
    """``walk.leg``: extract, map, gate with four rules, load, commit. again: the same rows once more."""
    os.environ["AIRFLOW_CONN_BENCH_SHOP"] = json.dumps(
        {"conn_type": "commerce_sync_sap_commerce", "host": shop, "login": "bench", "password": "bench"}
    )
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(
        {"conn_type": "commerce_sync_salesforce", "host": f"https://{host}", "login": "stub", "password": "stub",
         "extra": {"ca_file": ca_file}}
    )  # fmt: skip
    from commerce_sync import walk
    from commerce_sync.systems.salesforce.hook import SalesforceHook
    from commerce_sync.systems.sap_commerce.hook import SapCommerceHook
    from commerce_sync.window import Request

    if not again:
        shutil.rmtree(home, ignore_errors=True)
    place, found = own_leg.site(Path(home)), own_leg.mapping()
    shown = {"service": SERVICE, "entity_set": ENTITY_SET, "conn_id": "bench_shop", "options": {"concurrency": 8}}
    source = replace(found.source, **shown)
    mapping = replace(found, sources=(source,))

    def target(_mapping: Any, on_call: Any) -> Any:
        # The stand-in takes loads and describes nothing.
        return SimpleNamespace(load=SalesforceHook("bench", on_call=on_call).load)

    def work() -> Callable[[], Found]:
        run = walk.leg(
            place, mapping, f"run-{os.getpid()}", request=Request(mode="complete"), targets=target,
            sources=lambda item, on_call: SapCommerceHook(item.conn_id, on_call=on_call),
        )  # fmt: skip
        return lambda: {"rows": run.extracted, "delivered": run.delivered, "status": run.status, "seconds": run.seconds,
                        "calls": run.calls}  # fmt: skip

    return work


def script(*, home: str, shop: str, host: str, ca_file: str, rows: int) -> Callable[[], Any]:
    """What is written first: requests, ``json_normalize``, simple-salesforce. No delta, no gate, no markers."""
    import pandas as pd
    import requests

    handler, session = _simple_salesforce(host, ca_file).bulk2.Product2, requests.Session()

    def work() -> Callable[[], Found]:
        frames = []
        for skip in range(0, rows, PAGE_ROWS):
            query = {"$format": "json", "$top": str(PAGE_ROWS), "$skip": str(skip), "$orderby": "modifiedtime"}
            answer = session.get(f"{shop}{ROOT}/{ENTITY_SET}", params=query, timeout=60)
            frames.append(pd.json_normalize(answer.json()["d"]["results"])[list(records.COLUMNS)])
        whole = pd.concat(frames, ignore_index=True)
        moments = pd.to_datetime(whole["modifiedtime"].str[6:-2].astype("int64"), unit="ms")
        whole["modifiedtime"] = moments.dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        rows_sent = whole.to_dict("records")
        jobs = handler.upsert(records=rows_sent, external_id_field=KEY, batch_size=JOB_ROWS, wait=WAIT_S)
        found = _bulk2_outcomes(handler, jobs)
        return lambda: {"rows": len(whole), "delivered": found["rows"], "status": "green"}

    return work
