"""Encoders: encoded blocks in, a vector of fixed width per row out; one kind per file."""
