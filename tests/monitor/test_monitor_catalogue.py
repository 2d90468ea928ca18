"""What the monitor knows of legs and flows: by mapping files and Airflow's tables, also when either is not well."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commerce_sync.monitor import catalogue, streams
from commerce_sync.monitor.catalogue import Flow
from commerce_sync.monitor.chart import ceiling, draw
from commerce_sync.monitor.masking import masked_key, masked_payload, masked_value

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MAPPING = """
leg: people
from: {system: sap_commerce, service: S, entity_set: E, key: uid, columns: {uid: VARCHAR}}
key: uid
to: {system: salesforce, object: Contact, external_id: X}
fields:
  X: uid
  Email: {value: "lower(uid)", pii: true}
  City: town
"""


@pytest.fixture
def mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMMERCE_SYNC_MAPPINGS", str(tmp_path))
    catalogue.forget()
    (tmp_path / "people.yaml").write_text(MAPPING)
    yield tmp_path
    catalogue.forget()


def test_a_leg_is_read_from_its_mapping_file(application_with_flows, mappings) -> None:
    found = catalogue.read().moves["people"]
    assert found.arrow == "SAP Commerce \u2192 Salesforce Contact"
    assert (found.direction, found.fields, found.personal) == ("outbound", ("X", "Email", "City"), {"Email"})
    assert found.hides_key, "the key is the e-mail address"


def test_a_broken_mapping_costs_one_leg(application_with_flows, mappings) -> None:
    for name, text in (("a", ":\n- ["), ("b", "- 1"), ("c", "leg: c"), ("d", "\x00"), ("e", "leg: e\nfrom: 7\nto: 8")):
        (mappings / f"{name}.yaml").write_text(text)
    assert set(catalogue.read().moves) == {"people"}


def test_a_mapping_that_changed_is_read_again(application_with_flows, mappings) -> None:
    assert catalogue.read().moves["people"].personal == {"Email"}
    path = mappings / "people.yaml"
    path.write_text(MAPPING.replace("City: town", "City: {value: town, pii: true}"))
    os.utime(path, ns=(1, 1))
    assert catalogue.read().moves["people"].personal == {"Email", "City"}
    path.unlink()
    assert not catalogue.read().moves


def test_every_leg_of_the_house_belongs_to_the_flow_that_runs_it(application_with_flows) -> None:
    from flows.walking import legs_of

    catalogue.forget()
    known = catalogue.read()
    assert not known.problem
    for dag_id in ("salesforce_customers", "salesforce_orders", "iconik_approved_media"):
        legs = [mapping.leg for mapping in legs_of(dag_id)]
        assert {known.flow_of(leg).dag_id for leg in legs} == {dag_id}
        assert set(known.flows[dag_id].legs) == set(legs)


def test_the_pages_do_without_airflows_database(application_with_flows, bare, vera, monkeypatch) -> None:
    def broken(**_options: object) -> None:
        raise OSError("no such host")

    monkeypatch.setattr("airflow.models.serialized_dag.SerializedDagModel.get_latest_serialized_dags", broken)
    catalogue.forget()
    text = vera.text("/")
    assert "database did not answer (OSError)" in text
    assert "customers_to_contacts" in text


def flow(**values: object) -> Flow:
    return Flow(**({"dag_id": "f", "title": "", "legs": ("a",), "paused": False, "schedule": "", "interval": timedelta(minutes=15)}
                   | values))  # fmt: skip


def run(status: str = "green", **values: object):
    from commerce_sync.ledger import Run

    at = NOW - timedelta(minutes=5)
    given = {"leg": "a", "run": "r", "kind": "changes", "mapping_version": 1, "since": None, "until": None, "started": at,
             "ended": at, "status": status, "settled_version": 1}  # fmt: skip
    return Run(**given | values)


@pytest.mark.parametrize(
    ("given", "green_min", "of", "state"),
    [
        (run("red"), 5, flow(), "red"),
        (run("stopped"), 5, flow(paused=True), "stopped"),
        (run(), 5, flow(), "green"),
        (run(), 5, flow(paused=True), "paused"),
        (run(), 39, flow(), "green"),
        (run(), 41, flow(), "late"),
        (run("running"), 41, flow(), "late"),
        (run("running"), 20, flow(), "running"),
        (run(), 9_999, flow(interval=None), "green"),
        (run(), 9_999, None, "green"),
        (None, None, flow(), "never"),
        (None, None, flow(paused=True), "paused"),
    ],
)
def test_the_state_of_a_stream_is_the_worst_that_is_true(given, green_min, of, state) -> None:
    green = NOW - timedelta(minutes=green_min) if green_min is not None else None
    assert streams.state_of(given, green, flow=of, now=NOW) == state


def test_masks_hide_what_is_personal_or_not_known(application_with_flows, mappings) -> None:
    moves = catalogue.read().moves["people"]
    assert masked_payload({"Email": "a@b.c", "City": "Berlin", "X": None}, moves) == {
        "Email": "***",
        "City": "Berlin",
        "X": None,
    }
    assert masked_payload({"City": "Berlin", "X": None}, None) == {"City": "***", "X": None}
    assert masked_key("ada@example.com", moves) == "a***"
    assert masked_value("Berlin", name="City", legs=[]) == "***"


@pytest.mark.parametrize(("number", "top"), [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (148_755, 200_000)])
def test_a_chart_has_a_round_top(number, top) -> None:
    assert ceiling(number) == top


def test_a_chart_shows_one_bad_row_among_a_million() -> None:
    step = timedelta(hours=1)
    numbers = {NOW: {"delivered": 1_000_000, "rejected": 1}, NOW + step: {"delivered": 500_000}}
    chart = draw("rows", series=("delivered", "rejected"), numbers=numbers, since=NOW, step=step, steps=3)
    assert chart.total == {"delivered": 1_500_000, "rejected": 1}
    first, second, third = chart.steps
    assert [bar.name for bar in first.bars] == ["delivered", "rejected"]
    assert first.bars[1].height >= 1.5
    assert second.bars[0].height == pytest.approx(25.0)
    assert third.bars == ()
    assert all(
        bar.y >= 0 and bar.y + bar.height <= 100.01
        for item in chart.steps
        for bar in item.bars
        if bar.name == "delivered"
    )
