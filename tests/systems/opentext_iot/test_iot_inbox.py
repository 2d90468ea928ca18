"""The event inbox: polled once, proven by count, late ones found, nothing doubled, by both profiles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from commerce_sync.errors import RetryableError
from commerce_sync.ledger import REFUSED, Ledger
from commerce_sync.systems.opentext_iot.polling import Pace
from systems.opentext_iot.iot_tenant import Tenant

PACE = Pace(lag=timedelta(0), overlap=timedelta(minutes=15), first=timedelta(hours=2), step=timedelta(minutes=30))
Row = dict[str, Any]


def stored(ledger: Ledger, *types: str) -> list[Row]:
    return [row for batch in ledger.events("iot", types=types or None) for row in batch.to_pylist()]


def cursor(ledger: Ledger) -> datetime:
    return datetime.fromisoformat(ledger.feed_state("iot").cursor["until"])


def test_events_are_in_the_inbox_once_and_normalised(hook: Any, tenant: Tenant, ledger: Ledger) -> None:
    device = tenant.device(1)
    sent = tenant.fault(device, severity="high")
    tenant.event(device, "inventory.count", minutes_ago=100, payload={"onHandQty": 41})
    polled = hook.poll(ledger, pace=PACE, now=tenant.now)
    assert (polled.new, polled.known, polled.refused, polled.counted) == (2, 0, 0, 2)
    row = stored(ledger, "device.fault")[0]
    assert (row["subject"], row["source"]) == (device, f"device/{device}")
    assert row["occurred_at"] == datetime.fromisoformat(sent["payload"]["occurredAt"])
    data = msgspec.json.decode(row["data"])
    assert (data["faultCode"], data["severity"]) == ("E17", "high")
    assert cursor(ledger) == tenant.now
    again = hook.poll(ledger, pace=PACE, now=tenant.now + timedelta(minutes=1))
    assert (again.new, len(stored(ledger))) == (0, 2)


def test_both_profiles_know_an_event_by_one_device_type_and_time(connect: Any, tenant: Tenant, tmp_path: Any) -> None:
    device = tenant.device(1)
    for minutes in range(1, 40):
        tenant.fault(device, minutes_ago=minutes)
    seen = []
    for name in ("covisint_classic", "generic_rest"):
        ledger = Ledger.open(f"sqlite:///{tmp_path}/{name}.db", files=f"{tmp_path}/{name}")
        connect(name).poll(ledger, pace=PACE, now=tenant.now)
        rows = stored(ledger)
        assert len({row["event_id"] for row in rows}) == 39
        seen.append(sorted((row["type"], row["subject"], row["occurred_at"], msgspec.json.decode(row["data"])["faultInstanceId"])
                           for row in rows))  # fmt: skip
    assert seen[0] == seen[1]


def test_an_event_the_index_shows_late_is_found_by_the_overlap(hook: Any, tenant: Tenant, ledger: Ledger) -> None:
    device = tenant.device(1)
    tenant.fault(device, minutes_ago=20)
    tenant.fault(device, minutes_ago=9, shown=-5)  # received 9 minutes ago, searchable in 5
    assert hook.poll(ledger, pace=PACE, now=tenant.now).new == 1
    tenant.far.clock(advance_s=600)
    polled = hook.poll(ledger, pace=PACE, now=tenant.now + timedelta(minutes=5, seconds=1))
    assert (polled.new, len(stored(ledger))) == (1, 2)


def test_the_cursor_stays_where_the_count_is_not_met(classic: Any, tenant: Tenant, ledger: Ledger) -> None:
    device = tenant.device(1)
    for minutes in range(1, 100, 3):
        tenant.fault(device, minutes_ago=minutes)
    # The steps before the fault count; the search of a later one is cut for good.
    tenant.far.fault(action="truncate_search", max_items=1, skip=2, times=None)
    with pytest.raises(RetryableError, match="read 1 of"):
        classic.poll(ledger, pace=PACE, now=tenant.now)
    proven = cursor(ledger)
    assert tenant.now - timedelta(hours=2) < proven < tenant.now
    tenant.far.clear_faults()
    classic.poll(ledger, pace=PACE, now=tenant.now)
    assert len(stored(ledger)) == 33
    assert cursor(ledger) == tenant.now


def test_a_poll_that_dies_between_events_and_cursor_loses_and_doubles_nothing(
    classic: Any, tenant: Tenant, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tenant.device(1)
    for minutes in range(1, 100, 3):
        tenant.fault(device, minutes_ago=minutes)
    from commerce_sync.systems.opentext_iot import polling

    monkeypatch.setattr(polling, "FLUSH_ROWS", 1)
    real = Ledger.feed_moved

    def dying(self: Ledger, *args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "feed_moved", dying)
    with pytest.raises(KeyboardInterrupt):
        classic.poll(ledger, pace=PACE, now=tenant.now)
    monkeypatch.setattr(Ledger, "feed_moved", real)
    assert ledger.feed_state("iot").version == 0
    polled = classic.poll(ledger, pace=PACE, now=tenant.now)
    assert polled.known > 0
    assert len(stored(ledger)) == 33


def test_what_cannot_be_read_is_kept_and_listed(classic: Any, tenant: Tenant, ledger: Ledger) -> None:
    device = tenant.device(1)
    tenant.fault(device)
    tenant.far.fault(action="corrupt_events", how="bad_base64")
    tenant.fault(device, minutes_ago=5)
    polled = classic.poll(ledger, pace=PACE, now=tenant.now)
    assert (polled.new, polled.refused) == (1, 1)
    original = stored(ledger, REFUSED)[0]
    assert msgspec.json.decode(original["data"])["message"] == "%%%not base64%%%"
    reject = ledger.rejects("feed/iot")[0]
    assert (reject.key, reject.code) == (original["event_id"], "bad base64")
    assert classic.poll(ledger, pace=PACE, now=tenant.now + timedelta(minutes=1)).refused == 0


def test_an_event_of_an_unknown_template_is_kept_under_a_type_of_its_own(
    classic: Any, tenant: Tenant, ledger: Ledger
) -> None:
    tenant.fault(tenant.device(1))
    tenant.far.fault(action="corrupt_events", how="unknown_template")
    assert classic.poll(ledger, pace=PACE, now=tenant.now).new == 1
    data = msgspec.json.decode(stored(ledger, "unmapped")[0]["data"])
    assert data["typeId"].startswith("00000000")
    assert data["data"]["faultCode"] == "E17"


def test_an_event_without_a_time_of_its_own_has_that_of_its_receipt(hook: Any, tenant: Tenant, ledger: Ledger) -> None:
    tenant.fault(tenant.device(1), minutes_ago=7)
    tenant.far.fault(action="corrupt_events", how="missing_field", field="occurredAt")
    hook.poll(ledger, pace=PACE, now=tenant.now)
    assert stored(ledger)[0]["occurred_at"] == tenant.now - timedelta(minutes=7)


def test_the_operator_polls_and_spends_the_budget(classic: Any, tenant: Tenant, ledger: Ledger) -> None:
    from airflow.sdk import DAG

    from commerce_sync.systems.opentext_iot.operators import PollIotEvents

    tenant.fault(tenant.device(1))
    with DAG("poll_iot", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        poll = PollIotEvents(task_id="poll", ledger=lambda: ledger, conn_id=classic.conn_id, lag_s=0)
    found = poll.execute({"run_id": "r-1"})
    assert (found["new"], found["refused"]) == (1, 0)
    assert ledger.spent("opentext_iot") == found["calls"]
