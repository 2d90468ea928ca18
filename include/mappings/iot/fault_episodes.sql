-- I1 and I6: what follows from the faults of devices. Rows of three kinds: `offer` (a person belongs into a group, I1),
-- `cart` (a saved cart is prepared, I6), `unknown` (a fault nobody approved a remedy for, or of a device nobody knows).
-- Read over `devices`, `events`, `products`, `product_references`, `stock`, `customers`, `buyers`, `consents`, `orders`.
--
-- Rules
--   an episode is a device and a fault instance, however many messages it has, in whatever order they come; where
--   instances have no id it is the fault code and the day of the first raise since the last clear
--   the last message decides, a clear wins a tie; a raise that was cleared less than an hour before has to last an hour
--   to count, any other 5 minutes; nothing heard for 90 days is nothing
--   low health is an episode from the second reading in a row below 60 on, until one of 70 or more
--   a remedy is a line of the table below with an approver and a confidence of at least 0.75; it fits when the shop
--   refers from the device's product to the part, and firmware and serial number are in its range
--   a part has to be approved, on sale and in stock (or sold beyond it), else its successors are tried (FOLLOWUP)
--   no such part, or one for a technician: service; the same fault again within 90 days of buying the part for it: a
--   person looks at it; bought while the fault lasts: it is served
--   the customer is the device's, else the first active buyer of its unit; offers need the word of the customer on
--   marketing; of one customer the first three offers of a calendar week count
WITH RECURSIVE
run AS (SELECT getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS at),
-- The fault tree, version 3. part NULL: any part that the shop refers to by that kind.
remedies(fault_code, reference, part, confidence, safety, quantity, firmware_from, serial_from, serial_to, approved_by) AS (
    VALUES ('E17', 'CONSUMABLE', NULL::VARCHAR, 0.95, 'anyone', 1, NULL, NULL::VARCHAR, NULL::VARCHAR, 'service engineering'),
           ('E33', 'SPAREPART', NULL, 0.90, 'anyone', 1, '2.0', NULL, NULL, 'service engineering'),
           ('E09', 'SPAREPART', NULL, 0.85, 'anyone', 1, NULL, NULL, NULL, 'service engineering'),
           ('E12', 'SPAREPART', NULL, 0.80, 'anyone', 1, NULL, NULL, NULL, 'service engineering'),
           ('E04', 'SPAREPART', NULL, 0.90, 'technician', 1, NULL, NULL, NULL, 'service engineering'),
           ('E21', 'SPAREPART', NULL, 0.95, 'technician', 1, NULL, NULL, NULL, 'product safety'),
           ('E40', 'SPAREPART', NULL, 0.50, 'anyone', 1, NULL, NULL, NULL, 'service engineering'),
           ('E41', 'SPAREPART', NULL, 0.90, 'anyone', 1, NULL, NULL, NULL, NULL),
           ('HEALTH', 'UPSELLING', NULL, 0.80, 'offer only', 1, NULL, NULL, NULL, 'product management')
),
remedy AS (SELECT * FROM remedies WHERE approved_by IS NOT NULL AND confidence >= 0.75),

-- Episodes
said AS (
    SELECT e.subject AS device_id, upper(trim(e.data.faultCode)) AS code, nullif(trim(e.data.faultInstanceId), '') AS given,
           lower(coalesce(e.data.faultState, 'raised')) = 'cleared' AS is_clear, lower(e.data.severity) AS severity, e.time, e.id
    FROM events AS e CROSS JOIN run
    WHERE e.type = 'device.fault' AND nullif(trim(e.data.faultCode), '') IS NOT NULL
      AND e.time > run.at - INTERVAL 90 DAY AND e.time <= least(run.at, e.received_at) + INTERVAL 5 MINUTE
),
island AS (
    SELECT *, coalesce(sum(is_clear::INTEGER) OVER (PARTITION BY device_id, code ORDER BY time, is_clear, id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS number
    FROM said WHERE given IS NULL
),
message AS (
    SELECT device_id, code, is_clear, severity, time, id, given AS instance FROM said WHERE given IS NOT NULL
    UNION ALL
    SELECT device_id, code, is_clear, severity, time, id, code || '@' || strftime(min(time) FILTER (NOT is_clear)
        OVER (PARTITION BY device_id, code, number), '%Y-%m-%d')
    FROM island
),
cleared AS (
    SELECT *, max(time) FILTER (is_clear) OVER (PARTITION BY device_id, instance) AS cleared_at FROM message
    WHERE instance IS NOT NULL
),
fault AS (
    SELECT device_id, instance, min_by(code, (time, id)) AS code, min(time) AS raised_at,
           min(time) FILTER (cleared_at IS NULL OR time > cleared_at) AS since, any_value(cleared_at) AS cleared_at,
           max_by(severity, (time, id)) AS severity
    FROM cleared WHERE NOT is_clear GROUP BY device_id, instance
),
level AS (
    SELECT e.subject AS device_id, e.time, e.id, e.data.healthScore AS score,
           count(*) FILTER (e.data.healthScore >= 70) OVER (PARTITION BY e.subject ORDER BY e.time, e.id) AS number
    FROM events AS e CROSS JOIN run
    WHERE e.type = 'device.health' AND e.data.healthScore BETWEEN 0 AND 100
      AND e.time > run.at - INTERVAL 90 DAY AND e.time <= least(run.at, e.received_at) + INTERVAL 5 MINUTE
),
weak AS (
    SELECT device_id, number, count(*) AS readings, min(time) AS first_at, list(time ORDER BY time, id)[2] AS raised_at
    FROM level WHERE score < 60 GROUP BY device_id, number
),
episode AS (
    SELECT device_id, instance, code, severity, raised_at, since, cleared_at FROM fault
    UNION ALL
    SELECT w.device_id, 'health@' || strftime(w.raised_at, '%Y-%m-%dT%H:%M:%S'), 'HEALTH', 'medium', w.raised_at,
           CASE WHEN w.number = l.number THEN w.raised_at END,
           CASE WHEN w.number <> l.number THEN w.raised_at + INTERVAL 1 HOUR END
    FROM weak AS w JOIN (SELECT device_id, max(number) AS number FROM level GROUP BY device_id) AS l ON l.device_id = w.device_id
    WHERE w.readings >= 2
),
held AS (
    SELECT e.*, max(cleared_at) OVER (PARTITION BY device_id, code ORDER BY raised_at
               RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING) AS cleared_before
    FROM episode AS e
),
lasting AS (
    SELECT h.*, CASE WHEN cleared_before > raised_at - INTERVAL 1 HOUR OR cleared_at > since - INTERVAL 1 HOUR
                     THEN INTERVAL 1 HOUR ELSE INTERVAL 5 MINUTE END AS hold
    FROM held AS h
),

-- What the shop has
shown AS (
    SELECT p.code, coalesce(approvalStatus.code = 'approved' AND coalesce(onlineDate <= run.at, true)
           AND coalesce(offlineDate > run.at, true), false) AS is_on_sale
    FROM products AS p CROSS JOIN run
    QUALIFY row_number() OVER (PARTITION BY p.code ORDER BY (catalogVersion.version = 'Online') DESC, integrationKey) = 1
),
stocked AS (
    SELECT productCode AS code, bool_or(coalesce(inStockStatus.code, '') <> 'FORCEOUTOFSTOCK' AND (inStockStatus.code = 'FORCEINSTOCK'
           OR coalesce(available, 0) - coalesce(reserved, 0) + coalesce(overSelling, 0) > 0)) AS is_there
    FROM stock GROUP BY productCode
),
sellable AS (SELECT s.code FROM shown AS s JOIN stocked AS t ON t.code = s.code WHERE s.is_on_sale AND t.is_there),
link AS (
    SELECT DISTINCT "source".code AS product, "target".code AS part, referenceType.code AS kind, max(quantity) OVER (
        PARTITION BY "source".code, "target".code, referenceType.code) AS quantity
    FROM product_references WHERE coalesce(active, true) AND "source".code <> "target".code
),
-- the depth ends loops
chain(first_part, code, depth) AS (
    SELECT DISTINCT part, part, 0 FROM link WHERE kind IN (SELECT reference FROM remedy)
    UNION
    SELECT c.first_part, l.part, c.depth + 1 FROM chain AS c JOIN link AS l ON l.product = c.code AND l.kind = 'FOLLOWUP' WHERE c.depth < 8
),
supplied AS (
    SELECT c.first_part, min_by(c.code, (c.depth, c.code)) AS part FROM chain AS c JOIN sellable AS s ON s.code = c.code
    GROUP BY c.first_part
),

-- Whose device it is
person AS (
    SELECT customerID AS customer_id, uid, NULL::VARCHAR AS unit FROM customers WHERE NOT coalesce(loginDisabled, false)
    UNION ALL
    SELECT customerID, uid, defaultB2BUnit.uid FROM buyers WHERE coalesce(active, true) AND NOT coalesce(loginDisabled, false)
),
contact AS (SELECT unit, min_by(uid, (customer_id, uid)) AS uid FROM person WHERE unit IS NOT NULL GROUP BY unit),
known_as AS (SELECT customer_id, min(uid) AS uid FROM person WHERE customer_id IS NOT NULL GROUP BY customer_id),
willing AS (
    SELECT uid FROM (
        SELECT customer.uid AS uid, consentGivenDate IS NOT NULL AND consentWithdrawnDate IS NULL AS is_given
        FROM consents WHERE upper(consentTemplate.id) LIKE '%MARKETING%'
        QUALIFY row_number() OVER (PARTITION BY customer.uid, consentTemplate.id
            ORDER BY greatest(consentGivenDate, consentWithdrawnDate) DESC NULLS LAST, code DESC) = 1)
    GROUP BY uid HAVING bool_and(is_given)
),
appliance AS (
    SELECT d.id AS device_id, nullif(trim(d.attributes.productCode), '') AS product, d.serial,
           nullif(trim(d.attributes.firmware), '') AS firmware,
           coalesce(k.uid, c.uid) AS uid, nullif(d.attributes.customerRef, '') AS customer_id, nullif(d.attributes.b2bUnit, '') AS unit
    FROM devices AS d LEFT JOIN known_as AS k ON k.customer_id = d.attributes.customerRef
    LEFT JOIN contact AS c ON c.unit = d.attributes.b2bUnit WHERE coalesce(d.active, true)
),
bought AS (
    SELECT DISTINCT o."user".customerID AS customer_id, o.unit.uid AS unit, o.date AS at, unnest([e.product.code for e in o.entries]) AS part
    FROM orders AS o WHERE o.status.code IS DISTINCT FROM 'CANCELLED'
),

-- What follows
fitting AS (
    SELECT l.device_id, l.instance, r.safety, r.confidence, r.reference, k.part AS first_part, coalesce(s.part, k.part) AS part,
           s.part IS NOT NULL AS is_sellable, coalesce(k.quantity, r.quantity) AS quantity
    FROM lasting AS l JOIN remedy AS r ON r.fault_code = l.code JOIN appliance AS a ON a.device_id = l.device_id
    JOIN link AS k ON k.product = a.product AND k.kind = r.reference AND (r.part IS NULL OR r.part = k.part)
    LEFT JOIN supplied AS s ON s.first_part = k.part
    WHERE (r.firmware_from IS NULL OR a.firmware IS NULL OR (coalesce(TRY_CAST(split_part(a.firmware, '.', 1) AS BIGINT), 0) * 1000000
           + coalesce(TRY_CAST(split_part(a.firmware, '.', 2) AS BIGINT), 0) * 1000 + coalesce(TRY_CAST(split_part(a.firmware, '.', 3) AS BIGINT), 0)) >= (coalesce(TRY_CAST(split_part(r.firmware_from, '.', 1) AS BIGINT), 0) * 1000000
           + coalesce(TRY_CAST(split_part(r.firmware_from, '.', 2) AS BIGINT), 0) * 1000 + coalesce(TRY_CAST(split_part(r.firmware_from, '.', 3) AS BIGINT), 0)))
      AND (r.serial_from IS NULL OR a.serial >= r.serial_from) AND (r.serial_to IS NULL OR a.serial <= r.serial_to)
),
best AS (
    SELECT device_id, instance, min_by(struct_pack(safety, part, is_sellable, quantity),
               (NOT is_sellable, -confidence, first_part, reference)) AS fit,
           list_distinct(list(first_part) || list(part)) AS parts
    FROM fitting GROUP BY device_id, instance
),
bought_for AS (
    SELECT l.device_id, l.instance, bool_or(b.at >= l.raised_at) AS is_served,
           bool_or(b.at < l.raised_at AND b.at > l.raised_at - INTERVAL 90 DAY AND p.raised_at IS NOT NULL) AS is_back
    FROM lasting AS l JOIN appliance AS a ON a.device_id = l.device_id
    JOIN best AS f ON (f.device_id, f.instance) = (l.device_id, l.instance)
    JOIN bought AS b ON (b.customer_id = a.customer_id OR b.unit = a.unit) AND list_contains(f.parts, b.part)
    LEFT JOIN lasting AS p ON p.device_id = l.device_id AND p.code = l.code AND p.raised_at < l.raised_at AND p.raised_at <= b.at
    GROUP BY l.device_id, l.instance
),
judged AS (
    SELECT l.*, a.uid, a.product, a.device_id IS NOT NULL AS is_known_device, l.code IN (SELECT fault_code FROM remedy) AS is_known,
           f.fit.part AS part, f.fit.quantity AS quantity, f.fit.safety AS safety,
           CASE WHEN coalesce(b.is_back, false) THEN 'escalation'
                WHEN coalesce(f.fit.is_sellable, false) AND f.fit.safety <> 'technician' THEN 'part' ELSE 'service' END AS route,
           l.since IS NOT NULL AND l.since <= run.at - l.hold AND NOT (coalesce(b.is_served, false) AND NOT coalesce(b.is_back, false)) AS is_open,
           coalesce(CASE WHEN l.since IS NULL THEN l.cleared_at END, run.at) - l.raised_at >= INTERVAL 5 MINUTE AS has_lasted
    FROM lasting AS l CROSS JOIN run LEFT JOIN appliance AS a ON a.device_id = l.device_id
    LEFT JOIN best AS f ON (f.device_id, f.instance) = (l.device_id, l.instance)
    LEFT JOIN bought_for AS b ON (b.device_id, b.instance) = (l.device_id, l.instance)
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY uid, route, has_lasted, date_trunc('week', raised_at) ORDER BY raised_at, device_id, instance) AS place
    FROM judged
),
allowed AS (
    SELECT *, CASE WHEN route = 'part' THEN 'iot-offer-' || part ELSE 'iot-' || route END AS grp,
           is_open AND uid IS NOT NULL AND (route <> 'part' OR (place <= 3 AND uid IN (SELECT uid FROM willing))) AS is_offered,
           is_open AND uid IS NOT NULL AND route = 'part' AND safety = 'anyone' AND severity IN ('medium', 'high', 'critical') AS is_prepared
    FROM ranked WHERE is_known AND is_known_device
)
SELECT coalesce(uid, '') AS owner, 'offer' AS kind, 'offer|' || grp || '|' || uid AS id, grp, uid, NULL::VARCHAR AS device_id, NULL::VARCHAR AS instance,
       min(code) AS fault_code, min(part) AS part, NULL::BIGINT AS quantity, NULL::VARCHAR AS product,
       bool_or(is_offered) AS is_wanted, true AS is_known
FROM allowed WHERE uid IS NOT NULL GROUP BY grp, uid
UNION ALL
SELECT coalesce(uid, ''), 'cart', 'cart|' || device_id || '|' || instance, NULL, uid, device_id, instance,
       code, part, quantity::BIGINT, product, is_prepared, true
FROM allowed WHERE code <> 'HEALTH' AND uid IS NOT NULL AND part IS NOT NULL
UNION ALL
SELECT '', 'unknown', 'unknown|' || device_id || '|' || instance, NULL, uid, device_id, instance, code, NULL, NULL, product,
       is_open, is_known AND is_known_device AND uid IS NOT NULL
FROM judged WHERE NOT is_known OR NOT is_known_device OR uid IS NULL
