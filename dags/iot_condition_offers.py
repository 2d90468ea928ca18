"""
### I1 Faults and failing health of devices become offers

Every 15 minutes, and whenever `iot_inbox` brought new events; a complete scan at night. Reads devices of the OpenText
IoT Platform (with product and customer as `iot_insights` wrote them), faults and health of the inbox; products, their
references, stock, customers, consents and orders of the shop. Writes memberships in the customer groups
`iot-offer-<part>`, `iot-service` and `iot-escalation` (connection `sap_commerce_occ`: an OAuth client with
ROLE_TRUSTED_CLIENT); what a group sees is the shop's own promotion.

**Normal**: a handful of memberships come with faults that last 5 minutes, and go when they are cleared.
**Set aside** `fault_device_and_customer_are_known`: nobody approved a remedy for the code (add a line with an approver
to the table in `fault_episodes.sql`), or the device has no product or customer yet (`iot_insights` first).
**Red**: `max_deletes`: more than half of all offers would end at once; look whether the inbox lost its feed.
401 or 403: the client of `sap_commerce_occ` is not trusted.
**Backfill**: not useful; only the present counts. `mode: plan` shows who would come and go.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_condition_offers",
    legs=["iot/condition_offers_to_groups"],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["opentext_iot", "I1"],
    after=["iot_inbox"],
)
