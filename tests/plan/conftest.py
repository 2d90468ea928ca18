from flows.house import org, shop, walk

__all__ = ["org", "shop", "walk"]
