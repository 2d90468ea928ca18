-- S1: records of the shop that were merged away, one row per external id. Read over `records`; `before` is what it gave
-- last.
--
-- Rules
--   a merged record is in the recycle bin and names the one it lives on in; who is known stays known when the bin forgets
--   the one that is left is named by its external id; one without gets its record id, which no leg finds: what refers to
--   it is refused with that reason until somebody gives the record an id of the shop
--   an external id that a living record carries is no lost one: un-merged, restored, or given to the one that is left
WITH lost AS (
    SELECT _owner AS owner, Id AS lost_id, MasterRecordId AS now_id, MasterRecord.Commerce_Id__c AS master
    FROM records WHERE IsDeleted AND MasterRecordId IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY _owner ORDER BY SystemModstamp DESC, Id DESC) = 1
),
known AS (
    SELECT owner, "now", lost_id, now_id FROM before WHERE "now" IS NOT NULL
),
living AS (
    SELECT DISTINCT _owner AS owner FROM records WHERE NOT IsDeleted
),
merged AS (
    SELECT coalesce(l.owner, k.owner) AS owner, coalesce(l.lost_id, k.lost_id) AS lost_id,
           coalesce(l.now_id, k.now_id) AS now_id,
           -- a master that was merged away itself may have lost its name since: the one it had is followed further
           coalesce(l.master, CASE WHEN l.owner IS NULL OR l.now_id = k.now_id THEN k."now" END, l.now_id) AS "now"
    FROM lost AS l FULL JOIN known AS k ON k.owner = l.owner
)
SELECT m.owner, m.lost_id, m.now_id, CASE WHEN v.owner IS NULL THEN m."now" END AS "now", v.owner IS NOT NULL AS is_living
FROM merged AS m LEFT JOIN living AS v ON v.owner = m.owner
