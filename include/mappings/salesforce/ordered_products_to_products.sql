-- S5: the products that orders name, one row each. All orders are visible to all owners ('*'), because a product
-- belongs to no order alone. Lines whose product is gone from the shop count as the product 'unknown'.
SELECT coalesce(e.product.code, 'unknown') AS owner,
       CASE WHEN e.product.code IS NULL THEN 'Product that is no longer in the shop' ELSE max(e.product.name) END AS name
FROM orders AS o, unnest(o.entries) AS t(e)
GROUP BY e.product.code
