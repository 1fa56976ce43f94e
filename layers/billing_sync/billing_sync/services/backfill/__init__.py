"""The steps of the backfill, as the state machine calls them."""
