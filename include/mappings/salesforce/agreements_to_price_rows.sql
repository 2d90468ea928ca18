-- S3: the price row of every agreement, one row per agreement, currency and unit (the shop's key). Read over
-- `agreements`, `accounts`, `contracts` and `prices`. Asks for the run's time: all rows are computed in every run.
--
-- Rules
--   validity     by UTC date, both days included: from 00:00 of Valid From (else the contract's start, else the day the
--                agreement was made) to 00:00 after the earlier of Valid To and the contract's end; open: 9999-12-31
--   in force     active, not deleted, and so is its contract if it names one (status Activated); any other row ends at
--                the start of this hour, or never begins
--   slot         price group, product, unit, currency and minimum quantity: what competes for one price
--   newest wins  of two agreements in a slot the one with the later start (then the higher id) ends the other one; what
--                it ended stays ended when it has run out, and is taken up again when it is withdrawn. One that had run
--                out before it came to the shop never comes, and ends nothing
--   seam         one that should have begun already, or does within two hours, begins where the row before it ends: that
--                one is first cut at the next full hour but one. What the shop has sold by is never rewritten
--   never two    a row only grows where no other row of its slot stands in the shop, whatever becomes of the other
--                writes of this run; until then it is cut, or waits for the next run. So windows overlap at no moment
--   approval     a price below half or above one and a half times the list price, or with none to compare with, comes to
--                the shop with an empty window on 1970-01-01, after a person's yes; once the shop has that price it is
--                like any other. A product without any list price may be unknown: its row first comes with an empty
--                window on 1970-01-02, unasked, so that the shop can refuse it before a person is bothered
WITH clock AS (
    SELECT now, date_trunc('hour', now) AS hour, date_trunc('hour', now) + INTERVAL 2 HOUR AS seam
    FROM (SELECT getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC' AS now)
),
shop AS (
    SELECT sapConditionId AS condition_id, currency.isocode AS currency, unit.code AS unit, product.code AS product,
           ug.code AS price_group, coalesce(minqtd, 1) AS quantity, price, coalesce(net, false) AS net,
           coalesce(startTime, TIMESTAMP '1970-01-01') AS starts, coalesce(endTime, TIMESTAMP '9999-12-31') AS ends,
           (ug.code, product.code, unit.code, currency.isocode, coalesce(minqtd, 1)) AS slot,
           sapConditionId || '|' || currency.isocode || '|' || unit.code AS row_key
    FROM prices WHERE starts_with(sapConditionId, 'SF-')
),
listed AS (
    SELECT sapConditionId AS id, product.code AS product, currency.isocode AS currency, unit.code AS unit,
           coalesce(minqtd, 1) AS quantity, price / coalesce(nullif(unitFactor, 0), 1)::DECIMAL(9, 0) AS price,
           coalesce(net, false) AS net, coalesce(startTime, TIMESTAMP '1970-01-01') AS starts,
           coalesce(endTime, TIMESTAMP '9999-12-31') AS ends
    FROM prices WHERE ug.code IS NULL AND "user".uid IS NULL AND NOT starts_with(sapConditionId, 'SF-')
),
agreed AS (
    SELECT 'SF-' || a.Id AS condition_id, nullif(a._owner, 'none') AS product, nullif(trim(a.Unit__c), '') AS unit,
           nullif(upper(trim(a.Currency__c)), '') AS currency, coalesce(a.Minimum_Quantity__c, 1) AS quantity,
           a.Price__c::DECIMAL(18, 4) AS price,
           coalesce(nullif(trim(g.Commerce_Price_Group__c), ''), nullif(trim(a.Account__r.Commerce_Price_Group__c), ''),
                    'prices-' || a.Account__r.Commerce_Id__c) AS price_group,
           coalesce(a.Valid_From__c, c.StartDate, a.CreatedDate::DATE)::TIMESTAMP AS starts,
           least(coalesce(a.Valid_To__c, DATE '9999-12-30'), coalesce(c.EndDate, DATE '9999-12-30'))::TIMESTAMP AS last_day,
           a.Active__c AND NOT a.IsDeleted
               AND (a.Contract__c IS NULL OR (c.Status = 'Activated' AND NOT c.IsDeleted)) AS in_force
    FROM agreements AS a
    LEFT JOIN accounts AS g ON g.Id = a.Account__c
    LEFT JOIN contracts AS c ON c.Id = a.Contract__c
),
keyed AS (
    SELECT *, (price_group, product, unit, currency, quantity) AS slot,
           condition_id || '|' || coalesce(currency, '') || '|' || coalesce(unit, '') AS row_key,
           least(last_day + INTERVAL 1 DAY, TIMESTAMP '9999-12-31') AS ends,
           coalesce(in_force, false) AS is_in_force,
           coalesce(price > 0 AND quantity >= 1 AND last_day >= starts AND starts >= TIMESTAMP '2000-01-01'
                    AND starts <= TIMESTAMP '2100-01-01' AND price_group IS NOT NULL AND product IS NOT NULL
                    AND unit IS NOT NULL AND currency IS NOT NULL, false) AS is_sound
    FROM agreed
),
-- the list price for the quantity, on the first day the agreement still has before it
compared AS (
    SELECT k.row_key, arg_max(struct_pack(price := l.price, net := l.net), (l.quantity, l.starts, l.id)) AS list
    FROM keyed AS k CROSS JOIN clock AS t
    JOIN listed AS l ON l.product = k.product AND l.unit = k.unit AND l.currency = k.currency AND l.quantity <= k.quantity
        AND l.starts <= greatest(k.starts, t.now) AND l.ends > greatest(k.starts, t.now)
    GROUP BY k.row_key
),
known AS (
    SELECT k.*, coalesce(p.list.net, false) AS net, s.row_key IS NOT NULL AS in_shop, s.price AS shop_price,
           s.slot IS NOT DISTINCT FROM k.slot AS at_home, s.starts AS shop_starts, s.ends AS shop_ends,
           k.product IN (SELECT product FROM listed) OR s.row_key IS NOT NULL AS is_sold,
           coalesce(s.price = k.price AND s.ends <> TIMESTAMP '1970-01-02', false)
               OR coalesce(k.price BETWEEN p.list.price * 0.5 AND p.list.price * 1.5, false) AS is_cleared
    FROM keyed AS k
    LEFT JOIN compared AS p ON p.row_key = k.row_key
    LEFT JOIN shop AS s ON s.row_key = k.row_key
),
-- agreements that compete, in the order in which they follow each other
following AS (
    SELECT k.*, t.seam, t.now, in_shop AND at_home AND shop_ends > shop_starts AS is_open,
           lag(in_shop AND at_home AND shop_ends > shop_starts) OVER slots AS before_open, lag(shop_ends) OVER slots AS before_ends
    FROM known AS k CROSS JOIN clock AS t
    WHERE is_in_force AND is_sound AND is_cleared AND (in_shop OR ends > now)
    WINDOW slots AS (PARTITION BY slot ORDER BY starts, condition_id)
),
bounded AS (
    SELECT *, max(CASE WHEN coalesce(before_open, false) AND starts < seam THEN greatest(starts, least(before_ends, seam)) ELSE starts END)
               OVER (PARTITION BY slot ORDER BY starts, condition_id ROWS UNBOUNDED PRECEDING) AS from_time
    FROM following
),
clipped AS (
    SELECT *, least(ends, lead(from_time) OVER (PARTITION BY slot ORDER BY starts, condition_id)) AS until_time FROM bounded
),
-- rows of the shop beside those: withdrawn, gone, or waiting for approval; what of them lies behind is history
others AS (
    SELECT s.*, t.now, t.hour FROM shop AS s CROSS JOIN clock AS t WHERE s.row_key NOT IN (SELECT row_key FROM clipped)
),
history AS (
    SELECT c.row_key, max(o.ends) AS ends FROM clipped AS c JOIN others AS o ON o.slot = c.slot
        AND o.ends > o.starts AND o.ends <= o.now AND o.starts < c.until_time AND o.ends > c.from_time
    GROUP BY c.row_key
),
aimed AS (
    SELECT c.* REPLACE (greatest(c.from_time, h.ends) AS from_time) FROM clipped AS c LEFT JOIN history AS h ON h.row_key = c.row_key
),
blocked AS (
    SELECT DISTINCT a.row_key FROM aimed AS a JOIN shop AS s ON s.slot = a.slot AND s.row_key <> a.row_key
    WHERE s.ends > s.starts AND s.starts < a.until_time AND s.ends > a.from_time
),
placed AS (
    SELECT a.*, b.row_key IS NOT NULL AS is_blocked,
           CASE WHEN is_blocked AND is_open THEN greatest(a.from_time, a.shop_starts) ELSE a.from_time END AS new_starts,
           CASE WHEN NOT is_blocked THEN a.until_time WHEN is_open THEN least(a.until_time, a.shop_ends) ELSE a.from_time END AS new_ends
    FROM aimed AS a LEFT JOIN blocked AS b ON b.row_key = a.row_key
)
SELECT product AS owner, row_key, condition_id, currency, unit, product, price_group, quantity, net, price,
       new_starts AS starts, greatest(new_starts, new_ends) AS ends,
       CASE WHEN in_shop THEN NOT is_blocked OR is_open OR NOT at_home
            ELSE NOT is_blocked AND new_ends > new_starts AND new_ends > now END AS wanted
FROM placed
UNION ALL
-- waiting for a person's yes, or for the shop to know the product
SELECT product, row_key, condition_id, currency, unit, product, price_group, quantity, net, price, at_time, at_time, ends > now
FROM (SELECT k.*, t.now, CASE WHEN is_sold THEN TIMESTAMP '1970-01-01' ELSE TIMESTAMP '1970-01-02' END AS at_time
      FROM known AS k CROSS JOIN clock AS t)
WHERE is_in_force AND is_sound AND NOT is_cleared
UNION ALL
-- what the gate will name: as it was agreed
SELECT coalesce(product, 'none'), row_key, condition_id, currency, unit, product, price_group, quantity, net, price, starts, last_day, true
FROM known WHERE is_in_force AND NOT is_sound
UNION ALL
-- no longer in force: as the shop has it, ended
SELECT coalesce(k.product, 'none'), k.row_key, k.condition_id, k.currency, k.unit, s.product, s.price_group, s.quantity, s.net, s.price,
       s.starts, greatest(s.starts, least(s.ends, t.hour)), coalesce(s.ends > s.starts AND s.ends > t.now, false)
FROM known AS k CROSS JOIN clock AS t LEFT JOIN shop AS s ON s.row_key = k.row_key WHERE NOT k.is_in_force
UNION ALL
-- moved to another currency or unit: the row under the former key ends; one of an agreement that is gone is ended by its
-- delete, and stays named here once that is done
SELECT coalesce(o.product, 'none'), o.row_key, o.condition_id, o.currency, o.unit, o.product, o.price_group, o.quantity, o.net, o.price,
       o.starts, greatest(o.starts, least(o.ends, o.hour)), o.ends > o.starts AND o.ends > o.now
FROM others AS o
WHERE o.row_key NOT IN (SELECT row_key FROM known)
    AND (o.condition_id IN (SELECT condition_id FROM known) OR o.ends <= o.starts OR o.ends <= o.now)
