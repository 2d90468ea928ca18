-- I3: what follows from the levels of consumables. Rows of two kinds: `cart` (a saved cart that waits for its customer),
-- `unknown` (a consumable that runs out of a device, and nobody knows whose or which).
-- Read over `devices`, `levels`, `usage`, `products`, `product_references`, `stock`, `prices`, `customers`, `buyers`,
-- `units`, `orders`, `carts`; `before` is what it gave last time.
--
-- Rules
--   a cycle of a device and a consumable begins with a refill: a rise by jump_pct at least to rearm_pct or more that
--   the next reading confirms, with more units than before where units are told, and not within a day and a half of a
--   fall of the device's hour counter: that is a reset of the sensor and no refill
--   within a cycle a level is low from the second low reading in a row on (arm_pct or less, or lead_days or less), or
--   from one that continues a fall of two readings, the first of them near the limit; low it stays until the next
--   cycle, however it flaps. One cart per cycle, however many messages
--   what to buy is a line of the table below with an approver: a product of its own, else that of any device; its sku,
--   else what the shop refers to as CONSUMABLE of the device's product. It has to be approved, on sale, in stock, with
--   a list price that holds now; of several the first. What was offered stays as it was while it is on sale
--   no cart while an order of any of them is on its way, when one was placed in this cycle (order_days before it was
--   low at the earliest), or while the customer has it in a cart already; pieces serve devices in the order they ran low
--   of one customer the first carts_per_month of the calendar month count, up to value_per_month
--   nobody with a disabled login, of an inactive unit or whose contract has ended is offered anything
--   a cart that was there and is not any more was refused: nothing for cooldown_days, then a new one; unless it was
--   cart_days old: then the shop purged it, and it is made again. Nothing heard for quiet_days is nothing
WITH
run AS (SELECT getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS at),
policy(arm_pct, rearm_pct, jump_pct, lead_days, order_days, cooldown_days, cart_days, quiet_days, carts_per_month,
       value_per_month, currency, most_pieces) AS (
    VALUES (15.0, 60.0, 30.0, 5.0, 14, 30, 26, 60, 3, 300.00::DECIMAL(18, 2), 'USD', 20)
),
-- Which consumable is which product, version 1. product NULL: of any device, sku NULL: what the shop refers to.
refills(consumable, product, sku, pack, approved_by) AS (
    VALUES ('ground-coffee', NULL::VARCHAR, NULL::VARCHAR, NULL::BIGINT, 'supply planning'),
           ('film', NULL, NULL, NULL, 'supply planning'), ('air-filter', NULL, NULL, NULL, 'supply planning'),
           ('toner-black', NULL, NULL, NULL, 'supply planning'), ('toner-black', 'c200-pro', 'toner-xl', 2, 'supply planning'),
           ('coolant', NULL, NULL, NULL, NULL)
),

-- Readings, refills, cycles
reading AS (
    SELECT l.subject AS device_id, lower(trim(l.data.consumableType)) AS consumable, l.time, l.id, l.data.levelPct AS pct,
           CASE WHEN l.data.remainingUnits >= 0 THEN l.data.remainingUnits END AS pieces,
           CASE WHEN l.data.estDaysLeft >= 0 THEN l.data.estDaysLeft END AS days
    FROM levels AS l CROSS JOIN run
    WHERE l.data.levelPct BETWEEN 0 AND 100 AND nullif(trim(l.data.consumableType), '') IS NOT NULL
      AND l.time > run.at - INTERVAL 120 DAY AND l.time <= least(run.at, l.received_at) + INTERVAL 5 MINUTE
    QUALIFY row_number() OVER (PARTITION BY l.subject, lower(trim(l.data.consumableType)), l.time ORDER BY l.id DESC) = 1
),
hours AS (
    SELECT u.subject AS device_id, u.time, u.data.runtimeHoursTotal < lag(u.data.runtimeHoursTotal) OVER (PARTITION BY u.subject ORDER BY u.time, u.id) AS is_reset
    FROM usage AS u CROSS JOIN run
    WHERE u.data.runtimeHoursTotal >= 0 AND u.time > run.at - INTERVAL 120 DAY AND u.time <= least(run.at, u.received_at) + INTERVAL 5 MINUTE
),
row_of AS (
    SELECT *, lag(time) OVER w AS time_1, lag(pct) OVER w AS pct_1, lag(pieces) OVER w AS pieces_1, lead(pct) OVER w AS pct_next,
           min(pct) OVER (PARTITION BY device_id, consumable ORDER BY time, id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS lowest
    FROM reading WINDOW w AS (PARTITION BY device_id, consumable ORDER BY time, id)
),
jump AS (
    SELECT r.device_id, r.consumable, r.time FROM row_of AS r CROSS JOIN policy AS p
    WHERE r.pct >= p.rearm_pct AND r.pct_1 < p.rearm_pct AND r.pct - r.lowest >= p.jump_pct AND r.pct_next >= p.rearm_pct
      AND coalesce(r.pieces > r.pieces_1, true)
),
refill AS (
    SELECT j.* FROM jump AS j JOIN row_of AS r USING (device_id, consumable, time)
    WHERE NOT EXISTS (FROM hours AS h WHERE h.is_reset AND h.device_id = j.device_id
        AND h.time BETWEEN r.time_1 - INTERVAL 36 HOUR AND j.time + INTERVAL 36 HOUR)
),
cycled AS (
    SELECT r.*, max(f.time) OVER (PARTITION BY r.device_id, r.consumable ORDER BY r.time) AS began_at
    FROM reading AS r LEFT JOIN refill AS f USING (device_id, consumable, time)
),
present AS (
    SELECT *, max(began_at) OVER (PARTITION BY device_id, consumable) AS now_at, max(time) OVER (PARTITION BY device_id, consumable) AS last_at
    FROM cycled QUALIFY began_at IS NOT DISTINCT FROM now_at
),
level AS (
    SELECT r.*, coalesce(r.pct <= p.arm_pct OR r.days <= p.lead_days, false) AS is_low,
           coalesce(r.pct <= 2 * p.arm_pct OR r.days <= 2 * p.lead_days, false) AS is_near
    FROM present AS r CROSS JOIN policy AS p
),
trend AS (
    SELECT *, coalesce(lag(is_low) OVER w, false) AS was_low,
           coalesce(pct < lag(pct) OVER w AND lag(pct) OVER w < lag(pct, 2) OVER w AND lag(is_near) OVER w, false) AS falls
    FROM level WINDOW w AS (PARTITION BY device_id, consumable ORDER BY time, id)
),
low AS (
    SELECT device_id, consumable, any_value(began_at) AS began_at, any_value(last_at) AS last_at,
           min(time) FILTER (is_low AND (was_low OR falls)) AS low_at
    FROM trend GROUP BY device_id, consumable
),

-- Whose device it is
person AS (
    SELECT customerID AS customer_id, uid, NULL::VARCHAR AS unit FROM customers WHERE NOT coalesce(loginDisabled, false)
    UNION ALL
    SELECT customerID, uid, defaultB2BUnit.uid FROM buyers WHERE coalesce(active, true) AND NOT coalesce(loginDisabled, false)
      AND coalesce(defaultB2BUnit.uid NOT IN (SELECT uid FROM units WHERE NOT active), true)
),
contact AS (SELECT unit, min_by(uid, (customer_id, uid)) AS uid FROM person WHERE unit IS NOT NULL GROUP BY unit),
known_as AS (SELECT customer_id, min(uid) AS uid, min(unit) AS unit FROM person WHERE customer_id IS NOT NULL GROUP BY customer_id),
appliance AS (
    SELECT d.id AS device_id, nullif(trim(d.attributes.productCode), '') AS product, coalesce(k.uid, c.uid) AS uid,
           nullif(d.attributes.customerRef, '') AS customer_id, coalesce(k.unit, nullif(d.attributes.b2bUnit, '')) AS unit,
           nullif(d.attributes.customerRef, '') IS NOT NULL OR nullif(d.attributes.b2bUnit, '') IS NOT NULL AS has_holder,
           coalesce(TRY_CAST(left(d.attributes.contractEnd, 10) AS DATE) < CAST(run.at AS DATE), false)
               OR coalesce(d.attributes.b2bUnit IN (SELECT uid FROM units WHERE NOT active), false) AS has_left
    FROM devices AS d CROSS JOIN run LEFT JOIN known_as AS k ON k.customer_id = d.attributes.customerRef
    LEFT JOIN contact AS c ON c.unit = d.attributes.b2bUnit WHERE coalesce(d.active, true)
),

-- What the shop sells
shown AS (
    SELECT p.code, coalesce(approvalStatus.code = 'approved' AND coalesce(onlineDate <= run.at, true)
           AND coalesce(offlineDate > run.at, true), false) AS is_on_sale
    FROM products AS p CROSS JOIN run
    QUALIFY row_number() OVER (PARTITION BY p.code ORDER BY (catalogVersion.version = 'Online') DESC, integrationKey) = 1
),
stocked AS (
    SELECT productCode AS code, bool_or(coalesce(inStockStatus.code, '') <> 'FORCEOUTOFSTOCK' AND (inStockStatus.code = 'FORCEINSTOCK'
           OR coalesce(available, 0) - coalesce(reserved, 0) + coalesce(overSelling, 0) > 0)) AS is_there
    FROM stock GROUP BY productCode
),
link AS (
    SELECT "source".code AS product, "target".code AS sku, max(quantity) AS quantity FROM product_references
    WHERE coalesce(active, true) AND referenceType.code = 'CONSUMABLE' AND "source".code <> "target".code GROUP BY ALL
),
need AS (
    SELECT l.*, a.product, a.uid, a.customer_id, a.unit, a.has_left, a.device_id IS NOT NULL AND a.has_holder AS is_known_device,
           EXISTS (FROM refills AS f WHERE f.consumable = l.consumable AND f.approved_by IS NOT NULL) AS is_known_consumable
    FROM low AS l CROSS JOIN run CROSS JOIN policy AS p LEFT JOIN appliance AS a ON a.device_id = l.device_id
    WHERE l.low_at IS NOT NULL AND l.last_at > run.at - to_days(p.quiet_days)
),
-- Lines for the device's own product go before those for any.
chosen AS (
    SELECT n.device_id, n.consumable, n.product, f.sku, f.pack FROM need AS n
    JOIN refills AS f ON f.consumable = n.consumable AND f.approved_by IS NOT NULL AND coalesce(f.product = n.product, true)
    QUALIFY rank() OVER (PARTITION BY n.device_id, n.consumable ORDER BY f.product IS NULL) = 1
),
candidate AS (
    SELECT c.device_id, c.consumable, coalesce(c.sku, k.sku) AS sku,
           least(p.most_pieces, greatest(coalesce(c.pack, k.quantity, 1), 1))::BIGINT AS quantity
    FROM chosen AS c CROSS JOIN policy AS p LEFT JOIN link AS k ON k.product = c.product AND (c.sku IS NULL OR c.sku = k.sku)
    WHERE coalesce(c.sku, k.sku) IS NOT NULL
),
list_price AS (
    SELECT c.sku, c.quantity, min_by((r.price / greatest(coalesce(r.unitFactor, 1), 1))::DECIMAL(18, 4), (-coalesce(r.minqtd, 1), r.price, r.integrationKey)) AS price
    FROM (SELECT DISTINCT sku, quantity FROM candidate) AS c CROSS JOIN run CROSS JOIN policy AS p JOIN prices AS r ON r.product.code = c.sku
    WHERE r.currency.isocode = p.currency AND r."user".uid IS NULL AND r.ug.code IS NULL AND r.price > 0 AND coalesce(r.minqtd, 1) <= c.quantity
      AND coalesce(r.startTime <= run.at, true) AND coalesce(r.endTime > run.at, true)
    GROUP BY c.sku, c.quantity
),
offer AS (
    SELECT c.device_id, c.consumable, min_by(struct_pack(sku := c.sku, quantity := c.quantity, price := r.price), c.sku)
           FILTER (s.is_on_sale AND t.is_there AND r.price IS NOT NULL) AS best, list(DISTINCT c.sku ORDER BY c.sku) AS skus
    FROM candidate AS c LEFT JOIN shown AS s ON s.code = c.sku LEFT JOIN stocked AS t ON t.code = c.sku
    LEFT JOIN list_price AS r ON (r.sku, r.quantity) = (c.sku, c.quantity) GROUP BY c.device_id, c.consumable
),

-- What was offered, ordered, refused
numbered AS (
    SELECT n.*, o.best, o.skus, 'cart|' || n.device_id || '|' || n.consumable || '|' || coalesce(strftime(n.began_at, '%Y%m%dT%H%M%S'), '0') AS cycle_id
    FROM need AS n LEFT JOIN offer AS o ON (o.device_id, o.consumable) = (n.device_id, n.consumable)
),
held AS (
    SELECT n.*, b.is_wanted AS was_wanted, coalesce(b.was_seen, false) AS was_seen, coalesce(b.round, 1) AS old_round, b.offered_at AS old_at,
           b.refused_at AS old_refused_at, b.quantity AS old_quantity, b.price AS old_price, s.code AS old_sku,
           EXISTS (FROM carts AS c WHERE c.name = b.name AND c."user".uid = b.uid) AS is_seen
    FROM numbered AS n LEFT JOIN before AS b ON b.cycle_id = n.cycle_id
    LEFT JOIN shown AS s ON s.code = b.sku AND s.is_on_sale AND b.is_wanted AND b.uid = n.uid
),
settled AS (
    SELECT h.*, coalesce(h.was_wanted AND h.was_seen AND NOT h.is_seen, false) AS is_gone,
           coalesce(h.old_at <= run.at - to_days(p.cart_days), false) AS is_old, coalesce(h.old_sku, h.best.sku) AS sku,
           CASE WHEN h.old_sku IS NULL THEN h.best.quantity ELSE h.old_quantity END AS quantity,
           CASE WHEN h.old_sku IS NULL THEN h.best.price ELSE h.old_price END AS price
    FROM held AS h CROSS JOIN run CROSS JOIN policy AS p
),
bought AS (
    SELECT o."user".customerID AS customer_id, o.unit.uid AS unit, o.date AS at, coalesce(o.status.code, '') NOT IN ('COMPLETED', 'CANCELLED') AS is_open,
           unnest(o.entries, recursive := false) AS entry
    FROM orders AS o WHERE o.status.code IS DISTINCT FROM 'CANCELLED'
),
served AS (
    SELECT s.cycle_id, sum(b.entry.quantity)::BIGINT AS pieces FROM settled AS s CROSS JOIN run CROSS JOIN policy AS p
    JOIN bought AS b ON (b.customer_id = s.customer_id OR b.unit = s.unit) AND list_contains(s.skus, b.entry.product.code)
    WHERE (b.is_open AND b.at > run.at - to_days(p.quiet_days))
       OR b.at >= greatest(s.low_at - to_days(p.order_days), coalesce(s.began_at, s.low_at - to_days(p.order_days)))
    GROUP BY s.cycle_id
),
in_cart AS (
    SELECT DISTINCT s.cycle_id FROM settled AS s JOIN (SELECT "user".uid AS uid, unnest([e.product.code for e in entries]) AS sku FROM carts
        WHERE NOT starts_with(coalesce(name, ''), 'refill-')) AS c ON c.uid = s.uid AND list_contains(s.skus, c.sku)
),
queued AS (
    SELECT s.*, coalesce(v.pieces, 0) >= sum(coalesce(s.quantity, 1)) OVER (PARTITION BY s.uid, s.skus ORDER BY s.low_at, s.device_id, s.consumable) AS is_served,
           s.cycle_id IN (SELECT cycle_id FROM in_cart) AS is_in_cart
    FROM settled AS s LEFT JOIN served AS v ON v.cycle_id = s.cycle_id
),
refused AS (
    SELECT q.*, CASE WHEN q.is_gone AND NOT q.is_old AND NOT q.is_served THEN run.at ELSE q.old_refused_at END AS said_no_at,
           q.is_gone AND q.is_old AS is_purged
    FROM queued AS q CROSS JOIN run
),
cooled AS (
    SELECT r.*, coalesce(r.said_no_at > run.at - to_days(p.cooldown_days), false) AS is_cooling,
           r.is_purged OR coalesce(r.said_no_at <= run.at - to_days(p.cooldown_days), false) AS is_next
    FROM refused AS r CROSS JOIN run CROSS JOIN policy AS p
),
open_ones AS (
    SELECT *, uid IS NOT NULL AND NOT has_left AND sku IS NOT NULL AND NOT is_served AND NOT is_in_cart AND NOT is_cooling AS is_open
    FROM cooled WHERE is_known_device AND is_known_consumable
),
capped AS (
    SELECT o.*, o.is_open AND count(*) FILTER (o.is_open) OVER w <= p.carts_per_month AND sum(o.price * o.quantity) FILTER (o.is_open) OVER w <= p.value_per_month AS is_wanted
    FROM open_ones AS o CROSS JOIN policy AS p WINDOW w AS (PARTITION BY uid, date_trunc('month', low_at) ORDER BY low_at, device_id, consumable)
),
given AS (
    SELECT c.*, (old_round + is_next::INTEGER)::INTEGER AS round, CASE WHEN is_wanted AND (is_next OR NOT coalesce(was_wanted, false)) THEN run.at ELSE old_at END AS offered_at,
           is_wanted AND NOT is_next AND (was_seen OR is_seen) AS seen, CASE WHEN NOT is_next THEN said_no_at END AS refused_at
    FROM capped AS c CROSS JOIN run
)
SELECT coalesce(uid, '') AS owner, 'cart' AS kind, cycle_id || '|' || round AS id, cycle_id, device_id, consumable, uid, product, sku, quantity,
       price, round, left('refill-' || consumable || '-' || split_part(cycle_id, '|', 4) || '-' || round || '-' || md5(device_id)[1:8], 255) AS name,
       offered_at, seen AS was_seen, refused_at, is_wanted
FROM given
UNION ALL
SELECT '', 'unknown', 'unknown|' || device_id || '|' || consumable, NULL, device_id, consumable, NULL, product, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true
FROM need WHERE NOT is_known_device OR NOT is_known_consumable
