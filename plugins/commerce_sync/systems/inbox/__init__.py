"""The event inbox: what far sides told us, checked, kept once, and read by legs like any other source."""
