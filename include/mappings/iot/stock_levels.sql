-- I2: what the shelves of warehouses hold. Rows of three kinds: `stock` (the shop's StockLevel of a product in a
-- warehouse), `held` (a shelf somebody has to look at, with the reason), `shelf` (what its device is told).
-- Read over `counts`, `movements`, `devices`, `products`, `stock`; all belong to a product. `before` is what it gave.
--
-- Rules
--   a warehouse has one owner of `available` (iot or shop) and one mode. absolute: the last good count is what is
--   there, movements change nothing. delta: the last good count and the movements after it, each movement id once;
--   what moved at or before the moment of the count is in the count. So nothing is ever counted twice
--   the last count is the one with the highest sequence, among those without one the latest; a sequence counts once
--   a count is good when its device is active and stands for the product there, its clock is no more than five
--   minutes ahead, product and warehouse are known, the unit is the product's, the number is whole and not negative,
--   the sensor is sure enough, and it did not jump: it is near one of the two counts before it, as that was or with
--   the movements since. A second count near the first confirms a jump, one near the level before it ends it
--   delta: a movement that is not good, or that is a jump itself, and a level below 0 wait for the next good count
--   what is not good changes nothing: the last value stays in the shop, and the shelf is held until a good count
--   nothing heard is no message; the mapping says when a shelf is stale (there the time is known, here it is not)
WITH
-- The warehouses, version 1. One line per code that devices use; `shop_code` is the shop's. `since`: messages before
-- it count for nothing (after a change of mode, or of a sensor whose sequence starts anew). Pieces: safety (never
-- sold), jump_pieces (a jump is more than these and more than jump_pct of the level), stale_buffer (taken off while
-- nothing was heard for stale_hours), reorder_point. takes_off_reserved: false where the shop's own rule does.
warehouses(code, shop_code, owned_by, mode, since, safety, takes_off_reserved, min_confidence, jump_pct, jump_pieces,
           stale_hours, stale_buffer, reorder_point, approved_by) AS (
    VALUES ('WH-EU-1', 'WH-EU-1', 'iot', 'absolute', TIMESTAMP '2020-01-01', 2, true, 0.85, 50, 20, 24, 3, 10, 'logistics'),
           ('WH-US-1', 'WH-US-1', 'iot', 'absolute', TIMESTAMP '2020-01-01', 2, true, 0.85, 50, 20, 24, 0, 10, 'logistics'),
           ('WH-US-2', 'WH-US-2', 'iot', 'delta', TIMESTAMP '2020-01-01', 2, true, 0.85, 50, 200, 24, 0, 10, 'logistics')
),
warehouse AS (
    SELECT *, coalesce(shop_code <> '' AND owned_by IN ('iot', 'shop') AND mode IN ('absolute', 'delta') AND since IS NOT NULL
           AND safety >= 0 AND takes_off_reserved IS NOT NULL AND min_confidence BETWEEN 0 AND 1 AND jump_pct > 0
           AND jump_pieces >= 0 AND stale_hours > 0 AND stale_buffer >= 0 AND reorder_point >= 0 AND approved_by <> '', false)
           AND count(*) OVER (PARTITION BY code) = 1 AND count(*) OVER (PARTITION BY shop_code) = 1 AS is_valid
    FROM warehouses QUALIFY row_number() OVER (PARTITION BY code ORDER BY shop_code, owned_by, mode, since, safety) = 1
),
product AS (
    SELECT code, unit.code AS unit, approvalStatus.code = 'approved' AS is_approved, offlineDate AS offline_at FROM products
    QUALIFY row_number() OVER (PARTITION BY code ORDER BY (catalogVersion.version = 'Online') DESC, integrationKey) = 1
),
appliance AS (
    SELECT id, _owner AS product, coalesce(nullif(trim(attributes.warehouseCode), ''),
           list_min([tag[11:] for tag in coalesce(tags, []) if starts_with(tag, 'warehouse:')])) AS warehouse
    FROM devices WHERE coalesce(active, true)
),

-- What was said, and what is wrong with it
told AS (
    SELECT 'count' AS kind, id, subject, time, received_at, coalesce(trim(data.warehouseCode), '') AS warehouse, _owner AS product,
           data.onHandQty AS qty, lower(trim(data.unit)) AS unit, data.confidence AS confidence, data.sequence AS sequence,
           NULL::VARCHAR AS movement
    FROM counts
    UNION ALL
    SELECT 'movement', id, subject, time, received_at, coalesce(trim(data.warehouseCode), ''), _owner, data.deltaQty,
           NULL, NULL, NULL, coalesce(nullif(trim(data.movementId), ''), id)
    FROM movements
),
message AS (
    SELECT t.*, w.shop_code, w.mode, w.jump_pct, w.jump_pieces, least(t.time, t.received_at) AS heard_at,
           CASE WHEN t.warehouse = '' OR t.product = '(none)' THEN 'message'
                WHEN w.code IS NULL THEN 'warehouse'
                WHEN NOT w.is_valid THEN 'config'
                WHEN p.code IS NULL THEN 'product'
                WHEN a.id IS NULL OR a.warehouse <> t.warehouse THEN 'device'
                WHEN t.time > t.received_at + INTERVAL 5 MINUTE THEN 'clock'
                WHEN t.qty IS NULL OR t.qty <> round(t.qty) OR abs(t.qty) > 1000000000 THEN 'message'
                WHEN t.kind = 'movement' THEN NULL
                WHEN t.unit IS DISTINCT FROM lower(p.unit) THEN 'unit'
                WHEN t.qty < 0 THEN 'negative'
                WHEN coalesce(t.confidence < w.min_confidence, true) THEN 'confidence' END AS fault
    FROM told AS t LEFT JOIN warehouse AS w ON w.code = t.warehouse LEFT JOIN product AS p ON p.code = t.product
    LEFT JOIN appliance AS a ON a.id = t.subject
    WHERE coalesce(w.owned_by <> 'shop' AND t.time >= w.since, true)
),
movement AS (
    SELECT * FROM message WHERE kind = 'movement'
    QUALIFY row_number() OVER (PARTITION BY warehouse, product, movement ORDER BY (fault IS NOT NULL), time, id) = 1
),
counted AS (
    SELECT * FROM message WHERE kind = 'count'
    QUALIFY row_number() OVER (PARTITION BY warehouse, product, coalesce(sequence::VARCHAR, strftime(time, 't%Y%m%d%H%M%S%f'))
        ORDER BY (fault IS NOT NULL), time DESC, id DESC) = 1
),

-- Which counts are good
line AS (SELECT * FROM counted WHERE fault IS NULL UNION ALL SELECT * FROM movement WHERE fault IS NULL),
running AS (
    SELECT *, coalesce(sum(CASE WHEN kind = 'movement' THEN qty::BIGINT END) OVER (PARTITION BY warehouse, product ORDER BY time
               RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 0)::BIGINT AS moved
    FROM line
),
placed AS (
    SELECT *, row_number() OVER shelf AS number, lag(qty, 1) OVER shelf AS qty_1, lag(qty, 2) OVER shelf AS qty_2,
           lag(moved, 1) OVER shelf AS moved_1, lag(moved, 2) OVER shelf AS moved_2
    FROM running WHERE kind = 'count' WINDOW shelf AS (PARTITION BY warehouse, product ORDER BY sequence NULLS FIRST, time, id)
),
judged AS (
    SELECT *, qty_1 IS NULL OR len(list_filter([qty_1, qty_1 + moved - moved_1, qty_2, qty_2 + moved - moved_2],
               lambda level: abs(qty - level) <= greatest(jump_pieces, jump_pct * greatest(level, 0) / 100.0))) > 0 AS is_good
    FROM placed
),
last_good AS (
    SELECT warehouse, product, max_by(struct_pack(qty := qty::BIGINT, time, heard_at, moved), number) AS at FROM judged
    WHERE is_good GROUP BY warehouse, product
),
-- The last message about the count, good or not: as long as that is not good, the shelf is held.
newest AS (
    SELECT c.warehouse, c.product, max_by(CASE WHEN c.fault IS NOT NULL THEN c.fault WHEN NOT j.is_good THEN 'jump' ELSE '' END,
               (coalesce(c.sequence, -9223372036854775807), c.time, c.id)) AS fault
    FROM counted AS c LEFT JOIN judged AS j ON j.id = c.id GROUP BY c.warehouse, c.product
),
since_then AS (
    SELECT m.warehouse, m.product, sum(m.qty::BIGINT) FILTER (m.fault IS NULL)::BIGINT AS moved, max(m.heard_at) AS heard_at,
           min_by(coalesce(m.fault, 'jump'), (m.time, m.id)) FILTER (m.fault IS NOT NULL
               OR abs(m.qty) > greatest(m.jump_pieces, m.jump_pct * g.at.qty / 100.0)) AS fault
    FROM movement AS m LEFT JOIN last_good AS g ON (g.warehouse, g.product) = (m.warehouse, m.product)
    WHERE m.mode IS NULL OR m.fault = 'config' OR (m.mode = 'delta' AND coalesce(m.time > g.at.time, true))
    GROUP BY m.warehouse, m.product
),

-- The shelves
shelf AS (
    SELECT s.warehouse, s.product, w.shop_code, w.mode, g.at.qty + CASE WHEN w.mode = 'delta' THEN coalesce(t.moved, 0) ELSE 0 END AS level,
           CASE WHEN w.mode = 'delta' THEN greatest(g.at.heard_at, t.heard_at) ELSE g.at.heard_at END AS heard_at,
           coalesce(nullif(n.fault, ''), t.fault, CASE WHEN g.at IS NULL THEN 'opening' END) AS fault,
           w.mode = 'delta' AND t.fault IS NOT NULL AS is_lost
    FROM (SELECT warehouse, product FROM counted UNION SELECT warehouse, product FROM since_then) AS s
    LEFT JOIN warehouse AS w ON w.code = s.warehouse
    LEFT JOIN last_good AS g ON (g.warehouse, g.product) = (s.warehouse, s.product)
    LEFT JOIN newest AS n ON (n.warehouse, n.product) = (s.warehouse, s.product)
    LEFT JOIN since_then AS t ON (t.warehouse, t.product) = (s.warehouse, s.product)
),
known AS (
    SELECT warehouse, product, CASE WHEN level < 0 THEN coalesce(fault, 'negative') ELSE fault END AS fault,
           CASE WHEN level >= 0 AND NOT is_lost THEN level END AS on_hand, heard_at
    FROM shelf
    UNION ALL
    -- What is no longer among the messages that are kept has been silent for long; it is not forgotten.
    SELECT b.warehouse, b.product, b.fault, b.on_hand, b.heard_at FROM before AS b
    WHERE b.kind = 'held' AND b.warehouse NOT IN (SELECT code FROM warehouse WHERE owned_by = 'shop') AND NOT EXISTS (FROM shelf AS s WHERE (s.warehouse, s.product) = (b.warehouse, b.product))
),
level_of AS (
    SELECT warehouse.code AS shop_code, productCode AS product, max(available) AS available, max(reserved) AS reserved FROM stock GROUP BY ALL
)
SELECT k.product AS owner, 'held' AS kind, 'held|' || k.warehouse || '|' || k.product AS id, k.warehouse, w.shop_code, k.product, NULL::VARCHAR AS device_id,
       k.fault, k.on_hand, k.heard_at, NULL::BIGINT AS sellable, NULL::BIGINT AS expected, w.stale_hours, w.stale_buffer, NULL::BIGINT AS reorder_point,
       NULL::TIMESTAMP AS offline_at, true AS is_current
FROM known AS k LEFT JOIN warehouse AS w ON w.code = k.warehouse
UNION ALL
SELECT k.product, 'stock', 'stock|' || k.warehouse || '|' || k.product, k.warehouse, w.shop_code, k.product, NULL, NULL, k.on_hand, k.heard_at,
       k.on_hand - CASE WHEN w.takes_off_reserved THEN greatest(coalesce(s.reserved, 0), 0) ELSE 0 END - w.safety, NULL, w.stale_hours,
       w.stale_buffer, NULL, NULL, p.code IS NOT NULL AND w.owned_by = 'iot' AND w.is_valid
FROM known AS k JOIN warehouse AS w ON w.code = k.warehouse LEFT JOIN product AS p ON p.code = k.product
LEFT JOIN level_of AS s ON (s.shop_code, s.product) = (w.shop_code, k.product) WHERE k.on_hand IS NOT NULL
UNION ALL
SELECT a.product, 'shelf', 'shelf|' || a.id, a.warehouse, w.shop_code, a.product, a.id, NULL, NULL, NULL, NULL,
       s.available + coalesce(s.reserved, 0) + CASE WHEN w.owned_by = 'iot' THEN w.safety ELSE 0 END, NULL, NULL, w.reorder_point, p.offline_at,
       coalesce(p.is_approved AND w.is_valid, false)
FROM appliance AS a JOIN warehouse AS w ON w.code = a.warehouse LEFT JOIN product AS p ON p.code = a.product
LEFT JOIN level_of AS s ON (s.shop_code, s.product) = (w.shop_code, a.product) WHERE a.product <> '(none)' AND a.id IN (SELECT subject FROM told)
