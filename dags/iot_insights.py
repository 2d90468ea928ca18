"""
### I8 Context of products and purchases on devices, insights of devices on product pages

Hourly. The context is read as a whole each time, the insights by changes, and as a whole at night. Reads devices of the
OpenText IoT Platform and events of the inbox (feed `iot`, filled by `iot_inbox`), products, categories and orders of
the shop. Writes attributes and tags (`sku:`,
`customer:`, `b2bunit:`, `grp:family-`, `managed:`) of devices, which all other IoT flows find products and customers
by, and features `iot_insight_...` of products in the Staged catalog version (Online follows by the shop's own
synchronisation). Customers go by their customerID, never by their login.

**Normal**: devices change when orders or products do; features when a figure moved by more than its epsilon, or its
as-of is renewed (a quarter of the time to live). Features of a product leave the shop with its fresh readings.
**Red** `context_to_...`: `max_deletes` means that many devices went away or lost product and customer at once; look at
the platform's device list and at products of the shop first. `attribute type ... is not active`: activate it.
`insights_...`: `max_changes` means that more than 30 % and 5000 of the features moved; look for a sensor that broke.
**A product is gone**: its devices keep tag and attributes until two full snapshots lacked it.
**Backfill**: not useful; only the present counts.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_insights",
    legs=[
        ("iot/context_to_device_attributes", "iot/context_to_device_tags"),
        "iot/insights_to_product_features",
    ],
    schedule="40 * * * *",
    doc=__doc__,
    priority="low",
    tags=["opentext_iot", "I8"],
)
