-- I4: which customers belong into which band of use, one row per group and customer, with `is_in`.
-- Read over `devices`, `usage`, `customers`, `buyers`, `merged`, `consents`, `orders`, `products`, `product_references`;
-- `before` is what it gave last time. What leaves here is a band; nothing of a single device does.
--
-- Rules
--   a window is one device's summary from its start to its end, half an hour to 25 hours long; said again it counts
--   once, the later word wins; one that ended after it was received, or is impossible in itself, is none
--   a day of a device is what its daily windows say, or its hourly ones where those cover more of it
--   a customer's figures of a day are those of the 28 days up to it, of all active devices from the day each was
--   bought; they count when windows cover at least 80 % of what is expected, and at least 14 days
--   into a band from `enter` on, out of it below `leave`; between the two, and without enough windows, the last day
--   that counted decides. Days are read again for 60 days, so that late windows count as if they had been in time;
--   what was decided before them is remembered. A customer of whom nothing was heard for 60 days is in no band
--   an upgrade is for heavy users whose device was bought at least two years ago, where the shop refers from it to a
--   better one (UPSELLING) that is approved, and they have bought none of those since
--   customers go by customerID, merged ones by the one that is left; consent is theirs when the latest word on every
--   kind of marketing or profiling is yes and there is one on marketing; under none of a merged customer's names a no
--   a group is formed by five, takes nobody in while it has fewer, and is emptied when fewer than three are left
WITH run AS (SELECT getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS at),
-- the last day that is over for two hours: by then its windows are here
span AS (SELECT (run.at - INTERVAL 2 HOUR)::DATE - 1 AS last_day, (run.at - INTERVAL 2 HOUR)::DATE - 60 AS first_day FROM run),
bands(band, measure, enter, leave) AS (
    VALUES ('heavy-user', 'load', 80, 70),       -- load in percent
           ('frequent-starts', 'starts', 12, 8)  -- starts per hour of running
),

-- Windows and days
said AS (
    SELECT u.subject AS device_id, u.data.windowStart AS starts, u.data.windowEnd AS ends,
           date_diff('minute', u.data.windowStart, u.data.windowEnd) AS minutes, u.data.loadPctAvg AS load,
           u.data.runtimeHoursDelta AS runtime, u.data.cyclesTotal AS cycles
    FROM usage AS u
    WHERE date_diff('minute', u.data.windowStart, u.data.windowEnd) BETWEEN 30 AND 1500
      AND u.data.windowEnd <= u.received_at + INTERVAL 5 MINUTE AND u.data.loadPctAvg BETWEEN 0 AND 100
      AND u.data.runtimeHoursDelta BETWEEN 0 AND date_diff('minute', u.data.windowStart, u.data.windowEnd) / 60.0 + 0.5
    QUALIFY row_number() OVER (PARTITION BY u.subject, u.data.windowStart, u.data.windowEnd ORDER BY u.time DESC, u.id DESC) = 1
),
grained AS (
    SELECT device_id, starts::DATE AS day, minutes > 720 AS is_daily, sum(minutes) AS minutes, sum(minutes * load) AS load_minutes,
           sum(runtime) AS runtime
    FROM said GROUP BY 1, 2, 3
),
spoken AS (
    SELECT * FROM grained
    QUALIFY row_number() OVER (PARTITION BY device_id, day ORDER BY least(minutes, 1440) DESC, is_daily DESC) = 1
),
-- a counter that falls was reset: what it had then is not counted
counted AS (
    SELECT device_id, (ends - INTERVAL 1 MINUTE)::DATE AS day,
           greatest(cycles - lag(cycles) OVER (PARTITION BY device_id ORDER BY ends, starts), 0) AS cycles
    FROM said WHERE cycles >= 0
),
started AS (SELECT device_id, day, sum(cycles) AS cycles FROM counted GROUP BY device_id, day),

-- Customers
alias AS (
    SELECT CASE WHEN contains(lost, '@') THEN 'h-' || left(sha256(lower(lost)), 24) ELSE lost END AS lost,
           min(CASE WHEN contains("now", '@') THEN 'h-' || left(sha256(lower("now")), 24) ELSE "now" END) AS kept
    FROM merged WHERE "now" IS NOT NULL GROUP BY 1
),
-- devices carry an identifier that looks like an e-mail address hashed (I8)
known_as AS (
    SELECT DISTINCT id, CASE WHEN contains(id, '@') THEN 'h-' || left(sha256(lower(trim(id))), 24) ELSE trim(id) END AS customer_id
    FROM (SELECT customerID AS id FROM customers UNION ALL SELECT customerID FROM buyers) WHERE id IS NOT NULL
),
person AS (
    -- a login that was changed is known until the nightly scan; the newer one is right
    SELECT k.customer_id, max_by(uid, (modifiedtime, uid)) AS uid, max_by(may_log_in, (modifiedtime, uid)) AS may_log_in FROM (
        SELECT customerID, uid, modifiedtime, NOT coalesce(loginDisabled, false) AS may_log_in FROM customers
        UNION ALL
        SELECT customerID, uid, modifiedtime, coalesce(active, true) AND NOT coalesce(loginDisabled, false) FROM buyers) AS p
    JOIN known_as AS k ON k.id = p.customerID GROUP BY k.customer_id
),
word AS (
    SELECT c.customer.customerID AS customer_id, upper(c.consentTemplate.id) LIKE '%MARKETING%' AS is_marketing,
           c.consentGivenDate IS NOT NULL AND c.consentWithdrawnDate IS NULL AS is_given
    FROM consents AS c WHERE regexp_matches(upper(c.consentTemplate.id), 'MARKETING|PROFIL|PERSONALI')
    QUALIFY row_number() OVER (PARTITION BY c.customer.customerID, c.consentTemplate.id
        ORDER BY greatest(c.consentGivenDate, c.consentWithdrawnDate) DESC NULLS LAST, c.code DESC) = 1
),
willing AS (
    SELECT coalesce(a.kept, k.customer_id, w.customer_id) AS customer_id FROM word AS w LEFT JOIN known_as AS k ON k.id = w.customer_id
    LEFT JOIN alias AS a ON a.lost = coalesce(k.customer_id, w.customer_id)
    GROUP BY 1 HAVING bool_and(w.is_given) AND bool_or(w.is_marketing)
),
appliance AS (
    SELECT d.id AS device_id, nullif(trim(d.attributes.productCode), '') AS product,
           coalesce(a.kept, trim(d.attributes.customerRef)) AS customer_id, TRY_CAST(d.attributes.purchaseDate AS DATE) AS bought_on
    FROM devices AS d LEFT JOIN alias AS a ON a.lost = trim(d.attributes.customerRef)
    WHERE coalesce(d.active, true) AND nullif(trim(d.attributes.customerRef), '') IS NOT NULL
),

-- Figures of every day
grid AS (
    SELECT a.customer_id, a.device_id,
           unnest(generate_series(greatest(a.bought_on, s.first_day - 37)::TIMESTAMP, s.last_day::TIMESTAMP, INTERVAL 1 DAY))::DATE AS day
    FROM appliance AS a CROSS JOIN span AS s
),
daily AS (
    SELECT g.customer_id, g.day, 1440 * count(*) AS expected, sum(least(coalesce(w.minutes, 0), 1440)) AS covered,
           sum(coalesce(w.minutes, 0)) AS minutes, sum(coalesce(w.load_minutes, 0)) AS load_minutes,
           sum(coalesce(w.runtime, 0)) AS runtime, sum(coalesce(c.cycles, 0)) AS cycles
    FROM grid AS g LEFT JOIN spoken AS w ON w.device_id = g.device_id AND w.day = g.day
    LEFT JOIN started AS c ON c.device_id = g.device_id AND c.day = g.day
    GROUP BY g.customer_id, g.day
),
rolled AS (
    SELECT customer_id, day, sum(expected) OVER period AS expected, sum(covered) OVER period AS covered,
           sum(minutes) OVER period AS minutes, sum(load_minutes) OVER period AS load_minutes,
           sum(runtime) OVER period AS runtime, sum(cycles) OVER period AS cycles
    FROM daily
    WINDOW period AS (PARTITION BY customer_id ORDER BY day RANGE BETWEEN INTERVAL 27 DAY PRECEDING AND CURRENT ROW)
),
measured AS (
    SELECT r.customer_id, r.day, 'load' AS measure, CASE WHEN r.minutes > 0 THEN r.load_minutes / r.minutes END AS figure
    FROM rolled AS r CROSS JOIN span AS s
    WHERE r.day >= s.first_day - 10 AND r.covered * 10 >= r.expected * 8 AND r.covered >= 14 * 1440
    UNION ALL
    SELECT r.customer_id, r.day, 'starts', CASE WHEN r.runtime >= 1 THEN r.cycles / r.runtime ELSE 0 END
    FROM rolled AS r CROSS JOIN span AS s
    WHERE r.day >= s.first_day - 10 AND r.covered * 10 >= r.expected * 8 AND r.covered >= 14 * 1440
),
heard AS (
    SELECT d.customer_id FROM daily AS d CROSS JOIN span AS s WHERE d.day >= s.first_day GROUP BY d.customer_id HAVING sum(d.covered) > 0
),

-- Bands. `base` is what held before the days that are read again, for when none of them decides.
crossed AS (
    SELECT m.customer_id, b.band, max(m.day) FILTER (m.day >= s.first_day AND m.figure >= b.enter) AS entered,
           max(m.day) FILTER (m.day >= s.first_day AND m.figure < b.leave) AS left_on,
           max_by(m.figure >= b.enter, m.day) FILTER (m.day < s.first_day AND (m.figure >= b.enter OR m.figure < b.leave)) AS earlier
    FROM measured AS m JOIN bands AS b ON b.measure = m.measure CROSS JOIN span AS s GROUP BY m.customer_id, b.band
),
known AS (
    SELECT coalesce(a.kept, b.customer_id) AS customer_id, b.band, max(b.decided_on) AS decided_on,
           CASE WHEN max(b.decided_on) < any_value(s.first_day) THEN max_by(b.qualifies, (b.decided_on, b.qualifies)) ELSE bool_or(b.base) END AS base
    FROM before AS b CROSS JOIN span AS s LEFT JOIN alias AS a ON a.lost = b.customer_id WHERE b.decided_on IS NOT NULL GROUP BY 1, 2
),
decided AS (
    SELECT h.customer_id, b.band, coalesce(c.earlier, k.base, false) AS base,
           CASE WHEN c.entered IS NULL AND c.left_on IS NULL THEN coalesce(c.earlier, k.base, false)
                ELSE coalesce(c.entered > coalesce(c.left_on, DATE '1900-01-01'), false) END AS qualifies,
           coalesce(greatest(c.entered, c.left_on), least(k.decided_on, s.first_day - 1)) AS decided_on
    FROM heard AS h CROSS JOIN bands AS b CROSS JOIN span AS s
    LEFT JOIN crossed AS c ON c.customer_id = h.customer_id AND c.band = b.band
    LEFT JOIN known AS k ON k.customer_id = h.customer_id AND k.band = b.band
),
bought AS (
    SELECT coalesce(a.kept, k.customer_id, o."user".customerID) AS customer_id, o.date AS ordered_at, unnest([e.product.code for e in coalesce(o.entries, [])]) AS product
    FROM orders AS o LEFT JOIN known_as AS k ON k.id = o."user".customerID
    LEFT JOIN alias AS a ON a.lost = coalesce(k.customer_id, o."user".customerID) WHERE o.status.code IS DISTINCT FROM 'CANCELLED'
),
better AS (
    SELECT DISTINCT r."source".code AS product, r."target".code AS upgrade FROM product_references AS r
    WHERE coalesce(r.active, true) AND r.referenceType.code = 'UPSELLING' AND r."target".code IN (
        SELECT p.code FROM products AS p GROUP BY p.code
        HAVING coalesce(max_by(p.approvalStatus.code, (p.catalogVersion.version = 'Online', p.integrationKey)), '') = 'approved')
),
upgradable AS (
    SELECT DISTINCT a.customer_id
    FROM appliance AS a JOIN bought AS o ON o.customer_id = a.customer_id AND o.product = a.product CROSS JOIN span AS s
    WHERE o.ordered_at < s.last_day - INTERVAL 730 DAY AND a.product IN (SELECT product FROM better)
      AND NOT EXISTS (FROM bought AS n JOIN better AS u ON u.upgrade = n.product
                      WHERE n.customer_id = a.customer_id AND u.product = a.product AND n.ordered_at > o.ordered_at)
),
wish AS (
    SELECT customer_id, band, qualifies, base, decided_on FROM decided WHERE qualifies OR base
    UNION ALL
    SELECT d.customer_id, 'upgrade-candidate', true, false, d.decided_on FROM decided AS d JOIN upgradable AS u ON u.customer_id = d.customer_id
    WHERE d.band = 'heavy-user' AND d.qualifies
),

-- Groups
joined AS (
    SELECT w.*, p.uid, coalesce(b.is_in, false) AS was_in,
           w.qualifies AND coalesce(p.may_log_in, false) AND w.customer_id IN (SELECT customer_id FROM willing) AS may
    FROM wish AS w LEFT JOIN person AS p ON p.customer_id = w.customer_id
    LEFT JOIN before AS b ON b.customer_id = w.customer_id AND b.band = w.band
),
placed AS (
    SELECT customer_id, band, uid, qualifies, base, decided_on,
           may AND (count(*) FILTER (may) OVER (PARTITION BY band) >= 5
                    OR (was_in AND count(*) FILTER (may AND was_in) OVER (PARTITION BY band) >= 3)) AS is_in
    FROM joined
),
-- Who was in and no longer is anywhere is given for a week as out, so that it is no matter of the nightly scan alone.
gone AS (
    SELECT b.customer_id, b.band, CASE WHEN b.is_in THEN s.last_day ELSE b.decided_on END AS decided_on
    FROM before AS b CROSS JOIN span AS s
    WHERE (b.is_in OR b.decided_on > s.last_day - 7) AND NOT EXISTS (FROM wish AS w WHERE w.customer_id = b.customer_id AND w.band = b.band)
)
SELECT customer_id AS owner, customer_id, band, uid, qualifies, base, is_in, decided_on FROM placed
UNION ALL
SELECT customer_id, customer_id, band, NULL, false, false, false, decided_on FROM gone
