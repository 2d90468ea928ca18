-- What the shop knows of the products an asset fits: new codes, variants, categories. Which products it fits is iconik's.
WITH RECURSIVE code_changes(old_code, new_code) AS (
    -- Product codes that were renamed, one row each. Without a row here a renamed product looks like one that went and
    -- another one that came: what hangs on it is held back for a day.
    VALUES (NULL::VARCHAR, NULL::VARCHAR)
),
followed(old_code, new_code, steps) AS (
    SELECT old_code, new_code, 1 FROM code_changes WHERE old_code <> new_code
    UNION ALL
    SELECT f.old_code, c.new_code, f.steps + 1 FROM followed AS f
    JOIN code_changes AS c ON c.old_code = f.new_code WHERE f.steps < 20 AND c.new_code <> f.old_code
),
renamed AS (
    SELECT old_code, new_code FROM followed
    QUALIFY row_number() OVER (PARTITION BY old_code ORDER BY steps DESC, new_code) = 1
),
facts AS (
    SELECT code, list_sort(list_distinct(flatten(list(list_filter(list_transform(
        coalesce(supercategories, []), lambda c: c.code), lambda c: c IS NOT NULL))))) AS categories
    FROM products GROUP BY code
),
family AS (
    SELECT baseProduct.code AS code, list_sort(list(DISTINCT code)) AS variants
    FROM variants WHERE baseProduct.code IS NOT NULL GROUP BY ALL
),
fits AS (
    SELECT a.id, s.said, coalesce(r.new_code, s.said) AS code, r.new_code IS NOT NULL AS is_renamed,
        EXISTS (SELECT 1 FROM renamed AS n WHERE n.new_code = s.said) AS was_renamed
    FROM assets AS a, (SELECT unnest(list_distinct(a.metadata.sku)) AS said) AS s
    LEFT JOIN renamed AS r ON r.old_code = s.said
    WHERE a.status = 'ACTIVE'
),
known AS (
    -- A variant is a product of the shop as well; its facts are its base product's too.
    SELECT f.*, p.code IS NOT NULL AS is_known, p.categories, m.variants
    FROM fits AS f LEFT JOIN facts AS p ON p.code = f.code LEFT JOIN family AS m ON m.code = f.code
),
told AS (
    SELECT id,
        list_sort(list(DISTINCT code) FILTER (is_renamed OR was_renamed)) AS codes_to_add,
        list_sort(list_distinct(flatten(list(categories) FILTER (categories IS NOT NULL)))) AS categories,
        list_sort(list_distinct(flatten(list(variants) FILTER (variants IS NOT NULL)))) AS variants,
        list_sort(list(DISTINCT code) FILTER (is_known)) AS known_codes,
        list_sort(list(DISTINCT code)) AS codes
    FROM known GROUP BY id
    UNION ALL
    -- Fits nothing any more: what was said of its products goes.
    SELECT a.id, NULL, NULL, NULL, NULL, [] FROM assets AS a
    WHERE a.status = 'ACTIVE' AND a.id IN (SELECT asset_id FROM before WHERE kind = 'facts')
        AND a.id NOT IN (SELECT id FROM known)
),
judged AS (
    SELECT t.*, b.held_since AS was_held, b.known_codes AS knew, b.categories AS had_categories,
        b.variants AS had_variants, coalesce(b.repairs, 0) AS had_repairs, b.told_of AS had_told_of,
        -- Codes the shop knew when this asset was last looked at, and that are gone without a new name.
        list_filter(coalesce(b.known_codes, []), lambda c: list_contains(t.codes, c)
            AND NOT list_contains(coalesce(t.known_codes, []), c)) AS lost
    FROM told AS t LEFT JOIN before AS b ON b.kind = 'facts' AND b.asset_id = t.id
),
timed AS (
    SELECT *, len(lost) > 0
        AND coalesce(was_held, getvariable('now')::TIMESTAMPTZ) > getvariable('now')::TIMESTAMPTZ - INTERVAL 24 HOUR AS is_held
    FROM judged
),
edited AS (
    -- Somebody changed in iconik what is the shop's to say. An asset that is no newer than what was read when the facts
    -- were told does not know our own write yet (a replay reads nothing anew, the index lags): that is nobody's edit.
    SELECT t.*, a.date_modified,
        t.had_categories = coalesce(t.categories, []) AND t.had_variants = coalesce(t.variants, []) AS is_told,
        a.date_modified > coalesce(t.had_told_of, '-infinity'::TIMESTAMPTZ)
            AND (list_sort(coalesce(a.metadata.category_codes, [])) <> coalesce(t.categories, [])
                OR list_sort(coalesce(a.metadata.variant_skus, [])) <> coalesce(t.variants, [])) AS is_edited
    FROM timed AS t JOIN assets AS a ON a.id = t.id
),
settled AS (
    SELECT t.id, t.codes_to_add, t.is_held,
        CASE WHEN t.is_held THEN coalesce(t.was_held, getvariable('now')::TIMESTAMPTZ) END AS held_since,
        CASE WHEN t.is_held THEN t.knew ELSE coalesce(t.known_codes, []) END AS known_codes,
        coalesce(t.categories, []) AS categories, coalesce(t.variants, []) AS variants,
        t.had_repairs + (t.is_told AND t.is_edited)::INTEGER AS repairs,  -- told once more
        CASE WHEN t.is_told AND NOT t.is_edited THEN coalesce(t.had_told_of, t.date_modified)
            ELSE t.date_modified END AS told_of
    FROM edited AS t
)
SELECT 'library' AS owner, 'facts' AS kind, id AS asset_id, NULL::VARCHAR AS orphan, codes_to_add,
    (SELECT list_sort(list(DISTINCT old_code)) FROM renamed WHERE list_contains(codes_to_add, new_code)) AS codes_to_remove,
    categories, variants, known_codes, held_since, is_held, coalesce(settled.repairs, had.repairs, 0) AS repairs,
    told_of
FROM settled LEFT JOIN (SELECT asset_id, repairs FROM before WHERE kind = 'facts') AS had ON had.asset_id = settled.id
UNION ALL
SELECT DISTINCT 'library', 'orphan', id, code, NULL, NULL, NULL, NULL, NULL, NULL, false, 0, NULL
FROM known WHERE NOT is_known
