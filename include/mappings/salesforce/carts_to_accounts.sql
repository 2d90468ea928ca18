-- S1: since when the carts of a household or unit lie idle, one row per account. Read over `carts` and `accounts`;
-- carts of nobody known are nobody's. The moments are kept and counted by the mapping, so that time alone makes a cart an
-- abandoned one.
WITH idle AS (
    SELECT _owner AS owner, list(modifiedtime ORDER BY modifiedtime, code) AS idle_since
    FROM carts WHERE saveTime IS NULL AND len(entries) > 0 GROUP BY _owner
)
SELECT DISTINCT a._owner AS owner, i.idle_since
FROM accounts AS a LEFT JOIN idle AS i ON i.owner = a._owner
WHERE NOT a.IsDeleted AND (i.owner IS NOT NULL OR a._owner IN (SELECT owner FROM before))
