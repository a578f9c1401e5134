"""Training: the feed, the loop, and what watches it."""
