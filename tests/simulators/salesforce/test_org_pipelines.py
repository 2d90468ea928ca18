"""Whole pipelines we did not write, unmodified: the Singer tap and the lht loader.

They pin libraries that do not go together with ours, so they run where they are installed and are left out elsewhere.
"""

from __future__ import annotations

import json
import time

import pytest
import requests

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


@pytest.fixture
def tap(trusted, monkeypatch):
    """A signed-in tap; it insists on login.salesforce.com and a refresh token."""
    tap_salesforce = pytest.importorskip("tap_salesforce")
    from tap_salesforce.salesforce import Salesforce

    nap = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: nap(min(seconds, 0.05)))

    def start(api_type):
        sf = Salesforce(
            refresh_token=trusted.refresh_token,
            sf_client_id=trusted.client_id,
            sf_client_secret=trusted.client_secret,
            api_type=api_type,
            default_start_date="2020-01-01T00:00:00Z",
        )
        sf.login()
        return tap_salesforce, sf

    sessions = []
    yield lambda api_type: sessions.append(start(api_type)) or sessions[-1]
    for _, sf in sessions:
        sf.login_timer.cancel()


@pytest.mark.parametrize("api_type", ["REST", "BULK"])
def test_the_singer_tap_discovers_and_extracts(tap, trusted, capsys, api_type):
    # ASCII names: the tap reads the charset-less CSV of Bulk 1.0 as Latin-1, there as here
    trusted.put("Account", [{"Name": f"Zoe {n}", "Order_Count__c": n} for n in range(2500)])
    module, sf = tap(api_type)
    module.do_discover(sf)
    catalog = json.loads(capsys.readouterr().out)
    streams = {stream["stream"]: stream for stream in catalog["streams"]}
    assert {"Account", "Contact", "Opportunity", "Order"} <= set(streams)
    assert streams["Account"]["schema"]["properties"]["Order_Count__c"]["type"] == ["null", "number"]
    chosen = streams["Account"]
    for entry in chosen["metadata"]:
        wanted = entry["breadcrumb"] in ([], *(["properties", name] for name in ("Id", "Name", "Order_Count__c")))
        entry["metadata"]["selected"] = wanted
    module.do_sync(sf, {"streams": [chosen]}, {})
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert sorted(row["Name"] for row in found) == sorted(f"Zoe {n}" for n in range(2500))
    assert {float(row["Order_Count__c"]) for row in found} == set(map(float, range(2500)))


class Rows:
    """A warehouse session as lht sees it: every query gives the same rows."""

    def __init__(self, rows):
        self.given, self.logged = rows, []

    def __call__(self, warehouse_type):
        outer = self

        class Warehouse(warehouse_type):
            def rows(self, query):
                return outer.given

            def execute(self, statement):
                outer.logged.append(statement)

            def column_ddl(self, column, logical_type):
                return f"{column} {logical_type}"

            def __getattr__(self, name):
                return lambda *_, **__: None

        Warehouse.__abstractmethods__ = frozenset()
        return Warehouse(None)


def test_lht_upserts_from_a_warehouse_and_clears_nulls(salesforce, monkeypatch):
    pytest.importorskip("lht")
    from lht.salesforce import jobs, retl
    from lht.warehouse.base import Warehouse

    monkeypatch.setattr(retl.time, "sleep", lambda _seconds: None)
    form = {
        "grant_type": "client_credentials",
        "client_id": salesforce.client_id,
        "client_secret": salesforce.client_secret,
    }
    access = requests.post(f"{salesforce.url}/services/oauth2/token", data=form, timeout=10).json()
    salesforce.put("Account", [{"Commerce_Id__c": "0", "Name": "old", "Phone": "1"}])
    rows = [{"Commerce_Id__c": str(n), "Name": f'Zoë "{n}", GmbH', "Phone": None} for n in range(30)]
    rows.append({"Commerce_Id__c": "bad", "Name": "x" * 256, "Phone": None})
    done = retl.upsert(
        Rows(rows)(Warehouse), access, "Account", "SELECT 1", "Commerce_Id__c", batch_size=20, clear_nulls=True
    )
    assert (done["total_batches"], done["successful_batches"]) == (2, 2)
    stored = {row["Commerce_Id__c"]: row for row in salesforce.records("Account")}
    assert (len(stored), stored["0"]["Phone"]) == (30, None)
    assert stored["7"]["Name"] == 'Zoë "7", GmbH'
    listed = jobs.list_bulk_api_jobs(access)
    assert len(listed) == 2
    results = jobs.get_ingest_job_results(access, done["batch_results"][1]["job_id"])
    assert "STRING_TOO_LONG" in json.dumps(results)
    jobs.delete_bulk_api_job(access, listed[0]["id"])
    assert len(jobs.list_bulk_api_jobs(access)) == 1
