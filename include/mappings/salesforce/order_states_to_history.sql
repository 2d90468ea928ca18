-- S5: every status an order, a shipment or a return was seen in, one row each, in the order they were seen. Their order
-- owns them all. The shop knows only the present one: earlier rows come from `before` and never change or go.
--
-- A new row is written when the status is neither that of the newest row nor the one that stands (the newest row that
-- was not late), or when what was late has come true. It is late when it is lower than a rank reached before, or older
-- than the newest row. The ranks are those of orders_to_orders.sql, consignments_to_shipments.sql and
-- return_requests_to_returns.sql; a status without one, a pause or an unknown one, is late from 70 on.
WITH stages(kind, status, rank) AS (VALUES
    ('Order', 'CREATED', 10), ('Order', 'PENDING_QUOTE', 10), ('Order', 'PENDING_APPROVAL', 10),
    ('Order', 'ON_VALIDATION', 10), ('Order', 'APPROVED', 20), ('Order', 'CHECKED_VALID', 20),
    ('Order', 'CHECKED_INVALID', 20), ('Order', 'FRAUD_CHECKED', 20), ('Order', 'PAYMENT_AUTHORIZED', 30),
    ('Order', 'PAYMENT_NOT_AUTHORIZED', 30), ('Order', 'OPEN', 40), ('Order', 'ORDER_SPLIT', 40), ('Order', 'READY', 40),
    ('Order', 'PAYMENT_CAPTURED', 50), ('Order', 'PAYMENT_NOT_CAPTURED', 50), ('Order', 'TAX_NOT_COMMITTED', 50),
    ('Order', 'COMPLETED', 70), ('Order', 'REJECTED', 70), ('Order', 'CANCELLED', 90),
    ('Shipment', 'WAITING', 10), ('Shipment', 'READY', 20), ('Shipment', 'IN_PROCESS', 20), ('Shipment', 'PICKPACK', 30),
    ('Shipment', 'READY_FOR_PICKUP', 40), ('Shipment', 'READY_FOR_SHIPPING', 40), ('Shipment', 'SHIPPED', 50),
    ('Shipment', 'IN_TRANSIT', 60), ('Shipment', 'DELIVERING', 65), ('Shipment', 'DELIVERY_COMPLETED', 70),
    ('Shipment', 'DELIVERY_REJECTED', 70), ('Shipment', 'PICKUP_COMPLETE', 70), ('Shipment', 'CANCELLED', 90),
    ('Return', 'APPROVAL_PENDING', 10), ('Return', 'APPROVING', 20), ('Return', 'WAIT', 30), ('Return', 'RECEIVING', 40),
    ('Return', 'RECEIVED', 45), ('Return', 'REVERSING_PAYMENT', 50), ('Return', 'PAYMENT_REVERSAL_FAILED', 50),
    ('Return', 'PAYMENT_REVERSED', 55), ('Return', 'REVERSING_TAX', 60), ('Return', 'TAX_REVERSAL_FAILED', 60),
    ('Return', 'TAX_REVERSED', 65), ('Return', 'COMPLETED', 70), ('Return', 'CANCELED', 90)
),
told AS (
    SELECT _owner AS owner, 'Order' AS kind, code, status.code AS status, modifiedtime AS occurred_at FROM orders
    UNION ALL SELECT _owner, 'Shipment', code, status.code, modifiedtime FROM consignments
    UNION ALL SELECT _owner, 'Return', code, status.code, modifiedtime FROM returns
),
newest AS (
    SELECT owner, kind, code, arg_max(status, place) AS status, arg_max(status, place) FILTER (NOT late) AS standing,
           arg_max(late, place) AS late, max(occurred_at) AS occurred_at, max(rank) AS rank, max(place) AS place
    FROM before GROUP BY owner, kind, code
),
judged AS (
    SELECT t.*, s.rank, n.status AS newest, n.standing, n.late AS was_late, (coalesce(n.place, 0) + 1)::INTEGER AS place,
           coalesce(t.occurred_at < n.occurred_at OR coalesce(s.rank, 69) < n.rank, false) AS late
    FROM told AS t LEFT JOIN newest AS n ON n.owner = t.owner AND n.kind = t.kind AND n.code = t.code
    LEFT JOIN stages AS s ON s.kind = t.kind AND s.status = t.status
),
seen AS (
    SELECT owner, kind, code, status, occurred_at, rank, late, place,
           (SELECT count(*) + 1 FROM before AS b
            WHERE b.owner = j.owner AND b.kind = j.kind AND b.code = j.code AND b.status = j.status)::INTEGER AS times
    FROM judged AS j
    WHERE status IS NOT NULL AND status IS DISTINCT FROM standing
          AND (status IS DISTINCT FROM newest OR (was_late AND NOT late))
),
history AS (
    SELECT owner, kind, code, status, occurred_at, rank, late, place, times, NULL AS account, NULL AS ordered_at FROM seen
    UNION ALL SELECT owner, kind, code, status, occurred_at, rank, late, place, times, account, ordered_at FROM before
)
SELECT h.* REPLACE (coalesce(o.unit.uid, o."user".customerID, CASE WHEN o.code IS NULL THEN h.account END) AS account,
                    coalesce(o.date, h.ordered_at) AS ordered_at)
FROM history AS h LEFT JOIN orders AS o ON o._owner = h.owner
