-- One row per product of a catalog: its newest draft (Staged) where there is one, else whatever version there is.
WITH versions AS (
    SELECT *, catalogVersion.catalog.id AS catalog,
        row_number() OVER (PARTITION BY _owner, catalogVersion.catalog.id
            ORDER BY (catalogVersion.version = 'Staged') DESC, catalogVersion.version, integrationKey) AS place
    FROM products
)
SELECT
    _owner AS owner,
    catalog,
    code,
    nullif(trim(regexp_replace(name, '\s+', ' ', 'g')), '') AS name,
    list_sort(list_distinct(list_filter(
        list_transform(coalesce(supercategories, []), lambda c: c.code), lambda c: c IS NOT NULL))) AS categories,
    coalesce(approvalStatus.code, 'check') = 'unapproved' AS is_refused,
    offlineDate AS offline_at,
    EXISTS (SELECT 1 FROM variants AS v WHERE v.code = versions.code AND v._owner = versions._owner) AS is_variant
FROM versions
WHERE place = 1
