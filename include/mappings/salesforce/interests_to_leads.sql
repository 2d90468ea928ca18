-- S2: people whom Salesforce does not know and who registered, downloaded or looked again and again, one row per
-- person. Read over `events` of the storefront, Salesforce's contacts (`by_email`, `by_login`) and `leads`, the
-- shop's `products` and `forced_out`, and what was given last time (`before`). An owner is an e-mail address, else a
-- login, else a visitor.
--
-- Rules
--   one lead per person, ever: none for a contact, none beside a lead of the same address that somebody else made
--   (converted ones too), and no more of one that was converted or deleted
--   registered  makes a lead with or without consent: the person asked to be known. Consent_Email__c says what is
--               allowed
--   downloads   (gated) and views (from least_views of one product in one calendar month on, at least one with a
--               value of least_value or more) count only where the event has consent, of products that can be bought;
--               they make a lead only while the newest event of that person still has consent. Consent that is taken
--               back reaches the lead that is there
--   anonymous   visitors have no address: their rows are given, and filtered by the mapping
--   a person    is left alone for an hour, because a registered customer is a contact by then (flow S1): the
--               mapping's rule
--   counts      never fall, although the inbox forgets events
WITH rules AS (SELECT 3 AS least_views, 500.00::DECIMAL(18, 2) AS least_value),
catalog AS (
    SELECT code, min(coalesce(onlineDate, TIMESTAMP '1970-01-01')) AS online_from, max(coalesce(offlineDate, TIMESTAMP '9999-01-01')) AS online_until
    FROM products
    WHERE approvalStatus.code = 'approved' AND catalogVersion.version = 'Online' AND code NOT IN (SELECT productCode FROM forced_out WHERE productCode IS NOT NULL)
    GROUP BY ALL
),
happened AS (
    SELECT e._owner AS owner, e.id, e.type, e.time, strftime(e.time, '%Y-%m') AS month, coalesce(e.data.consent, false) AS consents,
           CASE WHEN e.type <> 'customer.registered' THEN coalesce(e.data.product, e.data.content) END AS interest,
           e.data.product, coalesce(e.data.value, 0) AS value, e.data.gated, nullif(trim(e.data.email), '') AS email,
           nullif(trim(e.data.name), '') AS name, nullif(trim(e.data.company), '') AS company
    FROM events AS e
),
counted AS (
    SELECT h.* FROM happened AS h LEFT JOIN catalog AS c ON c.code = h.product
    WHERE h.type = 'customer.registered'
       OR (h.consents AND (h.product IS NULL OR h.time BETWEEN c.online_from AND c.online_until)
           AND (h.type = 'product.viewed' OR h.gated))
),
signals AS (
    SELECT c.owner, c.type, c.interest, c.month, count(*)::BIGINT AS number, max(c.time) AS last_at, max(c.value) AS value
    FROM counted AS c CROSS JOIN rules AS r GROUP BY ALL
    HAVING c.type <> 'product.viewed' OR (count(*) >= any_value(r.least_views) AND max(c.value) >= any_value(r.least_value))
),
summed AS (
    SELECT owner, sum(number)::BIGINT AS number, max(last_at) AS last_at, max(value) AS value,
           bool_or(type = 'customer.registered') AS has_registered, bool_or(type <> 'customer.registered') AS has_interest,
           arg_max(interest, (last_at, value, interest)) FILTER (interest IS NOT NULL) AS interest,
           string_agg(DISTINCT type, ', ' ORDER BY type) AS kinds,
           least(100, 20 * count(*) FILTER (type = 'product.viewed') + 30 * count(*) FILTER (type = 'content.downloaded')
                    + 25 * count(DISTINCT type) FILTER (type = 'customer.registered'))::INTEGER AS score
    FROM signals GROUP BY owner
),
people AS (
    SELECT owner, min(time) AS first_at, arg_max(consents, (time, id)) AS consents,
           lower(coalesce(arg_max(email, (time, id)), CASE WHEN contains(owner, '@') AND NOT starts_with(owner, 'visitor ') THEN owner END)) AS email,
           -- the first that was given: what came later does not undo what a salesperson corrected
           arg_min(name, (time, id)) AS name, arg_min(company, (time, id)) AS company
    FROM happened GROUP BY owner
),
known AS (
    SELECT _owner AS owner FROM by_email UNION SELECT _owner FROM by_login
),
led AS (
    SELECT _owner AS owner,
           bool_or(Commerce_Id__c IS DISTINCT FROM 'lead|' || md5(_owner) AND NOT IsDeleted) AS has_other,
           bool_or(Commerce_Id__c = 'lead|' || md5(_owner) AND (IsConverted OR IsDeleted)) AS is_over
    FROM leads GROUP BY ALL
)
SELECT s.owner, p.email, p.company, p.first_at, p.consents, s.last_at, s.value, s.interest, s.kinds, s.has_registered,
       s.owner IN (SELECT owner FROM known WHERE owner IS NOT NULL) AS is_contact,
       coalesce(l.has_other, false) AS has_other, coalesce(l.is_over, false) AS is_over,
       coalesce(b.is_eligible, false) OR s.has_registered OR (p.consents AND s.has_interest) AS is_eligible,
       greatest(b.signal_count, s.number) AS signal_count, greatest(b.score, s.score) AS score,
       coalesce(nullif(regexp_extract(p.name, '\S+$'), ''), split_part(p.email, '@', 1)) AS last_name,
       nullif(trim(regexp_extract(p.name, '^(.*)\s\S+$', 1)), '') AS first_name
FROM summed AS s JOIN people AS p ON p.owner = s.owner
LEFT JOIN led AS l ON l.owner = s.owner
LEFT JOIN before AS b ON b.owner = s.owner
