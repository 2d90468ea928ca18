"""The connection type and its form; free of Airflow, which reads it while it is being imported itself."""

from __future__ import annotations

from typing import Any

from commerce_sync.systems.trust_fields import TRUST_FIELDS

CONN_TYPE = "commerce_sync_opentext_iot"
CALLS_PER_SECOND = 10


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "schema": {"type": ["string", "null"], **schema}, "description": description}


def _number(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "schema": {"type": ["number", "null"], **schema}, "description": description}


CONNECTION: dict[str, Any] = {
    "connection-type": CONN_TYPE,
    "hook-class-name": "commerce_sync.systems.opentext_iot.hook.OpenTextIotHook",
    "hook-name": "OpenText IoT Platform",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "extra"],
        "relabeling": {"host": "Host", "login": "Client id", "password": "Client secret"},
        "placeholders": {"host": "https://api.us1.covisint.com", "login": "client id of the integration application"},
    },
    "conn-fields": {
        "profile": _text(
            "Profile", "The kind of gateway.", enum=["covisint_classic", "generic_rest"], default="covisint_classic"
        ),
        "profile_file": _text("Profile file", "A profile of your own (YAML), instead of one of the above."),
        "realm": _text("Realm", "Sent as x-realm; empty for none."),
        "tenant": _text("Tenant", "Part of the token path of some gateways."),
        **TRUST_FIELDS,
        "timeout_s": _number("Time-out (s)", "Seconds one request may take.", minimum=1, default=60),
        "max_per_second": _number(
            "Requests per second", "Upper limit; the platform publishes none.", exclusiveMinimum=0,
            default=CALLS_PER_SECOND,
        ),
    },
}  # fmt: skip
"""The connection type and its form, for the provider."""
