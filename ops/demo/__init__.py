"""The demonstration: an application of an ISP with its data, and a backfill from end to end."""
