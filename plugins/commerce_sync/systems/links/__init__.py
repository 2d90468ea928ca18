"""The link table: which record a merged one lives on in, written by a leg and read by others."""
