-- S2: interest of known accounts in a product (or a document), one row per account, interest and opening month. Read
-- over `events` of the storefront, Salesforce's `contacts` and `opportunities`, the shop's `quotes`, `products` and
-- `forced_out`, and what was given last time (`before`).
--
-- Rules
--   views       of a product by one person in one calendar month count as one signal from least_views views on, at
--               least one of which showed a value of least_value or more
--   downloads   gated ones count, once per person, document and month; of a document without a product the interest
--               is it
--   consent     an event without it counts for nothing
--   sellable    the product is approved in an Online catalog version and not forced out of stock; its online days are
--               judged by the mapping, since they pass with time
--   account     that of the contact whose login, else whose e-mail address, the event names
--   opened      month (UTC) of the first signal; while the opportunity is open, all later months belong to it. Once
--               it is closed, deleted, or what covered it is over, a signal of a month not yet counted opens the next
--               one
--   covered     the account has an open opportunity of this interest from elsewhere, or an open quote with the
--               product: no second one. If that comes later, an opportunity nobody has touched yet is closed in
--               favour of it
--   counts      never fall, although the inbox forgets events
WITH rules AS (SELECT 3 AS least_views, 500.00::DECIMAL(18, 2) AS least_value),
people AS (
    SELECT login, account_id, account FROM (
        SELECT lower(Commerce_Uid__c) AS login, 1 AS rank, Id, AccountId AS account_id, Account.Commerce_Id__c AS account FROM contacts
        UNION ALL SELECT lower(Email), 2, Id, AccountId, Account.Commerce_Id__c FROM contacts)
    WHERE login IS NOT NULL AND account_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY login ORDER BY rank, Id) = 1
),
counted AS (
    SELECT e._owner AS owner, e.type, lower(trim(coalesce(e.data.uid, e.data.email))) AS login, lower(trim(e.data.email)) AS email, e.time, e.id,
           strftime(e.time, '%Y-%m') AS month, e.data.product IS NOT NULL AS is_product,
           coalesce(e.data.value, 0) AS value, upper(e.data.currency) AS currency
    FROM events AS e
    WHERE e.data.consent AND coalesce(e.data.uid, e.data.email) IS NOT NULL
      AND (e.type = 'product.viewed' OR (e.type = 'content.downloaded' AND e.data.gated))
),
signals AS (
    SELECT c.owner, coalesce(p.account, p.account_id, m.account, m.account_id) AS account, coalesce(p.account_id, m.account_id) AS account_id, c.login, c.type, c.month, bool_or(c.is_product) AS is_product,
           count(*)::BIGINT AS number, max(c.time) AS last_at, max(c.value) AS value,
           arg_max(c.currency, (c.value, c.time, c.id)) AS currency
    FROM counted AS c LEFT JOIN people AS p ON p.login = c.login LEFT JOIN people AS m ON m.login = c.email CROSS JOIN rules AS r
    WHERE p.login IS NOT NULL OR m.login IS NOT NULL
    GROUP BY ALL
    HAVING c.type <> 'product.viewed' OR (count(*) >= any_value(r.least_views) AND max(c.value) >= any_value(r.least_value))
),
-- What covers an interest from elsewhere
newest_quotes AS (
    SELECT coalesce(unit.uid, "user".customerID) AS account, state.code AS state, code, entries FROM quotes
    WHERE coalesce(state.code, '') NOT IN ('', 'CREATED', 'BUYER_DRAFT')
    QUALIFY row_number() OVER (PARTITION BY code ORDER BY version DESC NULLS LAST, modifiedtime DESC) = 1
),
quoted AS (
    SELECT account, e.product.code AS owner, min(code) AS quote FROM newest_quotes, unnest(entries) AS t(e)
    WHERE state NOT IN ('BUYER_ORDERED', 'BUYER_REJECTED', 'CANCELLED', 'EXPIRED') GROUP BY ALL
),
-- one row per external id: a deleted one may have a living successor
sold AS (
    SELECT o._owner AS owner, coalesce(o.Account.Commerce_Id__c, o.AccountId) AS account, o.Commerce_Id__c AS external_id, o.StageName AS stage,
           NOT o.IsClosed AND NOT o.IsDeleted AS is_open
    FROM opportunities AS o
    QUALIFY row_number() OVER (PARTITION BY coalesce(o.Commerce_Id__c, o.Id) ORDER BY o.IsDeleted, o.Id DESC) = 1
),
-- What was opened before, and how it stands
opened AS (
    SELECT b.owner, b.account, b.opened, b.last_month, b.signal_count, b.score, b.is_covered,
           'interest|' || b.account || '|' || b.owner || '|' || b.opened AS external_id
    FROM before AS b
),
standing AS (
    SELECT *, coalesce(NOT is_open, false) OR (is_covered AND quote IS NULL AND NOT is_beside) AS is_over FROM (
        SELECT o.*, q.quote, s.stage, s.is_open, EXISTS (FROM sold AS x WHERE x.is_open AND x.owner = o.owner AND x.account = o.account
                                                         AND x.external_id IS DISTINCT FROM o.external_id) AS is_beside
        FROM opened AS o
        LEFT JOIN sold AS s ON s.external_id = o.external_id
        LEFT JOIN quoted AS q ON q.owner = o.owner AND q.account = o.account)
),
next AS (
    SELECT s.owner, s.account, min(s.month) AS opened
    FROM signals AS s LEFT JOIN (SELECT owner, account, bool_and(is_over) AS is_over, max(last_month) AS last_month FROM standing
                                 GROUP BY ALL) AS b ON b.owner = s.owner AND b.account = s.account
    WHERE b.owner IS NULL OR (b.is_over AND s.month > b.last_month)
    GROUP BY ALL
),
started AS (
    SELECT n.*, q.quote, EXISTS (FROM sold AS x WHERE x.is_open AND x.owner = n.owner AND x.account = n.account
                                 AND x.external_id IS DISTINCT FROM n.external_id) AS is_beside
    FROM (SELECT *, 'interest|' || account || '|' || owner || '|' || opened AS external_id FROM next) AS n
    LEFT JOIN quoted AS q ON q.owner = n.owner AND q.account = n.account
),
every AS (
    SELECT owner, account, opened, external_id, last_month, signal_count, score, is_covered, is_over, stage, quote FROM standing
    UNION ALL
    SELECT owner, account, opened, external_id, NULL, NULL, NULL, is_beside OR quote IS NOT NULL, false, NULL, quote FROM started
),
spans AS (
    SELECT *, lead(opened) OVER w AS until, row_number() OVER w = 1 AS is_first
    FROM every WINDOW w AS (PARTITION BY owner, account ORDER BY opened)
),
summed AS (
    SELECT e.owner, e.account, e.opened, any_value(s.account_id) AS account_id, sum(s.number)::BIGINT AS number, max(s.month) AS last_month,
           max(s.last_at) AS last_at, max(s.value) AS value, arg_max(s.currency, (s.value, s.last_at, s.login)) AS currency,
           bool_or(s.is_product) AS is_product, count(DISTINCT s.login)::INTEGER AS people,
           least(100, 20 * count(DISTINCT s.month || s.login) FILTER (s.type = 'product.viewed')
                    + 30 * count(DISTINCT s.month || s.login) FILTER (s.type = 'content.downloaded'))::INTEGER AS score,
           string_agg(DISTINCT s.type, ', ' ORDER BY s.type) AS kinds
    FROM spans AS e JOIN signals AS s ON s.owner = e.owner AND s.account = e.account
         AND (s.month >= e.opened OR e.is_first) AND (e.until IS NULL OR s.month < e.until)
    WHERE NOT e.is_over
    GROUP BY ALL
),
catalog AS (
    SELECT _owner AS owner, max(nullif(trim(name), '') ORDER BY integrationKey) AS name, min(coalesce(onlineDate, TIMESTAMP '1970-01-01')) AS online_from,
           max(coalesce(offlineDate, TIMESTAMP '9999-01-01')) AS online_until
    FROM products WHERE approvalStatus.code = 'approved' AND catalogVersion.version = 'Online' GROUP BY ALL
)
SELECT e.owner, e.account, e.opened, e.external_id, e.is_covered, e.is_over, e.quote, f.account_id, f.value, f.currency, f.last_at, f.kinds, f.people,
       greatest(e.last_month, f.last_month) AS last_month,
       greatest(e.signal_count, f.number) AS signal_count,
       greatest(e.score, f.score) AS score,
       coalesce(c.name, e.owner) AS name,
       CASE WHEN f.is_product THEN c.owner IS NOT NULL AND e.owner NOT IN (SELECT productCode FROM forced_out WHERE productCode IS NOT NULL) ELSE true END AS is_sellable,
       c.online_from, c.online_until,
       e.quote IS NOT NULL AND NOT e.is_covered AND e.stage = 'Prospecting' AS is_superseded,
       make_date(left(e.opened, 4)::INTEGER, right(e.opened, 2)::INTEGER, 1) + 90 AS close_day
FROM every AS e
LEFT JOIN summed AS f ON f.owner = e.owner AND f.account = e.account AND f.opened = e.opened
LEFT JOIN catalog AS c ON c.owner = e.owner
