-- S8: what campaigns say about a coupon, one row per coupon code. Read over `campaigns`.
-- A coupon of several campaigns is valid from the first start to the last end of those that were not called off.
WITH named AS (
    SELECT _owner AS owner, Name AS name, StartDate AS starts_on, EndDate AS ends_on, Commerce_Id__c AS code,
           Status IS DISTINCT FROM 'Aborted' AND NOT IsDeleted AS goes_on
    FROM campaigns WHERE Commerce_Id__c IS NOT NULL AND _owner IS NOT NULL
)
SELECT owner, bool_or(goes_on) AS goes_on,
       coalesce(arg_max(name, (coalesce(starts_on, DATE '1970-01-01'), code)) FILTER (goes_on), min(name)) AS name,
       CASE WHEN bool_and(starts_on IS NOT NULL) FILTER (goes_on) THEN min(starts_on) FILTER (goes_on) END AS starts_on,
       CASE WHEN bool_and(ends_on IS NOT NULL) FILTER (goes_on) THEN max(ends_on) FILTER (goes_on) END AS ends_on
FROM named GROUP BY owner
