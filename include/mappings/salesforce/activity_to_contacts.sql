-- S1: consent and idle carts of people, one row per contact with something to say. Read over `carts`, `consents` and
-- `contacts`; `before` is what it gave last time.
--
-- Rules of consent
--   the latest word on each marketing template counts; with any of them withdrawn a person is left alone
--   a consent record that is gone from the shop proves nothing any more: withdrawn
--   the CRM withdraws by clearing the consent it once had, or by opting the contact out; a contact without consent that
--   was written to since it was last told of it once had it
--   what the CRM withdrew, only a later word in the shop gives again; nothing ever overrides an opt-out
--   two customers merged into one contact: both have to agree
WITH contact AS (
    SELECT _owner AS owner, bool_and(Consent_Email__c) AS is_allowed, bool_or(HasOptedOutOfEmail) AS is_opted_out,
           max(SystemModstamp) AS changed_at
    FROM contacts WHERE NOT IsDeleted GROUP BY _owner
),
word AS (
    SELECT _owner, consentGivenDate AS given_at, consentWithdrawnDate AS withdrawn_at
    FROM consents WHERE upper(consentTemplate.id) LIKE '%MARKETING%'
    QUALIFY row_number() OVER (PARTITION BY customer.customerID, consentTemplate.id
        ORDER BY greatest(consentGivenDate, consentWithdrawnDate) DESC NULLS LAST, consentTemplate.version DESC, code DESC) = 1
),
consent AS (
    SELECT _owner AS owner, bool_and(given_at IS NOT NULL AND withdrawn_at IS NULL) AS is_given, max(given_at) AS given_at
    FROM word GROUP BY _owner
),
idle AS (
    SELECT _owner AS owner, list(modifiedtime ORDER BY modifiedtime, code) AS idle_since
    FROM carts WHERE saveTime IS NULL AND len(entries) > 0 GROUP BY _owner
),
seen AS (
    SELECT c.owner, c.is_allowed, coalesce(c.is_opted_out, false) AS is_opted_out, w.owner IS NOT NULL AS has_word,
           coalesce(w.is_given, false) AS is_given, coalesce(w.given_at, b.given_at) AS given_at,
           i.idle_since, i.owner IS NOT NULL OR coalesce(b.has_carts, false) AS has_carts, b.given_at IS NOT NULL AS had_word,
           coalesce(w.given_at > b.given_at, w.owner IS NOT NULL AND b.given_at IS NULL) AS is_new_word,
           coalesce(b.was_allowed, false) OR coalesce(b.may_be_written_to AND c.changed_at > b.told_at, false) AS was_allowed,
           coalesce(b.is_withdrawn, false) AS was_withdrawn, c.changed_at, b.told_at
    FROM contact AS c LEFT JOIN consent AS w ON w.owner = c.owner LEFT JOIN idle AS i ON i.owner = c.owner
    LEFT JOIN before AS b ON b.owner = c.owner
    WHERE w.owner IS NOT NULL OR i.owner IS NOT NULL OR b.owner IS NOT NULL
),
judged AS (
    SELECT *, NOT is_new_word AND (was_withdrawn OR (was_allowed AND NOT is_allowed)) AS is_withdrawn FROM seen
)
SELECT owner, idle_since, has_carts, given_at, is_withdrawn,
       is_allowed OR (was_allowed AND NOT is_new_word) AS was_allowed,
       CASE WHEN is_new_word THEN changed_at ELSE coalesce(told_at, changed_at) END AS told_at,
       CASE WHEN has_word THEN is_given AND NOT is_opted_out AND NOT is_withdrawn
            WHEN had_word THEN false END AS may_be_written_to
FROM judged
