-- Assets that products show, by the media codes iconik-<asset id>-<rendition>; an asset links to its first product.
WITH shown AS (
    SELECT _owner, code, catalogVersion.catalog.id AS catalog, unnest(list_filter(list_concat(
            [picture.code, thumbnail.code], list_transform(coalesce(galleryImages, []), lambda m: m.qualifier),
            list_transform(coalesce(detail, []), lambda m: m.code), list_transform(coalesce(others, []), lambda m: m.code),
            list_transform(coalesce(data_sheet, []), lambda m: m.code)), lambda c: c IS NOT NULL)) AS media
    FROM products
    WHERE approvalStatus.code = 'approved'
),
named AS (
    SELECT DISTINCT _owner, catalog, code,
        regexp_extract(media, '^iconik-([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(-|$)', 1) AS asset_id
    FROM shown
)
SELECT _owner AS owner, asset_id, code
FROM named
WHERE asset_id <> ''
QUALIFY row_number() OVER (PARTITION BY _owner, asset_id ORDER BY catalog, code) = 1
