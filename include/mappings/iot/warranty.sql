-- I5: what warranty and service contract every device has. Rows of three kinds: `device` (one per device), `offer` (a
-- customer belongs into a group of renewals) and `contract` (one that was ordered and of which nobody knows the device).
-- Read over `devices`, `events`, `orders`, `returns`, `customers`, `buyers`, `consents`, `merged`; `before` is what it gave last.
--
-- Rules
--   a device was bought with the order its attribute purchaseOrderCode names (I8 writes it), unless that was cancelled;
--   without such an order it is `unregistered`, which says nothing about its warranty
--   the policy is the one of the day of purchase, for the product if there is one, else for all ('*')
--   warranty begins with the first activation that is no more than `early_days` before the purchase and not after it was
--   received; it ends after `months`, or on the day the hours of running reach `hours`, whichever is first
--   hours of running only grow: a counter that falls was reset or swapped and counts from there, none counts faster than
--   time; windows are read again for 60 days, what was counted before them is remembered
--   a contract begins with its order, a further one for the same device when the one before ends; a piece that was
--   returned or cancelled ends it. Its device is the one whose attribute contractId names it (a person may set that),
--   else that of its order, piece by piece, else the only one of its holder (unit, else customer); an order may be two
--   weeks ahead of its device
--   covered by neither is `review`, not a denial: that takes a person (leg warranty_denials_to_shop)
--   held, with what stood before: ambiguous (two devices with one serial number, two owners, some of several returned),
--   mismatch (serial number or product is not what was activated or bought), clock (no activation on a plausible day),
--   no_policy, no_serial, policy (the policies below contradict themselves); dormant: not activated yet
--   offers go to who agreed to marketing: cover ends within 60 days, 90 % of the hours are used, or it ended within 90 days
WITH RECURSIVE
-- Policies. A version is never edited: end it with sold_until and add the next.
policies(version, product, sold_from, sold_until, months, hours, early_days, approved_by) AS (
    VALUES ('2024-1', '*', DATE '2000-01-01', DATE '2025-12-31', 24, 8000, 14, 'service management'),
           ('2026-1', '*', DATE '2026-01-01', DATE '9999-12-31', 36, 12000, 14, 'service management'),
           ('2026-1', 'x9', DATE '2026-01-01', DATE '9999-12-31', 24, 2000, 14, 'service management')
),
terms(sku, level, months) AS (VALUES ('care-basic', 'basic', 12), ('care-plus', 'plus', 24), ('care-full', 'full', 36)),
unsound AS (
    SELECT p.version FROM policies AS p JOIN policies AS q ON q.product = p.product AND p.sold_from <= q.sold_until AND q.sold_from <= p.sold_until
    GROUP BY p.version, p.product, p.sold_from HAVING count(*) > 1
    UNION ALL
    SELECT version FROM policies WHERE NOT coalesce(sold_from <= sold_until AND months BETWEEN 1 AND 120 AND hours BETWEEN 1 AND 200000
        AND early_days BETWEEN 0 AND 90 AND length(trim(approved_by)) > 0, false)
    UNION ALL
    SELECT sku FROM terms GROUP BY sku HAVING count(*) > 1 OR NOT coalesce(min(months) BETWEEN 1 AND 120, false)
),
run AS (
    SELECT getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS at, (getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC')::DATE AS today
),

-- Who bought what
alias AS (SELECT lost, min("now") AS kept FROM merged WHERE "now" IS NOT NULL GROUP BY lost),
bought AS (
    SELECT o.code, o.date::DATE AS on_day, nullif(trim(o.unit.uid), '') AS unit, o.entries,
           CASE WHEN contains(n.id, '@') THEN 'h-' || left(sha256(lower(n.id)), 24) ELSE n.id END AS customer_id
    FROM orders AS o LEFT JOIN alias AS a ON a.lost = trim(o."user".customerID)
    CROSS JOIN LATERAL (SELECT nullif(coalesce(a.kept, trim(o."user".customerID)), '') AS id) AS n
    WHERE o.status.code IS DISTINCT FROM 'CANCELLED'
),
sent_back AS (
    SELECT r."order".code AS order_code, e.orderEntry.entryNumber AS number, sum(coalesce(nullif(e.receivedQuantity, 0), e.expectedQuantity, 1)) AS pieces
    FROM returns AS r, UNNEST(r.returnEntries) AS u(e)
    WHERE r.status.code NOT IN ('APPROVAL_PENDING', 'APPROVING', 'WAIT', 'RECEIVING', 'CANCELLING', 'CANCELED')
    GROUP BY 1, 2
),
entry AS (
    SELECT b.code AS order_code, b.on_day, coalesce(b.unit, b.customer_id) AS holder, e.entryNumber AS number, e.product.code AS sku,
           e.quantity, coalesce(s.pieces, 0) AS returned
    FROM (SELECT code, on_day, unit, customer_id, unnest(entries) AS e FROM bought) AS b
    LEFT JOIN sent_back AS s ON s.order_code = b.code AND s.number = e.entryNumber
),
line AS (SELECT order_code, sku, sum(quantity) AS quantity, sum(returned) AS returned FROM entry GROUP BY order_code, sku),

-- Devices
appliance AS (
    SELECT d.id AS device_id, upper(nullif(trim(d.serial), '')) AS own_serial, nullif(trim(d.attributes.productCode), '') AS product,
           coalesce(a.kept, nullif(trim(d.attributes.customerRef), '')) AS customer_ref, nullif(trim(d.attributes.contractId), '') AS contract_id,
           TRY_CAST(d.attributes.activationDate AS DATE) AS activated_on, b.code AS order_code, b.on_day AS bought_on,
           b.customer_id, coalesce(b.unit, b.customer_id) AS holder
    FROM devices AS d LEFT JOIN alias AS a ON a.lost = trim(d.attributes.customerRef)
    LEFT JOIN bought AS b ON b.code = trim(d.attributes.purchaseOrderCode)
    WHERE coalesce(d.active, true)
),
said AS (
    SELECT e.subject AS device_id, upper(nullif(trim(e.data.serialNumber), '')) AS serial, nullif(trim(e.data.productCode), '') AS product,
           TRY_CAST(left(e.data.activationDate, 10) AS DATE) AS on_day, e.received_at::DATE AS received_on, e.time, e.id
    FROM events AS e WHERE e.type = 'device.activated'
),
latest AS (
    SELECT device_id, max_by(serial, (time, id)) AS serial, max_by(product, (time, id)) AS product FROM said GROUP BY device_id
),
ruled AS (
    SELECT a.device_id, p.version, p.months, p.hours, p.early_days
    FROM appliance AS a JOIN policies AS p ON p.product IN (a.product, '*') AND a.bought_on BETWEEN p.sold_from AND p.sold_until
    QUALIFY row_number() OVER (PARTITION BY a.device_id ORDER BY (p.product = '*'), p.version DESC) = 1
),
begun AS (
    SELECT a.device_id, count(*) AS words, min(w.on_day) FILTER (w.on_day BETWEEN greatest(DATE '2000-01-01', a.bought_on - coalesce(r.early_days, 14))
               AND w.received_on + 1) AS activated_on
    FROM appliance AS a LEFT JOIN ruled AS r ON r.device_id = a.device_id JOIN (
        SELECT device_id, on_day, received_on FROM said
        UNION ALL
        SELECT x.device_id, x.activated_on, run.today FROM appliance AS x CROSS JOIN run WHERE x.activated_on IS NOT NULL) AS w
    ON w.device_id = a.device_id GROUP BY a.device_id
),
named AS (
    SELECT a.*, coalesce(a.own_serial, l.serial) AS serial, l.serial AS said_serial, l.product AS said_product, b.activated_on AS begins_on,
           coalesce(b.words, 0) AS words, r.version, r.months, r.hours
    FROM appliance AS a LEFT JOIN latest AS l ON l.device_id = a.device_id LEFT JOIN begun AS b ON b.device_id = a.device_id
    LEFT JOIN ruled AS r ON r.device_id = a.device_id
),
counted AS (
    SELECT n.*, count(*) OVER (PARTITION BY n.serial) AS twins, count(*) OVER (PARTITION BY n.order_code, n.product) AS siblings,
           coalesce(l.quantity, 0) AS pieces, coalesce(l.returned, 0) AS returned
    FROM named AS n LEFT JOIN line AS l ON l.order_code = n.order_code AND l.sku = n.product
),
judged AS (
    SELECT *, CASE WHEN EXISTS (FROM unsound) THEN 'policy'
                   WHEN words = 0 THEN 'dormant'
                   WHEN serial IS NULL THEN 'no_serial'
                   WHEN twins > 1 OR customer_ref <> customer_id OR (returned > 0 AND returned < siblings) THEN 'ambiguous'
                   WHEN said_serial <> serial OR said_product <> product OR (order_code IS NOT NULL AND pieces = 0) THEN 'mismatch'
                   WHEN order_code IS NULL THEN 'unregistered'
                   WHEN version IS NULL THEN 'no_policy'
                   WHEN begins_on IS NULL THEN 'clock'
                   WHEN returned > 0 THEN 'returned'
                   ELSE 'good' END AS finding
    FROM counted
),

-- Hours of running, in minutes
prior AS (SELECT device_id, settled_at, settled_minutes, settled_total, crossed_on, policy_version FROM before WHERE kind = 'device'),
reading AS (
    SELECT e.subject AS device_id, e.data.windowEnd AS ends, (e.data.runtimeHoursTotal * 60)::BIGINT AS total
    FROM events AS e
    WHERE e.type = 'usage.summary' AND e.data.runtimeHoursTotal BETWEEN 0 AND 1000000 AND e.data.windowEnd <= e.received_at + INTERVAL 5 MINUTE
    QUALIFY row_number() OVER (PARTITION BY e.subject, e.data.windowEnd ORDER BY e.time DESC, e.id DESC) = 1
),
stepped AS (
    SELECT r.device_id, r.ends, r.total, coalesce(p.settled_minutes, 0) AS settled,
           coalesce(lag(r.total) OVER in_time, p.settled_total, 0) AS total_before,
           coalesce(lag(r.ends) OVER in_time, p.settled_at, j.begins_on::TIMESTAMP) AS ended_before
    FROM reading AS r JOIN judged AS j ON j.device_id = r.device_id LEFT JOIN prior AS p ON p.device_id = r.device_id
    WHERE r.ends > coalesce(p.settled_at, j.begins_on::TIMESTAMP)
    WINDOW in_time AS (PARTITION BY r.device_id ORDER BY r.ends)
),
grown AS (
    SELECT device_id, ends, total, settled + sum(least(CASE WHEN total >= total_before THEN total - total_before ELSE total END,
               date_diff('minute', ended_before, ends))) OVER (PARTITION BY device_id ORDER BY ends) AS minutes
    FROM stepped
),
ran AS (
    SELECT g.device_id, max(g.minutes)::BIGINT AS minutes, min(g.ends::DATE) FILTER (g.minutes >= j.hours * 60) AS crossed_on,
           max_by(struct_pack(ends := g.ends, minutes := g.minutes::BIGINT, total := g.total), g.ends) FILTER (g.ends <= run.at - INTERVAL 60 DAY) AS settled
    FROM grown AS g JOIN judged AS j ON j.device_id = g.device_id CROSS JOIN run GROUP BY g.device_id
),

-- Warranty
warranted AS (
    SELECT j.*, coalesce(r.settled.ends, p.settled_at) AS settled_at, coalesce(r.settled.minutes, p.settled_minutes) AS settled_minutes,
           coalesce(r.settled.total, p.settled_total) AS settled_total, coalesce(r.minutes, p.settled_minutes, 0) AS minutes,
           CASE WHEN p.settled_minutes >= j.hours * 60 THEN CASE WHEN p.policy_version = j.version THEN coalesce(p.crossed_on, p.settled_at::DATE)
                ELSE p.settled_at::DATE END ELSE r.crossed_on END AS crossed_on,
           (j.begins_on + to_months(j.months))::DATE AS months_end
    FROM judged AS j LEFT JOIN ran AS r ON r.device_id = j.device_id LEFT JOIN prior AS p ON p.device_id = j.device_id
),

-- Contracts
piece AS (
    SELECT e.order_code || '-' || e.number || CASE WHEN e.quantity > 1 THEN '.' || i ELSE '' END AS contract_id,
           e.order_code, e.on_day, e.holder, t.level, t.months, e.quantity, i
    FROM (SELECT *, unnest(generate_series(1, least(quantity, 1000))) AS i FROM entry) AS e JOIN terms AS t ON t.sku = e.sku
    WHERE i <= e.quantity - e.returned
),
able AS (
    SELECT device_id, serial, holder, order_code, contract_id, count(*) OVER (PARTITION BY holder) AS of_holder,
           count(*) OVER (PARTITION BY order_code) AS of_order, row_number() OVER (PARTITION BY order_code ORDER BY serial, device_id) AS place
    FROM judged
    WHERE finding = 'good' OR (finding = 'dormant' AND twins = 1 AND pieces > 0 AND customer_ref IS NOT DISTINCT FROM customer_id)
),
matched AS (
    SELECT p.*, coalesce(named_by.device_id, same.device_id, sole.device_id) AS device_id
    FROM piece AS p
    LEFT JOIN (SELECT contract_id, min(device_id) AS device_id FROM able WHERE contract_id IS NOT NULL GROUP BY contract_id HAVING count(*) = 1) AS named_by
        ON named_by.contract_id = p.contract_id
    LEFT JOIN able AS same ON same.order_code = p.order_code AND same.of_order = p.quantity AND same.place = p.i
    LEFT JOIN able AS sole ON sole.holder = p.holder AND sole.of_holder = 1
),
numbered AS (
    SELECT *, row_number() OVER (PARTITION BY device_id ORDER BY on_day, contract_id) AS number FROM matched WHERE device_id IS NOT NULL
),
chain(device_id, number, contract_id, level, starts, ends) AS (
    SELECT device_id, number, contract_id, level, on_day, (on_day + to_months(months))::DATE FROM numbered WHERE number = 1
    UNION ALL
    SELECT n.device_id, n.number, n.contract_id, n.level, greatest(n.on_day, c.ends), (greatest(n.on_day, c.ends) + to_months(n.months))::DATE
    FROM chain AS c JOIN numbered AS n ON n.device_id = c.device_id AND n.number = c.number + 1
),
contracted AS (
    SELECT c.device_id, coalesce(min_by(struct_pack(id := contract_id, level := level, ends := ends, number := number), number) FILTER (ends >= run.today),
               max_by(struct_pack(id := contract_id, level := level, ends := ends, number := number), number)) AS now_in_force, max(ends) AS last_end
    FROM chain AS c CROSS JOIN run GROUP BY c.device_id
),

-- What follows
covered AS (
    SELECT w.*, least(w.months_end, w.crossed_on) AS warranty_end, CASE WHEN w.crossed_on < w.months_end THEN 'usage' ELSE 'date' END AS limited_by,
           c.now_in_force AS contract, c.last_end
    FROM warranted AS w LEFT JOIN contracted AS c ON c.device_id = w.device_id
),
stood AS (
    SELECT c.*, CASE WHEN c.finding <> 'good' THEN c.finding WHEN run.today <= c.warranty_end THEN 'in_warranty'
                     WHEN run.today <= c.contract.ends THEN 'in_contract' ELSE 'review' END AS status,
           c.finding IN ('good', 'returned', 'unregistered') AS is_clear, greatest(c.warranty_end, c.last_end) AS cover_end
    FROM covered AS c CROSS JOIN run
),
decided AS (
    SELECT *, serial || '|' || version || '|' || strftime(CASE status WHEN 'review' THEN cover_end + 1 WHEN 'in_contract' THEN warranty_end + 1
               ELSE begins_on END, '%Y-%m-%d') AS decision_id
    FROM stood
),
trouble AS (
    SELECT e.subject AS device_id, count(DISTINCT coalesce(nullif(trim(e.data.faultInstanceId), ''), e.id)) AS faults
    FROM events AS e CROSS JOIN run
    WHERE e.type = 'device.fault' AND lower(coalesce(e.data.faultState, 'raised')) <> 'cleared' AND e.time > run.at - INTERVAL 90 DAY AND e.time <= run.at
    GROUP BY e.subject
),

-- Offers
person AS (
    SELECT CASE WHEN contains(customerID, '@') THEN 'h-' || left(sha256(lower(trim(customerID))), 24) ELSE trim(customerID) END AS customer_id,
           max_by(uid, (modifiedtime, uid)) AS uid, max_by(may_log_in, (modifiedtime, uid)) AS may_log_in FROM (
        SELECT customerID, uid, modifiedtime, NOT coalesce(loginDisabled, false) AS may_log_in FROM customers
        UNION ALL
        SELECT customerID, uid, modifiedtime, coalesce(active, true) AND NOT coalesce(loginDisabled, false) FROM buyers)
    WHERE customerID IS NOT NULL GROUP BY 1
),
willing AS (
    SELECT uid FROM (
        SELECT customer.uid AS uid, consentGivenDate IS NOT NULL AND consentWithdrawnDate IS NULL AS is_given
        FROM consents WHERE upper(consentTemplate.id) LIKE '%MARKETING%'
        QUALIFY row_number() OVER (PARTITION BY customer.uid, consentTemplate.id
            ORDER BY greatest(consentGivenDate, consentWithdrawnDate) DESC NULLS LAST, code DESC) = 1)
    GROUP BY uid HAVING bool_and(is_given)
),
ending AS (
    SELECT DISTINCT d.customer_id, CASE WHEN d.last_end IS NULL THEN 'warranty' ELSE 'contract' END AS grp
    FROM decided AS d CROSS JOIN run
    WHERE d.finding = 'good' AND (d.cover_end BETWEEN run.today - 90 AND run.today + 60
          OR (d.last_end IS NULL AND d.status = 'in_warranty' AND d.minutes * 10 >= d.hours * 60 * 9))
),
offered AS (
    SELECT e.customer_id, e.grp, p.uid FROM ending AS e JOIN person AS p ON p.customer_id = e.customer_id
    WHERE p.may_log_in AND p.uid IN (SELECT uid FROM willing)
),
withdrawn AS (
    SELECT b.customer_id, b.grp FROM before AS b WHERE b.kind = 'offer' AND NOT EXISTS (
        FROM offered AS o WHERE o.customer_id = b.customer_id AND o.grp = b.grp)
)
SELECT d.device_id AS owner, 'device' AS kind, d.device_id AS id, d.device_id, d.serial, d.product, d.customer_id, d.order_code, d.status, NULL::VARCHAR AS grp,
       NULL::VARCHAR AS uid, false AS is_wanted,
       CASE WHEN d.is_clear THEN d.status ELSE b.standing END AS standing,
       CASE WHEN d.is_clear THEN d.decision_id ELSE b.decision_id END AS decision_id,
       CASE WHEN d.finding = 'good' THEN d.begins_on END AS activated_on,
       CASE WHEN d.finding = 'good' THEN d.warranty_end WHEN NOT d.is_clear THEN b.warranty_end END AS warranty_end,
       CASE WHEN d.finding = 'good' THEN d.limited_by END AS limited_by,
       CASE WHEN d.finding IN ('good', 'returned') THEN d.version END AS policy_version,
       CASE WHEN d.finding IN ('good', 'dormant') THEN d.contract.id WHEN NOT d.is_clear THEN b.contract_id END AS contract_id,
       CASE WHEN d.finding IN ('good', 'dormant') THEN d.contract.level WHEN NOT d.is_clear THEN b.contract_level END AS contract_level,
       CASE WHEN d.finding IN ('good', 'dormant') THEN d.contract.ends WHEN NOT d.is_clear THEN b.contract_end END AS contract_end,
       CASE WHEN d.finding = 'good' THEN d.contract.number::INTEGER END AS contract_version,
       coalesce(t.faults, 0)::INTEGER AS fault_count, (d.minutes // 6000 * 100)::INTEGER AS runtime_hours,
       d.settled_at, d.settled_minutes, d.settled_total, d.crossed_on
FROM decided AS d LEFT JOIN before AS b ON b.kind = 'device' AND b.device_id = d.device_id LEFT JOIN trouble AS t ON t.device_id = d.device_id
UNION ALL BY NAME
SELECT customer_id AS owner, 'offer' AS kind, 'offer|' || grp || '|' || customer_id AS id, customer_id, grp, uid, true AS is_wanted FROM offered
UNION ALL BY NAME
SELECT customer_id AS owner, 'offer' AS kind, 'offer|' || grp || '|' || customer_id AS id, customer_id, grp, false AS is_wanted FROM withdrawn
UNION ALL BY NAME
SELECT '' AS owner, 'contract' AS kind, 'contract|' || contract_id AS id, contract_id, level AS contract_level
FROM matched CROSS JOIN run WHERE device_id IS NULL AND on_day + to_months(months) >= run.today
  AND (on_day <= run.today - 14 OR holder IN (SELECT holder FROM able))
