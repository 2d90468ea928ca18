"""The link table as the target of a leg that follows merges, and as a source of others."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pyarrow as pa
import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from commerce_sync import flow, mapping_file, places, walk
from commerce_sync.batches import Batches
from commerce_sync.errors import ConfigurationError
from commerce_sync.leg import Site
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.links.hook import LinksHook
from commerce_sync.window import Request

TARGET = Target(
    system="links", conn_id="links_default", object="Account", external_id="lost", on_delete="delete",
    options={"system": "salesforce"},
)  # fmt: skip
FIELDS = tuple(Field(name=name, value=name) for name in ("lost", "now", "lost_id", "now_id"))
LEG = """
leg: account_merges
from:
  system: salesforce
  entity_set: Account
  key: Id
  columns: {Id: VARCHAR, Commerce_Id__c: VARCHAR, Master: VARCHAR, MasterRecordId: VARCHAR}
key: Id
where: MasterRecordId IS NOT NULL
to:
  system: links
  object: Account
  external_id: lost
  on_delete: delete
  options: {system: salesforce}
fields:
  lost: Commerce_Id__c
  now: Master
  lost_id: Id
  now_id: MasterRecordId
guards: {max_rejected: 100%}
"""


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMMERCE_SYNC_BATCHES", raising=False)
    return places.open_ledger()


@pytest.fixture
def load(ledger, tmp_path):
    """Load changes (key, kind, target id, lost, now); gives key -> outcome row."""
    batches = Batches(str(tmp_path / "runs"))

    def _load(*changes, target=TARGET, fields=FIELDS):
        names = ("_key", "_kind", "_target_id", "lost", "now")
        schema = pa.schema([(name, pa.string()) for name in (*names, "lost_id", "now_id")])
        rows = [dict(zip(names, change, strict=True)) for change in changes]
        with batches.write("leg", "run", "changes") as writer:
            writer.add(pa.Table.from_pylist(rows, schema))
        with batches.write("leg", "run", "load") as into:
            loaded = LinksHook().load(target, fields, batches.read("leg", "run", "changes"), into=into, wait_s=1)
        outcomes = batches.connect().sql(f"SELECT * FROM {batches.read('leg', 'run', 'load').scan()}").to_arrow_table()
        assert loaded.rows == len(changes)
        return {row["_key"]: row for row in outcomes.to_pylist()}

    return _load


@pytest.fixture
def found(ledger):
    return lambda: ledger.aliases("salesforce", "Account")


def test_merges_become_aliases_and_deleted_ones_disappear(load, found):
    outcomes = load(("1", "NEW", None, "A", "B"), ("2", "NEW", None, "B", "C"))
    assert {(row["outcome"], row["target_id"], row["created"]) for row in outcomes.values()} == {
        ("delivered", "A", True), ("delivered", "B", True),
    }  # fmt: skip
    assert found() == {"A": "C", "B": "C"}
    assert load(("2", "DELETED", "B", None, None))["2"]["outcome"] == "delivered"
    assert found() == {"A": "B"}


def test_the_same_load_again_changes_nothing(load, found):
    for _try in range(2):
        load(("1", "NEW", None, "A", "B"))
    assert found() == {"A": "B"}


def test_a_record_that_now_stands_for_another_lost_one_leaves_the_old_one(load, found):
    load(("1", "NEW", None, "A", "B"))
    load(("1", "MODIFIED", "A", "A2", "B"))
    assert found() == {"A2": "B"}


def test_rows_that_say_nothing_or_close_a_circle_are_rejected_and_the_others_written(load, found):
    outcomes = load(("1", "NEW", None, "A", "B"), ("2", "NEW", None, "B", "A"), ("3", "NEW", None, None, "B"),
                    ("4", "NEW", None, "D", None))  # fmt: skip
    assert {key: row["outcome"] for key, row in outcomes.items()} == {
        "1": "delivered", "2": "rejected", "3": "rejected", "4": "rejected",
    }  # fmt: skip
    assert "B -> A -> B" in outcomes["2"]["reason"]
    assert outcomes["4"]["reason_class"] == "validation"
    assert found() == {"A": "B"}


@pytest.mark.parametrize(
    ("target", "fields", "message"),
    [
        (replace(TARGET, options={}), FIELDS, "have the one option `system`"),
        (replace(TARGET, options={"system": "salesforce", "mode": 1}), FIELDS, "have the one option `system`"),
        (replace(TARGET, external_id="now"), FIELDS, "has external_id lost"),
        (replace(TARGET, on_delete={"now": "NULL"}), FIELDS, "on_delete: ignore or delete"),
        (TARGET, FIELDS[1:], "the fields lost, now"),
        (TARGET, (*FIELDS, Field(name="Name", value="Name")), "the fields lost, now"),
    ],
)
def test_a_leg_that_asks_for_what_there_is_not_is_refused(load, target, fields, message):
    with pytest.raises(ConfigurationError, match=message):
        load(("1", "NEW", None, "A", "B"), target=target, fields=fields)


SOURCE = Source(
    name="aliases", system="links", conn_id="links_default", entity_set="Account", key="lost",
    columns={"lost": "VARCHAR", "now": "VARCHAR", "updated": "TIMESTAMP"}, options={"system": "salesforce"},
)  # fmt: skip


def test_other_legs_read_where_every_merged_record_lives_on(load, tmp_path):
    load(("1", "NEW", None, "A", "B"), ("2", "NEW", None, "B", "C"))
    batches = Batches(str(tmp_path / "runs"))
    with batches.write("other", "run", "extract") as into:
        read = LinksHook().extract(SOURCE, since=None, until=None, complete=True, into=into)
    rows = batches.connect().sql(f"SELECT lost, now FROM {batches.read('other', 'run', 'extract').scan()}").fetchall()
    assert sorted(rows) == [("A", "C"), ("B", "C")]
    assert (read.rows, read.complete) == (2, True)


@pytest.mark.parametrize(
    "values", [{"modified": "updated"}, {"columns": {"id": "VARCHAR"}}, {"options": {}}, {"filter": "true"}]
)
def test_a_source_that_asks_for_what_there_is_not_is_refused(ledger, values):
    with pytest.raises(ConfigurationError, match="source|option"):
        LinksHook().extract(replace(SOURCE, **values), since=None, until=None, complete=True, into=None)


class Merged:
    """An org's merged accounts as a source gives them: id -> (external id, master's external id, master's id)."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, str | None, str | None]] = {}

    def __call__(self, source, on_call):
        return self

    def extract(self, source, *, since, until, complete, into):
        rows = [(name, *values) for name, values in self.rows.items()]
        into.add(pa.table({name: [row[i] for row in rows] for i, name in enumerate(source.columns)}))
        return SimpleNamespace(rows=len(rows), complete=True, high_water=None)


def test_a_leg_follows_merges_and_un_merges_and_then_is_still(ledger, found, tmp_path):
    site = Site(ledger, places.batches(), places.stores(), places.pages())
    (tmp_path / "account_merges.yaml").write_text(LEG)
    mapping, org, numbers = mapping_file.load(tmp_path / "account_merges.yaml"), Merged(), count(1)

    def run():
        return walk.leg(
            site, mapping, f"run-{next(numbers)}", request=Request(), sources=org, targets=flow.target_system
        )

    org.rows = {"001": ("A", "B", "002"), "002": ("B", "C", "003"), "003": ("C", None, None), "004": ("D", None, "003")}
    assert (run().delivered, found()) == (2, {"A": "C", "B": "C"})
    assert [item.key for item in ledger.rejects("account_merges")] == ["004"]
    org.rows["004"] = ("D", "C", "003")
    run()
    assert found()["D"] == "C"
    del org.rows["002"]
    run()
    assert found() == {"A": "B", "D": "C"}
    assert run().sent == 0
