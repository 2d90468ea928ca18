"""Profiles: one code for both, corrected by YAML alone, refused when they make no sense."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.opentext_iot import profile as profiles
from commerce_sync.systems.opentext_iot.polling import Pace
from systems.opentext_iot.iot_tenant import Tenant, fields, key, target

Row = dict[str, Any]


def written(folder: Path, name: str, **changes: Any) -> str:
    """A profile of one's own: a copy with dotted keys set."""
    content = yaml.safe_load((profiles.FOLDER / f"{name}.yaml").read_text())
    for path, value in changes.items():
        place, *steps = content, *path.split("__")
        for step in steps[:-1]:
            place = place[step]
        place[steps[-1]] = value
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def test_the_same_calls_do_the_same_by_both_profiles(connect: Any, tenant: Tenant, read: Any, load: Any) -> None:
    seen = []
    for number, name in enumerate(profiles.names()):
        hook, device = connect(name), tenant.device(number, tags=("sku:1",), productCode="old")
        tenant.fault(device, minutes_ago=5, severity="high")
        row = {"_key": "k", "id": device, "productCode": "300938"}
        load(hook, target("device_attributes"), fields("id", "productCode"), [row])
        load(hook, target("device_tags"), fields("id", "tags"), [{"_key": "k", "id": device, "tags": ["sku:300938"]}])
        columns = {"id": "VARCHAR", "template": "VARCHAR", "tags": "VARCHAR[]", "status": "VARCHAR",
                   "attributes": "STRUCT(productCode VARCHAR, runtimeHours DOUBLE)"}  # fmt: skip
        devices = [row for row in read(hook, "devices", columns)[1] if row.pop("id") == device]
        span = {"complete": False, "since": tenant.now - timedelta(hours=1), "until": tenant.now}
        kinds = {"id": "VARCHAR", "subject": "VARCHAR", "type": "VARCHAR", "payload": "STRUCT(severity VARCHAR)"}
        events = [(row["type"], row["payload"]) for row in read(hook, "events", kinds, **span)[1]
                  if row["subject"] == device]  # fmt: skip
        for found in devices:
            found["tags"] = [tag for tag in found["tags"] if not tag.startswith("serial:")]
        seen.append((devices, events))
    assert seen[0] == seen[1]
    assert seen[0][1] == [("device.fault", {"severity": "high"})]
    assert seen[0][0][0]["attributes"] == {"productCode": "300938", "runtimeHours": 1.5}


@pytest.mark.parametrize(("options", "changes"), [
    ({"search_time_unit": "epoch_s"}, {"events__times": "epoch_s"}),
    ({"search_time_unit": "iso8601"}, {"events__times": "iso8601"}),
    ({"search_envelope": "content"}, {}),
    ({"search_paging": "page"}, {"events__paging": "page", "events__page_rows": 7}),
    ({"conflict_status": 400}, {"errors__conflicts": [400]}),
    ({"conflict_status": 412}, {}),
    ({"value_form": "native"}, {"device__attributes__values": "native"}),
    ({"media": "lenient"}, {"resources__device__media": "application/json"}),
    ({"put_tags": "replace"}, {}),
])  # fmt: skip
def test_another_gateway_is_met_by_editing_yaml(
    connect: Any, tenant: Tenant, read: Any, load: Any, tmp_path: Path, options: Row, changes: Row
) -> None:
    tenant.far.options(**options)
    device = tenant.device(1, tags=("sku:1",), productCode="old")
    for minutes in range(1, 31):
        tenant.fault(device, minutes_ago=minutes)
    file = written(tmp_path, "covisint_classic", **changes)
    hook = connect("covisint_classic", profile_file=file)
    span = {"complete": False, "since": tenant.now - timedelta(hours=1), "until": tenant.now}
    assert read(hook, "events", {"id": "VARCHAR"}, **span)[0].rows == 30
    tenant.far.fault(action="version_conflict", times=1)
    row = {"_key": "k", "id": device, "productCode": "new", "runtimeHours": 8}
    load(hook, target("device_attributes"), fields("id", "productCode", "runtimeHours"), [row])
    assert tenant.attributes(device) == {"productCode": "new", "runtimeHours": 8}
    assert tenant.tags(device) == {"serial:SN-1", "sku:1"}


def test_whole_seconds_lose_nothing_at_the_edges(connect: Any, tenant: Tenant, ledger: Any, tmp_path: Path) -> None:
    tenant.far.options(search_time_unit="epoch_s")
    hook = connect("covisint_classic", profile_file=written(tmp_path, "covisint_classic", events__times="epoch_s"))
    pace = Pace(lag=timedelta(0), overlap=timedelta(0), first=timedelta(minutes=1), step=timedelta(seconds=7))
    device = tenant.device(1)
    for tenth in range(200):
        tenant.fault(device, minutes_ago=(20 - tenth / 10) / 60)
    for late in (13.3, 6.65, -2):
        hook.poll(ledger, pace=pace, now=tenant.now - timedelta(seconds=late))
    assert ledger.event_counts("iot") == {"device.fault": 200}


def test_a_profile_with_a_mistake_is_refused_with_its_place(connect: Any, tmp_path: Path) -> None:
    def problem(**changes: Any) -> str:
        with pytest.raises(ConfigurationError) as caught:
            profiles.profile(file=written(tmp_path, "generic_rest", **changes))
        return str(caught.value)

    assert "`$.events.times`" in problem(events__times="fortnights")
    assert "unknown field `colour`" in problem(colour="red")
    assert "must be relative" in problem(events__path="https://elsewhere.example/api")
    assert "cannot be read" in str(
        pytest.raises(ConfigurationError, profiles.profile, file=f"{tmp_path}/none.yaml").value
    )


def test_streams_come_without_their_secrets(classic: Any, tenant: Tenant) -> None:
    import asyncio

    async def ask() -> Any:
        async with classic.client() as client:
            return await client.streams()

    assert asyncio.run(ask()) == {key("stream"): "commerce-events"}
