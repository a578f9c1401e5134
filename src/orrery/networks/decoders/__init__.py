"""Decoders: what a score means, its loss, and the prediction it becomes; one kind of target per file."""
