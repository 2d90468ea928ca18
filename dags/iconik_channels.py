"""
### K6 Channels: one approved master, each channel's renditions

Every 15 minutes, and after every K1 run. Reads the same governed assets as K1. Writes, for each channel an asset
asks for (`channels`), Media `iconik-<asset>-<rendition>` with their bytes and a media format, in one MediaContainer
`iconik-<asset>-<channel>`, into the product's own catalog or the channel's. Channels, territories, catalogs and
rendition profiles are the tables `channels` and `profiles` of `media_decisions.sql`; all channels show the version
the shop shows.

**Normal**: a row per asset, channel and rendition; K3 records each decision per channel. `wait` means that a
rendition is being made; after 24 hours it is `block`, and a channel that still shows an older version shows none.
**Red**: rejected rows name their channel in the key. `missing_nav_property`: the channel's catalog version is not in
the shop. One channel's trouble stops no other. A failed rendition is asked for again twice per version (task
`retry_transcodes`); a smaller one is taken only where the profile says `may_shrink`.
**Backfill**: reads everything anyway; there is nothing to backfill.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG
from commerce_sync.systems.iconik.retranscode import IconikRetryTranscodesOperator

dag = sync_dag(
    "iconik_channels",
    legs=["iconik/approved_media_to_channels"],
    schedule="*/15 * * * *",
    doc=__doc__,
    priority="low",
    tags=["iconik", "K6"],
    after=["iconik_approved_media"],
)
with dag:
    # Beside the leg: its trouble stops no channel.
    retry = IconikRetryTranscodesOperator(
        task_id="retry_transcodes", terms={"metadata.commerce_status": ["ready_for_commerce", "published"]}, times=2
    )
    retry >> dag.get_task("done")
