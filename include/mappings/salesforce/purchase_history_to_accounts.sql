-- S7: what an account has bought, one row per owner (B2B unit, else customer). Read over `orders` and `returns`,
-- each with `_owner`. Every figure is computed in whole cents, so a full recomputation gives the same digits.
--
-- Rules
--   an order counts unless it is CANCELLED; a day is the UTC date of the order
--   kept quantity of a line = quantity - quantities in its return requests that are not CANCELED
--   value of a line = total price * kept / quantity, rounded half up to the cent; delivery cost is not spend
--   an order whose lines all came back still was a purchase: it counts, and adds nothing to the spend
--   amounts are in USD, the org's currency: change it in `rated`. Another currency's line totals are multiplied by the
--   newest rate of the order's day or before (events `currency.rated` of the feed `rates`), rounded half up to the cent;
--   an order without such a rate makes its owner's figures wait in quarantine
--   cross-sell: what the shop's references (CROSSELLING, UPSELLING, ACCESSORIES) propose for products that were bought
--   and kept, without those bought already; first what most of them propose, then by code; five at most
WITH rated AS (
    SELECT data.currency AS currency, CAST(time AS DATE) AS day, CAST(round(data.rate * 100000000) AS BIGINT) AS rate,
           received_at, id
    FROM rates WHERE data.rate > 0
    UNION ALL SELECT 'USD', DATE '1970-01-01', 100000000, NULL, ''
),
-- a day's rate that came later corrects the earlier one
daily AS (
    SELECT currency, day, rate, lead(day) OVER (PARTITION BY currency ORDER BY day) AS until
    FROM (SELECT * FROM rated QUALIFY row_number() OVER (PARTITION BY currency, day ORDER BY received_at DESC, id DESC) = 1)
),
returned AS (
    SELECT r."order".code AS order_code, e.orderEntry.entryNumber AS entry_number, sum(e.expectedQuantity)::BIGINT AS quantity
    FROM returns AS r, unnest(r.returnEntries) AS t(e)
    WHERE r.status.code IS DISTINCT FROM 'CANCELED'
    GROUP BY ALL
),
counting AS (
    SELECT o._owner AS owner, o.code, CAST(o.date AS DATE) AS day, o.entries, d.rate
    FROM orders AS o LEFT JOIN daily AS d ON d.currency = o.currency.isocode AND CAST(o.date AS DATE) >= d.day
        AND (d.until IS NULL OR CAST(o.date AS DATE) < d.until)
    WHERE o.status.code IS DISTINCT FROM 'CANCELLED'
),
lines AS (
    SELECT c.owner, c.code, e.entryNumber AS entry_number, e.quantity AS quantity,
           CASE WHEN c.rate = 100000000 THEN CAST(e.totalPrice * 100 AS BIGINT)
                ELSE ((2 * CAST(e.totalPrice * 100 AS HUGEINT) * coalesce(c.rate, 0) + 100000000) // 200000000)::BIGINT
                END AS total_cents,
           e.product.code AS product,
           coalesce(list_sort(e.product.supercategories)[1].name, 'Other') AS category
    FROM counting AS c, unnest(c.entries) AS t(e)
),
kept AS (
    SELECT l.owner, l.category, l.total_cents, l.product, l.quantity > coalesce(r.quantity, 0) AS is_kept,
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
proposals AS (
    SELECT k.owner, p.target, count(*) AS votes
    FROM (SELECT DISTINCT owner, product FROM kept WHERE is_kept) AS k
    JOIN (SELECT DISTINCT "source".code AS product, target.code AS target FROM proposed
          WHERE active AND referenceType.code IN ('CROSSELLING', 'UPSELLING', 'ACCESSORIES')) AS p ON p.product = k.product
    GROUP BY ALL
),
cross_sell AS (
    SELECT owner, string_agg(target, ', ' ORDER BY place) AS products
    FROM (SELECT c.owner, c.target, row_number() OVER (PARTITION BY c.owner ORDER BY c.votes DESC, c.target) AS place
          FROM proposals AS c ANTI JOIN kept AS k ON k.owner = c.owner AND k.product = c.target AND k.is_kept)
    WHERE place <= 5 GROUP BY owner
),
visits AS (
    SELECT owner, count(*) FILTER (rate IS NULL) AS unconverted, count(*)::BIGINT AS order_count, min(day) AS first_day, max(day) AS last_day,
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
       x.products AS cross_sell, coalesce(v.unconverted, 0)::BIGINT AS unconverted,
       t.category_1, t.share_1::DECIMAL(16, 0) * 0.01 AS share_1,
       t.category_2, t.share_2::DECIMAL(16, 0) * 0.01 AS share_2,
       t.category_3, t.share_3::DECIMAL(16, 0) * 0.01 AS share_3
FROM (SELECT DISTINCT _owner AS owner FROM orders) AS o
LEFT JOIN visits AS v ON v.owner = o.owner
LEFT JOIN spend AS s ON s.owner = o.owner AND v.owner IS NOT NULL
LEFT JOIN gaps AS g ON g.owner = o.owner
LEFT JOIN cross_sell AS x ON x.owner = o.owner
LEFT JOIN top AS t ON t.owner = o.owner
