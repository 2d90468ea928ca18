"""Tokens that end, refusals, lost connections, limits: what passes is waited out, what does not is said."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from systems.opentext_iot.iot_tenant import Tenant, fields, target

COLUMNS = {"id": "VARCHAR", "tags": "VARCHAR[]"}


def a_fleet(tenant: Tenant, number: int = 12) -> list[str]:
    return [tenant.device(n, productCode="old") for n in range(number)]


def test_a_token_that_ends_between_pages_is_renewed(hook: Any, tenant: Tenant, read: Any) -> None:
    tenant.far.put("device", [{"id": f"d-{n}", "name": [], "attributes": {}, "tags": []} for n in range(1100)])
    tenant.far.fault(action="status", status=401, body="{}", skip=2, match={"path": "devices"})
    assert read(hook, "devices", COLUMNS)[0].rows == 1100


def test_tokens_of_two_seconds_last_through_a_read(hook: Any, tenant: Tenant, read: Any) -> None:
    tenant.far.fault(action="expire_tokens")
    tenant.far.options(token_ttl_s=2)
    a_fleet(tenant)
    assert read(hook, "devices", COLUMNS)[0].rows == 12


@pytest.mark.parametrize("rule", [
    {"action": "quota", "retry_after_s": 0}, {"action": "status", "status": 503, "body": "{}"},
    {"action": "drop_before"}, {"action": "drop_after"}, {"action": "truncate", "bytes": 40},
], ids=lambda rule: rule["action"])  # fmt: skip
def test_passing_trouble_is_waited_out(hook: Any, tenant: Tenant, read: Any, rule: dict[str, Any]) -> None:
    devices = a_fleet(tenant)
    for minutes, device in enumerate(devices, start=1):
        tenant.fault(device, minutes_ago=minutes)
    for path in ("devices", "events"):
        tenant.far.fault(**rule, times=2, match={"method": "GET", "path": path})
    assert read(hook, "devices", COLUMNS)[0].rows == 12
    columns = {"id": "VARCHAR", "type": "VARCHAR"}
    span = {"complete": False, "since": tenant.now - timedelta(hours=1), "until": tenant.now}
    assert read(hook, "events", columns, **span)[0].rows == 12


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_write_without_an_answer_is_settled_by_reading(hook: Any, tenant: Tenant, load: Any, action: str) -> None:
    devices = a_fleet(tenant)
    tenant.far.fault(action=action, times=4, match={"method": "PUT", "path": "devices"})
    tenant.far.fault(action=action, times=4, match={"method": "PATCH", "path": "devices"})
    rows = [{"_key": device, "id": device, "productCode": "new"} for device in devices]
    done, _ = load(hook, target("device_attributes"), fields("id", "productCode"), rows)
    assert done.delivered == 12
    assert {tenant.attributes(device)["productCode"] for device in devices} == {"new"}


def test_a_platform_that_is_down_is_tried_later_and_nothing_counts_as_delivered(
    hook: Any, tenant: Tenant, load: Any
) -> None:
    device = a_fleet(tenant, 1)[0]
    tenant.far.fault(action="status", status=503, body="{}", times=None, match={"path": device})
    row = {"_key": device, "id": device, "productCode": "new"}
    with pytest.raises(RetryableError):
        load(hook, target("device_attributes"), fields("id", "productCode"), [row])


def test_one_device_in_trouble_leaves_the_others_delivered(hook: Any, tenant: Tenant, load: Any) -> None:
    devices = a_fleet(tenant)
    tenant.far.fault(action="status", status=503, body="{}", times=None, match={"path": devices[5]})
    rows = [{"_key": device, "id": device, "productCode": "new"} for device in devices]
    done, outcomes = load(hook, target("device_attributes"), fields("id", "productCode"), rows)
    assert (done.delivered, done.unprocessed) == (11, 1)
    assert outcomes[devices[5]]["reason_class"] == "transient"


def test_a_read_only_application_is_told_row_by_row(hook: Any, connect: Any, tenant: Tenant, load: Any) -> None:
    device = a_fleet(tenant, 1)[0]
    hook.connection.login, hook.connection.password = "svc-reader", "iot-reader-secret"
    row = {"_key": device, "id": device, "productCode": "new"}
    _, outcomes = load(hook, target("device_attributes"), fields("id", "productCode"), [row])
    assert outcomes[device]["reason_class"] == "permission"


def test_wrong_credentials_and_realms_are_named_without_the_secret(
    connect: Any, opentext_iot: Any, tenant: Tenant
) -> None:
    hook = connect("covisint_classic")
    hook.connection.password = "not-the-secret"
    is_good, text = hook.test_connection()
    assert not is_good
    assert "check client id" in text
    assert "not-the-secret" not in text
    assert "rights of its user" in connect("covisint_classic", realm="OTHER").test_connection()[1]
    assert connect("covisint_classic").test_connection() == (
        True, "connected by profile covisint_classic; 1 device templates")  # fmt: skip


def test_the_test_button_works_for_both_profiles(hook: Any, tenant: Tenant) -> None:
    assert hook.test_connection()[0]


def test_a_connection_that_lacks_something_says_what(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook

    def problem(**values: Any) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_IOT_X", json.dumps({"conn_type": "commerce_sync_opentext_iot"} | values))
        return OpenTextIotHook("iot_x").test_connection()[1]

    assert "has no host" in problem()
    assert "lacks client id" in problem(host="https://iot.example.com")
    both = {"host": "https://iot.example.com", "login": "a", "password": "b"}
    assert "there are: covisint_classic, generic_rest" in problem(**both, extra={"profile": "other"})
    assert "fill in: realm, tenant" in problem(**both, extra={"profile": "generic_rest"})


def test_reading_with_a_reader_is_enough(hook: Any, tenant: Tenant, read: Any) -> None:
    a_fleet(tenant, 3)
    hook.connection.login, hook.connection.password = "svc-reader", "iot-reader-secret"
    assert read(hook, "devices", COLUMNS)[0].rows == 3


def test_an_unknown_template_filter_names_the_templates(hook: Any, tenant: Tenant, read: Any) -> None:
    with pytest.raises(ConfigurationError, match="Compressor C-200"):
        read(hook, "devices", COLUMNS, options={"template": "Pump"})
