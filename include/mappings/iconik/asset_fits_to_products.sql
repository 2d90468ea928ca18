-- Which media fit a product: those made from assets whose `sku` names it. What was replaced in iconik makes room for
-- what replaces it, as soon as the shop has media of the latter.
WITH shown AS (
    SELECT regexp_extract(code, '^iconik-([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})-', 1) AS asset_id, code,
        catalogVersion.version AS version, catalogVersion.catalog.id AS catalog
    FROM medias
),
live AS (
    SELECT id, metadata.sku AS sku, metadata.media_role AS role, relations FROM assets
    WHERE status = 'ACTIVE' AND id IN (SELECT asset_id FROM shown)
),
replaced AS (
    SELECT DISTINCT r.related_to_asset_id AS old_id, l.id AS new_id
    FROM live AS l, (SELECT unnest(coalesce(l.relations, [])) AS r)
    WHERE r.relation_type = 'replaces' AND r.related_from_asset_id = l.id AND r.related_to_asset_id <> l.id
),
fits AS (
    SELECT id, role, unnest(list_distinct(sku)) AS product FROM live WHERE id NOT IN (SELECT old_id FROM replaced)
    UNION
    SELECT n.id, n.role, unnest(list_distinct(o.metadata.sku)) FROM replaced AS r
    JOIN live AS n ON n.id = r.new_id JOIN assets AS o ON o.id = r.old_id
    WHERE n.id NOT IN (SELECT old_id FROM replaced)
),
chosen AS (
    SELECT code, catalogVersion.version AS version, catalogVersion.catalog.id AS catalog, picture.code AS picture,
        approvalStatus.code AS status
    FROM products
    QUALIFY row_number() OVER (PARTITION BY code, catalog ORDER BY (version = 'Staged') DESC, version, integrationKey) = 1
),
linked AS (
    SELECT p.code, p.version, p.catalog,
        list_sort(list(DISTINCT s.code) FILTER (s.code IS NOT NULL)) AS medias,
        bool_or(coalesce(f.role = 'hero' AND s.code IS NOT NULL, false)) OR any_value(p.picture) IS NOT NULL AS has_hero,
        any_value(p.status) AS status
    FROM chosen AS p LEFT JOIN fits AS f ON f.product = p.code
    LEFT JOIN shown AS s ON s.asset_id = f.id AND s.catalog = p.catalog AND s.version = p.version
    GROUP BY ALL
)
SELECT 'shop' AS owner, 'links' AS kind, code, version, catalog, coalesce(medias, []) AS medias
FROM linked
WHERE len(coalesce(medias, [])) > 0
    -- What was linked once is watched on, so that the last medium can be taken out as well.
    OR EXISTS (SELECT 1 FROM before AS b WHERE b.kind = 'links' AND b.code = linked.code AND b.catalog = linked.catalog
        AND b.version = linked.version)
UNION ALL
SELECT 'shop', 'orphan', code, version, catalog, NULL FROM linked WHERE NOT has_hero AND status = 'approved'
