"""Parse, build, run: the only place that reads configuration values."""
