-- I8: what the shop knows of every device: its product, its purchase, a pseudonym of its customer; one row per device.
-- Read over `devices`, `activations`, `products`, `categories` and `orders`; `before` is what it gave last time.
--
-- Rules
--   a device is what its attribute productCode says, else what its latest activation says
--   its purchase is the order its attribute purchaseOrderCode names; where that is empty, the earliest order of its
--   customer (customerRef) for its product; a cancelled order is none, and takes the customer with it
--   customers go by customerID; what looks like an e-mail address is hashed, so that a device never carries one
--   a product that is gone is kept until two full snapshots in a row lacked it; an empty snapshot counts for nothing
--   the family is the category above the product's that has none above itself, the nearest, then the first by code
WITH RECURSIVE
shown AS (
    SELECT code, name, list_sort(list_distinct([c.code for c in coalesce(supercategories, [])])) AS categories
    FROM products
    QUALIFY row_number() OVER (PARTITION BY code ORDER BY (catalogVersion.version = 'Online') DESC, integrationKey) = 1
),
edge AS (SELECT DISTINCT code, unnest([c.code for c in supercategories]) AS above FROM categories),
-- the depth ends loops
climb(first_code, code, depth) AS (
    SELECT DISTINCT code, code, 0 FROM (SELECT unnest(categories) AS code FROM shown)
    UNION
    SELECT c.first_code, e.above, c.depth + 1 FROM climb AS c JOIN edge AS e ON e.code = c.code WHERE c.depth < 10
),
family AS (
    SELECT first_code, min_by(code, (depth, code)) AS family FROM climb
    WHERE code NOT IN (SELECT code FROM edge) GROUP BY first_code
),
product AS (
    SELECT s.code, any_value(s.name) AS name, any_value(array_to_string(s.categories, ',')) AS categories,
           coalesce(min(f.family), any_value(s.categories[1])) AS family
    FROM shown AS s LEFT JOIN family AS f ON list_contains(s.categories, f.first_code) GROUP BY s.code
),
activation AS (
    SELECT subject AS device_id, max_by(trim(data.productCode), (time, id)) AS sku FROM activations
    WHERE nullif(trim(data.productCode), '') IS NOT NULL GROUP BY subject
),
claim AS (
    SELECT d.id AS device_id, coalesce(nullif(trim(d.attributes.productCode), ''), a.sku) AS sku,
           nullif(trim(d.attributes.purchaseOrderCode), '') AS order_code,
           nullif(trim(d.attributes.customerRef), '') AS customer, nullif(trim(d.attributes.b2bUnit), '') AS unit
    FROM devices AS d LEFT JOIN activation AS a ON a.device_id = d.id WHERE coalesce(d.active, true)
),
bought AS (
    SELECT code, date, status.code IS NOT DISTINCT FROM 'CANCELLED' AS is_cancelled, nullif(unit.uid, '') AS unit,
           CASE WHEN contains("user".customerID, '@') THEN 'h-' || left(sha256(lower(trim("user".customerID))), 24)
                ELSE nullif(trim("user".customerID), '') END AS customer,
           [e.product.code for e in coalesce(entries, [])] AS skus
    FROM orders
),
first_order AS (
    SELECT c.device_id, min_by(b.code, (b.date, b.code)) AS order_code
    FROM claim AS c JOIN bought AS b ON b.customer = c.customer
    WHERE c.order_code IS NULL AND NOT b.is_cancelled AND list_contains(b.skus, c.sku) GROUP BY c.device_id
),
context AS (
    SELECT c.device_id, c.sku, b.code AS order_code, b.date AS ordered_at,
           CASE WHEN b.code IS NULL THEN c.customer WHEN NOT b.is_cancelled THEN b.customer END AS customer,
           CASE WHEN b.code IS NULL THEN c.unit WHEN NOT b.is_cancelled THEN b.unit END AS unit,
           coalesce(b.is_cancelled, false) AS is_cancelled
    FROM claim AS c LEFT JOIN first_order AS f ON f.device_id = c.device_id
    LEFT JOIN bought AS b ON b.code = coalesce(c.order_code, f.order_code)
),
counted AS (
    SELECT c.*, p.code IS NOT NULL AS is_there, p.name, p.categories, p.family, b.product_name, b.category_codes, b.product_family,
           CASE WHEN p.code IS NOT NULL THEN 0
                WHEN b.sku IS DISTINCT FROM c.sku THEN 2  -- never there, so there is nothing to keep
                WHEN NOT EXISTS (FROM products) THEN b.misses
                ELSE least(b.misses + 1, 2) END::INTEGER AS misses
    FROM context AS c LEFT JOIN product AS p ON p.code = c.sku LEFT JOIN before AS b ON b.owner = c.device_id
    -- Every run is a snapshot, so every run has to count: the run's time makes all rows be computed again.
    WHERE getvariable('now') IS NOT NULL
)
SELECT device_id AS owner, device_id, misses, sku,
       CASE WHEN misses < 2 THEN sku END AS product_code,
       CASE WHEN is_there THEN name WHEN misses < 2 THEN product_name END AS product_name,
       CASE WHEN is_there THEN categories WHEN misses < 2 THEN category_codes END AS category_codes,
       CASE WHEN is_there THEN family WHEN misses < 2 THEN product_family END AS product_family,
       CASE WHEN NOT is_cancelled THEN order_code END AS order_code,
       CASE WHEN NOT is_cancelled THEN ordered_at::DATE END AS ordered_on,
       CASE WHEN contains(customer, '@') THEN 'h-' || left(sha256(lower(customer)), 24) ELSE customer END AS customer, unit
FROM counted
