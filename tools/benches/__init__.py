"""Our code beside nova's own, timed on the same devices."""
