"""With Airflow's real scheduler, triggerer and API server: a webhook starts the flow, and its record arrives."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from demo.airflow_rest import AirflowRest
from receiver.receiving import LOGIN, Shop, until
from standalone import airflow_standalone

pytestmark = pytest.mark.slow
DAG = "salesforce_customers"
SAID = "secret-of-the-webhook"
SILENT_S = 33.0
"""The trigger is silent for 30 s after a nudge."""
FILE = f'''"""x"""
from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag("{DAG}", legs=["salesforce/households_to_accounts"], schedule="0 3 * * *", doc=__doc__)
'''


class Target:
    """What the shop's destinations lead to: the receiver inside Airflow."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/commerce-sync/receive"


@pytest.fixture
def airflow(simulators: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Airflow with one flow, started by deliveries only."""
    said = json.dumps({"conn_type": "http", "login": LOGIN, "password": SAID})
    env = {"AIRFLOW_CONN_COMMERCE_SYNC_RECEIVER_SAP_COMMERCE": said}
    folder = tmp_path_factory.mktemp("a")
    with airflow_standalone(folder, dags={DAG: FILE}, systems=simulators, env=env) as (rest, _folder):
        yield rest


def runs(rest: AirflowRest) -> list[Any]:
    return [run for run in rest.runs() if run.dag == DAG]


def test_a_webhook_starts_its_flow_within_seconds(airflow, sap_commerce, salesforce, capsys):
    sap_commerce.clear_faults()
    salesforce.options(job_min_polls=1, job_latency_ms=0)
    shop = Shop(sap_commerce, Target(airflow.url))  # type: ignore[arg-type]
    to = shop.destination("hook", "/sap_commerce/webhooks/CustomerSync", target="webhookServices", password=SAID)
    event = "de.hybris.platform.webhookservices.event.ItemSavedEvent"
    shop.post(
        "WebhookService/WebhookConfigurations",
        {"integrationObject": {"code": "CustomerSync"}, "eventType": event, "destination": to},
    )
    end = time.monotonic() + 180
    number = 0
    while not runs(airflow):  # the triggerer takes a while to begin; the first deliveries may come before
        assert time.monotonic() < end, "no delivery started the flow"
        number += 1
        deliver(shop, number)
        time.sleep(10)
    measured = []
    for number in (100, 101):
        until(lambda: {run.state for run in runs(airflow)} == {"success"}, what="quiet", seconds=180, pause_s=1)
        time.sleep(SILENT_S)
        measured.append(measure(airflow, shop, salesforce, number))
    with capsys.disabled():
        for delivered, started, arrived in measured:
            print(f"\nanswered after {delivered:.2f} s; flow started after {started:.1f} s; "
                  f"record in Salesforce after {arrived:.1f} s")  # fmt: skip
    assert all(run.by_assets for run in runs(airflow))


def deliver(shop: Shop, number: int) -> float:
    """A new customer, and the shop's webhook about it; gives the seconds until it was answered."""
    row = {"uid": f"n{number}@example.com", "customerID": f"N{number}", "name": f"New {number}"}
    shop.far.put("Customer", [row | {"modifiedtime": datetime.now(UTC).isoformat()}])  # its clock is moved on below
    began = time.monotonic()
    assert shop.settle()["failed"] == 0
    return time.monotonic() - began


def measure(rest: AirflowRest, shop: Shop, salesforce: Any, number: int) -> tuple[float, float, float]:
    """Seconds from the change in the shop to: answered, flow started, record in Salesforce."""
    known = {run.run_id for run in runs(rest)}
    began = datetime.now(UTC)
    answered_s = deliver(shop, number)
    until(lambda: _account(salesforce, number), what="the account", seconds=180, pause_s=0.2)
    arrived_s = (datetime.now(UTC) - began).total_seconds()
    started = min(run.started for run in runs(rest) if run.run_id not in known and run.started)
    return answered_s, (started - began).total_seconds(), arrived_s


def _account(salesforce: Any, number: int) -> list[Any]:
    rows = salesforce.control("GET", "records/Account", params={"limit": 1000})["records"]
    return [row for row in rows if row["Commerce_Id__c"] == f"N{number}"]
