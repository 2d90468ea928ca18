"""A shop without anything of ours, an org, and the commands that set them up."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from setting import META, RECEIVER, Setup

from commerce_sync.systems import rest
from flows.walking import Org, Shop, Walk, connection


@pytest.fixture
def bare(sap_commerce: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The SAP simulator as a new shop: not one integration object that the product does not bring."""
    sap_commerce.clear_faults()
    sap_commerce.reset(seed="bare")
    monkeypatch.setenv("AIRFLOW_CONN_SAP_COMMERCE_DEFAULT", connection(sap_commerce, other_services=META))
    monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_RECEIVER_SAP_COMMERCE", json.dumps(RECEIVER))
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    yield sap_commerce
    sap_commerce.clear_faults()


@pytest.fixture
def setup(bare: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Setup:
    """The commands over the bare shop, with a small set-up file that tests change."""
    return Setup(bare, tmp_path / "setup.yaml", capsys)


@pytest.fixture
def org(salesforce: Any, monkeypatch: pytest.MonkeyPatch) -> Org:
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", connection(salesforce))
    salesforce.clear_faults()
    salesforce.options(job_min_polls=1, job_latency_ms=0)
    return Org(salesforce)


@pytest.fixture
def walk(bare: Any, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    return Walk(tmp_path)


@pytest.fixture
def shop(bare: Any) -> Shop:
    return Shop(bare)
