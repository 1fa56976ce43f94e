"""What `make bench` measures: cold starts, one record, permits, a plan. It judges nothing."""
