"""What stored bytes mean: pictures."""
