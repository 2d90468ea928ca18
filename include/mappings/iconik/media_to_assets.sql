-- K1, back: the code of each asset's main rendition that is in the shop, with its bytes.
SELECT _owner AS owner, min(code) AS code FROM medias WHERE size > 0 AND _owner <> '' GROUP BY _owner
