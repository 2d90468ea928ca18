-- I8: aggregates of the devices of a product, and of a product at a site; one row per product, site, metric and part.
-- Read over `devices`, `readings` and `products`; `before` is what it gave last time.
--
-- Rules
--   only metrics of the table below that are public; a reading outside its limits, or from a clock that is more than
--   five minutes ahead, is none
--   a device counts with its latest reading, which is no older than the metric's time to live
--   nothing is said of fewer than 5 devices, or of devices of fewer than 3 holders; of a site only when the product's
--   other devices are none or at least 5 as well, or else they could be told by subtraction
--   a number is published anew when it moved by more than its epsilon; its as-of is renewed after a quarter of the
--   time to live, so that a steady value does not look stale and the catalog is not written in every run
--   without enough fresh readings the rows are not live, and leave the shop
WITH run AS (SELECT getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS at),
metrics(metric, type, unit, digits, epsilon, low, high, ttl_hours, is_public) AS (
    VALUES ('health', 'device.health', 'points', 0, 2.0, 0.0, 100.0, 24, true),
           ('utilisation', 'usage.summary', '%', 0, 2.0, 0.0, 100.0, 48, true),
           ('temperature', 'environment.excursion', 'C', 1, 0.5, -100.0, 200.0, 24, true),
           ('runtime', 'usage.summary', 'h', 0, 10.0, 0.0, 1000000.0, 48, false)
),
shown AS (
    SELECT code, catalogVersion.version AS version, catalogVersion.catalog.id AS catalog FROM products
    QUALIFY row_number() OVER (PARTITION BY code ORDER BY (catalogVersion.version = 'Staged') DESC, integrationKey) = 1
),
appliance AS (
    SELECT d.id AS device_id, s.code AS product, s.version, s.catalog,
           coalesce(nullif(d.attributes.b2bUnit, ''), nullif(d.attributes.customerRef, ''), d.id) AS holder,
           list_min([tag[6:] for tag in coalesce(d.tags, []) if starts_with(tag, 'site:') AND length(tag) > 5]) AS site
    FROM devices AS d JOIN shown AS s ON s.code = trim(d.attributes.productCode) WHERE coalesce(d.active, true)
),
said AS (
    SELECT r.subject AS device_id, m.metric, r.time, r.id,
           CASE m.metric WHEN 'health' THEN r.data.healthScore WHEN 'utilisation' THEN r.data.loadPctAvg
                WHEN 'runtime' THEN r.data.runtimeHoursTotal
                WHEN 'temperature' THEN CASE WHEN r.data.metric = 'temperatureC' THEN r.data."value" END END AS number,
           m.low, m.high
    FROM readings AS r JOIN metrics AS m ON m.type = r.type AND m.is_public CROSS JOIN run
    WHERE r.time > run.at - to_hours(m.ttl_hours) AND r.time <= run.at + INTERVAL 5 MINUTE
      AND r.time <= r.received_at + INTERVAL 5 MINUTE
),
latest AS (
    SELECT device_id, metric, time, number::DECIMAL(12, 3) AS number FROM said WHERE number BETWEEN low AND high
    QUALIFY row_number() OVER (PARTITION BY device_id, metric ORDER BY time DESC, id DESC) = 1
),
placed AS (
    SELECT a.catalog, a.version, a.product, a.site, a.holder, l.metric, l.time, l.number
    FROM latest AS l JOIN appliance AS a ON a.device_id = l.device_id
),
summed AS (
    SELECT catalog, version, product, NULL AS site, metric, count(*) AS devices, count(DISTINCT holder) AS holders,
           sum(number) AS total, max(time) AS newest
    FROM placed GROUP BY ALL
    UNION ALL
    SELECT catalog, version, product, site, metric, count(*), count(DISTINCT holder), sum(number), max(time)
    FROM placed WHERE site IS NOT NULL GROUP BY ALL
),
safe AS (
    SELECT s.catalog, s.version, s.product, s.site, s.metric, round(s.total / s.devices, m.digits)::DECIMAL(12, 3) AS number,
           date_trunc('hour', s.newest) AS as_of, (s.devices // 5 * 5)::INTEGER AS samples, m.unit, m.digits, m.epsilon, m.ttl_hours
    FROM summed AS s JOIN metrics AS m ON m.metric = s.metric
    JOIN summed AS w ON w.site IS NULL AND (w.catalog, w.version, w.product, w.metric) = (s.catalog, s.version, s.product, s.metric)
    WHERE s.devices >= 5 AND s.holders >= 3 AND (w.devices = s.devices OR w.devices - s.devices >= 5 OR s.site IS NULL)
),
compared AS (
    SELECT s.*, b.number AS old_number, b.as_of AS old_as_of, b.samples AS old_samples,
           b.number IS NULL OR abs(s.number - b.number) > s.epsilon AS has_moved,
           s.as_of > b.as_of + to_hours(s.ttl_hours // 4) AS is_due
    FROM safe AS s LEFT JOIN before AS b ON b.is_live AND b.part = 'value' AND b.metric = s.metric AND b.site IS NOT DISTINCT FROM s.site
        AND (b.catalog, b.version, b.product) = (s.catalog, s.version, s.product)
),
published AS (
    SELECT catalog, version, product, site, metric, unit, digits,
           CASE WHEN has_moved THEN number ELSE old_number END AS number,
           CASE WHEN has_moved OR is_due THEN as_of ELSE old_as_of END AS as_of,
           CASE WHEN has_moved OR is_due THEN samples ELSE old_samples END AS samples
    FROM compared
),
parts AS (
    SELECT p.*, unnest(['value', 'unit', 'status', 'as_of', 'samples']) AS part FROM published AS p
),
given AS (
    SELECT catalog, version, product, site, metric, part, number, as_of, samples,
           'iot_insight_' || metric || '_' || part || coalesce('@' || site, '') AS qualifier,
           CASE part WHEN 'value' THEN CASE WHEN digits = 0 THEN number::BIGINT::VARCHAR ELSE number::DECIMAL(12, 1)::VARCHAR END
                WHEN 'unit' THEN unit
                WHEN 'as_of' THEN strftime(as_of, '%Y-%m-%dT%H:%M:%SZ')
                WHEN 'samples' THEN samples || '+'
                ELSE CASE metric WHEN 'health' THEN CASE WHEN number >= 70 THEN 'ok' WHEN number >= 35 THEN 'degraded' ELSE 'poor' END
                                 WHEN 'utilisation' THEN CASE WHEN number >= 80 THEN 'high' WHEN number >= 30 THEN 'normal' ELSE 'low' END
                                 ELSE CASE WHEN number <= 8 THEN 'ok' ELSE 'warm' END END
           END AS "value"
    FROM parts
),
-- What was said and no longer can be is given once more, as no longer live, so that all of it going at once is no
-- empty scan.
ended AS (
    SELECT b.* FROM before AS b WHERE b.is_live AND NOT EXISTS (FROM given AS g WHERE g.qualifier = b.qualifier
        AND (g.catalog, g.version, g.product) = (b.catalog, b.version, b.product))
)
SELECT product AS owner, catalog, version, product, site, metric, part, number, as_of, samples, qualifier, "value", true AS is_live
FROM given
UNION ALL
SELECT product, catalog, version, product, site, metric, part, number, as_of, samples, qualifier, NULL, false
FROM ended
