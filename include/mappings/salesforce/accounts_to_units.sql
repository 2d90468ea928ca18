-- S1: accounts whose unit is in the shop, one row per unit. Read over `accounts` and `units`.
-- Two living accounts that claim one unit (an external id that is not unique) give the newest.
WITH claimed AS (
    SELECT *, row_number() OVER (PARTITION BY _owner ORDER BY SystemModstamp DESC, Id DESC) AS place
    FROM accounts WHERE NOT IsDeleted
)
SELECT c._owner AS owner, c.Name FROM claimed AS c JOIN units AS u ON u._owner = c._owner WHERE c.place = 1
