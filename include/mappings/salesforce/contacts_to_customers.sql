-- S1: contacts who are private customers of the shop, one row per customer. Read over `contacts` and `customers`.
-- Two living contacts that claim one customer (an external id that is not unique) give the newest.
WITH claimed AS (
    SELECT *, row_number() OVER (PARTITION BY _owner ORDER BY SystemModstamp DESC, Id DESC) AS place
    FROM contacts WHERE NOT IsDeleted
)
SELECT c._owner AS owner, u.uid, c.FirstName, c.LastName
FROM claimed AS c JOIN customers AS u ON u._owner = c._owner WHERE c.place = 1
