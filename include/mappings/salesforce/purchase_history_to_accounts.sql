-- S7: what an account has bought, one row per owner (B2B unit, else customer). Read over `orders` and `returns`,
-- each with `_owner`. Every figure is computed in whole cents, so a full recomputation gives the same digits.
--
-- Rules
--   an order counts unless it is CANCELLED; a day is the UTC date of the order
--   kept quantity of a line = quantity - quantities in its return requests that are not CANCELED
--   value of a line = total price * kept / quantity, rounded half up to the cent; delivery cost is not spend
--   an order whose lines all came back still was a purchase: it counts, and adds nothing to the spend
WITH returned AS (
    SELECT r."order".code AS order_code, e.orderEntry.entryNumber AS entry_number, sum(e.expectedQuantity)::BIGINT AS quantity
    FROM returns AS r, unnest(r.returnEntries) AS t(e)
    WHERE r.status.code IS DISTINCT FROM 'CANCELED'
    GROUP BY ALL
),
counting AS (
    SELECT _owner AS owner, code, CAST(date AS DATE) AS day, entries
    FROM orders WHERE status.code IS DISTINCT FROM 'CANCELLED'
),
lines AS (
    SELECT c.owner, c.code, e.entryNumber AS entry_number, e.quantity AS quantity,
           CAST(e.totalPrice * 100 AS BIGINT) AS total_cents,
           coalesce(list_sort(e.product.supercategories)[1].name, 'Other') AS category
    FROM counting AS c, unnest(c.entries) AS t(e)
),
kept AS (
    SELECT l.owner, l.category, l.total_cents,
           CASE WHEN l.quantity > 0
                THEN (2 * l.total_cents::HUGEINT * greatest(l.quantity - coalesce(r.quantity, 0), 0) + l.quantity) // (2 * l.quantity)
                ELSE 0 END AS kept_cents
    FROM lines AS l LEFT JOIN returned AS r ON r.order_code = l.code AND r.entry_number = l.entry_number
),
spend AS (
    SELECT owner, sum(kept_cents)::HUGEINT AS spend_cents, sum(total_cents)::HUGEINT AS total_cents FROM kept GROUP BY owner
),
-- share of the spend, in hundredths of a percent; ties by name
ranked AS (
    SELECT k.owner, k.category, (2 * sum(k.kept_cents)::HUGEINT * 10000 + any_value(s.spend_cents)) // (2 * any_value(s.spend_cents)) AS share,
           row_number() OVER (PARTITION BY k.owner ORDER BY sum(k.kept_cents) DESC, k.category) AS place
    FROM kept AS k JOIN spend AS s ON s.owner = k.owner
    WHERE s.spend_cents > 0
    GROUP BY k.owner, k.category HAVING sum(k.kept_cents) > 0
),
top AS (
    SELECT owner,
           any_value(category) FILTER (place = 1) AS category_1, any_value(share) FILTER (place = 1) AS share_1,
           any_value(category) FILTER (place = 2) AS category_2, any_value(share) FILTER (place = 2) AS share_2,
           any_value(category) FILTER (place = 3) AS category_3, any_value(share) FILTER (place = 3) AS share_3
    FROM ranked WHERE place <= 3 GROUP BY owner
),
-- days between consecutive purchase days; two orders on one day are one purchase day
gaps AS (
    SELECT owner, median(gap)::DECIMAL(9, 1) AS median_days
    FROM (SELECT owner, day - lag(day) OVER (PARTITION BY owner ORDER BY day) AS gap
          FROM (SELECT DISTINCT owner, day FROM counting)) GROUP BY owner
),
visits AS (
    SELECT owner, count(*)::BIGINT AS order_count, min(day) AS first_day, max(day) AS last_day,
           (max(day) - min(day) + 1)::BIGINT AS days
    FROM counting GROUP BY owner
)
SELECT o.owner,
       coalesce(v.order_count, 0)::BIGINT AS order_count,
       coalesce(s.spend_cents, 0)::DECIMAL(16, 0) * 0.01 AS lifetime_spend,
       ((2 * coalesce(s.spend_cents, 0)::HUGEINT + v.order_count) // (2 * v.order_count))::DECIMAL(16, 0) * 0.01 AS average_order,
       CASE WHEN v.owner IS NOT NULL THEN coalesce(s.total_cents - s.spend_cents, 0)::DECIMAL(16, 0) * 0.01 END AS returned_amount,
       v.first_day, v.last_day,
       -- a month has 30.4375 days; less than a month counts as one
       (CASE WHEN v.days * 10000 <= 304375 THEN v.order_count * 100
             ELSE (2 * v.order_count::HUGEINT * 30437500 + v.days * 10000) // (2 * v.days * 10000) END)::DECIMAL(16, 0) * 0.01 AS purchases_per_month,
       g.median_days,
       v.last_day + floor(g.median_days + 0.5)::INTEGER AS expected_next,
       t.category_1, t.share_1::DECIMAL(16, 0) * 0.01 AS share_1,
       t.category_2, t.share_2::DECIMAL(16, 0) * 0.01 AS share_2,
       t.category_3, t.share_3::DECIMAL(16, 0) * 0.01 AS share_3
FROM (SELECT DISTINCT _owner AS owner FROM orders) AS o
LEFT JOIN visits AS v ON v.owner = o.owner
LEFT JOIN spend AS s ON s.owner = o.owner AND v.owner IS NOT NULL
LEFT JOIN gaps AS g ON g.owner = o.owner
LEFT JOIN top AS t ON t.owner = o.owner
