-- K3, and with it K1 and K6: may an asset be shown? One row per asset, channel and rendition, with its evidence.
-- Read over `assets` (those governed: see the mapping), `products` and `categories`; `before` is what it decided last time.
-- Fails closed: what is missing, null, unknown or in doubt counts as no. Time is part of it: all is decided in every run.
--
-- Decisions
--   publish   every check passed; the row names the version, the file and its checksum that were approved
--   hold      the version in the shop was approved, a newer one is not (or is not ready): the old one stays, the new waits
--   withdraw  it was live and may not be any longer
--   wait      approved, but a rendition is not ready and not overdue
--   block     it is not live and may not be
--
-- Policy. Raise `version` when you change a rule: decisions are recorded with it.
WITH policy AS (
    SELECT 2 AS version, 1 AS min_approvers, false AS four_eyes,    -- four_eyes: somebody else than the uploader approves
        INTERVAL 24 HOUR AS patience,                               -- for renditions of a new version
        ['ready_for_commerce', 'published'] AS states, ['all_channels', 'web_only'] AS usages
),
kinds(ending, mime, kind, max_bytes) AS (VALUES
    ('jpg', 'image/jpeg', 'image', 25000000), ('jpeg', 'image/jpeg', 'image', 25000000),
    ('png', 'image/png', 'image', 25000000), ('webp', 'image/webp', 'image', 25000000),
    ('gif', 'image/gif', 'image', 25000000), ('pdf', 'application/pdf', 'document', 50000000),
    ('mp4', 'video/mp4', 'video', 2000000000)
),
roles(role, kind, min_width, min_height) AS (VALUES
    ('hero', 'image', 600, 450), ('gallery', 'image', 400, 300), ('banner', 'image', 960, 300),
    ('thumbnail', 'image', 96, 72), ('video', 'video', 160, 90), ('datasheet', 'document', 0, 0)
),
-- Where media are shown. `shop` is the product's own catalog and what K1 writes, the others are K6's. catalog, version:
-- null is the product's own.
channels(channel, territory, catalog, version) AS (VALUES
    ('shop', NULL, NULL, NULL), ('web', NULL, NULL, NULL), ('mobile', NULL, NULL, NULL),
    ('marketplace', 'US', 'Marketplace', 'Staged')
),
-- What each channel takes: the widest finished part that fits the box. may_shrink: a smaller one than wanted will do.
profiles(channel, rendition, kind, parts, is_optional, max_width, max_height, wanted_width, may_shrink, max_bytes) AS (VALUES
    ('shop', 'master', 'image', ['files'], false, NULL, NULL, 0, false, NULL),
    ('shop', 'thumb', 'image', ['keyframes'], true, NULL, NULL, 0, true, NULL),
    ('shop', 'web', 'video', ['proxies'], false, NULL, NULL, 0, false, NULL),
    ('shop', 'thumb', 'video', ['keyframes'], true, NULL, NULL, 0, true, NULL),
    ('shop', 'master', 'document', ['files'], false, NULL, NULL, 0, false, NULL),
    ('web', 'desktop', 'image', ['files', 'proxies'], false, 2560, 2560, 600, false, 8000000),
    ('web', 'thumbnail', 'image', ['keyframes', 'proxies'], true, 320, 320, 96, true, 500000),
    ('web', 'film', 'video', ['proxies'], false, 1920, 1080, 160, true, 500000000),
    ('mobile', 'mobile', 'image', ['proxies', 'keyframes'], false, 1080, 1920, 640, true, 1000000),
    ('mobile', 'clip', 'video', ['proxies'], false, 854, 480, 160, true, 60000000),
    ('marketplace', 'market', 'image', ['files'], false, 4000, 4000, 1000, false, 10000000)
),
moment AS (
    SELECT getvariable('now')::TIMESTAMPTZ AS at, (getvariable('now')::TIMESTAMPTZ AT TIME ZONE 'UTC')::DATE AS day
),
-- Where a product or category is written: its draft (Staged) where there is one.
homes AS (
    SELECT kind, code, catalog, version FROM (
        SELECT 'sku' AS kind, code, catalogVersion.catalog.id AS catalog, catalogVersion.version AS version FROM products
        UNION ALL
        SELECT 'category', code, catalogVersion.catalog.id, catalogVersion.version FROM categories)
    QUALIFY row_number() OVER (PARTITION BY kind, code, catalog ORDER BY version = 'Staged' DESC, version) = 1
),
asset AS (
    SELECT a.id, a.title, a.status, a.is_blocked, a.latest_version.id AS version_id,
        list_transform(list_filter(coalesce(a.versions, []), lambda v: v.status NOT IN ('DELETED', 'DELETING')),
            lambda v: v.id) AS version_ids,
        a.latest_version.date_created AS version_created, a.latest_version.created_by_user AS uploader, a.approval,
        list_distinct(list_transform(list_filter(coalesce(a.approval.approvals_by, []), lambda b: b.status = 'APPROVED'
            AND b.version_id = a.latest_version.id), lambda b: coalesce(b.user, b."external"))) AS approvers,
        a.metadata AS meta, r.kind, r.min_width, r.min_height,
        list_sort(list_distinct(list_transform(coalesce(a.metadata.sku, []), lambda s: trim(s)))) AS skus,
        list_sort(list_distinct(list_transform(coalesce(a.metadata.category_codes, []), lambda s: trim(s)))) AS categories,
        list_filter(coalesce(a.formats, []), lambda f: f.name = 'ORIGINAL')[1] AS original,
        list_transform(list_filter(coalesce(a.relations, []), lambda x: x.relation_type = 'replaces'
            AND x.related_from_asset_id = a.id), lambda x: x.related_to_asset_id) AS replaces,
        a.files, a.proxies, a.keyframes,
        -- K8 places what belongs to a campaign: it needs a catalog only, and is no product's hero.
        coalesce(nullif(trim(a.metadata.campaign_code), '') IS NOT NULL, false) AS in_campaign
    FROM assets AS a LEFT JOIN roles AS r ON r.role = a.metadata.media_role
),
placed AS (
    SELECT a.id, count(DISTINCT h.code) FILTER (h.kind = 'sku') AS known_skus,
        count(DISTINCT h.code) FILTER (h.kind = 'category') AS known_categories,
        min({'other': h.catalog IS DISTINCT FROM a.meta.catalog, 'draft': h.version <> 'Staged', 'kind': h.kind = 'category',
             'catalog': h.catalog, 'version': h.version}) AS home
    FROM asset AS a JOIN homes AS h
        ON (h.kind = 'sku' AND list_contains(a.skus, h.code)) OR (h.kind = 'category' AND list_contains(a.categories, h.code))
    GROUP BY a.id
),
-- Checks of the asset itself and of its latest version, in the order they are shown.
judged AS (
    SELECT a.*, coalesce(p.home.catalog, CASE WHEN a.in_campaign THEN a.meta.catalog END) AS catalog,
        coalesce(p.home.version, CASE WHEN a.in_campaign THEN 'Staged' END) AS catalog_version,
        [{'name': 'asset_is_active', 'ok': a.status = 'ACTIVE' AND NOT coalesce(a.is_blocked, false)},
         {'name': 'commerce_status', 'ok': list_contains(y.states, a.meta.commerce_status)},
         {'name': 'usage_rights', 'ok': list_contains(y.usages, a.meta.usage_rights)},
         {'name': 'rights_window', 'ok': m.day BETWEEN a.meta.rights_start AND a.meta.rights_end},
         {'name': 'role_is_known', 'ok': a.kind IS NOT NULL},
         {'name': 'alt_text', 'ok': a.kind = 'document' OR nullif(trim(a.meta.alt_text), '') IS NOT NULL},
         {'name': 'language', 'ok': regexp_full_match(a.meta.language, '[a-z]{2,3}(-[A-Za-z0-9]{2,8})*')},
         {'name': 'has_a_place', 'ok': len(a.skus) > 0 OR len(a.categories) > 0
            OR (a.in_campaign AND nullif(trim(a.meta.catalog), '') IS NOT NULL)},
         {'name': 'every_sku_in_shop', 'ok': coalesce(p.known_skus, 0) = len(a.skus)
            AND (coalesce(p.known_skus, 0) + coalesce(p.known_categories, 0) > 0 OR len(a.skus) + len(a.categories) = 0)}] AS asset_checks,
        [{'name': 'approved', 'ok': a.approval.status = 'APPROVED'},
         {'name': 'approval_of_latest_version', 'ok': a.approval.version_id = a.version_id},
         {'name': 'enough_approvers', 'ok': len(a.approvers) >= greatest(y.min_approvers, coalesce(a.approval.min_number, 1))},
         {'name': 'approver_is_not_uploader', 'ok': NOT y.four_eyes OR
            len(list_filter(a.approvers, lambda u: u IS DISTINCT FROM a.uploader)) >= y.min_approvers}] AS version_checks
    FROM asset AS a CROSS JOIN policy AS y CROSS JOIN moment AS m LEFT JOIN placed AS p ON p.id = a.id
),
sound AS (
    SELECT *, coalesce(list_bool_and(list_transform(asset_checks, lambda c: coalesce(c.ok, false))), false) AS asset_ok,
        coalesce(list_bool_and(list_transform(version_checks, lambda c: coalesce(c.ok, false))), false) AS version_ok,
        EXISTS (SELECT 1 FROM before AS b WHERE b.owner = judged.id AND b.live) AS was_live
    FROM judged
),
replaced AS (SELECT DISTINCT unnest(replaces) AS id FROM sound WHERE asset_ok AND version_ok),
-- One hero per product and language: who is there stays; of several newcomers nobody is taken before a person decided.
heroes AS (
    SELECT id, unnest(skus) AS sku, meta.language AS language, was_live
    FROM sound WHERE meta.media_role = 'hero' AND NOT in_campaign AND asset_ok AND (version_ok OR was_live) AND id NOT IN (SELECT id FROM replaced)
),
contested AS (
    SELECT id FROM heroes AS h WHERE EXISTS (
        SELECT 1 FROM heroes AS o WHERE o.sku = h.sku AND o.language = h.language AND o.id <> h.id
            AND (o.was_live OR NOT h.was_live) AND (NOT h.was_live OR o.id < h.id))
),
-- What there is to show: the original, the largest finished proxy, the poster.
parts AS (
    SELECT id, 'files' AS part, unnest(coalesce(files, [])) AS f, TRY_CAST(original.components[1].metadata.width AS INTEGER) AS width,
        TRY_CAST(original.components[1].metadata.height AS INTEGER) AS height, len(files) AS number FROM asset
    UNION ALL BY NAME
    SELECT id, 'proxies' AS part, {'id': p.id, 'name': p.name, 'size': p.size, 'checksum': NULL::VARCHAR, 'status': p.status} AS f,
        p.resolution.width AS width, p.resolution.height AS height, 1 AS number
        FROM (SELECT id, unnest(coalesce(proxies, [])) AS p FROM asset)
    UNION ALL BY NAME
    SELECT id, 'keyframes' AS part, {'id': k.id, 'name': k.name, 'size': k.size, 'checksum': NULL::VARCHAR, 'status': k.status} AS f,
        k.resolution.width AS width, k.resolution.height AS height, 1 AS number
        FROM (SELECT id, unnest(coalesce(keyframes, [])) AS k FROM asset) WHERE k.type = 'POSTER'
),
candidates AS (
    SELECT p.*, r.channel, r.rendition, k.ending, k.mime, least(k.max_bytes, coalesce(r.max_bytes, k.max_bytes)) AS max_bytes,
        coalesce(p.width <= r.max_width AND p.height <= r.max_height, r.max_width IS NULL) AS fits
    FROM parts AS p JOIN sound AS s ON s.id = p.id
    JOIN profiles AS r ON r.kind = coalesce(s.kind, 'image') AND list_contains(r.parts, p.part)
    LEFT JOIN kinds AS k ON k.ending = lower(regexp_extract(p.f.name, '\.([A-Za-z0-9]+)$', 1))
),
best AS (
    SELECT * FROM candidates
    QUALIFY row_number() OVER (PARTITION BY id, channel, rendition
        ORDER BY f.status = 'CLOSED' DESC, fits DESC, mime IS NOT NULL DESC, width DESC NULLS LAST, f.id) = 1
),
rendered AS (
    SELECT s.* EXCLUDE (files, proxies, keyframes, original), r.channel, r.rendition, r.is_optional, p.part,
        coalesce(h.catalog, s.catalog) AS channel_catalog, coalesce(h.version, s.catalog_version) AS channel_version,
        p.f.id AS part_id, p.f.size AS size, p.f.checksum AS checksum, p.mime, p.ending,
        [{'name': 'hero_is_the_only_one', 'ok': s.id NOT IN (SELECT id FROM contested)},
         {'name': 'not_replaced', 'ok': s.id NOT IN (SELECT id FROM replaced)},
         {'name': 'channel_is_asked_for', 'ok': r.channel = 'shop' OR list_contains(s.meta.channels, r.channel)},
         {'name': 'territory', 'ok': h.territory IS NULL OR list_contains(s.meta.territories, h.territory)}] AS rank_checks,
        [{'name': 'rendition_is_ready', 'ok': p.f.status = 'CLOSED' AND (p.part <> 'files' OR p.number = 1)},
         {'name': 'fits_the_channel', 'ok': p.fits AND (r.may_shrink OR r.wanted_width = 0 OR p.width >= r.wanted_width)},
         {'name': 'type_is_allowed', 'ok': p.mime IS NOT NULL},
         {'name': 'size_is_allowed', 'ok': (p.f.size IS NULL AND p.part <> 'files') OR p.f.size BETWEEN 1 AND p.max_bytes},
         {'name': 'pixels', 'ok': s.kind = 'document' OR r.may_shrink OR (p.width >= s.min_width AND p.height >= s.min_height)}
        ] AS part_checks,
        coalesce(p.f.status = 'CLOSED', false) AS is_ready, coalesce(s.version_created + y.patience < m.at, true) AS is_overdue
    FROM sound AS s JOIN profiles AS r ON r.kind = coalesce(s.kind, 'image') JOIN channels AS h ON h.channel = r.channel
    LEFT JOIN best AS p ON p.id = s.id AND p.channel = r.channel AND p.rendition = r.rendition
    CROSS JOIN policy AS y CROSS JOIN moment AS m
),
weighed AS (
    SELECT *, asset_ok AND list_bool_and(list_transform(rank_checks, lambda c: coalesce(c.ok, false))) AS may_stay,
        coalesce(list_bool_and(list_transform(part_checks, lambda c: coalesce(c.ok, false))), false) AS part_ok,
        part_ok OR (is_optional AND is_overdue) AS is_settled
    FROM rendered
),
-- All renditions of a channel show the same version, and no channel a newer one than the shop. A channel that is not
-- ready keeps the old version for as long as the policy's patience; then it shows none rather than another master.
paired AS (
    SELECT *, bool_and(is_settled) OVER (PARTITION BY id, channel) AS set_ok,
        version_ok AND bool_and(is_settled OR channel <> 'shop') OVER (PARTITION BY id) AS master_ok
    FROM weighed
),
decided AS (
    SELECT w.*, coalesce(b.live, false) AS was_shown, b.version_id AS shown_version, b.part AS shown_part,
        b.part_id AS shown_id, b.size AS shown_size, b.checksum AS shown_checksum, b.mime AS shown_mime, b.ending AS shown_ending,
        CASE WHEN w.may_stay AND w.master_ok AND w.set_ok AND w.part_ok THEN 'publish'
             WHEN w.may_stay AND b.live AND (NOT w.master_ok OR (NOT w.set_ok AND NOT w.is_overdue)) AND b.version_id <> w.version_id
                AND list_contains(w.version_ids, b.version_id) THEN 'hold'
             WHEN b.live THEN 'withdraw'
             WHEN w.may_stay AND w.version_ok AND NOT w.is_ready AND NOT w.is_overdue THEN 'wait'
             ELSE 'block' END AS decision
    FROM paired AS w LEFT JOIN before AS b ON b.owner = w.id AND b.channel = w.channel AND b.rendition = w.rendition
    WHERE w.channel = 'shop' OR list_contains(w.meta.channels, w.channel) OR b.live
),
verdicts AS (
SELECT d.id AS owner, d.channel, d.rendition, 'iconik-' || d.id || '-' || d.rendition AS code, d.decision, d.decision IN ('publish', 'hold') AS live,
    y.version AS policy, true AS is_there, d.meta.commerce_status AS commerce_status, d.title, d.meta.media_role AS role, d.meta.language AS language, d.meta.alt_text AS alt_text,
    d.channel_catalog AS catalog, d.channel_version AS catalog_version,
    CASE d.decision WHEN 'hold' THEN d.shown_version ELSE d.version_id END AS version_id,
    d.version_id AS latest_version_id,
    CASE d.decision WHEN 'hold' THEN d.shown_part ELSE d.part END AS part,
    CASE d.decision WHEN 'hold' THEN d.shown_id ELSE d.part_id END AS part_id,
    CASE d.decision WHEN 'hold' THEN d.shown_size ELSE d.size END AS size,
    CASE d.decision WHEN 'hold' THEN d.shown_checksum ELSE d.checksum END AS checksum,
    CASE d.decision WHEN 'hold' THEN d.shown_mime ELSE d.mime END AS mime,
    CASE d.decision WHEN 'hold' THEN d.shown_ending ELSE d.ending END AS ending,
    list_transform(list_filter(list_concat(d.asset_checks, d.version_checks, d.rank_checks, d.part_checks),
        lambda c: coalesce(c.ok, false)), lambda c: c.name) AS passed,
    list_transform(list_filter(list_concat(d.asset_checks, d.version_checks, d.rank_checks, d.part_checks),
        lambda c: NOT coalesce(c.ok, false)), lambda c: c.name) AS failed,
    coalesce(d.approval.status, 'none') AS approval_status, list_sort(d.approvers) AS approvers
FROM decided AS d CROSS JOIN policy AS y
UNION ALL BY NAME
-- Governed no longer (deleted, purged, its state changed): what was live goes. Not when nothing at all was read.
SELECT b.owner, b.channel, b.rendition, 'iconik-' || b.owner || '-' || b.rendition AS code, 'withdraw' AS decision, false AS live,
    y.version AS policy, false AS is_there, b.version_id, b.version_id AS latest_version_id, ['asset_is_governed'] AS failed,
    'none' AS approval_status
FROM before AS b CROSS JOIN policy AS y
WHERE b.live AND b.owner NOT IN (SELECT id FROM assets) AND EXISTS (SELECT 1 FROM assets)
)
-- decisions: the number of this one. It is recorded again when it, its reasons, the version or the policy changed. A
-- number, as the moment would differ when a run that died is taken up again, and be recorded twice.
SELECT v.*, coalesce(b.decisions, 0) + CASE WHEN b.decision = v.decision AND b.failed = v.failed AND b.policy = v.policy
        AND b.latest_version_id IS NOT DISTINCT FROM v.latest_version_id THEN 0 ELSE 1 END AS decisions
FROM verdicts AS v
LEFT JOIN before AS b ON b.owner = v.owner AND b.channel = v.channel AND b.rendition = v.rendition
