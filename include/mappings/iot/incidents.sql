-- I7: whom to tell of excursions, downtimes and anomalies of devices. Rows of three kinds: `incident` (a customer group
-- of the shop), `member` (a person in it), `unknown` (an incident nobody decided how to speak of).
-- Read over `devices`, `events`, `products_near`, `customers`, `buyers`, `consents`, `orders` and `returns`; `before` is
-- what it gave last time.
--
-- Rules
--   an incident is its kind and id, however many messages and devices it has, in whatever order they come; incidents of
--   one kind and metric at one site (a device without site is its own) whose times lie less than 30 minutes apart are
--   one, named by the one that opened first
--   its last message decides, closed wins a tie; a retraction ends it for good; one without a word for as many days as
--   its policy says is over
--   confirmed by as many readings as its policy asks for (of any device), or by having lasted; what was not confirmed
--   was never there
--   the policy is a line of the table below that somebody approved; the line of a metric goes before that of all
--   people: of its devices, of devices tagged with its batch (grp:batch-...), of devices at its site, each by the tags
--   customer:, b2bunit: and order:; and who ordered the product of these devices (sku:) around that time; how far it
--   goes is `reach`. What was cancelled or returned was not ordered
--   safety: everybody at once, a person agrees before; promotional: with consent to marketing, from 8 to 20 o'clock,
--   the first two incidents of a calendar week, and not who has bought the product or what belongs to it since
--   with more people than the policy's limit nobody is taken in; who is in stays in until the incident ends
--   nothing a device says is ever shown to anybody: names and titles come from this table
WITH
run AS (
    SELECT getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS at,
           hour(getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'Europe/Berlin') BETWEEN 8 AND 19 AS is_day
),
-- Version 2. metric NULL: any.   seconds NULL: only readings confirm.   reach: device, site (all devices there), buyers
-- (and who ordered from so many days before it opened).   quiet_days: without a word for so long it is over.
policies(kind, metric, class, title, readings, seconds, reach, days_before, quiet_days, most_people, approved_by) AS (
    VALUES ('excursion', 'temperatureC', 'safety', 'Important notice about your order', 2, 900, 'buyers', 14, 30, 5000, 'product safety'),
           ('excursion', 'humidityPct', 'promotional', 'Care for your device', 2, 3600, 'site', 0, 30, 2000, 'product management'),
           ('excursion', 'vibrationG', 'safety', 'Important notice about your device', 2, 60, 'device', 0, 30, 5000, NULL),
           ('downtime', NULL::VARCHAR, 'promotional', 'Help for your device', 2, 1800, 'device', 0, 30, 2000, 'service'),
           ('anomaly', NULL, 'promotional', 'Tips for your device', 2, NULL, 'device', 0, 3, 2000, 'product management')
),
policy AS (SELECT * FROM policies WHERE approved_by IS NOT NULL),

-- Incidents
said AS (
    SELECT CASE e.type WHEN 'environment.excursion' THEN 'excursion' WHEN 'device.downtime' THEN 'downtime' ELSE 'anomaly' END AS kind,
           nullif(trim(CASE e.type WHEN 'environment.excursion' THEN e.data.excursionId WHEN 'device.downtime' THEN e.data.downtimeId
                ELSE e.data.anomalyId END), '') AS name,
           e.subject AS device_id, nullif(trim(e.data.metric), '') AS metric, nullif(trim(e.data.affectedBatch), '') AS batch,
           CASE lower(trim(coalesce(e.data.state, 'open'))) WHEN 'open' THEN 'open' WHEN 'opened' THEN 'open' WHEN 'closed' THEN 'closed'
                WHEN 'retracted' THEN 'retracted' WHEN 'false_alarm' THEN 'retracted' WHEN 'false-alarm' THEN 'retracted' END AS state,
           CASE WHEN e.data.durationSec BETWEEN 0 AND 2592000 THEN e.data.durationSec END AS seconds, e.time, e.id,
           CASE WHEN e.data.startAt BETWEEN e.time - INTERVAL 30 DAY AND e.time THEN e.data.startAt ELSE e.time END AS opened_at
    FROM events AS e CROSS JOIN run
    WHERE e.type IN ('environment.excursion', 'device.downtime', 'usage.anomaly')
      AND e.time > run.at - INTERVAL 90 DAY AND e.time <= least(run.at, e.received_at) + INTERVAL 5 MINUTE
),
message AS (
    SELECT kind, name, device_id, metric, batch, state, seconds, time, id, opened_at,
           max(time) FILTER (state = 'closed') OVER (PARTITION BY kind, name) AS closed_at
    FROM said
),
told AS (
    SELECT kind, name, min_by(metric, (time, id)) AS metric, min(opened_at) AS opened_at, max(time) AS heard_at,
           any_value(closed_at) AS closed_at, coalesce(bool_or(state = 'retracted'), false) AS is_retracted,
           coalesce(bool_or(state = 'open' AND (closed_at IS NULL OR time > closed_at)), false) AS is_on,
           count(DISTINCT (device_id, time)) FILTER (state = 'open') AS readings, max(seconds) AS seconds,
           coalesce(bool_or(state IS NULL), false) AS is_odd, list_sort(list(DISTINCT device_id)) AS device_ids,
           list_sort(list(DISTINCT batch) FILTER (batch IS NOT NULL)) AS batches
    FROM message WHERE name IS NOT NULL GROUP BY kind, name
),
device AS (
    SELECT id, [substr(t, 10) for t in tags if t LIKE 'customer:_%'] AS customers, [substr(t, 9) for t in tags if t LIKE 'b2bunit:_%'] AS units,
           [substr(t, 7) for t in tags if t LIKE 'order:_%'] AS orders, [substr(t, 5) for t in tags if t LIKE 'sku:_%'] AS skus,
           [lower(substr(t, 11)) for t in tags if t LIKE 'grp:batch-_%'] AS batches, [substr(t, 6) for t in tags if t LIKE 'site:_%'] AS sites
    FROM (SELECT id, coalesce(tags, []) AS tags FROM devices WHERE coalesce(active, true))
),
spot AS (
    SELECT t.kind, t.name, count(d.id) > 0 AS is_known,
           coalesce(min(list_aggregate(d.sites, 'min')), 'device ' || min(p.device_id)) AS site
    FROM told AS t CROSS JOIN unnest(t.device_ids) AS p(device_id) LEFT JOIN device AS d ON d.id = p.device_id GROUP BY t.kind, t.name
),
placed AS (
    SELECT t.* EXCLUDE (closed_at, is_on), s.site, s.is_known, p.class, p.title, p.reach, p.days_before, p.most_people,
           p.readings AS needs_readings, p.seconds AS needs_seconds,
           t.is_on AND NOT t.is_retracted AND coalesce(t.heard_at > run.at - to_days(p.quiet_days), true) AS is_open,
           CASE WHEN t.is_on AND NOT t.is_retracted THEN t.heard_at + to_days(coalesce(p.quiet_days, 0)) ELSE coalesce(t.closed_at, t.heard_at) END AS ended_at,
           greatest(coalesce(t.seconds, 0), epoch(greatest(t.heard_at, coalesce(t.closed_at, t.heard_at),
               CASE WHEN t.is_on AND t.kind = 'downtime' THEN run.at ELSE t.heard_at END)) - epoch(t.opened_at)) AS lasted,
           regexp_full_match(t.name, '[A-Za-z0-9][A-Za-z0-9._-]{0,99}') AND t.is_odd IS FALSE AND p.kind IS NOT NULL AND s.is_known AS is_understood
    FROM told AS t JOIN spot AS s ON (s.kind, s.name) = (t.kind, t.name) CROSS JOIN run
    LEFT JOIN policy AS p ON p.kind = t.kind AND p.metric IS NOT DISTINCT FROM
        CASE WHEN EXISTS (FROM policies AS o WHERE o.kind = t.kind AND o.metric = t.metric) THEN t.metric END
),
spaced AS (
    SELECT *, coalesce(opened_at > max(ended_at) OVER (PARTITION BY kind, metric, site ORDER BY opened_at, name
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + INTERVAL 30 MINUTE, true) AS is_first
    FROM placed WHERE is_understood
),
island AS (
    SELECT *, sum(is_first::INTEGER) OVER (PARTITION BY kind, metric, site ORDER BY opened_at, name) AS number FROM spaced
),
merged AS (
    SELECT kind, 'iot-' || any_value(class) || '-' || kind || '-' || min_by(name, (opened_at, name)) AS grp, any_value(class) AS class,
           any_value(title) AS title, any_value(reach) AS reach, any_value(days_before) AS days_before, any_value(most_people) AS most_people,
           site, min(opened_at) AS opened_at, max(ended_at) AS ended_at, bool_or(is_open) AS is_on,
           list_sort(list(name)) AS names, list_distinct(flatten(list(device_ids) FILTER (NOT is_retracted))) AS device_ids,
           list_distinct(flatten(list([lower(b) for b in batches]) FILTER (NOT is_retracted))) AS batches,
           coalesce(sum(readings) FILTER (NOT is_retracted) >= any_value(needs_readings), false)
               OR coalesce(max(lasted) FILTER (NOT is_retracted) >= any_value(needs_seconds), false) AS is_true,
           coalesce(sum(readings) FILTER (is_retracted) >= any_value(needs_readings), false)
               OR coalesce(max(lasted) FILTER (is_retracted) >= any_value(needs_seconds), false) AS was_believed
    FROM island GROUP BY kind, metric, site, number
),
incident AS (SELECT *, is_true AND is_on AS is_open FROM merged WHERE is_true OR was_believed),

-- Whom it is about
-- each way of its own: only plain equalities keep a storm of incidents quick
place AS (SELECT id, unnest(sites) AS site FROM device),
load AS (SELECT id, unnest(batches) AS batch FROM device),
reached AS (
    SELECT grp, unnest(device_ids) AS id FROM incident
    UNION
    SELECT i.grp, l.id FROM (SELECT grp, unnest(batches) AS batch FROM incident) AS i JOIN load AS l ON l.batch = i.batch
    UNION
    SELECT i.grp, p.id FROM incident AS i JOIN place AS p ON p.site = i.site WHERE i.reach <> 'device'
),
near AS (SELECT r.grp, d.* FROM reached AS r JOIN device AS d ON d.id = r.id),
person AS (
    SELECT customerID AS customer_id, uid, NULL::VARCHAR AS unit FROM customers WHERE NOT coalesce(loginDisabled, false)
    UNION ALL
    SELECT customerID, uid, defaultB2BUnit.uid FROM buyers WHERE coalesce(active, true) AND NOT coalesce(loginDisabled, false)
),
-- devices know customers by the pseudonym that I8 gives them
known_as AS (
    SELECT DISTINCT CASE WHEN contains(customer_id, '@') THEN 'h-' || left(sha256(lower(trim(customer_id))), 24) ELSE customer_id END AS ref, uid
    FROM person WHERE customer_id IS NOT NULL
),
given_back AS (
    SELECT r."order".code AS code, t.e.orderEntry.entryNumber AS number, sum(t.e.expectedQuantity) AS pieces
    FROM returns AS r, unnest(r.returnEntries) AS t(e) WHERE r.status.code IS DISTINCT FROM 'CANCELED' GROUP BY ALL
),
line AS (
    SELECT o.code, o.date AS at, o."user".customerID AS customer_id, t.e.product.code AS sku
    FROM orders AS o, unnest(o.entries) AS t(e) LEFT JOIN given_back AS g ON g.code = o.code AND g.number = t.e.entryNumber
    WHERE o.status.code IS DISTINCT FROM 'CANCELLED' AND coalesce(g.pieces, 0) < coalesce(t.e.quantity, 1)
),
bought AS (SELECT DISTINCT l.code, l.at, l.sku, p.uid FROM line AS l JOIN person AS p ON p.customer_id = l.customer_id),
sku AS (SELECT DISTINCT grp, unnest(skus) AS sku FROM near),
concerned AS (
    SELECT n.grp, k.uid FROM (SELECT grp, unnest(customers) AS ref FROM near) AS n JOIN known_as AS k ON k.ref = n.ref
    UNION
    SELECT n.grp, p.uid FROM (SELECT grp, unnest(units) AS unit FROM near) AS n JOIN person AS p ON p.unit = n.unit
    UNION
    SELECT n.grp, b.uid FROM (SELECT grp, unnest(orders) AS code FROM near) AS n JOIN bought AS b ON b.code = n.code
    UNION
    SELECT i.grp, b.uid FROM incident AS i JOIN sku AS s ON s.grp = i.grp JOIN bought AS b ON b.sku = s.sku
    WHERE i.reach = 'buyers' AND b.at BETWEEN i.opened_at - to_days(i.days_before) AND i.ended_at
),
served AS (
    SELECT DISTINCT c.grp, c.uid FROM concerned AS c JOIN incident AS i ON i.grp = c.grp JOIN bought AS b ON b.uid = c.uid AND b.at >= i.opened_at
    WHERE (c.grp, b.sku) IN (SELECT grp, sku FROM sku UNION
        SELECT s.grp, r.target.code FROM sku AS s JOIN products_near AS r ON r.source.code = s.sku AND coalesce(r.active, true))
),
willing AS (
    SELECT uid FROM (
        SELECT customer.uid AS uid, consentGivenDate IS NOT NULL AND consentWithdrawnDate IS NULL AS is_given
        FROM consents WHERE upper(consentTemplate.id) LIKE '%MARKETING%'
        QUALIFY row_number() OVER (PARTITION BY customer.uid, consentTemplate.id
            ORDER BY greatest(consentGivenDate, consentWithdrawnDate) DESC NULLS LAST, code DESC) = 1)
    GROUP BY uid HAVING bool_and(is_given)
),
asked AS (
    SELECT c.grp, c.uid, i.opened_at, i.class, i.is_open, i.most_people, i.class = 'safety' OR c.uid IN (SELECT uid FROM willing) AS is_willing,
           i.class <> 'safety' AND (c.grp, c.uid) IN (SELECT grp, uid FROM served) AS is_served
    FROM concerned AS c JOIN incident AS i ON i.grp = c.grp WHERE i.is_true
),
ranked AS (
    SELECT *, class = 'safety' OR row_number() OVER (PARTITION BY uid, class, is_willing, date_trunc('week', opened_at)
               ORDER BY opened_at, grp) <= 2 AS is_in_turn,
           count(*) FILTER (is_willing AND NOT is_served) OVER (PARTITION BY grp) <= most_people AS is_fit
    FROM asked
),
member AS (
    SELECT r.*, coalesce(r.is_willing AND NOT r.is_served AND r.is_in_turn AND r.is_open AND (coalesce(b.is_in, false)
               OR (r.is_fit AND (r.class = 'safety' OR run.is_day))), false) AS is_in
    FROM ranked AS r CROSS JOIN run LEFT JOIN (SELECT DISTINCT grp, uid, is_in FROM before WHERE kind = 'member') AS b
        ON b.grp = r.grp AND b.uid = r.uid
),
fit AS (SELECT grp, bool_and(is_fit) AS is_fit FROM ranked GROUP BY grp)
SELECT i.grp AS owner, 'incident' AS kind, i.grp AS id, i.grp, NULL::VARCHAR AS uid, false AS is_in, true AS is_understood, i.title,
       CASE WHEN NOT i.is_open OR coalesce(f.is_fit, true) THEN to_json({incident: i.names[1:20], "class": i.class, policy: 2,
           status: CASE WHEN i.is_open THEN 'open' WHEN NOT i.is_true THEN 'retracted' ELSE 'closed' END,
           opened: strftime(i.opened_at, '%Y-%m-%dT%H:%M:%SZ')})::VARCHAR END AS state
FROM incident AS i LEFT JOIN fit AS f ON f.grp = i.grp
UNION ALL
SELECT grp, 'member', grp || '|' || uid, grp, uid, is_in, true, NULL, NULL FROM member
UNION ALL
SELECT 'unknown', 'unknown', 'unknown|' || kind || '|' || CASE WHEN length(name) <= 100 THEN name ELSE md5(name) END, NULL, NULL, false, false, NULL, NULL FROM placed WHERE NOT is_understood
UNION ALL
SELECT 'unknown', 'unknown', 'unknown|' || kind || '|of ' || device_id, NULL, NULL, false, false, NULL, NULL
FROM said WHERE name IS NULL GROUP BY kind, device_id
