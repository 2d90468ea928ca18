-- S1: phone and billing address of accounts whose unit has an address in the shop, one row per unit.
-- Read over `accounts` and `units`. Of several addresses the one with the smallest key counts, as on the way there.
WITH claimed AS (
    SELECT *, row_number() OVER (PARTITION BY _owner ORDER BY SystemModstamp DESC, Id DESC) AS place
    FROM accounts WHERE NOT IsDeleted
)
SELECT c._owner AS owner, list_sort(u.addresses)[1].publicKey AS address, c.Phone AS phone,
       nullif(trim(regexp_replace(c.BillingStreet, '\s+', ' ', 'g')), '') AS street,
       c.BillingCity AS town, c.BillingPostalCode AS postal_code, c.BillingCountry AS country
FROM claimed AS c JOIN units AS u ON u._owner = c._owner
WHERE c.place = 1 AND list_sort(u.addresses)[1].publicKey IS NOT NULL
