-- I2: what trackers say of parcels. Rows of three kinds: `consignment` (its status and the day it is to come), `held`
-- (a message nobody can use), `tracker` (the order a device travels with).
-- Read over `messages` and `consignments`; all belong to an order, so a consignment of another order is an unknown one.
--
-- Rules
--   the furthest status that was ever said counts, in whatever order messages come; the shop's status only ever moves
--   forward on the map below, a cancelled or delivered consignment never again
--   a status the shop cannot ship from (payment, tax) is the shop's affair and left alone
--   the day it comes is what was said last at the furthest status; without a readable day it stays as it is
--   messages of an unknown status, of a clock more than five minutes ahead or without codes change nothing; the last
--   message of a consignment being one of these is shown
WITH
-- What devices say -> the shop's ConsignmentStatus; version 1.
words(said, status) AS (VALUES
    ('PICKED', 'PICKPACK'), ('PACKED', 'PICKPACK'), ('READY_FOR_PICKUP', 'READY_FOR_PICKUP'),
    ('READY_FOR_SHIPPING', 'READY_FOR_SHIPPING'), ('SHIPPED', 'SHIPPED'), ('IN_TRANSIT', 'IN_TRANSIT'),
    ('OUT_FOR_DELIVERY', 'DELIVERING'), ('DELIVERING', 'DELIVERING'), ('DELIVERED', 'DELIVERY_COMPLETED'),
    ('DELIVERY_REJECTED', 'DELIVERY_REJECTED'), ('PICKED_UP', 'PICKUP_COMPLETE')
),
stages(status, rank) AS (VALUES
    ('WAITING', 10), ('READY', 20), ('IN_PROCESS', 20), ('PICKPACK', 30), ('READY_FOR_PICKUP', 40),
    ('READY_FOR_SHIPPING', 40), ('SHIPPED', 50), ('IN_TRANSIT', 60), ('DELIVERING', 65), ('DELIVERY_COMPLETED', 70),
    ('DELIVERY_REJECTED', 70), ('PICKUP_COMPLETE', 70), ('CANCELLED', 90)
),
message AS (
    SELECT m.id, m.subject, m.time, m.received_at, m._owner AS order_code, trim(m.data.consignmentCode) AS code,
           g.status, g.rank, TRY_CAST(m.data.eta AS DATE) AS eta,
           CASE WHEN m._owner = '(none)' OR coalesce(trim(m.data.consignmentCode), '') = '' THEN 'codes'
                WHEN m.time > m.received_at + INTERVAL 5 MINUTE THEN 'clock'
                WHEN g.status IS NULL THEN 'status' END AS fault
    FROM messages AS m LEFT JOIN words AS w ON w.said = upper(trim(m.data.status)) LEFT JOIN stages AS g ON g.status = w.status
),
said AS (
    SELECT order_code, code, max_by(status, (rank, time, id)) AS status, max(rank) AS rank,
           max_by(eta, (rank, time, id)) FILTER (eta IS NOT NULL) AS eta, min(received_at) AS heard_at,
           max(time) AS last_at, max_by(subject, (time, id)) AS device_id
    FROM message WHERE fault IS NULL GROUP BY order_code, code
),
newest AS (
    SELECT order_code, coalesce(code, '') AS code, max_by(coalesce(fault, ''), (time, id)) AS fault FROM message GROUP BY ALL
),
shown AS (
    SELECT c._owner AS order_code, c.code, c.status.code AS status, CAST(c.namedDeliveryDate AS DATE) AS eta,
           CASE WHEN c.status.code IS NULL THEN 0 ELSE g.rank END AS rank
    FROM consignments AS c LEFT JOIN stages AS g ON g.status = c.status.code
),
judged AS (
    SELECT s.*, c.code IS NOT NULL AS is_known, c.rank AS shop_rank,
           CASE WHEN s.rank > c.rank OR c.code IS NULL THEN s.status ELSE c.status END AS new_status,
           coalesce(c.rank < 70 AND (s.rank > c.rank OR (s.rank = c.rank AND s.eta IS DISTINCT FROM c.eta AND s.eta IS NOT NULL)), false) AS moves
    FROM said AS s LEFT JOIN shown AS c ON (c.order_code, c.code) = (s.order_code, s.code)
)
SELECT order_code AS owner, 'consignment' AS kind, 'consignment|' || order_code || '|' || code AS id, code, order_code, new_status AS status, eta,
       NULL::VARCHAR AS fault, NULL::VARCHAR AS device_id, heard_at, last_at, is_known, moves
FROM judged
UNION ALL
SELECT order_code, 'held', 'held|' || order_code || '|' || code, code, order_code, NULL, NULL, fault, NULL, NULL, NULL, true, true
FROM newest WHERE fault <> ''
UNION ALL
SELECT order_code, 'tracker', 'tracker|' || device_id || '|' || order_code, NULL, order_code, NULL, NULL, NULL, device_id, NULL, max(last_at), true,
       bool_or(is_known AND coalesce(greatest(rank, shop_rank) < 70, false))
FROM judged GROUP BY order_code, device_id
