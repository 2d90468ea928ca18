"""
### I2 Stock and order status in near real time, both ways

Every 5 minutes, and whenever `iot_inbox` brought new events; a complete scan at night. Reads counts, movements and
messages of trackers from the inbox, devices of the OpenText IoT Platform, products, stock and consignments of the shop.
Writes `StockLevel.available`, status and named delivery date of consignments; and to devices `expectedQty`,
`reorderPoint` and `productCode` of shelves, and the tag `order:` of trackers.

Who owns `available` in a warehouse (iot or shop), how (counts or movements), safety stock and limits are lines of the
table at the top of `include/mappings/iot/stock_levels.sql`; what trackers say in the shop's words is in `parcels.sql`.
A change there is a new version of the flow and computes everything again.

**Normal**: a stock level follows each good count; a shelf with a jump waits for the next count. A consignment the shop
does not have yet waits 24 hours. What a device is told follows one run later at most.
**Set aside** (list of rejects, key `held|...`): the shelf keeps the value the shop has. `count_did_not_jump`,
`count_is_not_negative`, `sensor_is_sure`: count again, the next good count releases it. `shelf_was_heard_of`: the
sensor is silent; look at the device. `device_stands_for_the_product_there`: the device is inactive, or its product or
warehouse is another one (`iot_insights` gives it its product). `warehouse_is_in_the_table`,
`table_of_warehouses_is_valid`: mend the table. A sensor whose sequence starts anew is never believed: set `since` of
its warehouse to the day it was replaced. `delta_began_with_a_count`: a warehouse of mode delta is counted at least
every 60 days, which is how long movements are kept. `consignment_is_in_the_shop`: the parcel's code is wrong.
**Red**: `max_changes`: more than 5000 records would change at once; after a long pause of the inbox that is right, and
the limit may be raised for a run. Rejected with `Warehouse`: the table names one the shop does not have.
**Backfill**: not useful; only the present counts. `mode: plan` shows what would be written.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iot_stock",
    legs=[
        ("iot/counts_to_stock_levels", "iot/parcels_to_consignments"),
        ("iot/stock_levels_to_devices", "iot/parcels_to_trackers"),
    ],
    schedule="*/5 * * * *",
    doc=__doc__,
    priority="high",
    tags=["opentext_iot", "I2"],
    after=["iot_inbox"],
)
