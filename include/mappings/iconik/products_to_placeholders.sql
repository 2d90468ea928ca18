-- What a package has to hold. A category gets the roles of '*' and its own; one language a row.
WITH template(category, role, language) AS (
    VALUES ('*', 'hero', 'en'),
           ('*', 'gallery', 'en'),
           ('video', 'video', 'en'),
           ('machines', 'video', 'en'),
           ('machines', 'datasheet', 'en'),
           ('machines', 'datasheet', 'de')
),
versions AS (
    SELECT *, catalogVersion.catalog.id AS catalog,
        row_number() OVER (PARTITION BY _owner, catalogVersion.catalog.id
            ORDER BY (catalogVersion.version = 'Staged') DESC, catalogVersion.version, integrationKey) AS place
    FROM products
),
packages AS (
    SELECT _owner AS owner, catalog, code,
        nullif(trim(regexp_replace(name, '\s+', ' ', 'g')), '') AS name,
        list_sort(list_distinct(list_filter(
            list_transform(coalesce(supercategories, []), lambda c: c.code), lambda c: c IS NOT NULL))) AS categories,
        coalesce(approvalStatus.code, 'check') = 'unapproved' AS is_refused,
        offlineDate AS offline_at,
        EXISTS (SELECT 1 FROM variants AS v WHERE v.code = versions.code AND v._owner = versions._owner) AS is_variant
    FROM versions WHERE place = 1
),
places AS (
    SELECT DISTINCT p.owner, p.catalog, p.code, t.role, t.language
    FROM packages AS p JOIN template AS t ON t.category = '*' OR list_contains(p.categories, t.category)
    UNION
    -- No longer demanded is not forbidden: what was opened stays as long as the product does.
    SELECT b.owner, b.catalog, b.code, b.role, b.language FROM before AS b
)
SELECT p.owner, p.catalog, p.code, l.role, l.language, p.name, p.categories, p.is_refused, p.offline_at, p.is_variant
FROM packages AS p JOIN places AS l ON l.owner = p.owner AND l.catalog = p.catalog AND l.code = p.code
