"""Columns that other programs write in a way of their own, read as what they mean."""
