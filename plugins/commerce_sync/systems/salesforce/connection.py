"""The connection type and its form; free of Airflow, which reads it while it is being imported itself."""

from __future__ import annotations

from typing import Any

from commerce_sync.systems.trust_fields import TRUST_FIELDS

CONN_TYPE = "commerce_sync_salesforce"
DEFAULT_VERSION = "62.0"

CONNECTION: dict[str, Any] = {
    "connection-type": CONN_TYPE,
    "hook-class-name": "commerce_sync.systems.salesforce.hook.SalesforceHook",
    "hook-name": "Salesforce (Commerce Sync)",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "extra"],
        "relabeling": {"host": "Instance URL", "login": "Client id", "password": "Client secret"},
        "placeholders": {
            "host": "https://acme.my.salesforce.com",
            "login": "consumer key of the app",
            "password": "consumer secret; empty with a private key",
        },
    },
    "conn-fields": {
        "username": {
            "label": "User name (JWT only)",
            "description": "The integration user. Needed with a private key; client credentials run as the app's user.",
            "schema": {"type": ["string", "null"]},
        },
        "private_key": {
            "label": "Private key (JWT only)",
            "description": "RSA key as PEM text. Its certificate is uploaded on the app.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "audience": {
            "label": "Audience (JWT only)",
            "description": "https://login.salesforce.com or https://test.salesforce.com; default: the instance URL.",
            "schema": {"type": ["string", "null"]},
        },
        "version": {
            "label": "API version",
            "schema": {"type": ["string", "null"], "default": DEFAULT_VERSION},
        },
        **TRUST_FIELDS,
        "call_reserve": {
            "label": "Daily calls to leave to others",
            "description": "Below this number of API calls left in the org's 24 hours nothing more is called.",
            "schema": {"type": ["integer", "null"], "minimum": 0, "default": 0},
        },
    },
}
"""The connection type and its form, for the provider."""
