"""What a metric is: its registry and its result."""
