"""What Airflow learns about this package through the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Connection types with their forms, and the extra link of the gates."""
    from commerce_sync.systems.iconik.connection import CONNECTION as ICONIK
    from commerce_sync.systems.opentext_iot.connection import CONNECTION as OPENTEXT_IOT
    from commerce_sync.systems.salesforce.connection import CONNECTION as SALESFORCE
    from commerce_sync.systems.sap_commerce.connection import CONNECTION as SAP_COMMERCE

    return {
        "package-name": "commerce-sync",
        "name": "Commerce Sync",
        "description": "Keeps SAP Commerce Cloud in step with Salesforce, iconik and OpenText IoT.",
        "versions": ["0.1.0"],
        "connection-types": [SAP_COMMERCE, SALESFORCE, ICONIK, OPENTEXT_IOT],
        "extra-links": ["commerce_sync.steps.GateLink"],
        "notifications": ["commerce_sync.alerts.FailureNotifier"],
    }
