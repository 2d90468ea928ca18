"""
### I5 Warranty and service contract of every device, on both sides

Hourly, and after `iot_insights` has told devices their purchase; a complete scan at night. Reads devices of the
OpenText IoT Platform; activations, usage and faults of the inbox (feed `iot`); orders, returns, customers and consents
of the shop; merged customers as `salesforce_customers` knows them. Writes one record `DeviceWarranty` per serial number
in the shop (its type: `include/sap_commerce/warranty-items.xml`; its integration object: `sap-setup`),
memberships in `iot-renewal-warranty` and `iot-renewal-contract` (connection `sap_commerce_occ`), and the attributes
warrantyEnd, contractId, contractLevel and contractEnd of devices. Policies and contract products are tables at the top
of `include/mappings/iot/warranty.sql`.

**Normal**: cover ages by itself, so some records change every day. `unregistered` says that the device names no order,
not that it has no warranty. `review` is covered by nothing, and is no denial.
**Waits in *Required Actions*** `warranty_denials_to_shop`: devices in review. A yes denies them on their records, until
they are covered again; a no leaves them in review. A new decision (another policy, another day) is asked about anew.
**Set aside** `warranty_to_shop`: `one_device_and_one_owner_...`: two devices have one serial number, device and order
name two customers, or some of several were returned; `activation_is_...`: the clock of the device was wrong, have it
activated again; `device_is_the_one_...`: serial number or product differ between device, activation and order. What
stood before stays. `contracts_to_devices`, `contract_is_for_one_device`: set the attribute contractId to the order's
code, a hyphen and the entry's number (the key says it) on the device it is for.
**Red** `policies_are_sound`: two policies hold on one day, or one lacks months, hours or an approver; nothing was sent.
`attribute type ... is not active`: activate it on the platform.
**Backfill**: not useful; only the present counts. `mode: plan` shows what would change.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_warranty",
    legs=[
        "iot/warranty_to_shop",
        "iot/warranty_denials_to_shop",
        ("iot/renewals_to_groups", "iot/contracts_to_devices"),
    ],
    schedule="10 * * * *",
    doc=__doc__,
    tags=["opentext_iot", "I5"],
    after=["iot_insights"],
)
