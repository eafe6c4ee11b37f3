"""Commands over REST alone."""
