-- K1: what categories show. One row per category with a banner of ours, and per category that had one before.
-- Read over `medias` (what is in the shop now), `assets` and `categories`. A picture that is not ours stays where no
-- banner takes its place. Of several banners the English one is taken, then that with the smaller code. What belongs to
-- a campaign is placed by K8.
WITH shown AS (
    SELECT regexp_extract(code, '^iconik-([0-9a-f-]{36})-master$', 1) AS asset_id, code,
        catalogVersion.version AS version, catalogVersion.catalog.id AS catalog
    FROM medias WHERE size > 0
),
seasonal AS (SELECT id FROM assets WHERE nullif(trim(metadata.campaign_code), '') IS NOT NULL),
claimed AS (
    SELECT DISTINCT trim(unnest(metadata.category_codes)) AS category FROM campaigns
    WHERE nullif(trim(metadata.campaign_code), '') IS NOT NULL AND coalesce(metadata.commerce_status, '') NOT IN ('withdrawn', 'expired')
),
placed AS (
    SELECT s.*, a.metadata."language" AS language, unnest(a.metadata.category_codes) AS category
    FROM shown AS s JOIN assets AS a ON a.id = s.asset_id WHERE a.metadata.media_role = 'banner'
        AND a.id NOT IN (SELECT id FROM seasonal)
),
category AS (
    SELECT code, catalogVersion.version AS version, catalogVersion.catalog.id AS catalog, picture FROM categories
    QUALIFY row_number() OVER (PARTITION BY code, catalog ORDER BY version = 'Staged' DESC, version) = 1
),
wanted AS (
    SELECT c.code, c.catalog, c.version, first(m.code ORDER BY m.language <> 'en', m.language, m.code) AS picture
    FROM category AS c JOIN placed AS m ON trim(m.category) = c.code AND m.catalog = c.catalog AND m.version = c.version
    GROUP BY ALL
)
SELECT c.catalog || ':' || c.code AS owner, c.code, c.catalog, c.version,
    coalesce(w.picture, CASE WHEN c.picture.code NOT LIKE 'iconik-%' THEN c.picture.code END) AS picture,
    c.code IN (SELECT category FROM claimed WHERE category IS NOT NULL)
        OR coalesce(regexp_extract(c.picture.code, '^iconik-([0-9a-f-]{36})', 1) IN (SELECT id FROM seasonal), false) AS is_claimed
FROM category AS c LEFT JOIN wanted AS w ON w.code = c.code AND w.catalog = c.catalog AND w.version = c.version
WHERE w.code IS NOT NULL OR coalesce(c.picture.code LIKE 'iconik-%', false)
    OR EXISTS (SELECT 1 FROM before AS b WHERE b.owner = c.catalog || ':' || c.code)
