-- S8: what the shop measured of every campaign: one row per day of its period, and one row for all of it (`day` null).
-- Read over `campaigns`, `members`, `orders`, `returns`, `redemptions` and `views`. The leg by day computes days again
-- whose orders changed, the leg of the totals computes everything again; that is told by `owner` in the two mappings.
--
-- Rules
--   the period is StartDate to EndDate, both included, at most 732 days of this century; a day is a UTC date
--   with a coupon code, an order of the period counts that redeemed it, whoever placed it; without one, every order
--   that a member placed in the period after becoming one
--   an order counts unless it is CANCELLED; revenue is what S7 calls spend: the value of each line's kept quantity,
--   rounded half up to the cent; delivery cost is not revenue; an order counts for each campaign it belongs to
--   a member is reached from the day it was put into the campaign (the first day if that was before, or is only known
--   from after the end); conversion is the share of those reached who placed a counting order
--   a visit is a member on a day on which it looked at products; null where the shop told of no views at all that day.
--   Old events are forgotten, so that visits never become fewer (`before`)
--   no revenue where a counting order is not in the currency of the org: it would not be a sum
WITH org AS (SELECT 'USD' AS currency),
period AS (
    SELECT Id AS id, Commerce_Id__c AS campaign, nullif(trim(Coupon_Code__c), '') AS coupon,
           StartDate AS first_day, EndDate AS last_day
    FROM campaigns
    WHERE NOT IsDeleted AND Commerce_Id__c IS NOT NULL AND StartDate <= EndDate AND EndDate - StartDate <= 731
      AND year(StartDate) >= 2000 AND year(EndDate) <= 2099
),
reached AS (
    SELECT p.campaign, m.Contact.Commerce_Id__c AS customer_id, min(lower(trim(m.Contact.Commerce_Uid__c))) AS uid,
           min(CASE WHEN CAST(m.CreatedDate AS DATE) > p.last_day THEN p.first_day
                    ELSE greatest(CAST(m.CreatedDate AS DATE), p.first_day) END) AS since
    FROM members AS m JOIN period AS p ON p.id = m.CampaignId
    WHERE NOT m.IsDeleted AND m.Contact.Commerce_Id__c IS NOT NULL GROUP BY ALL
),
calendar AS (
    SELECT campaign, CAST(unnest(generate_series(first_day, last_day, INTERVAL 1 DAY)) AS DATE) AS day FROM period
),
arrivals AS (SELECT campaign, since, count(*) AS people FROM reached GROUP BY ALL),
crowd AS (
    SELECT c.campaign, c.day,
           coalesce(sum(a.people) OVER (PARTITION BY c.campaign ORDER BY c.day), 0)::BIGINT AS members_reached
    FROM calendar AS c LEFT JOIN arrivals AS a ON a.campaign = c.campaign AND a.since = c.day
),
placed AS (
    SELECT code, CAST(date AS DATE) AS day, "user".customerID AS customer_id, currency.isocode AS currency, entries
    FROM orders WHERE status.code IS DISTINCT FROM 'CANCELLED'
),
counting AS (
    SELECT p.campaign, o.code, o.day, o.customer_id, o.currency
    FROM period AS p JOIN redemptions AS r ON r.couponCode = p.coupon
    JOIN placed AS o ON o.code = r."order".code AND o.day BETWEEN p.first_day AND p.last_day
    UNION
    SELECT p.campaign, o.code, o.day, o.customer_id, o.currency
    FROM period AS p JOIN reached AS a ON a.campaign = p.campaign
    JOIN placed AS o ON o.customer_id = a.customer_id AND o.day BETWEEN a.since AND p.last_day
    WHERE p.coupon IS NULL
),
returned AS (
    SELECT r."order".code AS code, e.orderEntry.entryNumber AS entry_number, sum(e.expectedQuantity)::BIGINT AS quantity
    FROM returns AS r, unnest(r.returnEntries) AS t(e)
    WHERE r.status.code IS DISTINCT FROM 'CANCELED' AND r."order".code IN (SELECT code FROM counting)
    GROUP BY ALL
),
lines AS (
    SELECT o.code, e.entryNumber AS entry_number, e.quantity AS quantity, CAST(e.totalPrice * 100 AS BIGINT) AS cents
    FROM placed AS o, unnest(o.entries) AS t(e) WHERE o.code IN (SELECT code FROM counting)
),
worth AS (
    SELECT l.code, sum(CASE WHEN l.quantity > 0 THEN (2 * l.cents::HUGEINT * greatest(l.quantity - coalesce(r.quantity, 0), 0)
                                + l.quantity) // (2 * l.quantity) ELSE 0 END)::HUGEINT AS cents
    FROM lines AS l LEFT JOIN returned AS r ON r.code = l.code AND r.entry_number = l.entry_number GROUP BY l.code
),
sold AS (
    SELECT c.campaign, c.day, count(*)::BIGINT AS orders, sum(coalesce(w.cents, 0))::HUGEINT AS cents,
           count(DISTINCT c.customer_id) FILTER (a.customer_id IS NOT NULL)::BIGINT AS buyers,
           coalesce(bool_and(c.currency IS NOT DISTINCT FROM g.currency), true) AS is_summable
    FROM counting AS c CROSS JOIN org AS g LEFT JOIN worth AS w ON w.code = c.code
    LEFT JOIN reached AS a ON a.campaign = c.campaign AND a.customer_id = c.customer_id AND c.day >= a.since
    GROUP BY GROUPING SETS ((c.campaign, c.day), (c.campaign))
),
looked AS (
    SELECT a.campaign, CAST(v.time AS DATE) AS day, count(DISTINCT a.customer_id)::BIGINT AS visits
    FROM views AS v JOIN reached AS a ON a.uid = lower(trim(v.data.uid)) AND a.since <= CAST(v.time AS DATE)
    GROUP BY ALL
),
told AS (SELECT DISTINCT CAST(time AS DATE) AS day FROM views),
spots AS (
    SELECT campaign, day, members_reached FROM crowd
    UNION ALL
    SELECT campaign, NULL, max(members_reached) FROM crowd GROUP BY campaign
)
SELECT coalesce(CAST(s.day AS VARCHAR), s.campaign) AS owner, s.campaign, s.day, p.first_day, s.members_reached,
       greatest(b.visits, CASE WHEN t.day IS NOT NULL THEN coalesce(l.visits, 0) END)::BIGINT AS visits,
       coalesce(o.orders, 0)::BIGINT AS orders,
       -- hundredths of a percent, rounded half up
       CASE WHEN s.members_reached > 0 THEN ((2 * coalesce(o.buyers, 0) * 10000 + s.members_reached)
            // (2 * s.members_reached))::DECIMAL(16, 0) * 0.01 END AS conversion_rate,
       CASE WHEN coalesce(o.is_summable, true) THEN coalesce(o.cents, 0)::DECIMAL(16, 0) * 0.01 END AS revenue,
       CASE WHEN o.is_summable THEN ((2 * o.cents + o.orders) // (2 * o.orders))::DECIMAL(16, 0) * 0.01 END AS average_order
FROM spots AS s JOIN period AS p ON p.campaign = s.campaign
LEFT JOIN sold AS o ON o.campaign = s.campaign AND o.day IS NOT DISTINCT FROM s.day
LEFT JOIN looked AS l ON l.campaign = s.campaign AND l.day = s.day
LEFT JOIN told AS t ON t.day = s.day
LEFT JOIN before AS b ON b.campaign = s.campaign AND b.day = s.day
