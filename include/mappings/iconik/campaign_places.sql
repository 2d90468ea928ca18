-- K8: what a place of the shop shows while a campaign holds it, and after. One row per place that a campaign wants or
-- held, and one per campaign (place is null) that says how it stands. Read over `campaigns` (collections), `assets`,
-- `medias`, and over what the shop shows now: `banners`, `responsive_banners`, `products`, `categories`; `before` is
-- what was found last time. Time is part of it: all is found again in every run, from current data.
--
-- A campaign is on when it is ready, its window is open, every check passed, and what stood in its places was noted by
-- an earlier run (`noted`, `base`) that is settled: so a run that dies after the switch cannot take the campaign's own
-- media for what was there before. All rows of a campaign change together: `batch` is its code, revision and content.
--
-- Places of pages. locale: null shows one medium whatever the language. holds: a Media, or a container with a channel's
-- formats. shows: the rendition, or the channel. fallback: a Media (container) of the place's own catalog, for when what
-- stood there before is gone. A page in two versions of a catalog is two lines.
WITH slots(slot, locale, entity_set, code, attribute, catalog, version, holds, shows, fallback) AS (VALUES
    ('home-hero', 'en', 'BannerComponents', 'HomepageHeroBanner-en', 'media', 'Content', 'Staged', 'media', 'master', 'season-default'),
    ('home-hero', 'de', 'BannerComponents', 'HomepageHeroBanner-de', 'media', 'Content', 'Staged', 'media', 'master', 'season-default'),
    ('home-teaser', NULL, 'BannerComponents', 'HomepageTeaserBanner', 'media', 'Content', 'Staged', 'media', 'master', NULL),
    ('landing-top', 'en', 'SimpleResponsiveBannerComponents', 'LandingTopBanner-en', 'media', 'Content', 'Staged', 'container', 'web', NULL),
    ('landing-top', 'de', 'SimpleResponsiveBannerComponents', 'LandingTopBanner-de', 'media', 'Content', 'Staged', 'container', 'web', NULL)
),
-- Places of the products (sku) and categories (category_codes) that the campaign's collection names, in their drafts.
own_slots(slot, entity_set, attribute, shows, fallback) AS (VALUES
    ('product-picture', 'Products', 'picture', 'master', NULL), ('product-thumbnail', 'Products', 'thumbnail', 'thumb', NULL),
    ('category-picture', 'Categories', 'picture', 'master', 'season-default')
),
moment AS (SELECT getvariable('now')::TIMESTAMPTZ AS at),
-- What the shop shows now. media: version|catalog|code of what stands there.
shown AS (
    SELECT *, entity_set || ':' || catalog || ':' || version || ':' || code || ':' || attribute AS place FROM (
        SELECT 'BannerComponents' AS entity_set, 'media' AS attribute, uid AS code, catalogVersion.catalog.id AS catalog,
            catalogVersion.version AS version, media.code AS now_code, media.catalogVersion.version AS now_version,
            media.catalogVersion.catalog.id AS now_catalog FROM banners
        UNION ALL
        SELECT 'SimpleResponsiveBannerComponents', 'media', uid, catalogVersion.catalog.id, catalogVersion.version,
            media.qualifier, media.catalogVersion.version, media.catalogVersion.catalog.id FROM responsive_banners
        UNION ALL
        SELECT 'Products', 'picture', code, catalogVersion.catalog.id, catalogVersion.version,
            picture.code, picture.catalogVersion.version, picture.catalogVersion.catalog.id FROM products
        UNION ALL
        SELECT 'Products', 'thumbnail', code, catalogVersion.catalog.id, catalogVersion.version,
            thumbnail.code, thumbnail.catalogVersion.version, thumbnail.catalogVersion.catalog.id FROM products
        UNION ALL
        SELECT 'Categories', 'picture', code, catalogVersion.catalog.id, catalogVersion.version,
            picture.code, picture.catalogVersion.version, picture.catalogVersion.catalog.id FROM categories)
),
-- Times are those of the business (`campaign_zone`) unless they carry an offset; kept in UTC.
zoned AS (
    SELECT c.id, c.title, c.metadata AS meta, z.name AS zone, trim(c.metadata.campaign_code) AS code
    FROM campaigns AS c LEFT JOIN pg_timezone_names() AS z ON z.name = trim(c.metadata.campaign_zone)
    WHERE nullif(trim(c.metadata.campaign_code), '') IS NOT NULL
),
campaign AS (
    SELECT id, title, code, zone, meta.campaign_revision AS revision, meta.territories AS territories,
        list_distinct(coalesce(meta.campaign_slots, [])) AS slots, list_distinct(coalesce(meta.campaign_locales, [])) AS locales,
        list_distinct(coalesce(meta.sku, [])) AS skus, list_distinct(coalesce(meta.category_codes, [])) AS categories,
        meta.commerce_status AS status, coalesce(meta.commerce_status IN ('ready_for_commerce', 'published'), false) AS is_ready,
        CASE WHEN zone IS NULL THEN NULL
             WHEN regexp_matches(meta.campaign_start, 'T.*(Z|[+-]\d\d:?\d\d)$') THEN TRY_CAST(meta.campaign_start AS TIMESTAMPTZ)
             ELSE timezone(zone, TRY_CAST(meta.campaign_start AS TIMESTAMP)) END AS starts,
        CASE WHEN zone IS NULL THEN NULL
             WHEN regexp_matches(meta.campaign_end, 'T.*(Z|[+-]\d\d:?\d\d)$') THEN TRY_CAST(meta.campaign_end AS TIMESTAMPTZ)
             ELSE timezone(zone, TRY_CAST(meta.campaign_end AS TIMESTAMP)) END AS ends,
        count(*) OVER (PARTITION BY code) AS collections
    FROM zoned
),
asked AS (SELECT id, code AS campaign, unnest(slots) AS slot FROM campaign),
-- Places a campaign asks for. A product or category is changed in its draft where there is one.
drafts AS (
    SELECT * FROM shown WHERE entity_set IN ('Products', 'Categories')
    QUALIFY row_number() OVER (PARTITION BY entity_set, attribute, code, catalog ORDER BY version = 'Staged' DESC, version) = 1
),
wanted AS (
    SELECT c.id, c.code AS campaign, s.slot, s.locale, s.holds, s.shows, s.fallback, NULL AS about,
        s.entity_set || ':' || s.catalog || ':' || s.version || ':' || s.code || ':' || s.attribute AS place, s.version, s.catalog
    FROM campaign AS c JOIN slots AS s ON list_contains(c.slots, s.slot) AND (s.locale IS NULL OR list_contains(c.locales, s.locale))
    UNION ALL BY NAME
    SELECT c.id, c.code AS campaign, o.slot, 'media' AS holds, o.shows, o.fallback, d.code AS about, d.place, d.version, d.catalog
    FROM campaign AS c JOIN own_slots AS o ON list_contains(c.slots, o.slot)
    JOIN drafts AS d ON d.entity_set = o.entity_set AND d.attribute = o.attribute
        AND list_contains(CASE o.entity_set WHEN 'Products' THEN c.skus ELSE c.categories END, d.code)
),
asset AS (
    SELECT id, trim(metadata.campaign_code) AS campaign, metadata."language" AS language, metadata.territories AS territories,
        coalesce(metadata.campaign_slots, []) AS slots, metadata.rights_start AS rights_start, metadata.rights_end AS rights_end,
        list_concat(coalesce(metadata.sku, []), coalesce(metadata.category_codes, [])) AS about,
        list_transform(coalesce(collections, []), lambda x: x.id) AS collections
    FROM assets
),
-- What is in the shop by now, with its bytes, by whoever may put it there (K1, K6): that is the approval.
stock AS (
    SELECT regexp_extract(code, '^iconik-([0-9a-f-]{36})-', 1) AS asset_id, 'media' AS holds,
        regexp_extract(code, '^iconik-[0-9a-f-]{36}-(.+)$', 1) AS shows, code, catalogVersion.version AS version,
        catalogVersion.catalog.id AS catalog FROM medias WHERE size > 0
    UNION ALL
    SELECT DISTINCT regexp_extract(mediaContainer.qualifier, '^iconik-([0-9a-f-]{36})', 1), 'container',
        regexp_extract(mediaContainer.qualifier, '^iconik-[0-9a-f-]{36}-(.+)$', 1), mediaContainer.qualifier,
        catalogVersion.version, catalogVersion.catalog.id FROM medias WHERE size > 0 AND mediaContainer IS NOT NULL
),
mark AS (SELECT * FROM before WHERE place IS NOT NULL),
candidates AS (
    SELECT w.place, w.campaign, a.id AS asset_id, s.code, s.version, s.catalog, a.rights_start, a.rights_end, a.territories,
        coalesce(b.state = 'on' AND b.campaign = w.campaign AND b.value = s.code, false) AS is_there,
        list_position(c.locales, a.language) AS rank
    FROM wanted AS w JOIN campaign AS c ON c.id = w.id
    JOIN asset AS a ON a.campaign = w.campaign AND list_contains(a.collections, w.id) AND list_contains(a.slots, w.slot)
        AND (w.about IS NULL OR list_contains(a.about, w.about))
        AND (CASE WHEN w.locale IS NULL THEN list_contains(c.locales, a.language) ELSE a.language = w.locale END)
    JOIN stock AS s ON s.asset_id = a.id AND s.holds = w.holds AND s.shows = w.shows AND s.version = w.version
    LEFT JOIN mark AS b ON b.place = w.place
),
-- Who is there stays; of several newcomers nobody is taken before a person decided. Of languages the first has it.
chosen AS (
    SELECT * FROM candidates
    QUALIFY rank() OVER (PARTITION BY place, campaign ORDER BY is_there DESC, rank) = 1
        AND count(*) OVER (PARTITION BY place, campaign, is_there, rank) = 1
),
ours AS (SELECT DISTINCT id FROM asset WHERE campaign IS NOT NULL),
-- What stood in a place before any campaign. What a campaign put there, or took away with its media, is not that.
found AS (
    SELECT n.*, b.* EXCLUDE (place), b.place IS NOT NULL AS known,
        o.id IS NOT NULL AS is_ours,
        coalesce(b.noted, false) AND ((n.now_code IS NOT NULL AND is_ours) OR (n.now_code IS NULL AND b.state = 'on')) AS keeps
    FROM shown AS n LEFT JOIN mark AS b ON b.place = n.place
    LEFT JOIN ours AS o ON o.id = regexp_extract(n.now_code, '^iconik-([0-9a-f-]{36})', 1)
    WHERE b.place IS NOT NULL OR n.place IN (SELECT place FROM wanted)
),
kept AS (
    SELECT *, CASE WHEN keeps THEN base_code ELSE now_code END AS old_code, CASE WHEN keeps THEN base_version ELSE now_version END
        AS old_version, CASE WHEN keeps THEN base_catalog ELSE now_catalog END AS old_catalog,
        coalesce(state = 'on', false) OR keeps OR (coalesce(noted, false) AND (base_code, base_version, base_catalog)
            IS NOT DISTINCT FROM (now_code, now_version, now_catalog)) AS is_safe
    FROM found
),
-- Checks of each place, then of each campaign.
filled AS (
    SELECT w.*, h.code AS value, h.version AS value_version, h.catalog AS value_catalog, k.place IS NOT NULL AS is_there,
        coalesce(k.is_safe, false) AS is_safe,
        coalesce(h.rights_start <= (c.starts AT TIME ZONE 'UTC')::DATE
            AND h.rights_end >= ((c.ends - INTERVAL 1 MICROSECOND) AT TIME ZONE 'UTC')::DATE, false) AS has_rights,
        coalesce(len(coalesce(c.territories, [])) = 0 OR list_has_all(h.territories, c.territories), false) AS has_territory,
        coalesce(k.state = 'on' AND k.campaign = w.campaign, false) AS is_held, coalesce(k.mends, 0) AS mends,
        coalesce(k.state = 'on' AND k.campaign = w.campaign AND k.shown AND k.now_code IS NULL, false) AS is_torn,
        coalesce(k.now_code = h.code, false) AS is_shown
    FROM wanted AS w JOIN campaign AS c ON c.id = w.id LEFT JOIN chosen AS h ON h.place = w.place AND h.campaign = w.campaign
    LEFT JOIN kept AS k ON k.place = w.place
),
overlapping AS (
    SELECT DISTINCT f.id, o.campaign AS other FROM filled AS f JOIN filled AS o ON o.place = f.place AND o.id <> f.id
    JOIN campaign AS c ON c.id = f.id JOIN campaign AS d ON d.id = o.id CROSS JOIN moment AS m
    WHERE d.is_ready AND d.ends > m.at AND c.starts < d.ends AND d.starts < c.ends AND (o.is_held OR NOT f.is_held)
),
-- Slots and locales nobody has a place for, products and categories that are not in the shop.
lacking AS (
    SELECT a.id, list_sort(list(DISTINCT a.slot)) AS slots FROM asked AS a
    WHERE a.slot NOT IN (SELECT slot FROM slots UNION SELECT slot FROM own_slots) GROUP BY a.id
),
mute AS (
    SELECT a.id, list_sort(list(DISTINCT a.slot || '/' || l.locale)) AS slots
    FROM asked AS a JOIN (SELECT id, unnest(locales) AS locale FROM campaign) AS l ON l.id = a.id
    WHERE a.slot IN (SELECT slot FROM slots)
        AND NOT EXISTS (SELECT 1 FROM slots AS s WHERE s.slot = a.slot AND (s.locale IS NULL OR s.locale = l.locale))
    GROUP BY a.id
),
astray AS (
    SELECT a.id, list_sort(list(DISTINCT a.slot)) AS slots FROM asked AS a JOIN own_slots AS o ON o.slot = a.slot
    JOIN campaign AS c ON c.id = a.id
    WHERE (SELECT count(DISTINCT about) FROM wanted AS w WHERE w.id = a.id AND w.slot = a.slot)
        < greatest(1, CASE o.entity_set WHEN 'Products' THEN len(c.skus) ELSE len(c.categories) END)
    GROUP BY a.id
),
placed AS (
    SELECT id, count(*) AS places, bool_and(is_there) AS all_there, bool_and(is_safe) AS all_safe, bool_and(is_shown) AS all_shown,
        list_sort(list(DISTINCT slot || coalesce('/' || locale, '') || coalesce(':' || about, '')) FILTER (value IS NULL)) AS unfilled,
        list_sort(list(DISTINCT value) FILTER (value IS NOT NULL AND NOT has_rights)) AS unrightful,
        list_sort(list(DISTINCT value) FILTER (value IS NOT NULL AND NOT has_territory)) AS abroad,
        max(mends) FILTER (is_held) AS mends, bool_or(is_torn) AS is_torn,
        md5(string_agg(place || '=' || coalesce(value_version || '|' || value_catalog || '|' || value, ''), ';' ORDER BY place)) AS content
    FROM filled GROUP BY id
),
judged AS (
    SELECT c.*, p.* EXCLUDE (id), coalesce(c.starts <= m.at AND m.at < c.ends, false) AS is_open, coalesce(c.ends <= m.at, false) AS is_over,
        list_filter([
            CASE WHEN c.collections > 1 THEN 'its code is that of ' || c.collections || ' collections' END,
            CASE WHEN c.revision IS NULL THEN 'it has no revision' END,
            CASE WHEN c.zone IS NULL THEN 'its time zone is missing or unknown' END,
            CASE WHEN c.zone IS NOT NULL AND (c.starts IS NULL OR c.ends IS NULL) THEN 'its start or end is missing or no time' END,
            CASE WHEN c.starts >= c.ends THEN 'it does not start before it ends' END,
            CASE WHEN len(c.locales) = 0 THEN 'it names no locales' END,
            CASE WHEN coalesce(p.places, 0) = 0 THEN 'it has no places' END,
            'unknown slots: ' || array_to_string(l.slots, ', '), 'no place in the shop for ' || array_to_string(u.slots, ', '),
            'not every product or category is in the shop for ' || array_to_string(y.slots, ', '),
            CASE WHEN NOT p.all_there THEN 'a component of its slots is not in the shop' END,
            CASE WHEN len(p.unfilled) > 0 THEN 'not filled by exactly one approved asset: ' || array_to_string(p.unfilled, ', ') END,
            CASE WHEN len(p.unrightful) > 0 THEN 'rights do not cover the whole window: ' || array_to_string(p.unrightful, ', ') END,
            CASE WHEN len(p.abroad) > 0 THEN 'not cleared for every territory: ' || array_to_string(p.abroad, ', ') END,
            'overlaps with ' || array_to_string(v.others, ', ')
        ], lambda reason: reason IS NOT NULL) AS reasons
    FROM campaign AS c CROSS JOIN moment AS m LEFT JOIN placed AS p ON p.id = c.id LEFT JOIN lacking AS l ON l.id = c.id
    LEFT JOIN mute AS u ON u.id = c.id LEFT JOIN astray AS y ON y.id = c.id
    LEFT JOIN (SELECT id, list_sort(list(DISTINCT other)) AS others FROM overlapping GROUP BY id) AS v ON v.id = c.id
),
decided AS (
    SELECT *, is_ready AND is_open AND len(reasons) = 0 AND all_safe AS is_on,
        coalesce(mends, 0) + coalesce(is_torn, false)::INTEGER AS mended FROM judged
),
takers AS (
    SELECT f.*, d.revision, d.content, d.mended, d.places FROM filled AS f JOIN decided AS d ON d.id = f.id WHERE d.is_on
),
-- A place no campaign holds any longer goes back; once the shop shows that, its row stays as it is.
settled AS (
    SELECT k.*, t.campaign AS taker, t.value AS new_code, t.value_version AS new_version, t.value_catalog AS new_catalog,
        t.content, t.mended, t.places, t.revision AS new_revision, t.fallback AS new_fallback,
        CASE WHEN t.campaign IS NOT NULL THEN 'on' WHEN k.state IN ('on', 'off') THEN 'off' ELSE 'noted' END AS new_state,
        t.campaign IS NULL AND (k.state = 'on' OR (k.state = 'off' AND k.is_ours)) AS goes_back
    FROM kept AS k LEFT JOIN takers AS t ON t.place = k.place
),
going_back AS (
    SELECT campaign, count(*) AS places, md5(string_agg(place || '=' || coalesce(old_version || '|' || old_catalog || '|' || old_code, ''), ';'
        ORDER BY place)) AS content FROM settled WHERE goes_back GROUP BY campaign
)
SELECT s.place AS owner, s.place, s.new_state AS state, coalesce(s.taker, s.campaign) AS campaign,
    s.entity_set, s.attribute, s.code, s.version, s.catalog,
    CASE WHEN s.taker IS NULL THEN NULL WHEN s.campaign IS DISTINCT FROM s.taker THEN s.campaign ELSE s.follows END AS follows,
    CASE WHEN s.taker IS NOT NULL THEN s.new_code WHEN s.goes_back THEN s.old_code ELSE s."value" END AS "value",
    CASE WHEN s.taker IS NOT NULL THEN s.new_version WHEN s.goes_back THEN s.old_version ELSE s.value_version END AS value_version,
    CASE WHEN s.taker IS NOT NULL THEN s.new_catalog WHEN s.goes_back THEN s.old_catalog ELSE s.value_catalog END AS value_catalog,
    CASE WHEN s.taker IS NOT NULL THEN s.taker || ':' || s.new_revision || ':on:' || s.content[:12] || CASE WHEN s.mended > 0 THEN ':' || s.mended ELSE '' END
         WHEN s.goes_back THEN s.campaign || ':' || coalesce(s.revision, 0) || ':off:' || r.content[:12] ELSE s.batch END AS batch,
    CASE WHEN s.taker IS NOT NULL THEN s.places WHEN s.goes_back THEN r.places ELSE s.batch_rows END AS batch_rows,
    CASE WHEN s.taker IS NOT NULL THEN NULL WHEN s.state = 'on' THEN s.put_aside ELSE s.fallback END AS fallback,
    CASE WHEN s.taker IS NOT NULL THEN s.new_fallback ELSE s.put_aside END AS put_aside,
    coalesce(s.new_revision, s.revision) AS revision, s.old_code AS base_code, s.old_version AS base_version, s.old_catalog AS base_catalog,
    true AS noted, s.taker IS NOT NULL AND coalesce(s.now_code = s.new_code, false) AS shown,
    CASE WHEN s.taker IS NOT NULL THEN s.mended ELSE 0 END AS mends,
    NULL AS collection_id, NULL AS status, NULL AS report
FROM settled AS s LEFT JOIN going_back AS r ON r.campaign = s.campaign AND s.goes_back
UNION ALL BY NAME
SELECT 'campaign:' || d.id AS owner, NULL AS place, d.code AS campaign, d.id AS collection_id, d.revision,
    CASE WHEN d.is_on AND d.all_shown THEN 'published'
         WHEN d.is_over AND d.status IN ('ready_for_commerce', 'published', 'expired') AND NOT coalesce(h.still, false) THEN 'expired' END AS status,
    CASE WHEN d.is_on AND d.all_shown THEN 'Shown' WHEN d.is_on THEN 'To be shown' WHEN coalesce(h.still, false) THEN 'To be taken back'
         WHEN d.is_over THEN 'Over' WHEN NOT d.is_ready THEN 'Not ready for commerce' WHEN len(d.reasons) > 0 THEN 'Held back'
         ELSE 'Planned' END || ': revision ' || coalesce(d.revision::VARCHAR, 'none')
        || coalesce(', ' || strftime(d.starts AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M') || ' to '
            || strftime(d.ends AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M') || ' UTC (' || d.zone || ')', '')
        || CASE WHEN len(d.reasons) > 0 AND NOT d.is_over THEN '. ' || array_to_string(d.reasons, '; ') ELSE '' END AS report
FROM decided AS d LEFT JOIN (
    SELECT campaign, bool_or(CASE state WHEN 'on' THEN now_code = "value" ELSE is_ours END) AS still
    FROM kept WHERE state IN ('on', 'off') GROUP BY campaign
) AS h ON h.campaign = d.code
