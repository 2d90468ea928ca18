-- Where the shop uses an asset: every place that shows a medium iconik-<asset id>-<rendition> or its container.
-- Staged and Online count as one place: what is still live is still used.
WITH containers AS (
    SELECT qualifier, list(DISTINCT m.code) AS codes
    FROM (SELECT mediaContainer.qualifier AS qualifier, code FROM medias) AS m
    WHERE qualifier IS NOT NULL GROUP BY qualifier
),
shown(place, media) AS (
    SELECT 'product:' || catalogVersion.catalog.id || '/' || code, unnest(list_concat(
        [picture.code, thumbnail.code],
        list_transform(coalesce(detail, []), lambda m: m.code), list_transform(coalesce(others, []), lambda m: m.code),
        list_transform(coalesce(data_sheet, []), lambda m: m.code)))
    FROM products
    UNION ALL
    SELECT 'product:' || p.catalogVersion.catalog.id || '/' || p.code, unnest(list_concat([p.qualifier], coalesce(c.codes, [])))
    FROM (SELECT *, unnest(list_transform(coalesce(galleryImages, []), lambda g: g.qualifier)) AS qualifier
          FROM products) AS p LEFT JOIN containers AS c ON c.qualifier = p.qualifier
    UNION ALL
    SELECT 'category:' || catalogVersion.catalog.id || '/' || code, unnest([picture.code, thumbnail.code]) FROM categories
    UNION ALL
    SELECT 'component:' || catalogVersion.catalog.id || '/' || uid, media.code FROM banners
    UNION ALL
    SELECT 'component:' || b.catalogVersion.catalog.id || '/' || b.uid, unnest(list_concat([b.media.qualifier], coalesce(c.codes, [])))
    FROM responsive_banners AS b LEFT JOIN containers AS c ON c.qualifier = b.media.qualifier
),
paged(place, component) AS (
    SELECT 'page:' || catalogVersion.catalog.id || '/' || coalesce(label, uid),
        unnest(flatten(list_transform(coalesce(contentSlots, []), lambda s: list_transform(
            coalesce(s.contentSlot.cmsComponents, []),
            lambda c: 'component:' || catalogVersion.catalog.id || '/' || c.uid))))
    FROM pages
),
places AS (
    SELECT DISTINCT regexp_extract(media, '^iconik-([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(-|$)', 1) AS asset_id, place
    FROM (SELECT place, media FROM shown UNION ALL
          SELECT p.place, s.media FROM paged AS p JOIN shown AS s ON s.place = p.component)
    WHERE media IS NOT NULL
),
found AS (
    SELECT asset_id, list_sort(list(place)) AS every FROM places WHERE asset_id <> '' GROUP BY asset_id
),
seen AS (
    SELECT coalesce(f.asset_id, b.asset_id) AS asset_id, coalesce(f.every, []) AS every, b.used_since, b.seen_at,
        b.mark IS NOT DISTINCT FROM md5(coalesce(f.every, [])::VARCHAR) AS is_same
    FROM found AS f FULL JOIN before AS b ON b.asset_id = f.asset_id
)
SELECT
    'shop' AS owner,
    asset_id,
    every[1:200] AS placements,
    len(every)::INTEGER AS usage_count,
    md5(every::VARCHAR) AS mark,
    -- In use: the day since which it stands exactly where it stands. Not any more: the day it was last seen. Days, so
    -- that a run that is repeated after a crash says the same.
    CASE WHEN is_same THEN used_since WHEN len(every) > 0 THEN date_trunc('day', getvariable('now')::TIMESTAMPTZ)
        ELSE date_trunc('day', seen_at) END AS used_since,
    CASE WHEN len(every) > 0 THEN getvariable('now')::TIMESTAMPTZ ELSE seen_at END AS seen_at
FROM seen
