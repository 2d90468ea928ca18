-- S8: who belongs into which customer group of the shop, one row per group and customer, with `is_in`.
-- Read over `campaigns`, `members`, `contacts`, `offers` and `consents`; `before` is what it gave last time.
--
-- Rules
--   a campaign runs from its StartDate to its EndDate (both included, days of UTC) while it is active and neither
--   completed nor aborted; time alone ends it, so that everything is computed in every run
--   its people are its members with a contact of the shop, and the people of accounts with a segment offer of it
--   nobody without consent: the contact's consent and, where the shop has one on record, the shop's as well
--   of running campaigns with one Exclusive_Group__c a customer is in that of the highest Priority__c only; ties go to
--   the earlier start, then to the smaller Commerce_Id__c
--   a campaign with more than 5000 people takes nobody in until it has fewer; who is in stays in
--   an account's offer holds for all its people, from Starts_On__c to Ends_On__c, while its campaign (if any) runs
--   groups of ours are named campaign-... and offer-...; no other group is ever touched
WITH today AS (SELECT (getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC')::DATE AS day),
audience AS (
    SELECT CampaignId, count(DISTINCT ContactId) AS people
    FROM members WHERE NOT IsDeleted AND ContactId IS NOT NULL GROUP BY CampaignId
),
campaign AS (
    SELECT c.Id AS id, trim(c.Commerce_Group__c) AS grp, c.Commerce_Id__c AS code, c.Priority__c AS priority,
           nullif(trim(c.Exclusive_Group__c), '') AS exclusive, c.StartDate AS starts_on,
           coalesce(a.people, 0) <= 5000 AS is_fit,
           coalesce(NOT c.IsDeleted AND c.IsActive AND coalesce(c.Status, '') NOT IN ('Completed', 'Aborted')
                    AND t.day BETWEEN c.StartDate AND c.EndDate AND c.EndDate - c.StartDate <= 731, false) AS runs
    FROM campaigns AS c CROSS JOIN today AS t LEFT JOIN audience AS a ON a.CampaignId = c.Id
    WHERE c.Commerce_Id__c IS NOT NULL
      AND regexp_full_match(trim(c.Commerce_Group__c), 'campaign-[A-Za-z0-9][A-Za-z0-9._-]{0,199}')
),
-- the latest word on each kind of marketing consent; a customer with any of them withdrawn is left alone
refused AS (
    SELECT DISTINCT customer_id FROM (
        SELECT customer.customerID AS customer_id, consentGivenDate AS given, consentWithdrawnDate AS withdrawn
        FROM consents WHERE upper(consentTemplate.id) LIKE '%MARKETING%'
        QUALIFY row_number() OVER (PARTITION BY customer.customerID, consentTemplate.id
            ORDER BY greatest(consentGivenDate, consentWithdrawnDate) DESC NULLS LAST, consentTemplate.version DESC, code DESC) = 1)
    WHERE customer_id IS NOT NULL AND (given IS NULL OR withdrawn IS NOT NULL)
),
people AS (
    SELECT Id AS id, AccountId AS account_id, Commerce_Id__c AS customer_id, trim(Commerce_Uid__c) AS uid,
           Consent_Email__c AND NOT HasOptedOutOfEmail AND Commerce_Active__c
               AND Commerce_Id__c NOT IN (SELECT customer_id FROM refused) AS may_be_asked
    FROM contacts
    WHERE NOT IsDeleted AND Commerce_Id__c IS NOT NULL AND nullif(trim(Commerce_Uid__c), '') IS NOT NULL
),
offer AS (
    SELECT o.Account__c AS account_id, o.Campaign__c AS campaign_id, o.Kind__c AS kind, trim(o.Offer_Code__c) AS code,
           coalesce(NOT o.IsDeleted AND o.Active__c AND t.day BETWEEN coalesce(o.Starts_On__c, t.day)
                    AND coalesce(o.Ends_On__c, t.day), false) AS runs
    FROM offers AS o CROSS JOIN today AS t
),
chosen AS (
    SELECT CampaignId AS campaign_id, ContactId AS contact_id, NOT IsDeleted AS holds FROM members
    UNION ALL
    SELECT o.campaign_id, p.id, o.runs FROM offer AS o JOIN people AS p ON p.account_id = o.account_id WHERE o.kind = 'Segment'
),
candidate AS (
    SELECT c.code, c.grp, c.priority, c.exclusive, c.starts_on, p.customer_id, any_value(p.uid) AS uid,
           bool_or(x.holds) AND c.runs AND p.may_be_asked AND (c.is_fit OR coalesce(bool_or(b.is_in), false)) AS may_be_in
    FROM chosen AS x JOIN campaign AS c ON c.id = x.campaign_id JOIN people AS p ON p.id = x.contact_id
    LEFT JOIN before AS b ON b.grp = c.grp AND b.customer_id = p.customer_id
    GROUP BY c.code, c.grp, c.priority, c.exclusive, c.starts_on, c.runs, c.is_fit, p.customer_id, p.may_be_asked
),
placed AS (
    SELECT grp, customer_id, uid,
           may_be_in AND (exclusive IS NULL OR row_number() OVER (PARTITION BY exclusive, customer_id
               ORDER BY may_be_in DESC, priority DESC NULLS LAST, starts_on, code) = 1) AS is_in
    FROM candidate
    UNION ALL
    SELECT 'offer-' || o.code, p.customer_id, p.uid,
           o.runs AND p.may_be_asked AND (o.campaign_id IS NULL OR coalesce(c.runs, false))
    FROM offer AS o JOIN people AS p ON p.account_id = o.account_id LEFT JOIN campaign AS c ON c.id = o.campaign_id
    WHERE o.kind IS DISTINCT FROM 'Segment' AND regexp_full_match(o.code, '[A-Za-z0-9][A-Za-z0-9._-]{0,199}')
)
SELECT customer_id AS owner, grp, customer_id, any_value(uid) AS uid, bool_or(is_in) AS is_in
FROM placed GROUP BY grp, customer_id
