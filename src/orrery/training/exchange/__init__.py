"""Exchanges: how the workers of a gang agree; one per file."""
