-- S5: one row per return request, with the status that has been reached; the rules of orders_to_orders.sql. What is
-- refunded is what the shop says line by line: less than the lines cost when a return is refunded in part.
WITH stages(status, rank) AS (VALUES
    ('APPROVAL_PENDING', 10), ('APPROVING', 20), ('WAIT', 30), ('RECEIVING', 40), ('RECEIVED', 45),
    ('REVERSING_PAYMENT', 50), ('PAYMENT_REVERSAL_FAILED', 50), ('PAYMENT_REVERSED', 55), ('REVERSING_TAX', 60),
    ('TAX_REVERSAL_FAILED', 60), ('TAX_REVERSED', 65), ('COMPLETED', 70), ('CANCELED', 90), ('CANCELLING', NULL)
),
told AS (
    SELECT r._owner AS owner, r.code, r."order".code AS order_code, r.status.code AS told, s.status IS NOT NULL AS is_known,
           s.rank AS told_rank, r.modifiedtime AS told_at, b.status AS reached, b.status_at AS reached_at,
           b.rank AS reached_rank, coalesce(o.unit.uid, o."user".customerID) AS account, o.date AS ordered_at,
           coalesce(r.currency.isocode, o.currency.isocode) AS currency, r.creationtime AS requested_at,
           array_to_string(list_sort(list_distinct([e.reason.code for e in r.returnEntries if e.reason.code IS NOT NULL])), ', ') AS reasons,
           list_sum([e.amount for e in r.returnEntries])::DECIMAL(18, 2) AS refund,
           list_sum([e.expectedQuantity for e in r.returnEntries])::BIGINT AS quantity,
           list_sum([e.receivedQuantity for e in r.returnEntries])::BIGINT AS received_quantity
    FROM returns AS r LEFT JOIN orders AS o ON o.code = r."order".code
    LEFT JOIN stages AS s ON s.status = r.status.code
    LEFT JOIN before AS b ON b.owner = r._owner AND b.code = r.code
),
judged AS (
    SELECT *, CASE WHEN NOT is_known OR told = reached THEN false WHEN reached IS NULL THEN true
                   WHEN told_at < reached_at THEN false WHEN told_rank IS NULL THEN reached_rank < 70
                   ELSE told_rank >= reached_rank END AS moves
    FROM told
)
SELECT owner, code, order_code, account, ordered_at, currency, requested_at, nullif(reasons, '') AS reasons, refund,
       quantity, received_quantity,
       CASE WHEN moves THEN told ELSE reached END AS status,
       CASE WHEN moves THEN told_at ELSE reached_at END AS status_at,
       CASE WHEN moves THEN greatest(coalesce(told_rank, 0), coalesce(reached_rank, 0)) ELSE reached_rank END::INTEGER AS rank,
       CASE WHEN told IS NOT NULL AND NOT is_known THEN told END AS unknown_status
FROM judged
