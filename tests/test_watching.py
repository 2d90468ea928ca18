"""The watch: what no failing task would tell is told once, and again when it is over."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pyarrow as pa
import pytest

from commerce_sync import duty, places, watching
from commerce_sync.ledger import Ledger
from commerce_sync.watching import Limits, Watched

LOG = logging.getLogger(__name__)
HOURLY = Watched("salesforce_customers", ("customers",), "0 * * * *", Limits())
DAGS = Path(__file__).parent.parent / "dags"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    return places.open_ledger()


@pytest.fixture
def told(monkeypatch):
    """Messages that were posted."""
    posts: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_ALERTS", f"http://127.0.0.1:{server.server_port}")
    yield posts
    server.shutdown()
    server.server_close()
    thread.join(10)


def ran(ledger: Ledger, number: int, *, status="green", leg="customers", marker=False, rejects=(), **counts) -> None:
    run = ledger.begin(leg, f"run-{number}", kind="changes", mapping_version=1)
    if status != "green":
        ledger.update(run, status=status)
        return
    state = ledger.state(leg)
    delta = None
    if marker:
        con = places.batches().connect()
        delta = ledger.stage_delta(
            leg, con, "SELECT 'K1' AS key, 1::UBIGINT AS fingerprint, 'T' AS target_id, false AS gone"
        )
    rows = pa.Table.from_pylist(list(rejects)) if rejects else None
    ledger.settle(run, state_version=state.version, status=status, delta=delta, rejects=rows, **counts)


def kinds(ledger: Ledger, watched: Watched = HOURLY, *, after: timedelta = timedelta(0)) -> set[str]:
    return {one.kind for one in watching.findings(ledger, watched, now=datetime.now(UTC) + after)}


def test_a_leg_that_never_ran_is_nobodys_business(ledger):
    assert kinds(ledger, after=timedelta(days=99)) == set()


def test_a_leg_is_stale_and_unscheduled_by_its_schedule(ledger):
    ran(ledger, 1)
    assert kinds(ledger, after=timedelta(hours=2)) == set()
    assert kinds(ledger, after=timedelta(hours=3)) == {"unscheduled"}
    assert kinds(ledger, after=timedelta(hours=5)) == {"unscheduled", "stale"}
    daily = Watched("f", ("customers",), "0 2 * * 1-5", Limits())
    assert kinds(ledger, daily, after=timedelta(days=6)) == set(), "a weekend is no delay"
    assert kinds(ledger, daily, after=timedelta(days=7)) == {"unscheduled"}


def test_red_runs_leave_a_leg_stale_though_it_is_scheduled(ledger):
    ran(ledger, 1)
    for number in range(2, 6):
        ran(ledger, number, status="red")
    soon = Watched("f", ("customers",), "0 * * * *", Limits(stale_after=timedelta(0)))
    assert kinds(ledger, soon) == {"stale"}


def test_limits_of_a_flow_beat_its_schedule(ledger):
    ran(ledger, 1)
    own = Limits(stale_after=timedelta(days=3), unscheduled_after=timedelta(minutes=5))
    assert kinds(ledger, Watched("f", ("customers",), "0 * * * *", own), after=timedelta(hours=9)) == {"unscheduled"}
    assert kinds(ledger, Watched("f", ("customers",), None, Limits()), after=timedelta(days=99)) == set()


def test_green_runs_that_move_nothing_are_noticed_where_something_moved_before(ledger):
    three = Watched("f", ("customers", "other"), "0 * * * *", Limits(idle_runs=3))
    for number in range(1, 4):
        ran(ledger, number, leg="other")
    assert kinds(ledger, three) == set(), "never had anything"
    ran(ledger, 1, marker=True, read=1, extracted=1, sent=1, delivered=1, new=1)
    for number in (2, 3):
        ran(ledger, number)
        assert kinds(ledger, three) == set()
    ran(ledger, 4)
    assert kinds(ledger, three) == {"idle"}
    ran(ledger, 5, read=1, extracted=1, unchanged=1)
    assert kinds(ledger, three) == set(), "it read something, though it had not changed"


def test_too_many_refused_rows_are_noticed_and_a_few_are_not(ledger):
    ran(ledger, 1, extracted=400, sent=400, delivered=381, rejected=19, new=400)
    assert kinds(ledger) == set()
    ran(ledger, 2, extracted=400, sent=380, delivered=375, rejected=5, quarantined=20, new=400)
    assert kinds(ledger) == {"rejects"}
    ran(ledger, 3)
    assert kinds(ledger) == {"rejects"}, "an idle run after it is no cure"


def test_rows_that_wait_for_a_person_are_noticed(ledger):
    row = {"key": "K1", "status": "parked", "reason_class": "validation", "reason": "?", "attempts": 8}
    ran(ledger, 1, rejects=[row], extracted=1, sent=1, rejected=1, new=1)
    assert kinds(ledger) == {"parked"}


GOOD = """
from commerce_sync.flow import sync_dag
dag = sync_dag("a_flow", legs=["salesforce/customers_to_contacts"], schedule="0 * * * *", doc="x")
"""


def test_trouble_is_told_once_while_it_lasts_and_when_it_is_over(ledger, told, tmp_path):
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "a_flow.py").write_text(GOOD)
    (folder / "broken_flow.py").write_text(GOOD.replace("customers_to_contacts", "no_such_mapping"))
    (folder / "typo.py").write_text("from commerce_sync.flow import")
    for _round in range(2):
        found = duty.look(ledger, folder=folder, log=LOG)
        assert (found["flows"], found["found"]) == (1, 2)
    (message,) = told
    assert message["subject"] == "Commerce Sync: broken_flow, typo need a look"
    assert "no mapping 'salesforce/no_such_mapping'" in message["text"]
    assert "SyntaxError" in message["text"]
    (folder / "typo.py").write_text(GOOD.replace("a_flow", "another"))
    duty.look(ledger, folder=folder, log=LOG)
    assert told[1]["subject"] == "Commerce Sync: 1 alerts are over"
    assert told[1]["over"] == [{"kind": "broken", "flow": "typo", "leg": None}]
    (folder / "typo.py").write_text("1 +")
    duty.look(ledger, folder=folder, log=LOG)
    assert len(told) == 3, "it came back"


def test_a_paused_flow_is_told_through_the_watch(ledger, told, tmp_path):
    folder = tmp_path / "dags"
    folder.mkdir()
    limits = "from datetime import timedelta\nfrom commerce_sync.watching import Limits\n"
    (folder / "a_flow.py").write_text(
        limits + GOOD.replace('doc="x"', 'doc="x", limits=Limits(unscheduled_after=timedelta(0))')
    )
    ran(ledger, 1, leg="customers_to_contacts")
    duty.look(ledger, folder=folder, log=LOG)
    assert "Is the DAG paused" in told[0]["text"]
    assert told[0]["findings"][0]["leg"] == "customers_to_contacts"


def test_all_our_flows_are_watched(ledger):
    flows, broken = duty.read(DAGS)
    assert broken == []
    names = {path.stem for path in DAGS.glob("*.py")} - {
        "commerce_sync_compare",
        "commerce_sync_drift",
        "commerce_sync_undo",
        "commerce_sync_watch",
        "commerce_sync_maintenance",
        "iot_inbox",
    }
    assert {one.flow for one in flows} == names
    assert all(one.legs and one.schedule for one in flows)


def test_old_alerts_are_forgotten_and_lasting_ones_are_not(ledger, told, tmp_path):
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "typo.py").write_text("1 +")
    duty.look(ledger, folder=folder, log=LOG)
    assert ledger.sweep_alerts(before=datetime.now(UTC) + timedelta(days=1)) == 0
    (folder / "typo.py").unlink()
    duty.look(ledger, folder=folder, log=LOG)
    assert ledger.sweep_alerts(before=datetime.now(UTC) + timedelta(days=1)) == 1
