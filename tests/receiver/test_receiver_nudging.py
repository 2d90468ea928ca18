"""What starts a flow: the trigger reads receipts by number, makes one nudge of a burst, and forgets none in a restart."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import flow
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import Ledger, Receipt
from commerce_sync.receiver import nudging, settings
from commerce_sync.receiver.nudging import DeliveryTrigger, Newest, concerns

ROOT = Path(__file__).resolve().parents[2]
LEG = "salesforce/households_to_accounts"
WANTED = {"sap_commerce": ["OrderSync.*"]}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it deserialises


def receipt(*types: str, source: str = "sap_commerce", new: int = 1) -> Receipt:
    return Receipt(datetime.now(UTC), source, "webhook", 201, events=1, new=new, types=types)


class Kept:
    """The asset's state, as the triggerer hands it in."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = value


def trigger(ledger: Ledger, *, store: Any = None, rest_s: float = 0.3) -> DeliveryTrigger:
    newest = Newest(fresh_s=0)
    newest._ledger, newest._reopen_at = ledger, float("inf")
    found = DeliveryTrigger(wanted=WANTED, poll_s=0.01, settle_s=0.1, rest_s=rest_s, newest=newest)
    found.asset_state_store = store
    return found


async def nudges(watched: DeliveryTrigger, *, seconds: float, deliver: Any = None) -> list[Any]:
    """What it fires within some time, while ``deliver`` runs."""
    found: list[Any] = []

    async def _listen() -> None:
        async for event in watched.run():
            found.append(event.payload)

    task = asyncio.create_task(_listen())
    await asyncio.sleep(0.1)
    if deliver is not None:
        await deliver()
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


def test_a_burst_is_one_nudge_that_carries_no_content(ledger):
    async def _deliver():
        for number in range(50):
            ledger.note_receipt(receipt(f"OrderSync.Changed{number}"))

    (only,) = asyncio.run(nudges(trigger(ledger), seconds=0.4, deliver=_deliver))
    assert only == {"deliveries": "seq", "until": 50}


def test_what_goes_on_for_long_is_nudged_now_and_then_and_after_its_end(ledger):
    async def _deliver():
        for _ in range(20):
            ledger.note_receipt(receipt("OrderSync.Changed"))
            await asyncio.sleep(0.05)

    found = asyncio.run(nudges(trigger(ledger), seconds=0.8, deliver=_deliver))
    assert 2 <= len(found) <= 5
    assert found[-1]["until"] == 20


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (receipt("OrderSync.Updated"), True),
        (receipt("CustomerSync.Updated", "OrderSync.Deleted"), True),
        (receipt("*"), True),
        (receipt("CustomerSync.Updated"), False),
        (receipt("OrderSync.Updated", source="iconik"), False),
        (receipt("OrderSync.Updated", new=0), False),
    ],
)
def test_only_something_new_of_a_wanted_type_concerns_a_flow(one, wanted):
    assert concerns(one, WANTED) is wanted


def test_what_came_during_a_restart_is_nudged_after_it(ledger):
    store = Kept()
    asyncio.run(nudges(trigger(ledger, store=store), seconds=0.1))
    assert store.values == {"seq": 0}
    ledger.note_receipt(receipt("OrderSync.Updated"))
    assert len(asyncio.run(nudges(trigger(ledger, store=store), seconds=0.3))) == 1
    assert store.values == {"seq": 1}
    assert asyncio.run(nudges(trigger(ledger, store=store), seconds=0.3)) == []


def test_the_very_first_start_begins_with_what_comes_then(ledger):
    ledger.note_receipt(receipt("OrderSync.Updated"))
    assert asyncio.run(nudges(trigger(ledger, store=Kept()), seconds=0.3)) == []


def test_receipts_that_were_swept_do_not_silence_what_comes_after(ledger):
    ledger.note_receipt(receipt("OrderSync.Updated"))
    store = Kept(seq=1)
    ledger.sweep_receipts(success_days=0, error_days=0)
    assert ledger.newest_receipt() == 0
    ledger.note_receipt(receipt("OrderSync.Updated"))
    assert [one["until"] for one in asyncio.run(nudges(trigger(ledger, store=store), seconds=0.3))] == [2]


def test_a_ledger_that_does_not_answer_is_waited_for(ledger, monkeypatch):
    watched, failures = trigger(ledger), [3]
    newest = Ledger.newest_receipt

    def _sometimes(self):
        failures[0] -= 1
        if failures[0] >= 0:
            raise RetryableError("no answer")
        return newest(self)

    monkeypatch.setattr(Ledger, "newest_receipt", _sometimes)

    async def _deliver():
        await asyncio.sleep(1.0)
        ledger.note_receipt(receipt("OrderSync.Updated"))

    assert len(asyncio.run(nudges(watched, seconds=0.6, deliver=_deliver))) == 1


def test_a_trigger_is_what_it_was_after_it_was_written_down(ledger):
    path, values = trigger(ledger).serialize()
    assert path == "commerce_sync.receiver.nudging.DeliveryTrigger"
    assert DeliveryTrigger(**values).serialize() == (path, values)


# The flows


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("COMMERCE_SYNC_MAPPINGS", str(ROOT / "include" / "mappings"))
    monkeypatch.setenv("COMMERCE_SYNC_RECEIVER", str(tmp_path / "receiver.yaml"))
    monkeypatch.setattr(flow, "BUILT", {})
    monkeypatch.setattr(flow, "FOLLOWS", {})
    return tmp_path / "receiver.yaml"


def built(**options):
    return flow.sync_dag("flow_b", **({"legs": [LEG], "schedule": "0 * * * *", "doc": "x"} | options))


def serialised(dag):
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def test_a_flow_that_deliveries_start_keeps_its_hours_and_what_it_follows(file):
    file.write_text("sources:\n  sap_commerce: {}\nstarts:\n  flow_b:\n    sap_commerce: [OrderSync.*]\n")
    timetable = serialised(built(after=["flow_a"])).timetable
    assert (timetable.periodic, timetable.can_be_scheduled) == (True, True)
    assert {asset.uri for _, asset in timetable.asset_condition.iter_assets()} == {
        "commerce-sync://flow/flow_a",
        "commerce-sync://deliveries/flow_b",
    }
    condition = timetable.asset_condition
    assert type(condition).__name__ == "SerializedAssetAny"
    (watcher,) = nudging.asset("flow_b").watchers
    assert watcher.trigger.wanted == {"sap_commerce": ["OrderSync.*"]}


def test_a_flow_that_nothing_starts_has_no_watcher(file):
    assert nudging.asset("flow_b") is None
    assert not hasattr(serialised(built()).timetable, "timetable")


def test_deliveries_cannot_be_all_that_starts_a_flow(file):
    file.write_text("sources:\n  sap_commerce: {}\nstarts:\n  flow_b:\n    sap_commerce: [OrderSync.*]\n")
    with pytest.raises(ConfigurationError, match="flow_b follows deliveries but has no schedule"):
        built(schedule=None)


# The file


def test_the_file_of_the_installation_names_flows_and_feeds_that_there_are(monkeypatch):
    found = settings.load(ROOT / "include" / "receiver.yaml")
    flows = {path.stem for path in (ROOT / "dags").glob("*.py")}
    feeds = {path.stem for path in (ROOT / "include" / "feeds").glob("*.yaml")}
    assert set(found.starts) <= flows
    assert {name for name, rules in found.sources.items() if rules.is_feed} <= feeds
    assert set(settings.SYSTEMS) <= set(found.sources)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source: {}", "receiver.yaml:1: unknown 'source' (did you mean 'sources'?); legal: sources, receipts, starts"),
        ("sources:\n  A b: {}", "receiver.yaml:2: source 'A b'"),
        ("sources:\n  iconik: {per_minute: 0}", "receiver.yaml:2: per_minute is 0; it must be a number from 1 on"),
        ("sources:\n  iconik: {keep_payload: 1}", "receiver.yaml:2: keep_payload is 1; it must be true or false"),
        ("sources:\n  iconik: {}\n  iconik: {}", "receiver.yaml:3: 'iconik' stands twice"),
        ("sources:\n  iconik: 5", "receiver.yaml:2: names with values are needed here"),
        ("receipts: {success_day: 1}", "receiver.yaml:1: unknown 'success_day' (did you mean 'success_days'?)"),
        ("starts:\n  a:\n    iconik: [x]", "receiver.yaml:3: unknown 'iconik'; legal: none"),
        (
            "sources:\n  iconik: {}\nstarts:\n  a:\n    iconik: x",
            "receiver.yaml:5: 'x'; a list of event types is needed",
        ),
        ("sources: [", "receiver.yaml:1: not readable as YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(file, text, message):
    file.write_text(text)
    with pytest.raises(ConfigurationError) as told:
        settings.load()
    assert message in str(told.value)


def test_an_empty_file_and_none_mean_that_nothing_is_open(file):
    assert settings.load() == settings.Settings()
    file.write_text("")
    assert settings.load() == settings.Settings()
    file.write_text("sources:\n")
    assert settings.load() == settings.Settings()
