-- S5: one row per order, with the status that has been reached.
--
-- A status moves forward only: to a rank that is as high or higher. A pause has no rank and can be entered from every
-- rank below 70 and left to the rank that was reached. CANCELLED has the highest rank: reachable from everywhere, left
-- for nothing. A status that is older than the reached one, or lower, stands in the history (order_states_to_history).
WITH stages(status, rank) AS (VALUES
    ('CREATED', 10), ('PENDING_QUOTE', 10), ('PENDING_APPROVAL', 10), ('ON_VALIDATION', 10),
    ('APPROVED', 20), ('CHECKED_VALID', 20), ('CHECKED_INVALID', 20), ('FRAUD_CHECKED', 20),
    ('PAYMENT_AUTHORIZED', 30), ('PAYMENT_NOT_AUTHORIZED', 30),
    ('OPEN', 40), ('ORDER_SPLIT', 40), ('READY', 40),
    ('PAYMENT_CAPTURED', 50), ('PAYMENT_NOT_CAPTURED', 50), ('TAX_NOT_COMMITTED', 50),
    ('COMPLETED', 70), ('REJECTED', 70), ('CANCELLED', 90),
    ('ON_HOLD', NULL), ('SUSPENDED', NULL), ('WAIT_FRAUD_MANUAL_CHECK', NULL), ('PROCESSING_ERROR', NULL),
    ('CANCELLING', NULL)
),
told AS (
    SELECT o._owner AS owner, o.code, o.status.code AS told, s.status IS NOT NULL AS is_known, s.rank AS told_rank,
           o.modifiedtime AS told_at, b.status AS reached, b.status_at AS reached_at, b.rank AS reached_rank,
           coalesce(o.unit.uid, o."user".customerID) AS account, o.date AS ordered_at, o.currency.isocode AS currency,
           o.deliveryMode.code AS delivery_mode, coalesce(o.totalPrice, 0) AS total,
           coalesce(o.deliveryCost, 0) AS delivery_cost, coalesce(o.paymentCost, 0) AS payment_cost,
           coalesce(o.totalDiscounts, 0) AS discounts, [e.entryNumber for e in o.entries] AS numbers,
           coalesce(list_sum([e.totalPrice for e in o.entries if e.quantity > 0]), 0) AS lines_total
    FROM orders AS o LEFT JOIN stages AS s ON s.status = o.status.code LEFT JOIN before AS b ON b.owner = o._owner
),
judged AS (
    SELECT *, CASE WHEN NOT is_known OR told = reached THEN false WHEN reached IS NULL THEN true
                   WHEN told_at < reached_at THEN false WHEN told_rank IS NULL THEN reached_rank < 70
                   ELSE told_rank >= reached_rank END AS moves
    FROM told
)
SELECT owner, code, account, ordered_at, currency, delivery_mode, total, delivery_cost, payment_cost, discounts,
       -- Without a number of its own a line cannot be told from the others: no sum, so the gate keeps the order.
       CASE WHEN len(list_distinct(numbers)) = coalesce(len(numbers), 0) OR numbers IS NULL
            THEN lines_total::DECIMAL(18, 2) END AS lines_total,
       CASE WHEN moves THEN told ELSE reached END AS status,
       CASE WHEN moves THEN told_at ELSE reached_at END AS status_at,
       CASE WHEN moves THEN greatest(coalesce(told_rank, 0), coalesce(reached_rank, 0)) ELSE reached_rank END::INTEGER AS rank,
       CASE WHEN told IS NOT NULL AND NOT is_known THEN told END AS unknown_status
FROM judged
