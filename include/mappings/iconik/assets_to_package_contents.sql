-- Which package an asset belongs in: that of every product its `sku` names. Two packages of one name are none.
WITH named AS (
    SELECT external_id, any_value(id) AS id FROM packages
    WHERE status = 'ACTIVE' AND external_id IS NOT NULL GROUP BY external_id HAVING count(*) = 1
),
fits AS (
    SELECT a.id, coalesce(a.metadata.catalog, 'Default') AS catalog, unnest(list_distinct(a.metadata.sku)) AS code
    FROM assets AS a WHERE a.status = 'ACTIVE'
)
SELECT DISTINCT 'library' AS owner, n.id AS collection_id, f.id AS asset_id
FROM fits AS f JOIN named AS n ON n.external_id = 'sapcc:' || f.catalog || ':' || f.code
