-- K1: what products show first. One row per product with a picture of ours, and per product that had one before.
-- Read over `medias` (what is in the shop now), `assets` (what it shows, by role), `products` and `campaigns`.
--   picture    the hero, in English where there is one, else in the first language
--   thumbnail  the asset of that role, else the small rendition of the hero
-- A picture that is not ours stays where no hero takes its place. What belongs to a campaign is placed by K8.
WITH shown AS (
    SELECT regexp_extract(code, '^iconik-([0-9a-f-]{36})-(.+)$', 1) AS asset_id,
        regexp_extract(code, '^iconik-([0-9a-f-]{36})-(.+)$', 2) AS rendition, code,
        catalogVersion.version AS version, catalogVersion.catalog.id AS catalog
    FROM medias WHERE size > 0
),
seasonal AS (SELECT id FROM assets WHERE nullif(trim(metadata.campaign_code), '') IS NOT NULL),
claimed AS (
    SELECT DISTINCT trim(unnest(metadata.sku)) AS sku FROM campaigns
    WHERE nullif(trim(metadata.campaign_code), '') IS NOT NULL AND coalesce(metadata.commerce_status, '') NOT IN ('withdrawn', 'expired')
),
placed AS (
    SELECT s.*, a.metadata.media_role AS role, a.metadata."language" AS language, unnest(a.metadata.sku) AS sku
    FROM shown AS s JOIN assets AS a ON a.id = s.asset_id WHERE a.id NOT IN (SELECT id FROM seasonal)
),
product AS (
    SELECT code, catalogVersion.version AS version, catalogVersion.catalog.id AS catalog, picture, thumbnail FROM products
    QUALIFY row_number() OVER (PARTITION BY code, catalog ORDER BY version = 'Staged' DESC, version) = 1
),
wanted AS (
    SELECT p.code, p.catalog, p.version,
        first(m.code ORDER BY m.language <> 'en', m.language, m.code) FILTER (m.role = 'hero' AND m.rendition = 'master') AS picture,
        first(m.code ORDER BY m.role <> 'thumbnail', m.language <> 'en', m.language, m.code) FILTER (
            (m.role = 'thumbnail' AND m.rendition = 'master') OR (m.role = 'hero' AND m.rendition = 'thumb')) AS thumbnail
    FROM product AS p JOIN placed AS m ON trim(m.sku) = p.code AND m.catalog = p.catalog AND m.version = p.version
    GROUP BY ALL HAVING picture IS NOT NULL OR thumbnail IS NOT NULL
)
SELECT p.catalog || ':' || p.code AS owner, p.code, p.catalog, p.version,
    coalesce(w.picture, CASE WHEN p.picture.code NOT LIKE 'iconik-%' THEN p.picture.code END) AS picture,
    coalesce(w.thumbnail, CASE WHEN p.thumbnail.code NOT LIKE 'iconik-%' THEN p.thumbnail.code END) AS thumbnail,
    p.code IN (SELECT sku FROM claimed WHERE sku IS NOT NULL)
        OR coalesce(regexp_extract(p.picture.code, '^iconik-([0-9a-f-]{36})', 1) IN (SELECT id FROM seasonal), false)
        OR coalesce(regexp_extract(p.thumbnail.code, '^iconik-([0-9a-f-]{36})', 1) IN (SELECT id FROM seasonal), false) AS is_claimed
FROM product AS p LEFT JOIN wanted AS w ON w.code = p.code AND w.catalog = p.catalog AND w.version = p.version
WHERE w.code IS NOT NULL OR coalesce(p.picture.code LIKE 'iconik-%' OR p.thumbnail.code LIKE 'iconik-%', false)
    OR EXISTS (SELECT 1 FROM before AS b WHERE b.owner = p.catalog || ':' || p.code)
