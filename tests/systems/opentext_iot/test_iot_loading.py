"""Attributes, tags, devices and commands: what the platform holds afterwards, by both profiles."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.jobs import MemoryJobs
from systems.opentext_iot.iot_tenant import Tenant, fields, key, target

CONTEXT = ("id", "productCode", "productName", "runtimeHours", "isLeased")
Row = dict[str, Any]


def change(device: str, **values: Any) -> Row:
    return {"_key": device, "id": device} | values


def test_attributes_are_set_cleared_and_left(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1, productCode="old", productName="Old name", customerRef="c-1", runtimeHours=7)
    row = change(device, productCode="300938", productName=None, runtimeHours=None, isLeased=True)
    done, outcomes = load(hook, target("device_attributes"), fields(*CONTEXT, runtimeHours="leave"), [row],
                          runtimeHours=pa.float64())  # fmt: skip
    assert (done.delivered, outcomes[device]["target_id"], outcomes[device]["created"]) == (1, device, False)
    assert tenant.attributes(device) == {
        "productCode": "300938",
        "customerRef": "c-1",
        "runtimeHours": 7,
        "isLeased": True,
    }


def test_a_row_may_name_fields_to_leave(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1, productCode="old", productName="Old")
    row = change(device, productCode="new", productName=None, _leave=["productName"])
    load(hook, target("device_attributes"), fields("id", "productCode", "productName"), [row], productName=pa.string())
    assert tenant.attributes(device)["productName"] == "Old"
    assert tenant.attributes(device)["productCode"] == "new"


def test_what_is_so_already_is_not_written_again(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1)
    given = (target("device_attributes"), fields("id", "productCode", "runtimeHours"),
             [change(device, productCode="300938", runtimeHours=12)])  # fmt: skip
    load(hook, *given)
    version = tenant.stored(device)["version"]
    tenant.far.reset_calls()
    done, _ = load(hook, *given)
    assert (done.delivered, tenant.writes(), tenant.stored(device)["version"]) == (1, 0, version)


def test_a_value_that_cannot_be_of_the_attributes_type_rejects_its_row_alone(
    classic: Any, tenant: Tenant, load: Any
) -> None:
    devices = [tenant.device(number) for number in range(3)]
    rows = [change(device, runtimeHours=value) for device, value in zip(devices, ("1.5", "often", "2"), strict=True)]
    done, outcomes = load(classic, target("device_attributes"), fields("id", "runtimeHours"), rows)
    assert (done.delivered, done.rejected) == (2, 1)
    assert (outcomes[devices[1]]["code"], outcomes[devices[1]]["reason_class"]) == ("wrong_type", "validation")
    assert "takes a number, not 'often'" in outcomes[devices[1]]["reason"]
    assert [tenant.attributes(device)["runtimeHours"] for device in devices] == [1.5, 1.5, 2]


def test_times_and_dates_become_text(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1)
    load(
        hook, target("device_attributes"), fields("id", "productName"), [change(device, productName=date(2026, 11, 20))]
    )
    assert tenant.attributes(device)["productName"] == "2026-11-20"


def test_a_device_is_found_by_its_serial_number(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1)
    tenant.far.put("device", [tenant.stored(tenant.device(2)) | {"id": key("twin")}])
    rows = [{"_key": f"k{number}", "serial": f"SN-{number}", "productCode": "x"} for number in (1, 2, 3)]
    done, outcomes = load(hook, target("device_attributes", "serial"), fields("serial", "productCode"), rows)
    assert (done.delivered, done.rejected) == (1, 2)
    assert outcomes["k1"]["target_id"] == device
    assert (outcomes["k2"]["code"], outcomes["k2"]["reason_class"]) == ("ambiguous_device", "duplicate")
    assert outcomes["k3"]["reason_class"] == "reference"


def test_somebody_elses_write_in_between_is_kept(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1, customerRef="c-1")
    tenant.far.fault(action="version_conflict", times=2)
    done, _ = load(hook, target("device_attributes"), fields("id", "productCode"), [change(device, productCode="new")])
    assert done.delivered == 1
    assert tenant.attributes(device)["productCode"] == "new"
    assert tenant.attributes(device)["customerRef"] == "c-1"


def test_a_device_that_others_keep_writing_is_rejected_as_locked(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1)
    tenant.far.fault(action="version_conflict", times=None)
    done, outcomes = load(
        hook, target("device_attributes"), fields("id", "productCode"), [change(device, productCode="n")]
    )
    assert (done.rejected, outcomes[device]["reason_class"]) == (1, "lock")
    assert "productCode" not in tenant.attributes(device)


@pytest.mark.parametrize(("on_delete", "left"), [("delete", {}), ({"productCode": "'gone'"}, {"productCode": "gone"})])
def test_a_deletion_clears_or_sets_attributes_and_leaves_the_device(
    hook: Any, tenant: Tenant, load: Any, on_delete: Any, left: Row
) -> None:
    device = tenant.device(1, productCode="x", runtimeHours=None)
    rows = [{"_key": "k", "_kind": "DELETED", "_target_id": device, "id": None, "productCode": None},
            {"_key": "g", "_kind": "DELETED", "_target_id": key("gone"), "id": None, "productCode": None}]  # fmt: skip
    done, _ = load(hook, target("device_attributes", on_delete=on_delete), fields("id", "productCode"), rows,
                   id=pa.string(), productCode=pa.string())  # fmt: skip
    assert done.delivered == 2
    assert tenant.attributes(device) == left


def test_an_attribute_without_an_active_type_stops_the_load(classic: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1)
    for name, text in (("colour", "there are: "), ("asleep", "not active")):
        assert text in " ".join(classic.problems(target("device_attributes"), fields("id", name)))
        with pytest.raises(ConfigurationError, match=name):
            load(classic, target("device_attributes"), fields("id", name), [change(device, **{name: "red"})])


def test_tags_as_records_come_swap_and_go(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1, tags=("sku:1", "vendor:x"))
    where, mapped = target("device_tags", on_delete="delete"), fields("id", "tag")
    rows = [change(device, tag="customer:c/1"), {"_key": "o", "id": device, "tag": "order:a b"}]
    _, first = load(hook, where, mapped, rows)
    assert tenant.tags(device) == {"serial:SN-1", "sku:1", "vendor:x", "customer:c/1", "order:a b"}
    swap = change(device, tag="customer:c2", _kind="MODIFIED", _target_id=first[device]["target_id"])
    gone = {"_key": "o", "_kind": "DELETED", "_target_id": first["o"]["target_id"], "id": None, "tag": None}
    done, _ = load(hook, where, mapped, [swap, gone])
    assert done.delivered == 2
    assert tenant.tags(device) == {"serial:SN-1", "sku:1", "vendor:x", "customer:c2"}


def test_a_tag_that_moves_leaves_the_old_device(hook: Any, tenant: Tenant, load: Any) -> None:
    old, new = tenant.device(1, tags=("order:7",)), tenant.device(2)
    row = change(new, tag="order:7", _kind="MODIFIED", _target_id=f"{old} order:7")
    load(hook, target("device_tags"), fields("id", "tag"), [row])
    assert "order:7" not in tenant.tags(old)
    assert "order:7" in tenant.tags(new)


def test_a_list_of_tags_is_all_a_device_has_of_the_legs_prefixes(hook: Any, tenant: Tenant, load: Any) -> None:
    device = tenant.device(1, tags=("sku:1", "sku:2", "grp:old", "customer:c1"))
    where = target("device_tags", options={"prefixes": ["sku:", "grp:"]})
    load(hook, where, fields("id", "tags"), [change(device, tags=["sku:2", "sku:3"])])
    assert tenant.tags(device) == {"serial:SN-1", "customer:c1", "sku:2", "sku:3"}
    _, outcomes = load(hook, where, fields("id", "tags"), [change(device, tags=["customer:c2"])])
    assert outcomes[device]["code"] == "foreign_tag"
    assert tenant.tags(device) == {"serial:SN-1", "customer:c1", "sku:2", "sku:3"}


def test_devices_are_created_once_under_their_serial_number(hook: Any, tenant: Tenant, load: Any) -> None:
    rows = [{"_key": f"k{n}", "serial": f"S{n}", "name": f"Pump {n}", "template": "Compressor C-200"} for n in (1, 2)]
    mapped = fields("serial", "name", "template")
    done, outcomes = load(hook, target("devices", "serial"), mapped, rows)
    assert (done.delivered, done.created) == (2, 2)
    made = {row["id"]: row for row in tenant.far.records("device")}
    assert set(made) == {row["target_id"] for row in outcomes.values()}
    assert {tag for row in made.values() for tag in row["tags"]} == {"serial:S1", "serial:S2"}
    assert all(row["isActive"] for row in made.values())
    rows[0] |= {"name": "Pump one"}
    done, again = load(hook, target("devices", "serial"), mapped, rows)
    assert (done.delivered, done.created, len(tenant.far.records("device"))) == (2, 0, 2)
    assert tenant.stored(again["k1"]["target_id"])["name"][0]["text"] == "Pump one"


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_create_without_an_answer_makes_one_device(hook: Any, tenant: Tenant, load: Any, action: str) -> None:
    tenant.far.options(index_delay_ms=100)
    tenant.far.fault(action=action, match={"method": "POST", "path": "createDeviceFromTemplate|api/v1/devices"})
    rows = [{"_key": "k", "serial": "S1", "name": "Pump", "template": "Compressor C-200"}]
    done, outcomes = load(hook, target("devices", "serial"), fields("serial", "name", "template"), rows)
    assert done.delivered == 1
    found = tenant.far.records("device")
    assert [(row["id"], "serial:S1" in row["tags"]) for row in found] == [(outcomes["k"]["target_id"], True)]


def test_a_create_that_died_before_its_tag_is_taken_up(classic: Any, tenant: Tenant, load: Any) -> None:
    tenant.far.fault(action="status", status=403, body="{}", match={"method": "PUT", "path": "tags"})
    rows = [{"_key": "k", "serial": "S1", "name": "Pump", "template": "Compressor C-200"}]
    given = (target("devices", "serial"), fields("serial", "name", "template"), rows)
    assert load(classic, *given)[0].rejected == 1
    tenant.far.clock(advance_s=2)
    assert load(classic, *given)[0].delivered == 1
    assert [row["tags"] for row in tenant.far.records("device")] == [["serial:S1"]]


def test_deleted_devices_go_and_those_gone_already_are_fine(hook: Any, tenant: Tenant, load: Any) -> None:
    rows = [{"_key": str(n), "_kind": "DELETED", "_target_id": name, "serial": None, "name": None}
            for n, name in enumerate((tenant.device(1), key("gone")))]  # fmt: skip
    done, _ = load(hook, target("devices", "serial", on_delete="delete"), fields("serial", "name"), rows,
                   serial=pa.string(), name=pa.string())  # fmt: skip
    assert (done.delivered, tenant.far.records("device")) == (2, [])


COMMANDS = {"commands": ["showPartOrdered"], "stream": "commerce-events"}


def a_command(tenant: Tenant, **values: Any) -> Row:
    device = tenant.device(1)
    tenant.far.control("POST", "options", body={})
    return {"_key": "k", "messageId": "c-1", "device": device, "command": "showPartOrdered",
            "args": '{"productCode": "300938"}'} | values  # fmt: skip


def attach(hook: Any, device: str) -> None:
    """Put a device on the stream; the API has a call for it that this project never needs."""
    import asyncio

    async def call() -> None:
        async with hook.client() as client:
            media = client.profile.resource("stream").media
            await client.write("POST", f"/stream/v1/streams/{key('stream')}/devices/{device}", media=media)

    asyncio.run(call())


def test_a_command_is_sent_once_however_often_it_is_loaded(hook: Any, classic: Any, tenant: Tenant, load: Any) -> None:
    row = a_command(tenant)
    attach(classic, row["device"])
    jobs = MemoryJobs()
    given = (target("commands", "messageId", options=COMMANDS), fields("messageId", "device", "command", "args"), [row])
    first, outcomes = load(hook, *given, jobs=jobs)
    tenant.far.clock(advance_s=1)
    second, _ = load(hook, *given, jobs=jobs)
    assert (first.created, second.delivered, second.created) == (1, 1, 0)
    assert len(tenant.far.records("commandAudit")) == 1
    tenant.far.clock(advance_s=5)
    assert hook.command_status(outcomes["k"]["target_id"]) == "DONE"


def test_a_command_without_an_answer_is_never_sent_twice(hook: Any, classic: Any, tenant: Tenant, load: Any) -> None:
    row = a_command(tenant)
    attach(classic, row["device"])
    tenant.far.options(index_delay_ms=50)
    tenant.far.fault(action="drop_after", match={"method": "POST", "path": "sendcommand|/commands$"})
    given = (target("commands", "messageId", options=COMMANDS), fields("messageId", "device", "command", "args"), [row])
    jobs = MemoryJobs()
    done, outcomes = load(hook, *given, jobs=jobs)
    asked = hook.profile.send.status.by_our_id
    assert (done.delivered, done.rejected) == ((1, 0) if asked else (0, 1))
    assert outcomes["k"]["code"] == (None if asked else "unknown_outcome")
    load(hook, *given, jobs=jobs)
    assert len(tenant.far.records("commandAudit")) == 1


def test_only_listed_commands_are_sent(hook: Any, tenant: Tenant, load: Any) -> None:
    row = a_command(tenant, command="selfDestruct")
    mapped = fields("messageId", "device", "command", "args")
    _, outcomes = load(hook, target("commands", "messageId", options=COMMANDS), mapped, [row])
    assert outcomes["k"]["code"] == "command_not_allowed"
    with pytest.raises(ConfigurationError, match="option commands is empty"):
        load(hook, target("commands", "messageId"), mapped, [row])
    assert tenant.far.records("commandAudit") == []


def test_the_device_failing_a_command_is_told_when_waited_for(classic: Any, tenant: Tenant, load: Any) -> None:
    row = a_command(tenant)
    attach(classic, row["device"])
    tenant.far.options(command_outcome="FAILED", command_delay_s=0, index_delay_ms=0)
    options = COMMANDS | {"done_s": 5}
    _, outcomes = load(classic, target("commands", "messageId", options=options),
                       fields("messageId", "device", "command", "args"), [row])  # fmt: skip
    assert outcomes["k"]["code"] == "command_failed"


def test_present_values_are_told_by_external_id(hook: Any, tenant: Tenant) -> None:
    device = tenant.device(1, tags=("sku:1", "grp:a"), productCode="300938", runtimeHours=2.5)
    types = {"productCode": "VARCHAR", "runtimeHours": "DOUBLE"}
    found = hook.current(target("device_attributes"), fields(*types), [device, key("gone")], types=types)
    assert found.to_pylist() == [{"_target_key": device, "productCode": "300938", "runtimeHours": 2.5}]
    found = hook.current(target("device_tags", "serial"), fields("tags"), ["SN-1", "SN-9"], types={"tags": "VARCHAR[]"})
    assert found.to_pylist() == [{"_target_key": "SN-1", "tags": ["grp:a", "sku:1"]}]
    found = hook.current(
        target("device_tags"), fields("tag"), [f"{device} sku:1", f"{device} sku:2"], types={"tag": "VARCHAR"}
    )
    assert found.to_pylist() == [{"_target_key": f"{device} sku:1", "tag": "sku:1"}]
    found = hook.current(target("devices", "serial"), fields("name"), ["SN-1"], types={"name": "VARCHAR"})
    assert found.to_pylist() == [{"_target_key": "SN-1", "name": "C-200 #1"}]


def test_a_target_with_mistakes_is_told_what_is_legal(hook: Any, tenant: Tenant) -> None:
    def problems(kind: str, *names: str, external_id: str = "id", **values: Any) -> str:
        return " ".join(hook.problems(target(kind, external_id, **values), fields(*names)))

    assert problems("device_attributes", "id", "productCode") == ""
    assert "there are: device_attributes" in problems("cars", "id")
    assert "legal: id, serial" in problems("device_tags", "name", "tag", external_id="name")
    assert "exactly one of tag, tags" in problems("device_tags", "id", "tag", "tags")
    assert "is not among the mapped fields" in problems("device_tags", "tag")
    assert "legal: serial, name" in problems("devices", "serial", "colour", external_id="serial")
    assert "legal: concurrency" in problems("device_tags", "id", "tag", options={"colour": 1})
