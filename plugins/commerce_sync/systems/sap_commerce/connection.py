"""The connection type and its form, for the provider.

Apart from the hook, because Airflow reads a provider's information while it is itself being imported.
"""

from __future__ import annotations

from typing import Any

from commerce_sync.systems.sap_commerce.client import BASE_PATH, TOKEN_PATH
from commerce_sync.systems.trust_fields import TRUST_FIELDS

CONN_TYPE = "commerce_sync_sap_commerce"


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "schema": {"type": ["string", "null"], **schema}, "description": description}


CONNECTION: dict[str, Any] = {
    "connection-type": CONN_TYPE,
    "hook-class-name": "commerce_sync.systems.sap_commerce.hook.SapCommerceHook",
    "hook-name": "SAP Commerce Cloud",
    "conn-fields": {
        "auth": _text("Authentication", "What most services take.", enum=["oauth", "basic"], default="oauth"),
        "other_services": _text("Other services", "Services that take the other scheme, comma separated."),
        "client_id": _text("Client id", "OAuth client bound to an employee with the integration groups."),
        "client_secret": _text("Client secret", "Secret of that client.", format="password"),
        "token_path": _text("Token path", "Path of the token endpoint, or a full address.", default=TOKEN_PATH),
        "base_path": _text("Base path", "Path of the integration services.", default=BASE_PATH),
        "test_service": _text("Service for the test", "Integration object asked for its sets by 'Test connection'."),
        **TRUST_FIELDS,
        "timeout_s": {
            "label": "Time-out (s)",
            "schema": {"type": ["number", "null"], "minimum": 1, "default": 120},
            "description": "Seconds one request may take.",
        },
        "max_per_second": {
            "label": "Requests per second",
            "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
            "description": "Upper limit; empty for none.",
        },
    },
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "extra"],
        "relabeling": {"login": "User (Basic)", "password": "Password (Basic)"},
        "placeholders": {"host": "https://backoffice.example-shop.com"},
    },
}
"""The connection type with its form, in the declarative format of a provider's ``connection-types``."""
