"""The connection type and its form, for the provider; free of Airflow, which reads it while being imported itself."""

from __future__ import annotations

from typing import Any

from commerce_sync.systems.trust_fields import TRUST_FIELDS

CONN_TYPE = "commerce_sync_iconik"
DEFAULT_HOST = "https://app.iconik.io"
MAX_PER_SECOND = 40.0
"""The service allows about 50 calls a second per token; the rest is left to others who share it."""

CONNECTION: dict[str, Any] = {
    "connection-type": CONN_TYPE,
    "hook-class-name": "commerce_sync.systems.iconik.hook.IconikHook",
    "hook-name": "iconik",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "extra"],
        "relabeling": {"host": "Address", "login": "App-ID", "password": "Auth-Token"},
        "placeholders": {
            "host": DEFAULT_HOST,
            "login": "id of the application token's app",
            "password": "the token, shown once in Admin > Settings > Application Tokens",
        },
    },
    "conn-fields": {
        "view": {
            "label": "Metadata view",
            "description": "Id or name of the view that legs use unless they name another.",
            "schema": {"type": ["string", "null"], "default": "SAP Commerce"},
        },
        "max_per_second": {
            "label": "Calls per second",
            "description": "Most calls started per second by one task; the service allows about 50 per token.",
            "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": MAX_PER_SECOND},
        },
        "timeout_s": {
            "label": "Time-out (s)",
            "description": "Seconds one call may take; downloads end when no byte came for so long.",
            "schema": {"type": ["number", "null"], "minimum": 1, "default": 60},
        },
        **TRUST_FIELDS,
    },
}
"""The connection type with its form, in the declarative format of a provider's ``connection-types``."""
