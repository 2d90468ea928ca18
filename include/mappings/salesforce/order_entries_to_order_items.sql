-- S5: one row per order line; several rows per order, which is their owner.
--
-- Lines of an order that does not add up, or has another fault the gate of orders_to_orders names, stay as they were
-- last, and so do lines of orders the shop no longer has. A line of quantity 0 was cancelled: it is gone.
-- The product of an order item can never change in Salesforce: a number that gets another product is a new item.
WITH told AS (
    SELECT o._owner AS owner, o.code AS order_code, o.date AS ordered_at, o.entries,
           coalesce(o.unit.uid, o."user".customerID) AS account,
           coalesce(o.totalPrice, 0) - coalesce(o.deliveryCost, 0) - coalesce(o.paymentCost, 0)
               + coalesce(o.totalDiscounts, 0)
               = coalesce(list_sum([e.totalPrice for e in o.entries if e.quantity > 0]), 0)
           AND coalesce(o.totalPrice, 0) >= 0 AND coalesce(o.currency.isocode IN ('EUR', 'GBP', 'USD'), false)
           AND coalesce(o.date >= DATE '2000-01-01', false)
           AND (o.entries IS NULL OR len(list_distinct([e.entryNumber for e in o.entries])) = len(o.entries)) AS is_sound
    FROM orders AS o
),
lines AS (
    SELECT o.owner, o.order_code, o.ordered_at, o.account, e.entryNumber AS entry_number, e.product.code AS product,
           e.quantity AS quantity, e.totalPrice AS total
    FROM told AS o, unnest(o.entries) AS t(e)
    WHERE o.is_sound AND e.quantity > 0
)
SELECT l.*, CASE WHEN b.owner IS NULL THEN 1 WHEN b.product IS NOT DISTINCT FROM l.product THEN b.generation
                 ELSE b.generation + 1 END::INTEGER AS generation
FROM lines AS l LEFT JOIN before AS b ON b.owner = l.owner AND b.entry_number = l.entry_number
UNION ALL BY NAME
SELECT * FROM before WHERE owner NOT IN (SELECT owner FROM told WHERE is_sound)
