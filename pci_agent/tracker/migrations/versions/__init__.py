"""One file a change, named after the change."""
