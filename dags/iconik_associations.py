"""
### K5 Associations: which asset fits which product, between SAP Commerce and iconik

Every 15 minutes, and once a night as a complete scan. The shop says what a product is: its code, variants and
categories go onto every asset whose `sku` names it. iconik says what fits: an asset lies in the packages of its
products, and the shop links the media made from it (`others`); what `replaces` another asset takes its place.
Only differences are written: nobody else's `sku`, collection or media is touched.

**A product code changes**: add a row to `code_changes` in `product_facts_to_assets.sql`; assets then get the new code.
Without it the old product looks deleted: facts of its assets are held back (`product_vanished_less_than_a_day_ago`) for
24 hours.
**Reports**: quarantined rows `every_sku_is_in_the_shop` (asset with a code the shop has not) and
`every_product_has_a_hero` (approved product without picture), on the gate page of every run.
**Red**: guard `max_changes` means a large move of categories or assets. If it is meant, trigger the DAG with *At most
so many changes per leg*, again and again, or raise the guard.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iconik_associations",
    legs=[
        "iconik/product_facts_to_assets",
        ("iconik/assets_to_package_contents", "iconik/asset_fits_to_products"),
    ],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["iconik", "K5"],
)
