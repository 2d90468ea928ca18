"""The neighbours with an API: one package per system, and the HTTP session they share."""
