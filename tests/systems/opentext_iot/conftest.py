"""What the tests of the IoT client share: a hook per profile on one simulator, a tenant, ways to read and to load."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))

from commerce_sync.batches import Batches
from commerce_sync.ledger import Ledger
from commerce_sync.mapping import Field, Source, Target
from systems.opentext_iot.iot_tenant import Tenant, rows, table

CLASSIC, GENERIC = "covisint_classic", "generic_rest"
Row = dict[str, Any]


@pytest.fixture
def connect(opentext_iot: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A hook on the simulator. Its pauses are short, so that a test of trouble does not wait."""
    from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook

    def make(profile: str = CLASSIC, **extra: Any) -> Any:
        values = {
            "profile": profile,
            "realm": opentext_iot.realm,
            "tenant": opentext_iot.tenant,
            "max_per_second": 2000,
        }
        connection = {"conn_type": "commerce_sync_opentext_iot", "host": opentext_iot.url, "login": opentext_iot.client_id,
                      "password": opentext_iot.client_secret, "extra": values | extra}  # fmt: skip
        name = f"IOT_{profile}_{len(extra)}".upper()
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
        return OpenTextIotHook(name.lower(), sleep=_shortly)

    return make


async def _shortly(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(min(seconds, 0.02))


@pytest.fixture(params=[CLASSIC, GENERIC])
def hook(request: Any, connect: Any) -> Any:
    return connect(request.param)


@pytest.fixture
def classic(connect: Any) -> Any:
    return connect(CLASSIC)


@pytest.fixture
def tenant(opentext_iot: Any) -> Tenant:
    return Tenant(opentext_iot)


@pytest.fixture
def batches(tmp_path: Any) -> Batches:
    return Batches(str(tmp_path / "batches"))


@pytest.fixture
def ledger(tmp_path: Any) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/markers")


@pytest.fixture
def read(batches: Batches) -> Callable[..., tuple[Any, list[Row]]]:
    """Extract; gives what the hook says and the rows that are in the batch."""

    def run(hook: Any, entity_set: str, columns: Row, *, options: Row | None = None, modified: str | None = None,
            **bounds: Any) -> tuple[Any, list[Row]]:  # fmt: skip
        source = Source(name="source", system="opentext_iot", conn_id="", entity_set=entity_set, columns=columns, key="id",
                        modified=modified, options={"lag_s": 0} | (options or {}))  # fmt: skip
        with batches.write("leg", "run", "extract") as into:
            found = hook.extract(source, **({"since": None, "until": None, "complete": True} | bounds), into=into)
        return found, rows(batches.read("leg", "run", "extract"))

    return run


@pytest.fixture
def load(batches: Batches) -> Callable[..., tuple[Any, dict[str, Row]]]:
    """Load change rows; gives what the hook says and the outcome rows by key."""

    def run(
        hook: Any, target: Target, fields: list[Field], changes: list[Row], *, jobs: Any = None, **types: Any
    ) -> Any:
        with batches.write("leg", "run", "changes") as into:
            into.add(table(changes, types))
        with batches.write("leg", "run", "load") as into:
            done = hook.load(target, fields, batches.read("leg", "run", "changes"), jobs=jobs, into=into, wait_s=0)
        outcomes = rows(batches.read("leg", "run", "load"))
        assert sorted(row["_key"] for row in outcomes) == sorted(row["_key"] for row in changes)
        return done, {row["_key"]: row for row in outcomes}

    return run
