-- Features of products from the assets the shop shows for them: one row per product, feature and place.
-- An asset counts when the shop has a medium made from it; which product it fits, its `sku` says.
WITH rules(qualifier, clear_on_blank) AS (
    -- A feature whose source went blank keeps its values unless it stands here with true.
    VALUES ('video_duration_s', false), ('video_format', false), ('video_codec', false), ('video_resolution', false),
           ('video_size_bytes', false), ('media_language', false), ('usage_rights', false), ('campaign_tags', true)
),
shown AS (
    SELECT DISTINCT regexp_extract(code, '^iconik-([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})-', 1) AS asset_id,
        catalogVersion.catalog.id AS catalog, catalogVersion.version AS version
    FROM medias
    QUALIFY rank() OVER (PARTITION BY asset_id, catalog ORDER BY (version = 'Staged') DESC, version) = 1
),
technical AS (
    SELECT a.id, list_filter(flatten(list_transform(coalesce(a.formats, []),
            lambda f: CASE WHEN f.name = 'ORIGINAL' THEN coalesce(f.components, []) ELSE [] END)),
            lambda c: c."type" = 'VIDEO')[1].metadata AS film
    FROM assets AS a
),
fitting AS (
    SELECT s.catalog, s.version, unnest(list_distinct(a.metadata.sku)) AS product, a.id, a.media_type,
        a.duration_milliseconds AS ms, a.format, a.metadata AS said, t.film, list_sum(list_transform(
            coalesce(a.files, []), lambda f: f.size)) AS size
    FROM assets AS a JOIN shown AS s ON s.asset_id = a.id JOIN technical AS t ON t.id = a.id
    -- A medium that was deleted in the shop is missed by the next complete scan only; that its asset was withdrawn is
    -- known at once.
    WHERE a.status = 'ACTIVE' AND coalesce(a.metadata.commerce_status, '') NOT IN ('withdrawn', 'expired')
),
films AS (
    SELECT * FROM fitting WHERE media_type = 'video'
    QUALIFY row_number() OVER (PARTITION BY catalog, version, product
        ORDER BY (said.media_role = 'video') DESC NULLS LAST, id) = 1
),
given AS (
    SELECT catalog, version, product, 'video_duration_s' AS qualifier, (ms / 1000)::DECIMAL(12, 3)::VARCHAR AS value FROM films
    UNION ALL SELECT catalog, version, product, 'video_format', upper(format) FROM films
    UNION ALL SELECT catalog, version, product, 'video_codec', coalesce(film.codec, film.codec_id) FROM films
    UNION ALL SELECT catalog, version, product, 'video_resolution', film.width || 'x' || film.height FROM films
    UNION ALL SELECT catalog, version, product, 'video_size_bytes', size::BIGINT::VARCHAR FROM films
    UNION ALL SELECT catalog, version, product, 'usage_rights', said.usage_rights FROM fitting
    UNION ALL SELECT catalog, version, product, 'campaign_tags', unnest(said.campaign_tags) FROM fitting
    UNION ALL
    -- en_us and EN-us are the same tag: en-US.
    SELECT catalog, version, product, 'media_language', array_to_string(list_transform(
            string_split(replace(said.language, '_', '-'), '-'), lambda part, place: CASE WHEN place = 1 THEN lower(part)
            WHEN length(part) = 4 THEN upper(part[1]) || lower(part[2:]) ELSE upper(part) END), '-')
    FROM fitting
),
clean AS (
    SELECT DISTINCT catalog, version, product, qualifier,
        nullif(trim(regexp_replace(regexp_replace(value, '<[^<>]*>', ' ', 'g'), '\s+', ' ', 'g')), '') AS value
    FROM given
),
placed AS (
    SELECT catalog, version, product, qualifier, value,
        (row_number() OVER (PARTITION BY catalog, version, product, qualifier ORDER BY value) - 1)::INTEGER AS place
    FROM clean WHERE value IS NOT NULL
),
kept AS (
    SELECT b.catalog, b.version, b.product, b.qualifier, b.value, b.place
    FROM before AS b JOIN rules AS r ON r.qualifier = b.qualifier AND NOT r.clear_on_blank
    WHERE EXISTS (SELECT 1 FROM fitting AS f
            WHERE f.catalog = b.catalog AND f.version = b.version AND f.product = b.product)
        AND NOT EXISTS (SELECT 1 FROM placed AS p WHERE p.catalog = b.catalog AND p.version = b.version
            AND p.product = b.product AND p.qualifier = b.qualifier)
)
SELECT 'shop' AS owner, catalog, version, product, qualifier, place, value FROM placed
UNION ALL
SELECT 'shop', catalog, version, product, qualifier, place, value FROM kept
