"""
### S8 Segments and campaigns: Salesforce to shop, and the results back

Hourly, after customers and orders, with a complete scan at night. Reads campaigns, members, offers and contacts of
Salesforce; consents, orders, returns and coupon redemptions of the shop; views of the inbox. Writes customer groups
`campaign-...` and `offer-...` with their members (connection `sap_commerce_occ`: an OAuth client with
ROLE_TRUSTED_CLIENT), names and dates of promotion rules and coupons (activating them is the shop's own job), one
`Campaign_Performance__c` per campaign and day, and totals on `Campaign`. A campaign needs a `Commerce_Id__c`.

**Normal**: members come and go just after midnight UTC, when campaigns start and end; a new campaign day each night.
**Red** `campaigns_to_...`: more campaigns were set aside than allowed (start after end, too many people, a group that
is not ours): mend them in Salesforce. `campaign_members_to_groups`: `max_deletes` means that more people would leave
than two full campaigns have; look at Campaign and CampaignMember before raising it. 401 or 403: the client of
`sap_commerce_occ` is not trusted. `UnknownIdentifierError`: the customer is not in the shop (any more).
`campaign_performance_...`: `revenue_is_in_the_currency_of_the_org`: an order in another currency; see the SQL's `org`.
**Backfill**: reads the orders changed in its interval; days and totals are always computed from all orders.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_campaigns",
    legs=[
        ("salesforce/campaigns_to_groups", "salesforce/campaigns_to_promotions", "salesforce/campaigns_to_coupons"),
        "salesforce/campaign_members_to_groups",
        "salesforce/campaign_performance_by_day",
        "salesforce/campaign_performance_totals",
    ],
    schedule="20 * * * *",
    doc=__doc__,
    priority="low",
    tags=["salesforce", "S8"],
    after=["salesforce_customers", "salesforce_orders"],
    feeds=["storefront"],
)
