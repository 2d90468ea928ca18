"""
### I4 How devices are used decides what their owners are recommended

Hourly, and after `iot_insights` has told devices their customers; a complete scan at night. Reads devices of the
OpenText IoT Platform and their usage summaries in the inbox (feed `iot`); customers, consents, orders, products and
references of the shop; merged customers as `salesforce_customers` knows them. Writes memberships in the customer groups
`iot-usage-heavy-user`, `iot-usage-frequent-starts` and `iot-usage-upgrade-candidate` (connection `sap_commerce_occ`: an
OAuth client with ROLE_TRUSTED_CLIENT). Promotions, recommendations and content of the shop go by these groups; nothing
of a single device is written.

**Normal**: bands are decided once a day, over 28 whole days; the other runs carry withdrawn consents, new logins and
sold devices. A customer without enough windows keeps the band; a group of fewer than five customers is not formed.
**Waits in *Required Actions***: more than 20 % of all memberships (and more than ten) would change at once, as in the
first run. Look at the inbox first: a sensor or a firmware that reports differently moves many customers the same way.
Nothing of such a run is sent before the answer, withdrawn consents included, so answer the same day; a no holds until
the data are other ones.
**Red**: 401 or 403: the client of `sap_commerce_occ` is not trusted.
**Backfill**: not useful; late windows count for 60 days as if they had come in time.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_recommendations",
    legs=["iot/usage_bands_to_groups"],
    schedule="50 * * * *",
    doc=__doc__,
    priority="low",
    tags=["opentext_iot", "I4"],
    after=["iot_insights"],
)
