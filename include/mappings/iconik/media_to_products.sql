-- K1: galleries and data sheets of products. One row per product with media of ours, and per product that had some.
-- Read over `medias` (what is in the shop now), `assets` (what it shows, by role) and `products`.
--   galleryImages containers of hero, gallery and video assets
--   data_sheet    datasheets
-- What belongs to a campaign is placed by K8.
WITH shown AS (
    SELECT regexp_extract(code, '^iconik-([0-9a-f-]{36})-(.+)$', 1) AS asset_id,
        regexp_extract(code, '^iconik-([0-9a-f-]{36})-(.+)$', 2) AS rendition, code,
        catalogVersion.version AS version, catalogVersion.catalog.id AS catalog, mediaContainer.qualifier AS container
    FROM medias WHERE size > 0
),
placed AS (
    SELECT s.*, a.metadata.media_role AS role, unnest(a.metadata.sku) AS sku
    FROM shown AS s JOIN assets AS a ON a.id = s.asset_id WHERE nullif(trim(a.metadata.campaign_code), '') IS NULL
),
product AS (
    SELECT code, catalogVersion.version AS version, catalogVersion.catalog.id AS catalog FROM products
    QUALIFY row_number() OVER (PARTITION BY code, catalog ORDER BY version = 'Staged' DESC, version) = 1
),
linked AS (
    SELECT p.code, p.catalog, p.version, m.* EXCLUDE (code, catalog, version), m.code AS media
    FROM product AS p JOIN placed AS m ON trim(m.sku) = p.code AND m.catalog = p.catalog AND m.version = p.version
),
wanted AS (
    SELECT code, catalog, version,
        list_sort(list(DISTINCT container) FILTER (role IN ('hero', 'gallery', 'video') AND rendition IN ('master', 'web')
            AND container IS NOT NULL)) AS gallery,
        list_sort(list(DISTINCT media) FILTER (role = 'datasheet' AND rendition = 'master')) AS sheets
    FROM linked GROUP BY ALL
)
SELECT p.catalog || ':' || p.code AS owner, p.code, p.catalog, p.version,
    list_transform(w.gallery, lambda g: {'qualifier': g, 'catalogVersion': {'version': p.version, 'catalog': {'id': p.catalog}}}) AS gallery,
    list_transform(w.sheets, lambda g: {'code': g, 'catalogVersion': {'version': p.version, 'catalog': {'id': p.catalog}}}) AS sheets
FROM product AS p LEFT JOIN wanted AS w ON w.code = p.code AND w.catalog = p.catalog AND w.version = p.version
WHERE w.code IS NOT NULL OR EXISTS (SELECT 1 FROM before AS b WHERE b.owner = p.catalog || ':' || p.code)
