"""The behaviour both profiles share, seen through a client that knows only the profile file."""

from __future__ import annotations

import pytest
import requests


def test_all_pages_give_every_device_exactly_once(profile_client):
    profile_client.far.put("Fleet", [{"devices": 23, "history_days": 0}])
    profile_client.far.clock(advance_s=1)
    found = [one["id"] for one in profile_client.devices(size=7)]
    assert len(found) == len(set(found)) == 23
    assert set(found) == {one["id"] for one in profile_client.far.records("device")}


def test_a_tag_finds_its_devices_only(profile_client, tenant):
    tenant.api.new_device(tenant.template, tags=("sku:300938",))
    found = profile_client.devices(size=10, **{profile_client.profile["filters"]["tag"]: "sku:300938"})
    assert [one[profile_client.fields["tags"]] for one in found] == [["sku:300938"]]
    assert profile_client.devices(size=10, tag="sku:1") == []


def test_a_device_is_found_by_its_serial_number(profile_client, tenant):
    name, _, value = profile_client.profile["filters"]["serial"].format(serial="A17-000231").partition("=")
    assert [one["id"] for one in profile_client.devices(size=5, **{name: value})] == [tenant.device]


def test_a_type_finds_its_devices(profile_client, tenant):
    name = profile_client.profile["filters"]["type_id"]
    assert [one["id"] for one in profile_client.devices(size=5, **{name: tenant.template})] == [tenant.device]
    assert profile_client.devices(size=5, **{name: "elsewhere"}) == []


def test_a_write_on_the_read_version_is_stored(profile_client, tenant):
    assert profile_client.rename(profile_client.device(tenant.device), "Plant 4").ok
    assert profile_client.name_of(tenant.device) == "Plant 4"


def test_a_stale_version_is_a_conflict_and_changes_nothing(profile_client, tenant):
    read = profile_client.device(tenant.device)
    assert profile_client.rename(read, "first").ok
    refused = profile_client.rename(read, "second")
    assert refused.status_code in profile_client.profile["errors"]["conflict_status"]
    assert profile_client.name_of(tenant.device) == "first"
    assert profile_client.rename(profile_client.device(tenant.device), "third").ok


def test_somebody_elses_write_in_between_is_a_conflict_once(profile_client, tenant):
    profile_client.far.fault(action="version_conflict")
    refused = profile_client.rename(profile_client.device(tenant.device), "first")
    assert refused.status_code in profile_client.profile["errors"]["conflict_status"]
    assert profile_client.rename(profile_client.device(tenant.device), "again").ok


def test_an_event_is_found_after_the_index_delay_not_before(profile_client, tenant):
    profile_client.far.options(index_delay_ms=60_000)
    start = tenant.api.now_ms()
    assert profile_client.send(tenant, "m-1", faultCode="E17").ok
    end = tenant.api.now_ms() + 1
    assert profile_client.search(start, end) == []
    profile_client.far.clock(advance_s=61)
    found = profile_client.search(start, end)
    assert [(one["id"], one["device"], one["values"]["faultCode"]) for one in found] == [("m-1", tenant.device, "E17")]


def test_the_window_includes_its_start_and_excludes_its_end(profile_client, tenant):
    moments = [tenant.api.now_ms() - 10_000 + step for step in (0, 1000, 2000)]
    profile_client.far.put(
        "event",
        [
            {
                "messageId": f"m-{ms}",
                "deviceId": tenant.device,
                "eventTemplateId": tenant.fault,
                "creation": ms,
                "payload": {},
            }
            for ms in moments
        ],
    )
    found = profile_client.search(moments[0], moments[2])
    assert [one["id"] for one in found] == [f"m-{ms}" for ms in moments[:2]]


def test_many_events_come_in_full_and_in_order(profile_client, tenant):
    start = tenant.api.now_ms() - 10_000
    rows = [
        {
            "messageId": f"m-{n}",
            "deviceId": tenant.device,
            "eventTemplateId": tenant.fault,
            "creation": start + n // 3,
            "payload": {"n": n},
        }
        for n in range(250)
    ]
    profile_client.far.put("event", rows)
    found = profile_client.search(start, start + 1000, size=40)
    assert [one["values"]["n"] for one in found] == list(range(250))


def test_a_command_is_accepted_first_and_done_later(profile_client, tenant):
    message_id = profile_client.command(tenant)
    profile_client.far.clock(advance_s=0.5)  # creation is searchable, the command is not done
    assert profile_client.command_status(message_id) == "ACCEPTED"
    profile_client.far.clock(advance_s=10)
    assert profile_client.command_status(message_id) == "DONE"


def test_an_offline_device_leaves_its_command_accepted(profile_client, tenant):
    state = {"lifecycleState": "ACTIVE", "operationalState": "OFFLINE"}
    profile_client.far.patch("device", tenant.device, state=state)
    message_id = profile_client.command(tenant)
    profile_client.far.clock(advance_s=600)
    assert profile_client.command_status(message_id) == "ACCEPTED"


def test_an_unknown_device_is_404_in_the_words_of_the_profile(profile_client):
    answer = profile_client.device("7b0c")
    assert answer.status_code == 404
    assert "7b0c" in answer.json()[profile_client.profile["errors"]["message"]]
    assert answer.json()["status"] == 404


def test_an_expired_token_is_401_and_a_new_one_works(profile_client, tenant):
    profile_client.far.options(token_ttl_s=2)
    profile_client.sign_in()
    assert profile_client.device(tenant.device).ok
    profile_client.far.clock(advance_s=3)
    assert profile_client.device(tenant.device).status_code == 401
    profile_client.sign_in()
    assert profile_client.device(tenant.device).ok


def test_all_tokens_can_be_ended_at_once(profile_client, tenant):
    profile_client.far.fault(action="expire_tokens")
    refused = profile_client.device(tenant.device)
    assert refused.status_code == 401
    assert refused.json()["status"] == 401


def test_without_a_token_nothing_is_shown(profile_client, tenant):
    url = profile_client.far.url + profile_client.paths["device"].format(id=tenant.device)
    assert requests.get(url, headers={"Accept": "*/*"}, timeout=10).status_code == 401


@pytest.mark.parametrize("seconds", [None, 3])
def test_the_rate_limit_names_a_pause_or_not(profile_client, tenant, seconds):
    profile_client.far.fault(action="quota", retry_after_s=seconds)
    refused = profile_client.device(tenant.device)
    assert (refused.status_code, refused.headers.get("Retry-After")) == (429, None if seconds is None else "3")
    assert profile_client.device(tenant.device).ok


def test_the_fleet_moves_with_the_clock(profile_client):
    profile_client.far.put("Fleet", [{"seed": 5, "devices": 40, "history_days": 0}])
    from_ms = int(profile_client.far.records("device")[0]["indexedMs"])
    before = len(profile_client.search(0, 2**42))
    profile_client.far.clock(advance_s=86_400)
    profile_client.sign_in()
    found = profile_client.search(from_ms, from_ms + 86_400_000)
    assert len(found) > before + 100
    assert all("occurredAt" in one["values"] or profile_client.name == "generic_rest" for one in found)
