-- S3: who looks after a unit: the employee of the shop whose login is the account owner's user name, else e-mail
-- address, whatever the case. Read over `accounts`, `units` and `employees` (everybody's).
WITH claimed AS (
    SELECT *, row_number() OVER (PARTITION BY _owner ORDER BY SystemModstamp DESC, Id DESC) AS place
    FROM accounts WHERE NOT IsDeleted
),
logins AS (
    SELECT lower(uid) AS login, min(uid) AS uid FROM employees GROUP BY ALL
)
SELECT c._owner AS owner, coalesce(n.uid, e.uid) AS employee
FROM claimed AS c
JOIN units AS u ON u._owner = c._owner
LEFT JOIN logins AS n ON n.login = lower(c.Owner.Username)
LEFT JOIN logins AS e ON e.login = lower(c.Owner.Email)
WHERE c.place = 1 AND c.Owner.Username IS NOT NULL
