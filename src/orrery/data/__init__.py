"""Rows: where they lie, how they are read, and what can be asked of them."""
