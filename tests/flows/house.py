"""Fixtures of the flow stories and the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync.systems import rest
from flows.walking import Org, Shop, Walk, connection


@pytest.fixture
def shop(sap_commerce: Any, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("AIRFLOW_CONN_SAP_COMMERCE_DEFAULT", connection(sap_commerce))
    sap_commerce.clear_faults()
    return Shop(sap_commerce)


@pytest.fixture
def org(salesforce: Any, monkeypatch: pytest.MonkeyPatch) -> Org:
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", connection(salesforce))
    salesforce.clear_faults()
    salesforce.options(job_min_polls=1, job_latency_ms=0)
    return Org(salesforce)


@pytest.fixture
def media(iconik: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The iconik simulator."""
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(iconik))
    iconik.clear_faults()
    return iconik


@pytest.fixture
def fleet(opentext_iot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The OpenText IoT simulator."""
    monkeypatch.setenv("AIRFLOW_CONN_OPENTEXT_IOT_DEFAULT", connection(opentext_iot))
    opentext_iot.clear_faults()
    return opentext_iot


@pytest.fixture
def walk(shop: Shop, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    """Runs a flow's legs in this process against both simulators; short retries do not pause."""
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))  # the inbox lies in the ledger of the installation
    return Walk(tmp_path)
