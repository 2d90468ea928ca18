"""Markers: later deltas win, compaction changes files and not contents, nothing unnamed is ever seen."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce_sync.errors import BalanceError
from commerce_sync.ledger import Ledger

KEYS = st.sampled_from("abcdefgh")
VALUES = st.none() | st.tuples(st.integers(0, (1 << 64) - 1), st.none() | st.sampled_from(["001", "002"]))
HISTORIES = st.lists(st.tuples(st.dictionaries(KEYS, VALUES), st.booleans()), max_size=8)


def test_an_empty_store_is_an_empty_relation_of_the_right_types(ledger, con):
    relation = con.sql(ledger.markers_sql(ledger.state("leg")))
    assert relation.fetchall() == []
    assert [str(kind) for kind in relation.types] == ["VARCHAR", "UBIGINT", "VARCHAR"]


def test_the_relation_has_the_same_types_with_a_base_and_with_deltas(ledger, con, deliver):
    for run in range(3):
        deliver("leg", f"r{run}", {"a": (run, None)})
        relation = con.sql(ledger.markers_sql(ledger.state("leg")))
        assert [str(kind) for kind in relation.types] == ["VARCHAR", "UBIGINT", "VARCHAR"]
        assert relation.columns == ["key", "fingerprint", "target_id"]


def test_the_latest_delta_wins_even_when_it_forgets_a_target_id(ledger, deliver, markers):
    deliver("leg", "r1", {"a": (1, "001"), "b": (1, "002"), "c": (1, "003")})
    deliver("leg", "r2", {"a": (2, "001"), "b": None})
    deliver("leg", "r3", {"a": (3, None), "d": (1, "004")})
    deliver("leg", "r4", {"b": (9, "005")})
    assert markers("leg") == {"a": (3, None), "b": (9, "005"), "c": (1, "003"), "d": (1, "004")}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES)
def test_any_history_of_deltas_and_compactions_equals_a_dict(ledger, deliver, history, markers):
    leg, model = f"leg_{uuid.uuid4().hex}", {}
    for number, (rows, compact) in enumerate(history):
        deliver(leg, f"r{number}", rows)
        model = {key: value for key, value in (model | rows).items() if value is not None}
        assert markers(leg) == model
        if compact:
            ledger.compact(leg)
            assert markers(leg) == model


def test_deltas_are_folded_when_they_outgrow_the_base(ledger, deliver, markers):
    deliver("leg", "r0", {f"k{number}": (1, None) for number in range(20)})
    assert ledger.compact("leg") is False
    deliver("leg", "r1", {"k1": (2, None), "k2": None})
    assert ledger.compact("leg") is False
    deliver("leg", "r2", {"k3": None})
    before = markers("leg")
    assert ledger.compact("leg") is True
    state = ledger.state("leg")
    assert (len(state.base), state.deltas, state.markers, state.version) == (1, (), 18, 3)
    assert markers("leg") == before


def test_deltas_are_folded_when_they_are_many(ledger, deliver, markers):
    deliver("leg", "r0", {f"k{number:04d}": (1, None) for number in range(1000)})
    for run in range(21):
        assert ledger.compact("leg") is False
        deliver("leg", f"r{run + 1}", {"k0000": (run, None)})
    assert ledger.compact("leg") is True
    assert markers("leg")["k0000"] == (20, None)
    assert len(markers("leg")) == 1000


def test_a_base_is_sorted_by_key(ledger, con, deliver):
    deliver("leg", "r1", {f"k{number * 7919 % 1000:04d}": (1, None) for number in range(1000)})
    deliver("leg", "r2", {f"j{number * 7919 % 1000:04d}": (1, None) for number in range(1000)})
    ledger.compact("leg")
    (base,) = ledger.state("leg").base
    con.execute("SET preserve_insertion_order = true")
    keys = [key for (key,) in con.execute(f"SELECT key FROM '{ledger.files.uri(base.name)}'").fetchall()]
    assert len(keys) == 2000
    assert keys == sorted(keys)


def test_everything_deleted_leaves_an_empty_store(ledger, deliver, markers):
    deliver("leg", "r1", {"a": (1, "001")})
    deliver("leg", "r2", {"a": None})
    assert ledger.compact("leg") is True
    assert markers("leg") == {}
    deliver("leg", "r3", {"a": (2, "001")})
    assert markers("leg") == {"a": (2, "001")}


def test_a_run_that_settles_while_another_compacts_keeps_its_delta(ledger, deliver, monkeypatch, markers):
    deliver("leg", "r1", {"a": (1, None)})
    deliver("leg", "r2", {"b": (1, None)})
    compact = ledger.files.compact

    def interrupted(state):
        base = compact(state)
        deliver("leg", "r3", {"a": (7, None)})
        return base

    monkeypatch.setattr(ledger.files, "compact", interrupted)
    assert ledger.compact("leg") is True
    assert [item.run for item in ledger.state("leg").deltas] == ["r3"]
    assert markers("leg") == {"a": (7, None), "b": (1, None)}


def test_two_compactions_at_once_do_not_disturb_each_other(ledger, deliver, markers):
    deliver("leg", "r1", {"a": (1, None)})
    deliver("leg", "r2", {"b": (1, None)})
    threads = [threading.Thread(target=ledger.compact, args=["leg"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert markers("leg") == {"a": (1, None), "b": (1, None)}
    assert ledger.state("leg").deltas == ()


@pytest.mark.parametrize("twice", ["('a'), ('b'), ('a')", "(NULL)"])
def test_a_key_that_is_null_or_there_twice_is_refused(ledger, con, twice):
    query = f"SELECT key, 1 AS fingerprint, NULL AS target_id, false AS gone FROM (VALUES {twice}) AS t(key)"
    with pytest.raises(BalanceError, match="every key may be settled once"):
        ledger.stage_delta("leg", con, query)
    assert os.listdir(ledger.files.folder("leg")) == []


def test_sweeping_removes_what_no_pointer_row_names(ledger, con, deliver, stage, markers):
    deliver("leg", "r1", {"a": (1, None)}, replica={"orders": [ledger.files.folder("leg") + "/replica/1"]})
    replica = ledger.files.folder("leg") + "/replica/1/bucket-0.parquet"
    con.execute(f"COPY (SELECT 1 AS x) TO '{ledger.files.folder('leg')}/lone.parquet'")
    os.makedirs(os.path.dirname(replica))
    con.execute(f"COPY (SELECT 1 AS x) TO '{replica}'")
    stage("leg", {"z": (1, None)})
    assert ledger.sweep("leg") == 0
    assert ledger.sweep("leg", older_than=timedelta(0)) == 2
    assert os.path.exists(replica)
    assert markers("leg") == {"a": (1, None)}


def test_superseded_files_outlive_their_readers_and_go_later(ledger, con, deliver, markers):
    deliver("leg", "r1", {"a": (1, None)})
    deliver("leg", "r2", {"b": (1, None)})
    reader = ledger.state("leg")
    ledger.compact("leg")
    for name in os.listdir(ledger.files.folder("leg")):
        os.utime(f"{ledger.files.folder('leg')}/{name}", (0, 0))  # all are old, but not long out of use
    assert ledger.sweep("leg") == 0
    assert len(con.execute(ledger.markers_sql(reader)).fetchall()) == 2
    assert ledger.sweep("leg", older_than=timedelta(0)) == 2
    assert ledger.state("leg").retired == ()
    assert markers("leg") == {"a": (1, None), "b": (1, None)}


def test_markers_live_on_any_file_system(tmp_path, con):
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"memory://{uuid.uuid4().hex}")
    rows = ["('a', 1, '001', false), ('b', 1, NULL, false)", "('a', 2, '001', false)", "('b', 0, NULL, true)"]
    for number, values in enumerate(rows):
        run = ledger.begin("leg", f"r{number}", kind="changes")
        query = f"SELECT * FROM (VALUES {values}) AS t(key, fingerprint, target_id, gone)"
        delta = ledger.stage_delta("leg", con, query)
        ledger.settle(run, state_version=number, status="green", delta=delta)
    believed = [con.execute(ledger.markers_sql(ledger.state("leg"))).fetchall()]
    assert ledger.compact("leg") is True
    assert ledger.sweep("leg", older_than=timedelta(seconds=-5)) == 3
    believed.append(con.execute(ledger.markers_sql(ledger.state("leg"))).fetchall())
    assert believed == [[("a", 2, "001")]] * 2
    assert ledger.explain("leg", "a")["marker"]["target_id"] == "001"


MILLION = """
import resource, sys, time
from commerce_sync.ledger import Ledger
import duckdb
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
con = duckdb.connect(config={"memory_limit": "1GB", "preserve_insertion_order": False})
con.execute("SET enable_progress_bar = false")  # it would be printed among the answers on a busy machine
base = "SELECT 'C' || i AS key, hash(i) AS fingerprint, md5(i::VARCHAR)[:18] AS target_id, false AS gone"
for number, (fingerprint, rows) in enumerate((("hash(i)", 1000000), ("hash(i + 1)", 10000))):
    run = ledger.begin("leg", f"r{number}", kind="changes")
    query = base.replace("hash(i)", fingerprint) + f" FROM range({rows}) AS t(i)"
    delta = ledger.stage_delta("leg", con, query)
    ledger.settle(run, state_version=number, status="green", delta=delta)
con.execute("CREATE TEMP TABLE seen AS SELECT 'C' || i AS key, hash(i) fingerprint FROM range(1000500) t(i)")
started = time.monotonic()
markers = ledger.markers_sql(ledger.state("leg"))
counts = "count(*) FILTER (m.key IS NULL), count(*) FILTER (m.fingerprint <> s.fingerprint)"
found = con.execute(f"SELECT {counts} FROM seen AS s LEFT JOIN ({markers}) AS m USING (key)").fetchone()
seconds, peak_mb = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(*found, f"1,000,000 markers and a delta compared in {seconds:.2f} s, peak {peak_mb} MB", sep="|")
"""


def test_a_million_markers_are_compared_in_one_query(tmp_path, processes, capsys):
    (printed,) = processes(MILLION, f"sqlite:///{tmp_path}/ledger.db", str(tmp_path), number=1)
    new, modified, measured = printed.split("|")
    assert (new, modified) == ("500", "10000")
    with capsys.disabled():
        print(f"\n{measured}")
