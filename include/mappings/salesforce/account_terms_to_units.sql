-- S3: the terms of an account, one row per account that has an id in the shop. Read over `accounts` and `units`.
--
-- Rules
--   price group: what the account names, else its own, prices-<id>; agreed prices are written to the same group
--   tier and payment terms: groups crm-tier-<tier> and crm-terms-<terms>, in lower case, words joined by dashes
--   two accounts that claim one id (a duplicate, a recycle bin) give one row: living before deleted, then the newest
WITH claimed AS (
    SELECT *, row_number() OVER (PARTITION BY _owner ORDER BY IsDeleted, SystemModstamp DESC, Id DESC) AS place FROM accounts
),
named AS (
    SELECT _owner AS owner, IsDeleted AS is_deleted, Credit_Limit__c AS credit_limit,
           nullif(trim(Commerce_Price_Group__c), '') AS own_group,
           nullif(trim(regexp_replace(lower(Tier__c), '[^a-z0-9]+', '-', 'g'), '-'), '') AS tier,
           nullif(trim(regexp_replace(lower(Payment_Terms__c), '[^a-z0-9]+', '-', 'g'), '-'), '') AS terms
    FROM claimed WHERE place = 1
)
SELECT n.owner, n.is_deleted, n.credit_limit,
       u.uid IS NOT NULL AS has_unit,
       coalesce(n.own_group, n.tier, n.terms) IS NOT NULL OR n.credit_limit IS NOT NULL AS has_terms,
       coalesce(n.own_group, 'prices-' || n.owner) AS price_group,
       list_filter(['crm-terms-' || n.terms, 'crm-tier-' || n.tier], lambda name: name IS NOT NULL) AS groups
FROM named AS n LEFT JOIN units AS u ON u._owner = n.owner
