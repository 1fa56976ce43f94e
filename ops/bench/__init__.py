"""What `make bench` measures: cold starts, records, triggers, permits, plans. It judges nothing."""
