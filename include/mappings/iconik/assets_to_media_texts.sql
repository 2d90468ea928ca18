-- One row per medium of the shop that was made from an asset (code iconik-<asset id>-<rendition>), with the asset's
-- words as plain text. A medium that stands in several versions of a catalog is written in Staged.
WITH versions AS (
    SELECT *, row_number() OVER (PARTITION BY _owner, code, catalogVersion.catalog.id
        ORDER BY (catalogVersion.version = 'Staged') DESC, catalogVersion.version, integrationKey) AS place
    FROM medias
),
words AS (
    SELECT a._owner, a.status, w.name,
        -- Tags out, then the entities that editors leave behind, then one space where there were several.
        nullif(trim(regexp_replace(replace(replace(replace(replace(replace(replace(
            regexp_replace(w.said, '<[^<>]*>', ' ', 'g'), '&nbsp;', ' '), '&lt;', '<'), '&gt;', '>'), '&quot;', '"'),
            '&#39;', ''''), '&amp;', '&'), '\s+', ' ', 'g')), '') AS said
    FROM assets AS a, (VALUES ('alt', a.metadata.alt_text), ('title', a.title)) AS w(name, said)
)
SELECT
    v._owner AS owner,
    v.code,
    v.catalogVersion.version AS version,
    v.catalogVersion.catalog.id AS catalog,
    any_value(w.status) AS status,
    any_value(w.said) FILTER (w.name = 'alt') AS alt_text,
    any_value(w.said) FILTER (w.name = 'title') AS title
FROM versions AS v JOIN words AS w ON w._owner = v._owner
WHERE v.place = 1
GROUP BY ALL
