-- S1: phone and mailing address of contacts who have an address in the shop, one row per person.
-- Read over `contacts`, `customers` and `buyers`. Of several addresses the one with the smallest key counts.
WITH claimed AS (
    SELECT *, row_number() OVER (PARTITION BY _owner ORDER BY SystemModstamp DESC, Id DESC) AS place
    FROM contacts WHERE NOT IsDeleted
),
people AS (
    SELECT _owner, addresses FROM customers UNION ALL SELECT _owner, addresses FROM buyers
)
SELECT c._owner AS owner, list_sort(p.addresses)[1].publicKey AS address, c.Phone AS phone,
       nullif(trim(regexp_replace(c.MailingStreet, '\s+', ' ', 'g')), '') AS street,
       c.MailingCity AS town, c.MailingPostalCode AS postal_code, c.MailingCountry AS country
FROM claimed AS c JOIN people AS p ON p._owner = c._owner
WHERE c.place = 1 AND list_sort(p.addresses)[1].publicKey IS NOT NULL
