from flows.house import fleet, media, org, shop, walk

__all__ = ["fleet", "media", "org", "shop", "walk"]
