"""Events, devices and templates as batches: typed, complete, each once, the same by both profiles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from systems.opentext_iot.iot_tenant import Tenant, key

EVENT = {"id": "VARCHAR", "subject": "VARCHAR", "type": "VARCHAR", "time": "TIMESTAMP", "received": "TIMESTAMP",
         "problem": "VARCHAR", "payload": "STRUCT(faultCode VARCHAR, runtimeHours DOUBLE, parts VARCHAR[])"}  # fmt: skip
DEVICE = {"id": "VARCHAR", "name": "VARCHAR", "template": "VARCHAR", "serial": "VARCHAR", "active": "BOOLEAN",
          "status": "VARCHAR", "tags": "VARCHAR[]", "created": "TIMESTAMP",
          "attributes": "STRUCT(productCode VARCHAR, runtimeHours DOUBLE, isLeased BOOLEAN)"}  # fmt: skip


def an_hour(now: datetime) -> dict[str, Any]:
    return {"complete": False, "since": now - timedelta(hours=1), "until": now}


def test_events_come_typed_with_their_payload(hook: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    sent = tenant.fault(device, runtimeHours=4210.5, parts=["a", "b"])
    tenant.event(device, "consumable.level", minutes_ago=5, payload={"levelPct": 11.5})
    found, rows = read(hook, "events", EVENT, options={"types": ["device.fault"]}, **an_hour(tenant.now))
    assert found.rows == 1
    assert not found.complete
    assert rows[0]["type"] == "device.fault"
    assert rows[0]["subject"] == device
    assert rows[0]["payload"] == {"faultCode": "E17", "runtimeHours": 4210.5, "parts": ["a", "b"]}
    assert rows[0]["time"].isoformat() + "Z" == sent["payload"]["occurredAt"].replace("+00:00", "Z")
    assert rows[0]["problem"] is None


def test_a_span_is_closed_below_and_open_above(hook: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    for minutes in (60, 30, 0):
        tenant.fault(device, minutes_ago=minutes)
    _, rows = read(hook, "events", EVENT, **an_hour(tenant.now))
    assert sorted(row["received"] for row in rows) == [
        (tenant.now - timedelta(minutes=minutes)).replace(tzinfo=None) for minutes in (60, 30)
    ]


def test_events_too_young_for_the_index_are_left_to_the_next_read(classic: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    tenant.fault(device, minutes_ago=10)
    tenant.fault(device, minutes_ago=1)
    found, rows = read(classic, "events", EVENT, options={"lag_s": 300}, now=tenant.now, **an_hour(tenant.now))
    assert len(rows) == 1
    assert found.high_water == tenant.now - timedelta(minutes=5)


def test_many_events_are_read_in_windows_and_each_once(hook: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    tenant.far.put("event", [
        {"deviceId": device, "eventTemplateId": key("device.fault"), "messageId": "MSG12345",
         "creation": int((tenant.now - timedelta(seconds=second % 3000 + 1)).timestamp() * 1000),
         "payload": {"faultCode": f"E{second}"}} for second in range(12_000)])  # fmt: skip
    found, rows = read(hook, "events", EVENT, **an_hour(tenant.now))
    assert found.rows == 12_000
    assert {row["payload"]["faultCode"] for row in rows} == {f"E{number}" for number in range(12_000)}
    assert found.facts["windows"] >= 3


def test_a_message_sent_twice_is_one_event(hook: Any, tenant: Tenant, read: Any) -> None:
    tenant.fault(tenant.device(1), minutes_ago=30)
    tenant.far.fault(action="duplicate_events", seconds=120)
    assert read(hook, "events", EVENT, **an_hour(tenant.now))[0].rows == 1


def test_one_message_id_with_other_contents_is_several_events(hook: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    for minutes in (10, 20, 30):
        tenant.fault(device, minutes_ago=minutes)
    tenant.far.fault(action="corrupt_events", how="same_message_id")
    assert read(hook, "events", EVENT, **an_hour(tenant.now))[0].rows == 3


def test_a_search_that_leaves_events_out_is_not_believed(hook: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    for minutes in range(2, 60, 3):
        tenant.fault(device, minutes_ago=minutes)
    # The windows of a gateway that cannot count are walked twice: a cut that comes and goes shows.
    tenant.far.fault(action="truncate_search", max_items=1)
    found, _ = read(hook, "events", EVENT, **an_hour(tenant.now))
    assert found.rows == 20
    assert found.facts["rereads"] == 1


def test_a_search_that_is_always_short_is_an_error(classic: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    for minutes in range(1, 6):
        tenant.fault(device, minutes_ago=minutes)
    tenant.far.fault(action="truncate_search", max_items=3, times=None)
    with pytest.raises(RetryableError, match="read 3 of 5 events"):
        read(classic, "events", EVENT, **an_hour(tenant.now))


def test_a_count_that_lies_once_is_asked_again(classic: Any, tenant: Tenant, read: Any) -> None:
    tenant.fault(tenant.device(1))
    tenant.far.fault(action="count_mismatch", difference=2)
    found, _ = read(classic, "events", EVENT, **an_hour(tenant.now))
    assert (found.rows, found.facts["rereads"]) == (1, 1)


def test_repeated_and_shuffled_answers_change_nothing(hook: Any, tenant: Tenant, read: Any) -> None:
    device = tenant.device(1)
    for minutes in range(1, 31):
        tenant.fault(device, minutes_ago=minutes)
    tenant.far.fault(action="duplicate_results", share=0.5, times=None)
    tenant.far.fault(action="reorder_events", times=None)
    found, rows = read(hook, "events", EVENT, **an_hour(tenant.now))
    assert (found.rows, len({row["id"] for row in rows})) == (30, 30)


@pytest.mark.parametrize(("how", "problem"), [("bad_base64", "bad base64"), ("bad_json", "bad JSON")])
def test_an_event_that_cannot_be_read_says_so(classic: Any, tenant: Tenant, read: Any, how: str, problem: str) -> None:
    tenant.fault(tenant.device(1))
    tenant.far.fault(action="corrupt_events", how=how)
    _, rows = read(classic, "events", EVENT, **an_hour(tenant.now))
    assert (rows[0]["problem"], rows[0]["payload"]) == (problem, None)


def test_a_value_of_the_wrong_type_is_null_and_named(hook: Any, tenant: Tenant, read: Any) -> None:
    tenant.fault(tenant.device(1), runtimeHours="often")
    _, rows = read(hook, "events", EVENT, **an_hour(tenant.now))
    assert rows[0]["payload"]["runtimeHours"] is None
    assert rows[0]["payload"]["faultCode"] == "E17"
    assert "payload.runtimeHours does not fit DOUBLE" in rows[0]["problem"]


def test_event_sources_and_streams_narrow_what_is_read(classic: Any, tenant: Tenant, read: Any) -> None:
    first, second = tenant.device(1), tenant.device(2)
    tenant.fault(first)
    tenant.fault(second)
    tenant.event(first, "consumable.level", minutes_ago=5, payload={})
    tenant.far.put("eventSource", [
        {"id": key("one"), "name": [{"lang": "en_US", "value": "faults of one"}],
         "sourceDevices": [{"deviceId": first, "eventTemplateId": key("device.fault")}], "sourceDeviceTemplates": []},
        {"id": key("all"), "name": [{"lang": "en_US", "value": "levels"}], "sourceDevices": [],
         "sourceDeviceTemplates": [{"deviceTemplateId": key("template"), "eventTemplateId": key("consumable.level")}]},
    ])  # fmt: skip
    for names, expected in ((["faults of one"], 1), (["levels"], 1), (["faults of one", "levels"], 2)):
        assert (
            read(classic, "events", EVENT, options={"event_sources": names}, **an_hour(tenant.now))[0].rows == expected
        )
    assert read(classic, "events", EVENT, options={"streams": ["commerce-events"]}, **an_hour(tenant.now))[0].rows == 3
    with pytest.raises(ConfigurationError, match="there are: commerce-events"):
        read(classic, "events", EVENT, options={"streams": ["other"]}, **an_hour(tenant.now))


def test_devices_come_with_tags_attributes_and_template(hook: Any, tenant: Tenant, read: Any) -> None:
    for number in range(3):
        tenant.device(number, tags=("sku:300938",), productCode="300938", runtimeHours=number + 0.5, isLeased=True)
    found, rows = read(hook, "devices", DEVICE)
    assert (found.rows, found.complete) == (3, True)
    row = next(row for row in rows if row["serial"] == "SN-2")
    assert row["attributes"] == {"productCode": "300938", "runtimeHours": 2.5, "isLeased": True}
    assert row["tags"] == ["serial:SN-2", "sku:300938"]
    assert (row["template"], row["active"], row["status"]) == ("Compressor C-200", True, "online")


def test_every_device_of_a_long_list_is_read_once(hook: Any, tenant: Tenant, read: Any) -> None:
    tenant.far.put("device", [{"id": key(f"many {n}"), "name": [], "attributes": {}, "tags": [], "isActive": True,
                               "creation": 1_790_000_000_000 + n // 7} for n in range(1203)])  # fmt: skip
    tenant.far.options(max_page_size=100)  # a gateway that cuts its pages without saying so
    found, rows = read(hook, "devices", {"id": "VARCHAR"})
    assert (found.rows, len({row["id"] for row in rows})) == (1203, 1203)


def test_a_list_that_shrinks_while_it_is_read_loses_nobody(
    classic: Any, tenant: Tenant, read: Any, monkeypatch: Any
) -> None:
    tenant.far.put("device", [{"id": key(f"d{n}"), "name": [], "attributes": {}, "tags": [], "isActive": True,
                               "creation": 1_790_000_000_000 + n} for n in range(500)])  # fmt: skip
    from commerce_sync.systems.opentext_iot.client import IotClient

    real = IotClient.pages

    async def shrinking(self: Any, kind: str, *args: Any, **options: Any) -> Any:
        async for page in real(self, kind, *args, **options):
            yield page
            if kind == "device" and page and page[0]["id"] == key("d0"):
                tenant.far.delete("device", key("d0"))

    monkeypatch.setattr(IotClient, "pages", shrinking)
    _, rows = read(classic, "devices", {"id": "VARCHAR"})
    assert {row["id"] for row in rows} >= {key(f"d{n}") for n in range(1, 500)}


def test_devices_can_be_narrowed_by_tag_and_template(hook: Any, tenant: Tenant, read: Any) -> None:
    tenant.device(1, tags=("grp:vip",))
    tenant.device(2)
    assert read(hook, "devices", DEVICE, options={"tag": "grp:vip"})[0].rows == 1
    assert read(hook, "devices", DEVICE, options={"template": "Compressor C-200"})[0].rows == 2


def test_changed_devices_can_be_asked_for_where_the_gateway_offers_it(connect: Any, tenant: Tenant, read: Any) -> None:
    tenant.device(1)
    second = tenant.device(2)
    tenant.far.patch("device", key("device 1"), updatedMs=1_700_000_000_000)
    columns = DEVICE | {"updated": "TIMESTAMP"}
    found, rows = read(connect("generic_rest"), "devices", columns, modified="updated", complete=False,
                       since=datetime(2025, 1, 1, tzinfo=UTC))  # fmt: skip
    assert [row["id"] for row in rows] == [second]
    assert not found.complete
    assert found.high_water is not None
    found, rows = read(connect(), "devices", columns, modified="updated", complete=False,
                       since=datetime(2025, 1, 1, tzinfo=UTC))  # fmt: skip
    assert len(rows) == 2, "a gateway that cannot be asked so gives them all"


def test_templates_name_what_they_hold(hook: Any, tenant: Tenant, read: Any) -> None:
    columns = {"id": "VARCHAR", "name": "VARCHAR", "active": "BOOLEAN", "attribute_names": "VARCHAR[]",
               "event_types": "VARCHAR[]", "commands": "VARCHAR[]"}  # fmt: skip
    _, rows = read(hook, "templates", columns)
    assert rows == [{"id": key("template"), "name": "Compressor C-200", "active": True,
                     "attribute_names": ["productCode", "runtimeHours"],
                     "event_types": ["consumable.level", "device.fault", "inventory.count"],
                     "commands": ["showPartOrdered"]}]  # fmt: skip


def test_nothing_to_read_gives_a_batch_with_the_columns(hook: Any, tenant: Tenant, read: Any) -> None:
    for entity_set, columns in (("events", EVENT), ("devices", DEVICE)):
        found, rows = read(hook, entity_set, columns)
        assert (found.rows, rows) == (0, [])


def test_a_source_with_mistakes_is_told_what_is_legal(hook: Any, tenant: Tenant) -> None:
    from commerce_sync.mapping import Source

    def problems(**values: Any) -> str:
        given = {"entity_set": "events", "columns": EVENT, "key": "id"} | values
        return " ".join(hook.problems_of_source(Source(name="s", system="opentext_iot", conn_id="", **given)))

    assert problems() == ""
    assert "there are: id, source, subject" in problems(columns={"colour": "VARCHAR"})
    assert "events, devices, templates" in problems(entity_set="cars")
    assert "go by received" in problems(modified="time")
    assert "which is none" in problems(columns={"payload": "STRUKT(a INT)"})
    assert "legal: types, streams" in problems(options={"colour": 1})
