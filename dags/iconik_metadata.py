"""
### K4 Metadata: iconik assets to media and product features of SAP Commerce

Every 15 minutes, and once a night as a complete scan (50,000 assets take about 500 searches of 100). Title and
alternative text go to the media that were made from an asset; duration (in seconds), format, codec, size, language,
usage rights and campaign tags become features of the products its `sku` names. Only assets the shop has media of count.

**Normal**: own writes are read again by the next run and change nothing.
**Quarantined**: a value nobody knows (usage rights, language tag, absurd duration) is set aside and the shop keeps what
it has; correct it in iconik, or extend the rule in `assets_to_product_features.yaml`.
**Red at extract**, "metadata view has no field": somebody renamed a field of the view in iconik. Nothing was read or
sent; name it back, or change the mapping.
**Blank values** never empty anything, except where the mapping says so (`on_null: clear`, `clear_on_blank`).
**Rejected** with reason `reference`: the product is not in the shop; see `iconik_associations`.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iconik_metadata",
    legs=[("iconik/assets_to_product_features", "iconik/assets_to_media_texts")],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["iconik", "K4"],
    after=["iconik_associations"],
)
