"""What the tests of the SAP Commerce client share: a hook on the simulator, sources, a way to read into a batch."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))

from commerce_sync.batches import Batch, Batches
from commerce_sync.mapping import Source


@pytest.fixture
def hook(sap_commerce: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from commerce_sync.systems.sap_commerce.hook import SapCommerceHook

    extra = {
        "auth": "oauth",
        "client_id": sap_commerce.client_id,
        "client_secret": sap_commerce.client_secret,
        "other_services": "IntegrationService, InboundIntegrationMonitoring",
        "test_service": "OrderSync",
    }
    connection = {
        "conn_type": "commerce_sync_sap_commerce",
        "host": sap_commerce.url,
        "login": sap_commerce.username,
        "password": sap_commerce.password,
        "extra": extra,
    }
    monkeypatch.setenv("AIRFLOW_CONN_SAP_TEST", json.dumps(connection))
    return SapCommerceHook("sap_test")


@pytest.fixture
def batches(tmp_path: Any) -> Batches:
    return Batches(str(tmp_path / "batches"))


@pytest.fixture
def read(hook: Any, batches: Batches) -> Callable[..., tuple[Any, list[dict[str, Any]]]]:
    """Extract a source; gives what the hook says and the rows that are in the batch."""

    def run(source: Source, **options: Any) -> tuple[Any, list[dict[str, Any]]]:
        with batches.write("leg", "run", "extract") as into:
            found = hook.extract(source, **({"since": None, "until": None, "complete": True} | options), into=into)
        return found, rows(batches.read("leg", "run", "extract"))

    return run


def rows(batch: Batch) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for path in batch.paths() for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def load(hook: Any, batches: Batches) -> Callable[..., tuple[Any, dict[str, dict[str, Any]]]]:
    """Load change rows; gives what the hook says and the outcome rows by key."""
    import pyarrow as pa

    def run(target: Any, fields: Any, changes: list[dict[str, Any]], **types: Any) -> Any:
        with batches.write("leg", "run", "changes") as into:
            names = {name: None for row in changes for name in row}
            columns = {name: [row.get(name) for row in changes] for name in names}
            into.add(pa.table({name: pa.array(column, types.get(name)) for name, column in columns.items()}))
        with batches.write("leg", "run", "load") as into:
            done = hook.load(target, fields, batches.read("leg", "run", "changes"), into=into, wait_s=0)
        outcomes = rows(batches.read("leg", "run", "load"))
        assert len(outcomes) == len(changes), "every change has exactly one outcome"
        return done, {row["_key"]: row for row in outcomes}

    return run
