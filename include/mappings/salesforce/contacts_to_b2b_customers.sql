-- S1: contacts who buy for a unit of the shop, one row per buyer. Read over `contacts` and `buyers`.
-- Two living contacts that claim one buyer (an external id that is not unique) give the newest.
WITH claimed AS (
    SELECT *, row_number() OVER (PARTITION BY _owner ORDER BY SystemModstamp DESC, Id DESC) AS place
    FROM contacts WHERE NOT IsDeleted
)
SELECT c._owner AS owner, u.uid, c.FirstName, c.LastName, c.Email
FROM claimed AS c JOIN buyers AS u ON u._owner = c._owner WHERE c.place = 1
