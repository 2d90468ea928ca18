-- S5: one row per consignment, with the status that has been reached; the rules of orders_to_orders.sql. The order
-- says whose account it is, so that a shipment follows when the order gets another owner.
WITH stages(status, rank) AS (VALUES
    ('WAITING', 10), ('READY', 20), ('IN_PROCESS', 20), ('PICKPACK', 30), ('READY_FOR_PICKUP', 40),
    ('READY_FOR_SHIPPING', 40), ('SHIPPED', 50), ('IN_TRANSIT', 60), ('DELIVERING', 65), ('DELIVERY_COMPLETED', 70),
    ('DELIVERY_REJECTED', 70), ('PICKUP_COMPLETE', 70), ('CANCELLED', 90),
    ('PAYMENT_NOT_CAPTURED', NULL), ('TAX_NOT_COMMITTED', NULL)
),
told AS (
    SELECT c._owner AS owner, c.code, c."order".code AS order_code, c.status.code AS told, s.status IS NOT NULL AS is_known,
           s.rank AS told_rank, c.modifiedtime AS told_at, b.status AS reached, b.status_at AS reached_at,
           b.rank AS reached_rank, coalesce(o.unit.uid, o."user".customerID) AS account, o.date AS ordered_at,
           c.trackingID AS tracking_id, coalesce(c.carrierDetails.code, c.carrier) AS carrier,
           c.deliveryMode.code AS delivery_mode, c.warehouse.code AS warehouse, c.shippingDate AS shipped_at,
           c.namedDeliveryDate AS promised_at, list_sum([e.quantity for e in c.consignmentEntries])::BIGINT AS quantity,
           list_sum([e.shippedQuantity for e in c.consignmentEntries])::BIGINT AS shipped_quantity
    FROM consignments AS c LEFT JOIN orders AS o ON o.code = c."order".code
    LEFT JOIN stages AS s ON s.status = c.status.code
    LEFT JOIN before AS b ON b.owner = c._owner AND b.code = c.code
),
judged AS (
    SELECT *, CASE WHEN NOT is_known OR told = reached THEN false WHEN reached IS NULL THEN true
                   WHEN told_at < reached_at THEN false WHEN told_rank IS NULL THEN reached_rank < 70
                   ELSE told_rank >= reached_rank END AS moves
    FROM told
)
SELECT owner, code, order_code, account, ordered_at, tracking_id, carrier, delivery_mode, warehouse, shipped_at,
       promised_at, quantity, shipped_quantity,
       CASE WHEN moves THEN told ELSE reached END AS status,
       CASE WHEN moves THEN told_at ELSE reached_at END AS status_at,
       CASE WHEN moves THEN greatest(coalesce(told_rank, 0), coalesce(reached_rank, 0)) ELSE reached_rank END::INTEGER AS rank,
       CASE WHEN told IS NOT NULL AND NOT is_known THEN told END AS unknown_status
FROM judged
