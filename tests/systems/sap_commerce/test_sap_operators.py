"""The operators that need no mapping, and the connection's form."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce_sync.batches import Batches
from commerce_sync.errors import ConfigurationError, GuardError, RejectedError
from systems.sap_commerce.shop import START, customer


@pytest.fixture
def run(hook) -> Any:
    """Build an operator and execute it."""
    from airflow.sdk import DAG

    from commerce_sync.systems.sap_commerce import operators

    def execute(name: str, **arguments: Any) -> Any:
        with DAG("dag", schedule=None):
            operator = getattr(operators, f"SapCommerce{name}Operator")(task_id="task", conn_id="sap_test", **arguments)
        return operator.execute({"run_id": "manual__2026"})

    return execute


COLUMNS = {"uid": "VARCHAR", "modifiedtime": "TIMESTAMP"}


def test_an_extract_leaves_a_batch_and_returns_its_address(sap_commerce, run, tmp_path):
    sap_commerce.put("Customer", [customer(number) for number in range(30)])
    where = {"service": "CustomerSync", "entity_set": "Customers", "root": str(tmp_path)}
    brief = run("Extract", columns=COLUMNS, key="uid", modified="modifiedtime", **where)
    assert (brief["rows"], brief["facts"]["complete"]) == (30, True)
    since = (START + timedelta(seconds=25)).isoformat()
    brief = run("Extract", columns=COLUMNS, key="uid", modified="modifiedtime", since=since, **where)
    assert (brief["rows"], brief["facts"]["complete"]) == (5, False)
    (path,) = Batches(str(tmp_path)).open(brief["uri"]).paths()
    assert pq.read_table(path).column_names == list(COLUMNS)


def test_records_are_written_and_deleted(sap_commerce, run):
    where = {"service": "CustomerSync", "entity_set": "Customers"}
    keys = run("Upsert", records=[{"uid": "a", "name": "A"}, {"uid": "b"}], **where)
    assert [row["uid"] for row in sap_commerce.records("Customer")] == ["a", "b"]
    assert run("Delete", keys=[*keys, "gone"], **where) == keys
    assert sap_commerce.records("Customer") == []


def test_a_refused_record_fails_the_task(run):
    with pytest.raises(RejectedError, match="missing_key"):
        run("Upsert", records=[{"name": "no key"}], service="CustomerSync", entity_set="Customers")


def test_a_batch_is_loaded_and_too_many_rejects_fail_after_the_rest_arrived(sap_commerce, run, tmp_path):
    sap_commerce.put("Warehouse", [{"code": "w1"}])
    batches = Batches(str(tmp_path))
    with batches.write("own", "run", "changes") as into:
        columns = {
            "_key": ["a", "b"], "_kind": ["NEW", "NEW"], "_target_id": pa.array([None, None], pa.string()),
            "productCode": ["a", "b"], "available": [1, 2], "warehouse.code": ["w1", "nowhere"],
        }  # fmt: skip
        into.add(pa.table(columns))
    where = {"service": "InboundOMMStockLevel", "entity_set": "StockLevels", "root": str(tmp_path)}
    changes = batches.address("own", "run", "changes")
    with pytest.raises(GuardError, match="1 rejected and 0 unprocessed of 2"):
        run("BatchLoad", batch=changes, **where)
    assert [row["productCode"] for row in sap_commerce.records("StockLevel")] == ["a"]
    brief = run("BatchLoad", batch=changes, max_rejected=1, **where)
    assert brief["facts"] == {"delivered": 1, "rejected": 1, "unprocessed": 0}


def test_a_batch_that_is_not_there_is_named(run, tmp_path):
    with pytest.raises(ConfigurationError, match="no finished batch at /nowhere"):
        run("BatchLoad", batch="/nowhere", root=str(tmp_path), service="CustomerSync", entity_set="Customers")


def test_any_call_gives_its_answer(sap_commerce, run):
    sap_commerce.put("Customer", [customer(1)])
    found = run("Call", path="/odata2webservices/CustomerSync/Customers", query={"$top": 1}, service="CustomerSync")
    assert found["d"]["results"][0]["uid"] == "c00001"


def test_the_connection_form_hides_its_secrets():
    from commerce_sync.systems.sap_commerce.hook import CONNECTION, SapCommerceHook

    assert CONNECTION["connection-type"] == SapCommerceHook.conn_type
    assert CONNECTION["conn-fields"]["client_secret"]["schema"]["format"] == "password"


def test_a_connection_without_a_host_or_secret_says_what_is_missing(hook, monkeypatch):
    from commerce_sync.systems.sap_commerce.hook import SapCommerceHook

    for given, said in (
        ('{"conn_type": "x", "extra": {}}', "no host"),
        ('{"conn_type": "x", "host": "https://shop", "extra": {}}', "lacks user or password"),
        ('{"conn_type": "x", "host": "https://shop", "extra": {"auth": "oauth"}}', "lacks client_id"),
        ('{"conn_type": "x", "host": "https://shop", "extra": {"auth": "magic"}}', "legal: oauth, basic"),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_SAP_BROKEN", given)
        with pytest.raises(ConfigurationError, match=said):
            SapCommerceHook("sap_broken").client("X")
