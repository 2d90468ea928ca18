"""
### I6 Faults that anybody may mend become saved carts

Every 15 minutes, and whenever `iot_inbox` brought new events; a complete scan at night. Reads what I1 reads
(`iot_condition_offers`) and decides by the same episodes and the same table of remedies, `fault_episodes.sql`. Writes
saved carts `repair-<fault instance>-...` of the customer, with the part, its quantity, and codes for a page of the shop
in the description (connection `sap_commerce_occ`: an OAuth client with ROLE_TRUSTED_CLIENT). Nothing is ordered: the
customer does that.

**Normal**: a cart comes when a fault has lasted 5 minutes, and goes when it is cleared or the part was bought; one that
the customer has changed stays. Parts for technicians, faults of low severity and faults that are back after the part
was bought get no cart: I1 leads them to service.
**Red**: `max_deletes`: more than half of all carts would go at once; look whether the inbox lost its feed.
401 or 403: the client of `sap_commerce_occ` is not trusted. Rejected `UnknownIdentifierError`: the customer or the part
is not in the shop (any more).
**Backfill**: not useful; only the present counts. `mode: plan` shows what would be prepared and withdrawn.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_self_service",
    legs=["iot/repair_carts"],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["opentext_iot", "I6"],
    after=["iot_inbox"],
)
