"""
### I7 Excursions, downtimes and anomalies: who is concerned is told

Every 15 minutes, and whenever `iot_inbox` brought new events; a complete scan at night. Reads devices of the OpenText
IoT Platform by their tags (`customer:`, `b2bunit:`, `order:`, `sku:`, `site:`, `grp:batch-...`; the first, second and
fourth as `iot_insights` wrote them), incidents of the inbox; customers, consents, orders, returns and product
references of the shop. Writes the customer groups `iot-<class>-<kind>-<incident>` with their state in the description,
and their members (connection `sap_commerce_occ`: an OAuth client with ROLE_TRUSTED_CLIENT). What a group is told, and
by which way, is the shop's own promotion, page or mail; nothing a device says gets there.

**Normal**: nothing for days. A confirmed incident has a group; when it is closed or retracted the group is empty and
stays, as the record of it. Promotional ones take people in from 8 to 20 o'clock only (Europe/Berlin; `incidents.sql`).
**Waits in Required Actions**: everybody who is to be told of a matter of safety, and groups that grow by more than 500
at once. Read the incident first: a yes reaches people. Leaving needs no yes.
**Set aside** `incident_is_understood`: nobody approved a policy for its kind and metric (the table in `incidents.sql`),
its device is not known, or its id or state cannot be read. `audience_is_within_its_limit`: more people than the policy
allows; nobody is told until somebody raises the limit there or the incident ends.
**Red** `max_deletes`, `max_changes`: more than 10,000 people would leave, or 20,000 join, at once. 401 or 403: the
client of `sap_commerce_occ` is not trusted.
**Backfill**: not useful; only the present counts. `mode: plan` shows who would be told.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_incidents",
    legs=["iot/incidents_to_groups", "iot/incident_members_to_groups"],
    schedule="*/15 * * * *",
    doc=__doc__,
    priority="high",
    tags=["opentext_iot", "I7"],
    after=["iot_inbox"],
)
