-- S4: what went wrong with an order, one row per order and kind. Read over the shop's `orders`, `shipments`, `returns`
-- and `payments`, Salesforce's `contacts`, `accounts` and `known_orders`, and what was given last time (`before`).
--
-- Rules
--   Delayed         something that has a promised day has not left; late from promised + grace_days + 1 on, which the
--                   mapping decides, because time alone makes an order late
--   Cancelled       the order is CANCELLED
--   Returned        a return request is neither COMPLETED nor CANCELED
--   Payment Failed  the last entry of charging (while the order is not cancelled) or of refunding was refused
--   instance        counts on when an exception comes back after it was over, or when the promise moves to a day that
--                   had not passed: then the old case closes and a new one may follow
--   is_history      what was over horizon_days old when first seen, measured by the newest change there is, becomes no
--                   case: the first run would open one for every order ever cancelled
--   free text       loses the words of the customer's name and addresses, e-mail addresses and long numbers
-- A day is a UTC date. All lists are ordered by unique keys.
WITH rules AS (SELECT 1 AS grace_days, 60 AS horizon_days),
newest AS (
    SELECT max(moment) AS moment FROM (
        SELECT max(modifiedtime) AS moment FROM orders UNION ALL SELECT max(modifiedtime) FROM shipments
        UNION ALL SELECT max(modifiedtime) FROM returns UNION ALL SELECT max(modifiedtime) FROM payments)
),
-- Exceptions
waiting AS (
    SELECT "order".code AS code, shipments.code AS part, namedDeliveryDate AS promised, modifiedtime
    FROM shipments
    WHERE coalesce(status.code, '') NOT IN ('READY_FOR_PICKUP', 'SHIPPED', 'IN_TRANSIT', 'DELIVERING', 'PICKUP_COMPLETE',
                                            'DELIVERY_COMPLETED', 'DELIVERY_REJECTED', 'CANCELLED')
    UNION ALL
    SELECT code, NULL, NULL, modifiedtime FROM orders
    WHERE code NOT IN (SELECT "order".code FROM shipments WHERE "order".code IS NOT NULL)
),
delayed AS (
    SELECT o.code, 'Delayed' AS kind,
           min(CAST(coalesce(w.promised, list_min(list_transform(o.entries, lambda e: e.namedDeliveryDate))) AS DATE)) AS promised,
           greatest(max(w.modifiedtime), max(o.modifiedtime)) AS changed_at
    FROM orders AS o JOIN waiting AS w ON w.code = o.code
    WHERE coalesce(o.status.code, '') NOT IN ('CANCELLED', 'CANCELLING', 'COMPLETED')
    GROUP BY o.code
),
attempts AS (
    SELECT p."order".code AS code, p.code AS payment, e.code AS entry, e.type.code AS type, e.amount, e.currency.isocode AS currency,
           e.time, e.transactionStatus AS status, e.transactionStatusDetails AS details,
           CASE WHEN e.type.code LIKE 'REFUND%' THEN 'refund' WHEN e.type.code <> 'CANCEL' THEN 'charge' END AS family
    FROM payments AS p, unnest(p.entries) AS t(e)
),
last_attempts AS (
    SELECT *, status IN ('REJECTED', 'ERROR') AS is_refused
    FROM attempts WHERE family IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY code, family ORDER BY time DESC NULLS LAST, payment DESC, entry DESC) = 1
),
unpaid AS (
    SELECT o.code, max(a.type || ' ' || a.status ORDER BY a.family) FILTER (a.is_refused) AS status, max(a.time) AS happened_at
    FROM orders AS o LEFT JOIN last_attempts AS a ON a.code = o.code
    GROUP BY o.code, o.status.code
    HAVING bool_or(a.is_refused AND (a.family = 'refund' OR o.status.code IS DISTINCT FROM 'CANCELLED'))
        OR (count(*) FILTER (a.family = 'charge') = 0 AND o.status.code IN ('PAYMENT_NOT_AUTHORIZED', 'PAYMENT_NOT_CAPTURED'))
),
returned AS (
    SELECT r."order".code AS code, max(r.modifiedtime) AS happened_at, string_agg(r.code, ', ' ORDER BY r.code) AS codes,
           bool_or(coalesce(r.status.code, '') LIKE '%REVERSAL_FAILED') AS is_stuck,
           array_to_string(list_sort(list_distinct(flatten(list(list_transform(r.returnEntries, lambda e: e.reason.code))))), ', ') AS reasons
    FROM returns AS r WHERE coalesce(r.status.code, '') NOT IN ('COMPLETED', 'CANCELED')
    GROUP BY r."order".code
),
found AS (
    -- A day nobody can have promised is no history: the gate has to see it.
    SELECT code, kind, promised, changed_at, CASE WHEN promised < DATE '2000-01-01' THEN changed_at ELSE promised END AS happened_at
    FROM delayed WHERE promised IS NOT NULL
    UNION ALL SELECT code, 'Cancelled', NULL, modifiedtime, modifiedtime FROM orders WHERE status.code = 'CANCELLED'
    UNION ALL SELECT code, 'Returned', NULL, happened_at, happened_at FROM returned WHERE code IN (SELECT code FROM orders)
    UNION ALL SELECT u.code, 'Payment Failed', NULL, o.modifiedtime, coalesce(u.happened_at, o.modifiedtime)
              FROM unpaid AS u JOIN orders AS o ON o.code = u.code
),
-- What they were and what they are
followed AS (
    SELECT coalesce(f.code, b.order_code) AS code, coalesce(f.kind, b.kind) AS kind, b.owner AS was_owner, f.code IS NOT NULL AS is_active,
           f.promised, f.happened_at, b.instance AS was_instance, b.is_history AS was_history,
           b.instance IS NULL OR (f.code IS NOT NULL AND (NOT b.is_active
               OR coalesce(f.promised > b.promised AND f.promised + r.grace_days >= CAST(f.changed_at AS DATE), false))) AS is_new
    FROM found AS f FULL JOIN before AS b ON b.order_code = f.code AND b.kind = f.kind CROSS JOIN rules AS r
),
states AS (
    SELECT f.code, f.kind, f.was_owner, f.is_active, f.promised, f.promised + r.grace_days + 1 AS late_from,
           (coalesce(f.was_instance, 0) + f.is_new::INTEGER)::INTEGER AS instance,
           CASE WHEN f.is_new THEN f.happened_at < n.moment - to_days(r.horizon_days) ELSE f.was_history END AS is_history
    FROM followed AS f CROSS JOIN rules AS r CROSS JOIN newest AS n
),
live AS (SELECT * FROM orders WHERE code IN (SELECT code FROM states WHERE is_active AND NOT is_history)),
-- Free text
persons AS (
    SELECT code, list_concat(
               regexp_split_to_array(concat_ws(' ', "user".name, deliveryAddress.firstname, deliveryAddress.lastname,
                                               paymentAddress.firstname, paymentAddress.lastname), '[^\pL\pM\pN]+'),
               ["user".uid, deliveryAddress.company, deliveryAddress.streetname, deliveryAddress.postalcode, deliveryAddress.town,
                deliveryAddress.phone1, deliveryAddress.cellphone, deliveryAddress.email, paymentAddress.company,
                paymentAddress.streetname, paymentAddress.postalcode, paymentAddress.town, paymentAddress.phone1,
                paymentAddress.cellphone, paymentAddress.email]) AS words
    FROM live
),
patterns AS (
    SELECT code, string_agg(regexp_escape(word), '|' ORDER BY length(word) DESC, word) FILTER (is_long) AS long_words,
           string_agg(regexp_escape(word), '|' ORDER BY length(word) DESC, word) FILTER (NOT is_long) AS short_words
    FROM (SELECT DISTINCT code, trim(word) AS word, length(trim(word)) > 3 OR NOT regexp_full_match(trim(word), '[ -~]*') AS is_long
          FROM persons, unnest(words) AS t(word) WHERE length(trim(word)) > 1)
    GROUP BY code
),
texts AS (
    SELECT code, '' AS place, statusInfo AS text FROM live WHERE statusInfo IS NOT NULL
    UNION ALL SELECT code, payment || '/' || coalesce(entry, ''), details FROM attempts
              WHERE details IS NOT NULL AND code IN (SELECT code FROM live)
),
-- Numbers first: a word that is part of one would leave the rest of it behind.
numberless AS (
    SELECT t.code, t.place, p.long_words, p.short_words,
           regexp_replace(regexp_replace(t.text, '[^\s@<>"]+@[^\s@<>",;]+', '***', 'g'), '\+?(?:\pN[ ()./-]{0,2}){6,}\pN', '***', 'g') AS text
    FROM texts AS t LEFT JOIN patterns AS p ON p.code = t.code
),
nameless AS (
    SELECT code, place, short_words, coalesce(regexp_replace(text, '(?i)(?:' || long_words || ')', '***', 'g'), text) AS text FROM numberless
),
masked AS (
    SELECT code, place, any_value(coalesce(regexp_replace(text, '(?i)(^|[^\pL\pN])(?:' || short_words || ')(?:[^\pL\pN*]+(?:'
               || short_words || '))*($|[^\pL\pN])', '\1***\2', 'g'), text)) AS text
    FROM nameless GROUP BY code, place
),
-- What a person reads
lines AS (
    SELECT l.code, string_agg(format('{}: {} x {}', e.entryNumber, e.quantity, coalesce(e.product.code, '?'))
               || coalesce(' ' || e.product.name, '') || coalesce(', ' || e.totalPrice || ' ' || l.currency.isocode, ''),
               chr(10) ORDER BY e.entryNumber) AS text
    FROM live AS l, unnest(l.entries) AS t(e) GROUP BY l.code
),
sent AS (
    SELECT "order".code AS code, string_agg(concat_ws(', ', 'Shipment ' || shipments.code || ' ' || coalesce(status.code, 'without a status'),
               'promised for ' || CAST(namedDeliveryDate AS DATE), 'sent ' || CAST(shippingDate AS DATE)), chr(10) ORDER BY shipments.code) AS text
    FROM shipments WHERE "order".code IN (SELECT code FROM live) GROUP BY ALL
),
given_back AS (
    SELECT r."order".code AS code, string_agg(concat_ws(' ', 'Return', r.code, coalesce(r.status.code, 'without a status'))
               || concat(': ' || array_to_string(list_sort(list_transform(r.returnEntries, lambda e: concat_ws(' ', e.expectedQuantity, 'of line',
                    e.orderEntry.entryNumber, '(' || e.reason.code || ')'))), ', ')), chr(10) ORDER BY r.code) AS text
    FROM returns AS r WHERE r."order".code IN (SELECT code FROM live) GROUP BY ALL
),
paid AS (
    SELECT a.code, string_agg(concat_ws(' ', strftime(a.time, '%Y-%m-%d %H:%M'), a.type, a.amount, a.currency, a.status)
               || coalesce(': ' || m.text, ''), chr(10) ORDER BY a.time NULLS FIRST, a.payment, a.entry) AS text
    FROM attempts AS a LEFT JOIN masked AS m ON m.code = a.code AND m.place = a.payment || '/' || coalesce(a.entry, '')
    WHERE a.code IN (SELECT code FROM live) GROUP BY a.code
),
read AS (
    SELECT l.code, l._owner AS owner, l.totalPrice AS total, l.currency.isocode AS currency, n.text AS order_lines,
           concat_ws(chr(10), 'Order ' || l.code || ' of ' || strftime(l.date, '%Y-%m-%d %H:%M') || ' UTC, status '
                     || coalesce(l.status.code, 'unknown') || ', ' || coalesce(len(l.entries), 0) || ' lines, total '
                     || coalesce(l.totalPrice || ' ' || l.currency.isocode, 'unknown'), 'The shop notes: ' || m.text,
                     s.text, g.text, 'Payments:' || chr(10) || p.text) AS story,
           c.Commerce_Id__c AS contact, a.Commerce_Id__c AS account, k.Commerce_Id__c AS known_order
    FROM live AS l
    LEFT JOIN lines AS n ON n.code = l.code
    LEFT JOIN masked AS m ON m.code = l.code AND m.place = ''
    LEFT JOIN sent AS s ON s.code = l.code
    LEFT JOIN given_back AS g ON g.code = l.code
    LEFT JOIN paid AS p ON p.code = l.code
    LEFT JOIN (SELECT DISTINCT Commerce_Id__c FROM contacts) AS c ON c.Commerce_Id__c = l."user".customerID
    LEFT JOIN (SELECT DISTINCT Commerce_Id__c FROM accounts) AS a ON a.Commerce_Id__c = coalesce(l.unit.uid, l."user".customerID)
    LEFT JOIN (SELECT DISTINCT Commerce_Id__c FROM known_orders) AS k ON k.Commerce_Id__c = l.code
)
SELECT coalesce(o._owner, s.was_owner, '#' || s.code) AS owner, s.code AS order_code, s.kind, s.instance, s.is_active, s.is_history, s.promised,
       s.late_from, r.total, r.currency, r.contact, r.account, r.known_order, r.order_lines, r.story,
       CASE WHEN s.kind = 'Returned' THEN b.codes END AS return_codes,
       CASE WHEN s.kind = 'Returned' THEN nullif(b.reasons, '') END AS return_reason,
       CASE WHEN s.kind = 'Payment Failed' THEN u.status END AS payment_status,
       coalesce(b.is_stuck AND s.kind = 'Returned', false) AS is_stuck
FROM states AS s
LEFT JOIN orders AS o ON o.code = s.code
LEFT JOIN read AS r ON r.code = s.code
LEFT JOIN returned AS b ON b.code = s.code
LEFT JOIN unpaid AS u ON u.code = s.code
