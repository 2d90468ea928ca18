"""What a run reads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Mapping, Source, Target
from commerce_sync.window import Request, decide, scan_is_due

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SOURCE = Source("source", "sap_commerce", "c", "E", {"uid": "VARCHAR", "m": "TIMESTAMP"}, "uid", modified="m")
MAPPING = Mapping("leg", "leg.yaml", 1, (SOURCE,), "uid", Target("salesforce", "c", "Account", "X"),
                  (Field("X", "uid"),), complete_scan="0 2 * * *")  # fmt: skip


def window(request=None, *, high_water=NOW - timedelta(hours=1), complete_at=NOW - timedelta(hours=5), mapping=MAPPING):
    return decide(request or Request(), mapping=mapping, high_water=high_water, complete_at=complete_at, now=NOW)


def test_a_delta_begins_below_the_high_water_and_ends_when_the_run_began():
    found = window()
    assert (found.kind, found.since, found.until) == ("changes", NOW - timedelta(minutes=65), NOW)


def test_the_first_run_of_a_leg_reads_everything():
    assert window(high_water=None).complete


def test_a_complete_scan_is_done_when_its_hour_has_passed_since_the_last_one():
    assert window(complete_at=NOW - timedelta(hours=11)).complete


def test_a_person_can_ask_for_changes_only_although_a_scan_is_due():
    assert window(Request(mode="changes"), complete_at=None).kind == "changes"


def test_a_backfill_reads_its_interval():
    found = window(Request(mode="changes", since=NOW - timedelta(days=9), until=NOW - timedelta(days=8), backfill=True))
    assert (found.kind, found.since, found.until) == ("backfill", NOW - timedelta(days=9), NOW - timedelta(days=8))


def test_a_source_without_modification_times_is_always_read_completely():
    assert window(mapping=replace(MAPPING, sources=(replace(SOURCE, modified=None),))).complete


def test_a_replay_reads_nothing():
    assert window(Request(mode="replay")).kind == "replay"


def test_no_complete_scan_is_ever_due_without_an_hour_for_it():
    assert not scan_is_due(None, last=None, now=NOW)


def test_a_plan_reads_what_a_run_would_and_a_plan_of_a_complete_scan_everything():
    assert window(Request(mode="plan")).kind == "changes"
    assert window(Request(mode="plan_complete")).complete
    assert [Request(mode=mode).plans for mode in ("auto", "complete", "plan", "plan_complete")] == [False] * 2 + [
        True
    ] * 2


def test_an_unknown_mode_lists_the_legal_ones():
    with pytest.raises(ConfigurationError, match="legal modes: auto, changes, complete, replay, plan"):
        Request(mode="full")


def test_an_empty_window_is_refused():
    with pytest.raises(ConfigurationError, match="window is empty"):
        Request(since=NOW, until=NOW)


def test_an_upper_bound_alone_is_refused_rather_than_ignored():
    with pytest.raises(ConfigurationError, match="stands alone"):
        Request(until=NOW)


def test_a_run_for_keys_is_a_backfill_of_the_whole_source():
    found = window(Request(keys=("a",)))
    assert (found.kind, found.since, found.until) == ("backfill", None, NOW)


def test_a_run_for_keys_reads_no_more_than_it_was_told_to():
    assert window(Request(mode="changes", keys=("a",))).since == NOW - timedelta(minutes=65)
    assert window(Request(since=NOW - timedelta(days=1), keys=("a",))).since == NOW - timedelta(days=1)


def test_a_run_for_keys_of_an_aggregate_reads_what_changed_as_all_the_rest_is_stored():
    found = window(Request(keys=("a",)), mapping=replace(MAPPING, aggregate="SELECT 1"))
    assert (found.kind, found.since) == ("backfill", NOW - timedelta(minutes=65))


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="limit 0 would send nothing"):
        Request(limit=0)
