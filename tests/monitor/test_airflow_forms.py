"""What Airflow's own forms start: the trigger form and the backfill form of every flow, through Airflow's API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.monitor_web import token
from commerce_sync import steps
from commerce_sync.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
NO_FLOWS = {"iot_inbox"}
"""Polls a feed, moves no records itself."""
FLOWS = sorted(
    path.stem for path in (ROOT / "dags").glob("*.py") if not path.stem.startswith("commerce_sync_")
    and path.stem not in NO_FLOWS
)  # fmt: skip
PAGE = 100
FIRST, LAST = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's own, while it answers


class Api:
    """Airflow's public API as its UI calls it."""

    def __init__(self, web: Any) -> None:
        self._web, self._login = web, {"Authorization": f"Bearer {token('ada', 'user')}"}

    def post(self, path: str, **body: Any) -> Any:
        return self._web.post(f"/api/v2/{path}", json=body, headers=self._login)

    def get(self, path: str) -> Any:
        found = self._web.get(f"/api/v2/{path}", headers=self._login)
        assert found.status_code == 200, found.text
        return found.json()


@pytest.fixture
def api(web: Any, bare: Path) -> Api:
    return Api(web)


def asked(run: dict[str, Any], params: dict[str, Any]) -> Any:
    """What the steps of a run are asked to do, from what Airflow stored of it."""
    dag_run = SimpleNamespace(run_id=run["dag_run_id"], run_type=run["run_type"], conf=run["conf"])
    moments = {
        name: datetime.fromisoformat(run[name]) for name in ("data_interval_start", "data_interval_end") if run[name]
    }
    return steps.request({"dag_run": dag_run, "params": params, **moments})  # type: ignore[typeddict-item]


def trigger(api: Api, flow: str, **conf: Any) -> Any:
    return api.post(f"dags/{flow}/dagRuns", logical_date=None, conf=conf)


@pytest.mark.parametrize("flow", FLOWS)
def test_the_trigger_form_of_every_flow_offers_and_takes_mode_window_keys_and_limit(api: Api, flow: str) -> None:
    form = api.get(f"dags/{flow}/details")["params"]
    assert {"mode", "since", "until", "keys", "limit"} <= set(form)
    assert {"auto", "changes", "complete", "replay", "plan"} <= set(form["mode"]["schema"]["enum"])
    since, until = "2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00"
    for conf in (
        {},
        {"mode": "plan"},
        {"mode": "changes", "since": since, "until": until},
        {"keys": ["a", "b"], "limit": 7},
    ):
        made = trigger(api, flow, **conf)
        assert made.status_code == 200, made.text
        defaults = {name: item["value"] for name, item in form.items()}
        request = asked(made.json(), defaults | conf)
        assert request.mode == conf.get("mode", "auto")
        assert (request.keys, request.limit) == (tuple(conf.get("keys", ())), conf.get("limit"))
        assert request.since == (datetime.fromisoformat(since) if "since" in conf else None)


@pytest.mark.parametrize("conf", [{"mode": "everything"}, {"limit": 0}, {"limit": "many"}, {"keys": [1]}])
def test_the_trigger_form_refuses_what_no_run_could_do(api: Api, conf: dict[str, Any]) -> None:
    assert trigger(api, "salesforce_customers", **conf).status_code in (400, 422)


@pytest.mark.parametrize(
    ("conf", "words"), [({"modus": "plan"}, "conf has modus"), ({"since": "yesterday"}, "since is 'yesterday'")]
)
def test_what_airflow_lets_through_fails_the_run_by_name(api: Api, conf: dict[str, Any], words: str) -> None:
    made = trigger(api, "salesforce_customers", **conf).json()
    with pytest.raises(ConfigurationError, match=words):
        asked(made, conf)


@pytest.mark.parametrize("flow", FLOWS)
def test_the_backfill_form_of_every_flow_makes_one_run_per_interval_and_each_reads_its_own(api: Api, flow: str) -> None:
    moments = planned(api, flow, LAST)
    last = LAST if len(moments) <= PAGE else FIRST + timedelta(hours=6)
    moments = planned(api, flow, last)
    made = api.post("backfills", **form(flow, last))
    assert made.status_code == 200, made.text
    runs = api.get(f"dags/{flow}/dagRuns?run_type=backfill&limit={PAGE}")["dag_runs"]
    assert sorted(run["logical_date"] for run in runs) == sorted(moments)
    requests = sorted((asked(run, {}) for run in runs), key=lambda request: request.since)
    assert all(request.backfill and request.mode == "changes" for request in requests)
    ends, begins = [request.until for request in requests[:-1]], [request.since for request in requests[1:]]
    assert begins == ends, "neither a gap nor an overlap"
    beat = requests[0].until - requests[0].since
    assert requests[0].since < FIRST + beat
    assert requests[-1].until > last - beat


def form(flow: str, last: datetime) -> dict[str, Any]:
    return {
        "dag_id": flow, "from_date": FIRST.isoformat(), "to_date": last.isoformat(), "max_active_runs": 1,
        "run_backwards": False, "dag_run_conf": {}, "reprocess_behavior": "none",
    }  # fmt: skip


def planned(api: Api, flow: str, last: datetime) -> list[str]:
    found = api.post("backfills/dry_run", **form(flow, last))
    assert found.status_code == 200, found.text
    return [row["logical_date"] for row in found.json()["backfills"]]
