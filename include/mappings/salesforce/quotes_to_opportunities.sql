-- S2: where the negotiation of a quote stands, one row per quote code. Read over the shop's versions (`quotes`), the
-- opportunities Salesforce has of them (`opportunities`), and what was given last time (`before`).
--
-- Rules
--   one opportunity per quote code: the newest version that is no draft says how it stands, whatever arrived last
--   a quote is known once it was seen live (submitted, offered, accepted, ordered): one that was over before becomes
--     no opportunity, one that is known and ends moves its opportunity and never deletes it
--   stage       of the shop's state; forward only while it is open: one further on that a salesperson chose stands
--   close day   the day the version expires, else 30 days after it was made
WITH states(state, stage, place, is_over, score) AS (VALUES
    ('BUYER_SUBMITTED', 'Qualification', 2, false, 40), ('SELLER_REQUEST', 'Qualification', 2, false, 40),
    ('SELLER_DRAFT', 'Needs Analysis', 3, false, 50), ('SELLER_SUBMITTED', 'Needs Analysis', 3, false, 50),
    ('SELLERAPPROVER_PENDING', 'Needs Analysis', 3, false, 50), ('SELLERAPPROVER_DRAFT', 'Needs Analysis', 3, false, 50),
    ('SELLERAPPROVER_REJECTED', 'Needs Analysis', 3, false, 50), ('SELLERAPPROVER_APPROVED', 'Value Proposition', 4, false, 60),
    ('BUYER_OFFER', 'Proposal/Price Quote', 7, false, 70), ('BUYER_ACCEPTED', 'Negotiation/Review', 8, false, 90),
    ('BUYER_APPROVED', 'Negotiation/Review', 8, false, 90), ('BUYER_ORDERED', 'Closed Won', 9, false, 100),
    ('BUYER_REJECTED', 'Closed Lost', 9, true, 0), ('CANCELLED', 'Closed Lost', 9, true, 0), ('EXPIRED', 'Closed Lost', 9, true, 0)
),
-- the stages of an org without changes of its own; the place of any other open one is its salesperson's
stages(stage, place) AS (VALUES
    ('Prospecting', 1), ('Qualification', 2), ('Needs Analysis', 3), ('Value Proposition', 4), ('Id. Decision Makers', 5),
    ('Perception Analysis', 6), ('Proposal/Price Quote', 7), ('Negotiation/Review', 8)
),
versions AS (
    SELECT q._owner AS owner, q.version, q.state.code AS state, q.name, q.totalPrice AS total, q.currency.isocode AS currency,
           q.creationtime, q.expirationTime, q.modifiedtime, coalesce(q.unit.uid, q."user".customerID) AS account,
           q."user".customerID AS contact, q.entries
    FROM quotes AS q WHERE coalesce(q.state.code, '') NOT IN ('', 'CREATED', 'BUYER_DRAFT')
),
newest AS (
    SELECT *, count(*) OVER (PARTITION BY owner) AS version_count
    FROM versions QUALIFY row_number() OVER (PARTITION BY owner ORDER BY version DESC NULLS LAST, modifiedtime DESC) = 1
),
live AS (
    SELECT DISTINCT v.owner FROM versions AS v LEFT JOIN states AS s ON s.state = v.state WHERE s.is_over IS NOT TRUE
    UNION SELECT owner FROM before WHERE is_known
),
lines AS (
    SELECT n.owner, string_agg(coalesce(e.quantity, 0) || ' x ' || coalesce(e.product.code, '(no product)')
                 || coalesce(' = ' || e.totalPrice || ' ' || n.currency, ''), chr(10) ORDER BY e.entryNumber) AS listed,
           string_agg(e.product.code, '; ' ORDER BY e.totalPrice DESC NULLS LAST, e.entryNumber) AS products
    FROM newest AS n, unnest(n.entries) AS t(e) GROUP BY n.owner
),
present AS (
    SELECT _owner AS owner, StageName AS stage FROM opportunities
    WHERE Commerce_Id__c = 'quote|' || _owner AND NOT IsDeleted AND NOT IsClosed
)
SELECT n.owner, n.version, n.state, n.name, n.total, n.currency, n.account, n.contact, n.version_count, n.modifiedtime AS changed_at,
       l.owner IS NOT NULL AS is_known, w.listed AS lines, w.products, s.score,
       coalesce(CAST(n.expirationTime AS DATE), CAST(n.creationtime AS DATE) + 30) AS close_day,
       CASE WHEN s.stage NOT LIKE 'Closed%' AND p.stage IS NOT NULL AND coalesce(g.place, 99) > s.place THEN p.stage ELSE s.stage END AS stage
FROM newest AS n
LEFT JOIN live AS l ON l.owner = n.owner
LEFT JOIN states AS s ON s.state = n.state
LEFT JOIN lines AS w ON w.owner = n.owner
LEFT JOIN present AS p ON p.owner = n.owner
LEFT JOIN stages AS g ON g.stage = p.stage
