"""Products with stock, prices and references, export, promotions, catalogs, sites. Source: fact sheet section 4."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from simulators.sap_commerce.occ.calls import OccCall, page_of
from simulators.sap_commerce.occ.failures import invalid, unknown
from simulators.sap_commerce.occ.views import Views, filled, occ_time
from simulators.sap_commerce.store import Store

_LOW_STOCK = 5


def product_of(store: Store, code: str, *, catalog: str | None = None, version: str = "Online") -> int:
    """The product of that code in the online version (of a catalog); raises UnknownIdentifierError."""
    for pk in store.find(store.types.subtypes("Product"), {"code": code}):
        home = store.value(pk, "catalogVersion")
        fits = catalog is None or store.value(store.value(home, "catalog"), "id") == catalog
        if store.value(home, "version") == version and fits:
            return pk
    raise unknown("product", code)


def list_price(store: Store, product: int, *, quantity: int = 1) -> float | None:
    """The price for everybody at a quantity: the row with the largest minimum that is reached."""
    now = store.now_ms()
    sql = (
        "SELECT price FROM PriceRow WHERE (product = ? OR productId = ?) AND user IS NULL AND ug IS NULL"
        " AND coalesce(minqtd, 1) <= ? AND coalesce(startTime, 0) <= ? AND coalesce(endTime, ?) >= ?"
        " ORDER BY minqtd DESC, price LIMIT 1"
    )
    values = (product, store.value(product, "code"), quantity, now, now, now)
    found = store.db.execute(sql, values).fetchone()
    return float(found[0]) if found else None


def read_product(call: OccCall) -> Any:
    return product_view(call.store, product_of(call.store, call.path["code"]), language=call.query.get("lang", "en"))


def product_view(store: Store, pk: int, *, language: str = "en") -> dict[str, Any]:
    views, value = Views(store), store.value
    code = value(pk, "code")
    categories = [
        filled({"code": value(c, "code"), "name": views.local(c, "name", language)})
        for c in views.children(pk, "supercategories")
    ]
    features = [
        {"code": value(f, "qualifier"), "name": value(f, "qualifier"), "featureValues": [{"value": value(f, "value")}]}
        for f in views.children(pk, "features")
    ]
    return filled(
        {
            "code": code,
            "name": views.local(pk, "name", language),
            "url": f"/p/{code}",
            "description": views.local(pk, "description", language),
            "summary": views.local(pk, "summary", language),
            "manufacturer": value(pk, "manufacturerName"),
            "purchasable": views.code(pk, "approvalStatus") == "approved",
            "stock": stock_view(store, code),
            "price": views.price(list_price(store, pk), "USD"),
            "images": _images(store, pk),
            "categories": categories,
            "baseProduct": views.code(pk, "baseProduct"),
            "classifications": [{"code": "features", "features": features}] if features else None,
        }
    )


def _images(store: Store, pk: int) -> list[dict[str, Any]] | None:
    views, found = Views(store), []
    for name, kind, fmt in (("picture", "PRIMARY", "product"), ("thumbnail", "PRIMARY", "thumbnail")):
        if store.exists(media := store.value(pk, name)):
            found.append(_image(store, media, kind=kind, fmt=fmt))
    for place, container in enumerate(views.children(pk, "galleryImages")):
        for media in views.children(container, "medias"):
            fmt = views.code(media, "mediaFormat", column="qualifier") or "product"
            found.append(_image(store, media, kind="GALLERY", fmt=fmt) | {"galleryIndex": place})
    return found or None


def _image(store: Store, media: int, *, kind: str, fmt: str) -> dict[str, Any]:
    value = store.value
    url = value(media, "url") or value(media, "internalURL") or f"/medias/{value(media, 'code')}"
    return filled({"imageType": kind, "format": fmt, "url": url, "altText": value(media, "altText")})


def stock_view(store: Store, code: str) -> dict[str, Any]:
    sql = "SELECT coalesce(sum(available - coalesce(reserved, 0)), 0), count(*) FROM StockLevel WHERE productCode = ?"
    level, rows = store.db.execute(sql, (code,)).fetchone()
    if not rows:
        return {"stockLevelStatus": "outOfStock", "stockLevel": 0}
    status = "outOfStock" if level <= 0 else "lowStock" if level <= _LOW_STOCK else "inStock"
    return {"stockLevelStatus": status, "stockLevel": max(level, 0)}


def read_stock(call: OccCall) -> Any:
    product_of(call.store, call.path["code"])
    return stock_view(call.store, call.path["code"])


def read_references(call: OccCall) -> Any:
    """Active references of a product, of one type (or several, with commas) or all."""
    store, views = call.store, Views(call.store)
    product = product_of(store, call.path["code"])
    wanted = {kind for kind in call.query.get("referenceType", "").split(",") if kind}
    found = []
    for pk in views.children(product, "productReferences"):
        kind, target = views.code(pk, "referenceType"), store.value(pk, "target")
        if not store.value(pk, "active") or (wanted and kind not in wanted) or not store.exists(target):
            continue
        view = {"referenceType": kind, "preselected": bool(store.value(pk, "preselected"))}
        view |= {"quantity": store.value(pk, "quantity"), "description": views.local(pk, "description")}
        found.append(filled(view | {"target": product_view(store, target)}))
    size = call.whole("pageSize", len(found))
    return {"references": found[:size]}


def search(call: OccCall) -> Any:
    """Free text over code and name; sorts and facets are accepted and ignored."""
    text = call.query.get("query", "").split(":")[0].lower()
    sql = "SELECT p.pk FROM Product p JOIN CatalogVersion v ON v.pk = p.catalogVersion WHERE v.version = 'Online'"
    sql += " AND (lower(p.code) = ? OR instr(lower(coalesce(p.name, '')), ?) > 0) ORDER BY p.pk"
    pks = [pk for (pk,) in call.store.db.execute(sql, (text, text))]
    page = page_of(call, pks, name="products")
    products = [product_view(call.store, pk) for pk in page["products"]]
    return page | {"products": products, "freeTextSearch": text, "facets": [], "sorts": []}


def export(call: OccCall) -> Any:
    """All products of a catalog version, or those changed since a timestamp."""
    call.require_all()
    catalog, version = call.query.get("catalog"), call.query.get("version")
    if (catalog is None) != (version is None):
        raise invalid("Both catalog and version must be given.", subject="catalog", reason="missing")
    since = _timestamp(call, required=False)
    pks = _changed(call.store, catalog=catalog, version=version or "Online", since=since)
    page = page_of(call, pks, name="products")
    pages = page.pop("pagination")
    products = [product_view(call.store, pk) for pk in page["products"]]
    counts = {"totalProductCount": len(pks), "totalPageCount": pages["totalPages"], "currentPage": pages["currentPage"]}
    return filled({"products": products, "catalog": catalog, "version": version, **counts})


def express_update(call: OccCall) -> Any:
    call.require_all()
    since = _timestamp(call, required=True)
    catalog, _, version = call.query.get("catalog", "").partition(":")
    pks = _changed(call.store, catalog=catalog or None, version=version or "Online", since=since)
    value = call.store.value
    elements = []
    for pk in pks:
        home = value(pk, "catalogVersion")
        names = {"catalogId": value(value(home, "catalog"), "id"), "catalogVersion": value(home, "version")}
        elements.append({"code": value(pk, "code"), **names})
    return {"productExpressUpdateElements": elements}


def _changed(store: Store, *, catalog: str | None, version: str, since: int) -> list[int]:
    sql = (
        "SELECT p.pk FROM Product p JOIN CatalogVersion v ON v.pk = p.catalogVersion JOIN Catalog c ON c.pk = v.catalog"
        " WHERE v.version = ? AND p.modifiedtime >= ? AND (? IS NULL OR c.id = ?) ORDER BY p.pk"
    )
    return [pk for (pk,) in store.db.execute(sql, (version, since, catalog, catalog))]


def _timestamp(call: OccCall, *, required: bool) -> int:
    text = call.query.get("timestamp")
    if text is None and not required:
        return 0
    try:
        moment = datetime.fromisoformat(str(text).replace(" ", "+"))
    except ValueError as error:
        raise invalid(
            f"Wrong time format: {text}. The only accepted format is ISO-8601.", subject="timestamp"
        ) from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def status_feed(call: OccCall) -> Any:
    """Orders whose status changed since a timestamp [the real feed is a queue that projects have to fill]."""
    call.require_all()
    since, value = _timestamp(call, required=True), call.store.value
    rows = call.store.db.execute('SELECT pk FROM "Order" WHERE modifiedtime >= ? ORDER BY modifiedtime, pk', (since,))
    views = Views(call.store)
    elements = [
        {"code": value(pk, "code"), "status": views.code(pk, "status"), "baseSiteId": call.site}
        for (pk,) in rows.fetchall()
    ]
    return {"orderStatusUpdateElements": elements}


def list_promotions(call: OccCall) -> Any:
    kind = call.query.get("type")
    if kind not in ("all", "product", "order"):
        raise invalid(f"type={kind}; legal: all, product, order", subject="type")
    views, rules = Views(call.store), call.store.find(["PromotionSourceRule"], {})
    published = [pk for pk in rules if views.code(pk, "status") == "PUBLISHED"]
    return {"promotions": [_promotion(call.store, pk) for pk in published]}


def read_promotion(call: OccCall) -> Any:
    found = call.store.find(["PromotionSourceRule"], {"code": call.path["code"]})
    if not found:
        raise unknown("promotion", call.path["code"])
    return _promotion(call.store, found[0])


def _promotion(store: Store, pk: int) -> dict[str, Any]:
    views, value = Views(store), store.value
    view = {"code": value(pk, "code"), "title": views.local(pk, "name"), "description": views.local(pk, "description")}
    view |= {"priority": value(pk, "priority"), "promotionType": "Rule Based Promotion", "enabled": True}
    view |= {"startDate": occ_time(value(pk, "startDate")), "endDate": occ_time(value(pk, "endDate"))}
    return filled(view)


def list_sites(call: OccCall) -> Any:
    views, sites = Views(call.store), call.store.find(["BaseSite"], {})
    return {"baseSites": [{"uid": call.store.value(pk, "uid"), "name": views.local(pk, "name")} for pk in sites]}


def list_catalogs(call: OccCall) -> Any:
    return {"catalogs": [_catalog(call.store, pk) for pk in call.store.find(call.store.types.subtypes("Catalog"), {})]}


def read_catalog(call: OccCall) -> Any:
    found = call.store.find(call.store.types.subtypes("Catalog"), {"id": call.path["catalog"]})
    if not found:
        raise unknown("catalog", call.path["catalog"])
    return _catalog(call.store, found[0])


def read_catalog_version(call: OccCall) -> Any:
    name = call.path["version"]
    versions = [one for one in read_catalog(call)["catalogVersions"] if one["id"] == name]
    if not versions:
        raise unknown("catalogVersion", name)
    return versions[0]


def _catalog(store: Store, pk: int) -> dict[str, Any]:
    versions = [{"id": store.value(one, "version")} for one in store.find(["CatalogVersion"], {"catalog": pk})]
    name = Views(store).local(pk, "name")
    return filled({"id": store.value(pk, "id"), "name": name, "catalogVersions": versions})


def list_languages(call: OccCall) -> Any:
    return {"languages": _by_isocode(call.store, "Language")}


def list_currencies(call: OccCall) -> Any:
    return {"currencies": _by_isocode(call.store, "Currency")}


def _by_isocode(store: Store, kind: str) -> list[dict[str, Any]]:
    views = Views(store)
    rows = store.find([kind], {})
    return [
        filled({"isocode": store.value(pk, "isocode"), "name": views.local(pk, "name"), "active": True}) for pk in rows
    ]


def list_stores(call: OccCall) -> Any:
    views, pks = Views(call.store), call.store.find(["BaseStore"], {})
    return {"stores": [{"name": call.store.value(pk, "uid"), "displayName": views.local(pk, "name")} for pk in pks]}
