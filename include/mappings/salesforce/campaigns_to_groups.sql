-- S8: the customer groups that campaigns and offers fill, one row per group. Read over `campaigns`, `members` and
-- `offers`, all of them everybody's. Only the data of the group: its members are the leg campaign_members_to_groups.
WITH audience AS (
    SELECT CampaignId, count(DISTINCT ContactId)::BIGINT AS people
    FROM members WHERE NOT IsDeleted AND ContactId IS NOT NULL GROUP BY CampaignId
),
wanted AS (
    SELECT trim(c.Commerce_Group__c) AS grp, c.Name AS name, c.StartDate AS starts_on, c.Commerce_Id__c AS code,
           'Campaign ' || c.Commerce_Id__c AS description, coalesce(a.people, 0) AS people
    FROM campaigns AS c LEFT JOIN audience AS a ON a.CampaignId = c.Id
    WHERE NOT c.IsDeleted AND c.Commerce_Id__c IS NOT NULL AND nullif(trim(c.Commerce_Group__c), '') IS NOT NULL
    UNION ALL
    SELECT 'offer-' || trim(Offer_Code__c), 'Offer ' || trim(Offer_Code__c), Starts_On__c, Commerce_Id__c,
           'Offers of kind ' || coalesce(Kind__c, 'none'), 0
    FROM offers WHERE NOT IsDeleted AND nullif(trim(Offer_Code__c), '') IS NOT NULL AND Kind__c IS DISTINCT FROM 'Segment'
)
-- Several campaigns may fill one group: the last one that starts names it, the largest audience counts.
SELECT grp AS owner, arg_max(name, (coalesce(starts_on, DATE '1970-01-01'), code)) AS name,
       arg_max(description, (coalesce(starts_on, DATE '1970-01-01'), code)) AS description, max(people)::BIGINT AS people
FROM wanted GROUP BY grp
