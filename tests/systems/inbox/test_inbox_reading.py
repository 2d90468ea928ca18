"""The inbox as a source: events of a feed with typed data, by the time they were received."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from commerce_sync.batches import Batches
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Source
from commerce_sync.systems.inbox import taking
from commerce_sync.systems.inbox.hook import InboxHook

SOURCE = Source(
    name="source", system="inbox", conn_id="inbox_default", service="storefront", entity_set="*", key="id",
    modified="received_at",
    columns={
        "id": "VARCHAR", "type": "VARCHAR", "time": "TIMESTAMP", "received_at": "TIMESTAMP", "subject": "VARCHAR",
        "data": "STRUCT(uid VARCHAR, product VARCHAR, products VARCHAR[], value DECIMAL(18, 2), consent BOOLEAN, "
                "shop STRUCT(site VARCHAR, \"floor no\" INTEGER))",
    },
)  # fmt: skip


@pytest.fixture
def put(ledger):
    return lambda *events: taking.take(
        ledger, "storefront", [json.dumps(item).encode() for item in events], types=["a", "b", "product.viewed"]
    )


@pytest.fixture
def read(ledger, tmp_path):
    batches = Batches(str(tmp_path / "runs"))

    def _read(source=SOURCE, *, since=None, until=None, complete=False):
        with batches.write("leg", "run", "extract") as into:
            found = InboxHook().extract(source, since=since, until=until, complete=complete, into=into)
        batch = batches.read("leg", "run", "extract")
        assert batch.rows == found.rows
        rows = batches.connect().sql(f"SELECT * FROM {batch.scan()}").to_arrow_table() if batch.parts else None
        return found, rows.to_pylist() if rows else []

    return _read


def test_data_has_the_declared_types(put, read, event):
    put(event("a", data={"product": "P1", "value": 12.5, "shop": {"site": "eu", "floor no": 2}, "more": [1]}))
    found, (row,) = read()
    assert (row["id"], row["type"], row["subject"]) == ("e1", "a", None)
    assert row["time"] == datetime(2026, 3, 1, 12)
    assert row["data"] == {
        "uid": "ada@people.example", "product": "P1", "products": None, "value": Decimal("12.50"), "consent": True,
        "shop": {"site": "eu", "floor no": 2},
    }  # fmt: skip
    assert found.unreadable == {}


def test_values_of_another_type_are_null_and_counted(put, read, event):
    put(
        event("a", data={"value": "dear", "shop": {"floor no": "top"}}),
        event("a", data={"value": {"amount": 1}, "products": None, "product": None}),
        event("a", data={"shop": "none", "value": 3}),
    )
    found, rows = read()
    assert [row["data"]["value"] for row in rows] == [None, None, Decimal(3)]
    assert all(row["data"]["uid"] == "ada@people.example" for row in rows)
    assert found.unreadable == {"data.value": 2, "data.shop.floor no": 1}


def test_an_explicit_null_is_null_and_no_fault(put, read, event):
    put(event("a") | {"data": {"uid": "u", "value": None}})
    found, (row,) = read()
    assert (row["data"]["value"], found.unreadable) == (None, {})


def test_types_are_chosen_by_name(put, read, event):
    put(event("a"), event("b"), event())
    assert [row["id"] for row in read(replace(SOURCE, entity_set="b, product.viewed"))[1]] == ["e2", "e3"]
    assert len(read()[1]) == 3


def test_what_was_refused_is_never_read(put, read, event):
    put(event("nothing like it"), event("a"))
    assert [row["id"] for row in read()[1]] == ["e2"]


def test_a_filter_sees_the_declared_columns(put, read, event):
    put(event("a", data={"value": 5}), event("a", data={"value": 50}))
    found, rows = read(replace(SOURCE, filter="data.value > 10 AND data.consent"))
    assert [row["id"] for row in rows] == ["e2"]
    assert found.rows == 1


def test_a_read_by_time_begins_at_the_last_one_and_misses_nothing(put, read, event):
    put(event("a"))
    first, _rows = read(complete=True)
    put(event("a", time="2020-01-01T00:00:00Z"))
    second, rows = read(since=first.high_water)
    assert [row["id"] for row in rows] == ["e1", "e2"]
    assert second.high_water > first.high_water
    assert read(since=first.high_water, until=second.high_water)[0].rows == 1
    assert read(since=datetime.now(UTC))[0].high_water is None


def test_many_events_are_read_in_parts(put, read, event, monkeypatch):
    monkeypatch.setattr("commerce_sync.ledger.events.CHUNK", 10)
    put(*(event("a") for _number in range(35)))
    found, rows = read()
    assert sorted(int(row["id"][1:]) for row in rows) == list(range(1, 36))
    assert found.rows == 35


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"columns": {"id": "VARCHAR", "uid": "VARCHAR"}}, "has column 'uid'; an event has: id, type"),
        ({"modified": "time"}, "only received_at grows"),
        ({"service": ""}, "name the feed there"),
        ({"options": {"limit": 5}}, "the inbox knows none"),
    ],
)
def test_a_source_that_asks_for_what_there_is_not_is_refused(read, ledger, values, message):
    with pytest.raises(ConfigurationError, match=message):
        read(replace(SOURCE, **values))
