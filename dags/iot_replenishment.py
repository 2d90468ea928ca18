"""
### I3 Consumables that run low become saved carts

Every 15 minutes, and whenever `iot_inbox` brought new events; a complete scan at night. Reads levels of consumables and
run times from the inbox, devices of the OpenText IoT Platform (with product and customer as `iot_insights` wrote them);
products, references, stock, list prices, customers, units, orders and carts of the shop. Writes saved carts
`refill-<consumable>-<cycle>-<round>-...` of the customer (connection `sap_commerce_occ`: an OAuth client with
ROLE_TRUSTED_CLIENT). Nothing is ever ordered: the customer does that.

Limits (low, refilled, caps, cool-down) and the table of consumables: at the top of `include/mappings/iot/refills.sql`.

**Normal**: one cart per refill cycle, on the second low reading. It goes when the device is refilled, the pack was
bought elsewhere or is in another cart of the customer, or the customer left; one the customer changed stays. A cart the
customer deleted is a no for 30 days; the nightly complete scan notices. One that the shop purged is made again.
**Set aside** `device_customer_and_consumable_are_known`: a consumable runs out that no line with an approver names, or
the device has no customer yet (`iot_insights` first).
**Red**: `max_deletes`: more than half of all carts would go at once; look whether the inbox lost its feed.
401 or 403: the client of `sap_commerce_occ` is not trusted. Rejected `UnknownIdentifierError`: the customer or the
product is not in the shop (any more).
**Backfill**: not useful; only the present counts. `mode: plan` shows what would be prepared and withdrawn.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_replenishment",
    legs=["iot/refill_carts"],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["opentext_iot", "I3"],
    after=["iot_inbox"],
)
