-- S6: who is about to buy, one row per task. Read over the shop's `carts`, `orders` and `consents`, the storefront's
-- `events`, Salesforce's `contacts`, and the tasks given before (`before`).
--
-- Rules
--   Abandoned cart   entries of at least min_cart, idle for idle_hours (and not for more than stale_days), not saved for
--                    later, no order of that customer since its last change. A cycle ends when what lies in the cart
--                    changes; the next time it lies idle is the next cycle
--   Repeated views   min_views of one product in one week (Monday, UTC); Comparison: min_compares that include it. Only
--                    events that carry consent, of this week and the two days after it; none if it was bought since
--   who              an active customer Salesforce knows by login, who consents there, has not opted out, and consents in
--                    the shop (the last answer to one of the templates counts); anonymous visitors and guests never
--   cap              per customer and week at most weekly_cap new tasks: highest value first, ties by key
--   a task closes    when the customer orders after it arose (the product, for views and comparisons), withdraws consent,
--                    changes, empties, saves or removes the cart, or the shop purges it (no order: expired)
-- The run's time decides, so everything is computed in every run; a task stays known for memory_days after it closed.
WITH rules AS (
    SELECT 4 AS idle_hours, 14 AS stale_days, 10.00 AS min_cart, 3 AS min_views, 2 AS min_compares, 20.00 AS min_product,
           2 AS weekly_cap, 14 AS purge_days, 400 AS memory_days, ['MARKETING_NEWSLETTER'] AS templates,
           'https://shop.example/p/' AS pages, getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS moment
),
-- Whom we may approach
agreed AS (
    SELECT lower(c.customer.uid) AS uid, c.consentWithdrawnDate IS NULL AS is_given
    FROM consents AS c CROSS JOIN rules AS r
    WHERE list_contains(r.templates, c.consentTemplate.id) AND c.consentGivenDate IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY lower(c.customer.uid) ORDER BY c.consentGivenDate DESC, c.code DESC) = 1
),
people AS (
    SELECT lower(c.Commerce_Uid__c) AS uid, c.Commerce_Id__c AS person, c.Account.Commerce_Id__c AS account,
           coalesce(c.Consent_Email__c AND NOT c.HasOptedOutOfEmail AND c.Commerce_Active__c AND a.is_given, false) AS consents
    FROM contacts AS c LEFT JOIN agreed AS a ON a.uid = lower(c.Commerce_Uid__c)
    WHERE lower(c.Commerce_Uid__c) <> 'anonymous'
    QUALIFY row_number() OVER (PARTITION BY lower(c.Commerce_Uid__c) ORDER BY c.Commerce_Id__c) = 1
),
bought AS (
    SELECT p.person, o.code, o.date, list_transform(o.entries, lambda e: e.product.code) AS products
    FROM orders AS o JOIN people AS p ON p.uid = lower(o."user".uid)
),
-- What points to a purchase now
live AS (
    SELECT code, any_value(lower("user".uid)) AS uid, any_value(totalPrice) AS value, any_value(currency.isocode) AS currency,
           any_value(modifiedtime) AS changed_at, any_value(saveTime) IS NOT NULL AS is_saved, coalesce(any_value(len(entries)), 0) AS lines,
           any_value(list_sort(list_transform(entries, lambda e: {'n': e.entryNumber, 'quantity': e.quantity, 'price': e.totalPrice,
               'product': coalesce(e.product.code, '?'), 'name': e.product.name}))) AS items
    FROM carts GROUP BY code
),
lying AS (
    SELECT *, md5(array_to_string(list_sort(list_transform(items, lambda e: concat(e.product, chr(31), e.quantity))), chr(30))) AS content FROM live
),
last_tasks AS (
    SELECT * FROM before WHERE cart_code IS NOT NULL QUALIFY row_number() OVER (PARTITION BY cart_code ORDER BY cycle DESC) = 1
),
idle AS (
    SELECT l.code || '|' || (coalesce(t.cycle, 0) + 1) AS task, 'Abandoned cart' AS signal, p.uid, p.person, l.code AS cart_code,
           coalesce(t.cycle, 0) + 1 AS cycle, l.content, NULL AS product, l.value, l.currency, l.changed_at
    FROM lying AS l JOIN people AS p ON p.uid = l.uid AND p.consents
    CROSS JOIN rules AS r LEFT JOIN last_tasks AS t ON t.cart_code = l.code
    WHERE l.lines > 0 AND NOT l.is_saved AND l.value >= r.min_cart
      AND l.changed_at <= r.moment - to_hours(r.idle_hours) AND l.changed_at > r.moment - to_days(r.stale_days)
      AND (t.task IS NULL OR (l.changed_at > t.changed_at AND l.content <> t.content) OR (t.closed_at IS NOT NULL AND l.changed_at > t.closed_at))
      AND NOT EXISTS (SELECT 1 FROM bought AS b WHERE b.person = p.person AND b.date > l.changed_at)
),
looked AS (
    SELECT e.id, lower(e.data.uid) AS uid, CASE e.type WHEN 'product.viewed' THEN 'Repeated views' ELSE 'Comparison' END AS signal,
           date_trunc('week', e.time) AS week, e.time AS moment, e.data.value AS value, e.data.currency AS currency, e.data.url AS url,
           CASE e.type WHEN 'product.viewed' THEN [e.data.product] ELSE list_distinct(e.data.products) END AS products
    FROM events AS e WHERE e.data.consent
),
interest AS (
    SELECT p.person || '|' || i.product || '|' || i.signal || '|' || strftime(i.week, '%G-W%V') AS task, i.signal, p.uid, p.person, i.product,
           any_value(i.week)::TIMESTAMP AS week, count(*) AS times, min(i.moment) AS since, max(i.moment) AS latest, max(i.value)::DECIMAL(16,2) AS value,
           max(i.currency ORDER BY i.moment, i.id) AS currency, max(i.url) FILTER (i.signal = 'Repeated views' AND i.url LIKE 'http%') AS url,
           list_sort(list_distinct(flatten(list(i.products)))) AS beside
    FROM (SELECT *, unnest(products) AS product FROM looked) AS i JOIN people AS p ON p.uid = i.uid AND p.consents
    WHERE i.product IS NOT NULL GROUP BY ALL
),
interested AS (
    SELECT i.* FROM interest AS i CROSS JOIN rules AS r
    WHERE i.times >= CASE i.signal WHEN 'Comparison' THEN r.min_compares ELSE r.min_views END
      AND coalesce(i.value, r.min_product) >= r.min_product
      AND i.week > r.moment - to_days(9) AND i.task NOT IN (SELECT task FROM before)
      AND NOT EXISTS (SELECT 1 FROM bought AS b WHERE b.person = i.person AND b.date > i.since AND list_contains(b.products, i.product))
),
-- Which of them become tasks
wanted AS (
    SELECT * FROM idle
    UNION ALL SELECT task, signal, uid, person, NULL, NULL, NULL, product, value, currency, since FROM interested
),
chosen AS (
    SELECT w.* FROM wanted AS w CROSS JOIN rules AS r
    LEFT JOIN (SELECT b.person, count(*) AS tasks FROM before AS b CROSS JOIN rules AS r
               WHERE b.opened_at >= date_trunc('week', r.moment) GROUP BY b.person) AS u ON u.person = w.person
    QUALIFY row_number() OVER (PARTITION BY w.person ORDER BY w.value DESC NULLS LAST, w.task) <= any_value(r.weekly_cap - coalesce(u.tasks, 0)) OVER (PARTITION BY w.person)
),
-- What became of those there are
orders_since AS (
    SELECT t.task, min(b.code ORDER BY b.date, b.code) AS code
    FROM before AS t JOIN bought AS b ON b.person = t.person AND b.date > t.changed_at AND (t.product IS NULL OR list_contains(b.products, t.product))
    GROUP BY t.task
),
ended AS (
    SELECT t.*, CASE
        WHEN o.code IS NOT NULL THEN 'Recovered by order ' || o.code
        WHEN NOT coalesce(p.consents, false) THEN 'Consent withdrawn'
        WHEN t.cart_code IS NULL THEN NULL
        WHEN l.code IS NULL AND t.changed_at <= r.moment - to_days(r.purge_days) THEN 'Expired: removed by the shop'
        WHEN l.code IS NULL THEN 'Cart removed'
        WHEN l.lines = 0 THEN 'Cart emptied'
        WHEN l.is_saved THEN 'Cart saved for later'
        WHEN l.content <> t.content THEN 'Cart changed' END AS reason
    FROM before AS t CROSS JOIN rules AS r
    LEFT JOIN people AS p ON p.person = t.person
    LEFT JOIN orders_since AS o ON o.task = t.task
    LEFT JOIN lying AS l ON l.code = t.cart_code
),
tasks AS (
    SELECT uid AS owner, task, signal, person, cart_code, cycle, content, product, value, currency, r.moment AS opened_at, changed_at,
           NULL::TIMESTAMP AS closed_at, NULL::VARCHAR AS close_reason
    FROM chosen CROSS JOIN rules AS r
    UNION ALL
    SELECT e.owner, e.task, e.signal, e.person, e.cart_code, e.cycle, e.content, e.product, e.value, e.currency, e.opened_at, e.changed_at,
           coalesce(e.closed_at, CASE WHEN e.reason IS NOT NULL THEN r.moment END), coalesce(e.close_reason, e.reason)
    FROM ended AS e CROSS JOIN rules AS r
    -- The last task of a cart is known as long as the cart is: its cycles must not begin anew.
    WHERE coalesce(e.closed_at, CASE WHEN e.cart_code IS NULL THEN e.opened_at END, r.moment) > r.moment - to_days(r.memory_days)
       OR e.cart_code IN (SELECT code FROM live)
)
SELECT t.owner, t.task, t.signal, t.person, t.cart_code, t.cycle::INTEGER AS cycle, t.content, t.product, t.value::DECIMAL(16,2) AS value, t.currency,
       t.opened_at, t.changed_at, t.closed_at, t.close_reason, p.account, i.times, l.lines,
       CASE WHEN t.cart_code IS NOT NULL THEN 'In the cart ' || t.cart_code || ' since ' || strftime(t.changed_at, '%Y-%m-%d %H:%M') || ' UTC:' || chr(10)
                || array_to_string(list_transform(l.items, lambda e: concat(e.quantity, ' x ', coalesce(e.name || ' (' || e.product || ')', e.product),
                       ', ' || e.price || ' ' || t.currency)), chr(10))
            WHEN i.task IS NOT NULL THEN concat(i.times, CASE t.signal WHEN 'Comparison' THEN ' comparisons' ELSE ' views' END, ' of ', t.product, ' in the week of ',
                        i.week::DATE, ', last on ', strftime(i.latest, '%Y-%m-%d %H:%M'), ' UTC',
                        '. Compared: ' || CASE WHEN t.signal = 'Comparison' THEN array_to_string(i.beside, ', ') END) END AS story,
       CASE WHEN t.cart_code IS NOT NULL THEN array_to_string(list_transform(l.items, lambda e: r.pages || url_encode(e.product)), chr(10))
            ELSE coalesce(i.url, array_to_string(list_transform(i.beside, lambda e: r.pages || url_encode(e)), chr(10))) END AS links
FROM tasks AS t CROSS JOIN rules AS r
LEFT JOIN people AS p ON p.person = t.person
LEFT JOIN interest AS i ON i.task = t.task AND t.closed_at IS NULL
LEFT JOIN lying AS l ON l.code = t.cart_code AND t.closed_at IS NULL
