"""From the storefront's events to activities in Salesforce, and nothing twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from commerce_sync import flow, mapping_file, places, walk
from commerce_sync.leg import Site
from commerce_sync.systems.inbox.polling import poll
from commerce_sync.window import Request
from flows.walking import connection, swift

LEG = """
leg: interest_to_tasks
from:
  system: inbox
  service: storefront
  entity_set: product.viewed, product.compared
  key: id
  modified: received_at
  columns:
    id: VARCHAR
    type: VARCHAR
    time: TIMESTAMP
    received_at: TIMESTAMP
    data: STRUCT(uid VARCHAR, product VARCHAR, products VARCHAR[], value DECIMAL(18, 2), consent BOOLEAN)
key: id
where: data.consent AND data.uid IS NOT NULL
complete_scan: null
to: {system: salesforce, object: Task, external_id: Commerce_Id__c}
fields:
  Commerce_Id__c: id
  Subject: "'Looked at ' || coalesce(data.product, array_to_string(data.products, ' and '))"
  Status: "'Not Started'"
  Priority: "'Normal'"
  ActivityDate: CAST(time AS DATE)
  Signal__c: type
  Cart_Value__c: data.value
"""


@pytest.fixture
def site(ledger):
    return Site(ledger, places.batches(), places.stores(), places.pages())


@pytest.fixture
def walk_leg(site, tmp_path, salesforce, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", connection(salesforce))
    salesforce.clear_faults()
    path = tmp_path / "interest_to_tasks.yaml"
    path.write_text(LEG)
    mapping, numbers = swift(mapping_file.load(path)), count(1)

    def _walk(mode="auto"):
        return walk.leg(
            site, mapping, f"run-{next(numbers)}", request=Request(mode=mode), sources=flow.source_system,
            targets=flow.target_system,
        )  # fmt: skip

    return _walk


@pytest.fixture
def shop(home, event):
    """Writes events to the storefront's file, in the order given."""
    (home.parent / "feed-files" / "storefront.yaml").write_text("feed: storefront\nkind: file\npath: drop/*.jsonl\n")

    def _shop(*events):
        Path(home / "drop").mkdir(parents=True, exist_ok=True)
        with (home / "drop" / "day.jsonl").open("a") as sink:
            sink.writelines(json.dumps(item) + "\n" for item in events)

    return _shop


def tasks(salesforce):
    return {row["Commerce_Id__c"]: row for row in salesforce.records("Task")}


def test_what_customers_look_at_becomes_tasks_once(shop, event, walk_leg, salesforce):
    seen = [event(), event("product.compared"), event(data={"consent": False}), event("search.performed"), {"id": "x"}]
    shop(*seen)
    assert poll("storefront").refused == 1
    first = walk_leg()
    assert (first.status, first.delivered, first.filtered) == ("green", 2, 1)
    found = tasks(salesforce)
    assert {name: row["Subject"] for name, row in found.items()} == {"e1": "Looked at P1", "e2": "Looked at P1 and P2"}
    assert float(found["e1"]["Cart_Value__c"]) == 99.5
    assert found["e1"]["ActivityDate"] == "2026-03-01"

    shop(*reversed(seen))
    assert poll("storefront").new == 0
    second = walk_leg()
    assert (second.status, second.sent) == ("green", 0)
    assert tasks(salesforce) == found


def test_events_that_arrive_late_are_not_missed(shop, event, walk_leg, salesforce):
    shop(event())
    poll("storefront")
    walk_leg()
    shop(event(time="2020-01-01T00:00:00Z"))
    poll("storefront")
    assert walk_leg().delivered == 1
    assert set(tasks(salesforce)) == {"e1", "e2"}
    assert walk_leg().sent == 0


def test_events_that_are_forgotten_take_nothing_away(shop, event, walk_leg, salesforce, ledger):
    shop(event())
    poll("storefront")
    walk_leg()
    ledger.drop_events(datetime.now(UTC))
    shop(event())
    poll("storefront")
    run = walk_leg("complete")
    assert (run.status, run.sent, run.deleted) == ("green", 1, 0)
    assert set(tasks(salesforce)) == {"e1", "e2"}
