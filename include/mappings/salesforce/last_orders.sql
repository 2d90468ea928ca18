-- S5: the newest high-value order of every owner (a B2B unit, a household or a person), and the status it has reached.
--
-- What high value means stands here, per currency; orders in other currencies do not count. The rows of the other
-- high-value orders remember the status they reached, so that it moves forward only, whichever is the newest; the
-- ranks are those of orders_to_orders.sql.
WITH high_value(currency, from_total) AS (VALUES ('EUR', 100.00), ('GBP', 100.00), ('USD', 100.00)),
stages(status, rank) AS (VALUES
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
    SELECT o._owner AS owner, o.code, o.date AS ordered_at, o.status.code AS told, s.status IS NOT NULL AS is_known,
           s.rank AS told_rank, o.modifiedtime AS told_at, b.status AS reached, b.status_at AS reached_at,
           b.rank AS reached_rank
    FROM orders AS o JOIN high_value AS h ON h.currency = o.currency.isocode AND o.totalPrice >= h.from_total
    LEFT JOIN stages AS s ON s.status = o.status.code LEFT JOIN before AS b ON b.code = o.code
    -- An order dated after its own last change has an absurd date, which the gate of orders_to_orders names.
    WHERE o.date BETWEEN DATE '2000-01-01' AND o.modifiedtime + INTERVAL 1 DAY
),
judged AS (
    SELECT *, CASE WHEN NOT is_known OR told = reached THEN false WHEN reached IS NULL THEN true
                   WHEN told_at < reached_at THEN false WHEN told_rank IS NULL THEN reached_rank < 70
                   ELSE told_rank >= reached_rank END AS moves
    FROM told
)
SELECT owner, code, ordered_at, row_number() OVER (PARTITION BY owner ORDER BY ordered_at DESC NULLS LAST, code DESC) = 1 AS is_newest,
       CASE WHEN moves THEN told ELSE reached END AS status,
       CASE WHEN moves THEN told_at ELSE reached_at END AS status_at,
       CASE WHEN moves THEN greatest(coalesce(told_rank, 0), coalesce(reached_rank, 0)) ELSE reached_rank END::INTEGER AS rank
FROM judged
